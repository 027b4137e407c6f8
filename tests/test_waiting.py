"""OpenMP's threads, asleep beside other work: in processes of their own, which have two of them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="libgomp is Linux's")
WORK = """
import os, time, torch
from srcli.waiting import SleepingThreads, considerate_waiting, find_libgomp
import srcli.waiting as waiting

values = torch.zeros(1 << 18)

def used_share(seconds=0.5):
    "Processor seconds in each second of operations with pauses, in which threads wait."
    start = time.monotonic()
    used = time.process_time()
    while time.monotonic() < start + seconds:
        values.add_(1.0)
        time.sleep(0.002)
    return (time.process_time() - used) / (time.monotonic() - start)

values.add_(1.0)
"""
AT_ONCE = "\nimport sys\nsys.stdout.flush()\nos._exit(0)\n"
"""Ends a process without taking PyTorch apart."""


@pytest.fixture
def run(forking_python):
    """Run code behind ``WORK``, and return what it prints, in words."""

    def call(code, **environment):
        done = forking_python.run(WORK + code + AT_ONCE, **environment)
        assert not done.returncode, done.stderr
        return done.stdout.split()

    return call


@contextmanager
def busy_processors():
    """Keep all processors busy, twice over, as other programs do."""
    others = []
    for _ in range(2 * len(os.sched_getaffinity(0))):
        others.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@linux
def test_threads_that_sleep_use_no_processor_while_they_wait(run):
    spinning, asleep, before, during, after = run(
        "spinning = used_share()\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "sleepers = SleepingThreads(find_libgomp())\n"
        "asleep = used_share()\n"
        "during = len(os.listdir('/proc/self/task'))\n"
        "sleepers.end()\n"
        "time.sleep(0.1)\n"
        "print(spinning, asleep, before, during, len(os.listdir('/proc/self/task')))"
    )
    assert float(asleep) < 0.5 * float(spinning)
    assert int(before) == int(after) < int(during)


@pytest.mark.slow
@linux
def test_beside_other_work_threads_sleep_until_the_block_ends(run):
    with busy_processors():
        words = run(
            "with considerate_waiting():\n"
            "    until = time.monotonic() + 20\n"
            "    watch = waiting._WATCH\n"
            "    while not watch.lets_threads_sleep and time.monotonic() < until:\n"
            "        used_share(0.1)\n"
            "    print(watch.lets_threads_sleep)\n"
            "print(watch.lets_threads_sleep, watch.is_alive())"
        )
    assert words == ["True", "False", "False"]


@linux
@pytest.mark.parametrize(
    ("name", "text"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "1000")]
)
def test_what_the_user_has_decided_stays(run, name, text):
    words = run(
        "with considerate_waiting():\n    print(waiting._WATCH)\n"
        "print(waiting.describe_waiting())",
        **{name: text},
    )
    assert " ".join(words) == f"None as {name}={text} says"


@linux
def test_where_no_thread_can_be_started_the_process_goes_on(run):
    words = run(
        "import threading\n"
        "def fail(self):\n"
        "    raise RuntimeError('can\\'t start new thread')\n"
        "threading.Thread.start = fail\n"
        "print(waiting.can_start_threads(3))"
    )
    assert words == ["False"]


@linux
def test_the_library_is_that_which_pytorch_calls_whatever_else_is_loaded(run, tmp_path):
    folder = tmp_path / "with a space"
    folder.mkdir()
    words = run(
        "import ctypes, shutil\n"
        "own = find_libgomp()._name\n"
        f"copies = [shutil.copy(own, f'{folder}/libgomp-{{n}}.so.1') for n in range(4)]\n"
        "others = [ctypes.CDLL(copy) for copy in copies]\n"
        "address = ctypes.CDLL(torch._C.__file__).GOMP_parallel\n"
        "number = lambda f: ctypes.cast(f, ctypes.c_void_p).value\n"
        "print(number(find_libgomp().GOMP_parallel) == number(address))\n"
        "print(number(address) in [number(o.GOMP_parallel) for o in others])\n"
    )
    assert words == ["True", "False"]


@linux
def test_pytorch_in_a_folder_with_a_space_has_its_library(run, tmp_path):
    words = run(
        "import ctypes, shutil, sys\n"
        "from types import SimpleNamespace\n"
        f"copy = shutil.copy(find_libgomp()._name, {str(tmp_path)!r} + '/a b libgomp.so.1')\n"
        "library = ctypes.CDLL(copy)\n"
        "sys.modules['torch._C'] = SimpleNamespace(__file__=copy)\n"
        "print(find_libgomp()._name == copy)\n"
    )
    assert words == ["True"]


@linux
def test_a_fork_knows_nothing_of_the_blocks_of_other_threads(run):
    words = run(
        "with considerate_waiting(), waiting._LOCK:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        with considerate_waiting():\n"
        "            watch = waiting._WATCH\n"
        "            works = watch.is_alive()\n"
        "        os._exit(0 if works and not watch.is_alive() else 1)\n"
        "    until = time.monotonic() + 300\n"
        "    while not (ended := os.waitpid(child, os.WNOHANG))[0]:\n"
        "        if time.monotonic() > until:\n"
        "            os.kill(child, 9)\n"
        "        time.sleep(0.05)\n"
        "    print(ended[1])\n"
    )
    assert words == ["0"]
