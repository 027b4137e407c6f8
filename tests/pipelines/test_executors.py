"""Units run in this process in order, or in processes side by side, of which none stays behind."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace as Unit

import pytest
import torch

from srcli.errors import UsageError
from srcli.pipelines.executors import (
    ProcessExecutor,
    RelayedProgress,
    SerialExecutor,
    UnitProgress,
    make_executor,
    places,
)
from srcli.ports.executor import Place

HERE = Place(device="cpu", threads=1)
WORK = """
import os, pathlib, sys, time

def double(unit, place, progress, stop):
    print("noise on stdout")
    task = progress.task("doubling", total=1)
    task.advance(1)
    task.close()
    progress.warn("odd" if unit.value % 2 else "even")
    return {"value": 2 * unit.value, "place": place.device, "pid": os.getpid()}

def report(unit, place, progress, stop):
    first = progress.task("stage 1", total=10.0, unit="it")
    second = progress.task("pictures")
    first.advance(2)
    second.describe("cat")
    first.advance(3.5)
    second.grow(4)
    for _ in range(2):
        first.close()
        first.advance(1)
    progress.message("hello")
    progress.warn("careful")
    os._exit(3)

def meet(unit, place, progress, stop):
    own = pathlib.Path(unit.folder)
    (own / str(unit.value)).touch()
    until = time.monotonic() + 20
    while len(list(own.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return {"met": len(list(own.iterdir()))}

def die(unit, place, progress, stop):
    if unit.how == "kill":
        os.kill(os.getpid(), 9)
    if unit.how == "exit":
        os._exit(3)
    if unit.how == "abort":
        os.write(2, b"first\\nno device any more\\n")
        os._exit(4)
    if unit.how == "raise":
        raise ValueError("no such luck")
    return {"alive": True}

def wait(unit, place, progress, stop):
    pathlib.Path(unit.folder, str(os.getpid())).touch()
    while not stop():
        time.sleep(0.01)
    return {"ended": "stopped"}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A module of work that worker processes can import."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "units_of_work.py").write_text(WORK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        before = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{before}" if before else str(folder))
        yield importlib.import_module("units_of_work")


def ended_by_index(executor, work, units, progress, stop=lambda: False):
    found = list(executor.run(work, units, progress=progress, stop=stop))
    return {each.index: each for each in found}


def gone(pid):
    """Whether a process is no more, within a few seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_every_unit_comes_out_of_a_process_of_its_own(work, notes, capfd):
    units = [Unit(label=f"unit {i}", value=i) for i in range(3)]
    found = ended_by_index(
        ProcessExecutor([Place(device="only", threads=1)]), work.double, units, notes
    )
    assert [found[i].result["value"] for i in range(3)] == [0, 2, 4]
    assert {each.result["place"] for each in found.values()} == {"only"}
    assert len({each.result["pid"] for each in found.values()} | {os.getpid()}) == 4
    assert notes.warnings == ["unit 0: even", "unit 1: odd"]
    assert capfd.readouterr() == ("", "")
    assert [label for label, _, _ in notes.closed] == [f"unit {i}: doubling" for i in range(3)]


def test_places_work_at_the_same_time(work, notes, tmp_path):
    units = [Unit(label="", value=i, folder=str(tmp_path)) for i in range(2)]
    found = ended_by_index(ProcessExecutor([HERE, HERE]), work.meet, units, notes)
    assert [found[i].result for i in range(2)] == [{"met": 2}] * 2


def test_a_death_is_told_and_takes_no_other_with_it(work, notes):
    hows = ("kill", "exit", "raise", "not at all")
    units = [Unit(label=how, how=how) for how in hows]
    found = ended_by_index(ProcessExecutor([HERE]), work.die, units, notes)
    assert found[0].failure == "its process was killed by signal 9, perhaps for want of memory"
    assert found[1].failure == "its process ended with code 3: no message"
    assert found[2].failure == "its process failed: ValueError: no such luck"
    assert [found[i].result for i in range(4)] == [None, None, None, {"alive": True}]


def test_stopping_ends_what_runs_in_order_and_begins_nothing(work, notes, tmp_path):
    units = [Unit(label=str(i), folder=str(tmp_path)) for i in range(4)]
    stop = lambda: len(list(tmp_path.iterdir())) >= 2  # noqa: E731 - when both run
    found = ended_by_index(ProcessExecutor([HERE, HERE]), work.wait, units, notes, stop)
    assert sorted(found) == [0, 1]
    assert {each.result["ended"] for each in found.values()} == {"stopped"}


def test_no_process_stays_behind(work, notes, tmp_path):
    # The first unit ends at once, the second would wait for ever; nobody asks for its result.
    units = [Unit(label="", folder=str(tmp_path)) for _ in range(2)]
    running = ProcessExecutor([HERE, HERE]).run(
        work.wait, units, progress=notes, stop=lambda: len(list(tmp_path.iterdir())) >= 2
    )
    with closing(running):
        next(running)
    pids = [int(file.name) for file in tmp_path.iterdir()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_units_run_in_order_until_stopped(notes):
    done = []

    def work(unit, place, progress, stop):
        progress.warn("heard")
        done.append(unit.value)
        return {"value": unit.value}

    units = [Unit(label=f"u{i}", value=i) for i in range(4)]
    running = SerialExecutor(HERE).run(work, units, progress=notes, stop=lambda: len(done) >= 2)
    assert [(each.index, each.result) for each in running] == [(0, {"value": 0}), (1, {"value": 1})]
    assert notes.warnings == ["u0: heard"]


def test_an_error_that_nobody_expects_comes_out(notes):
    def work(unit, place, progress, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(SerialExecutor(HERE).run(work, [Unit(label="")], progress=notes, stop=lambda: False))


def test_processes_share_the_processor():
    whole = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    assert places("cpu", 2, 0) == [Place(device="cpu", threads=max(1, whole // 2))] * 2
    assert places("cpu", 3, 4) == [Place(device="cpu", threads=4)] * 3


def test_processes_take_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [place.device for place in places("auto", 3, 1)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    assert [place.device for place in places("cuda:1", 2, 1)] == ["cuda:1", "cuda:1"]
    with pytest.raises(UsageError, match="this machine has 2 CUDA devices"):
        places("cuda:2", 2, 1)


def test_one_process_is_this_one():
    assert isinstance(make_executor("cpu", 1, 0), SerialExecutor)
    assert isinstance(make_executor("cpu", 2, 0), ProcessExecutor)


PARENT = """
import sys
from srcli.pipelines.executors import ProcessExecutor
from srcli.ports.progress import NoProgress
from srcli.ports.executor import Place
import types, units_of_work

if __name__ == "__main__":
    unit = types.SimpleNamespace(label="", folder=sys.argv[1])
    stop = lambda: False
    place = Place(device="cpu", threads=1)
    list(ProcessExecutor([place]).run(units_of_work.wait, [unit], progress=NoProgress(), stop=stop))
"""


def test_a_process_ends_with_its_parent(work, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen([sys.executable, script, folder]) as parent:
        until = time.monotonic() + 30
        while not list(folder.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)
        (child,) = (int(file.name) for file in folder.iterdir())
        parent.send_signal(signal.SIGKILL)
    assert gone(child)


def test_the_last_words_of_a_dead_process_are_told(work, notes):
    (found,) = ProcessExecutor([HERE]).run(
        work.die, [Unit(label="", how="abort")], progress=notes, stop=lambda: False
    )
    assert found.failure == "its process ended with code 4: no device any more"


def test_everything_arrives_in_the_parent(work, notes):
    list(
        ProcessExecutor([HERE]).run(
            work.report, [Unit(label="u")], progress=notes, stop=lambda: False
        )
    )
    assert notes.tasks == [("u: stage 1", 10.0, "it"), ("u: pictures", None, "")]
    # The worker has died with the second task open; events of the closed one are ignored.
    assert notes.closed == [
        ("u: stage 1", 5.5, []),
        ("u: pictures", 0.0, ["cat", "grown by 4"]),
    ]
    assert (notes.messages, notes.warnings) == ([], ["u: careful"])


def test_a_dead_parent_stops_no_work():
    def send(event):
        raise BrokenPipeError

    task = RelayedProgress(send).task("stage 1")
    task.advance(1)
    task.close()


def test_units_carry_their_names_and_warn_once(notes):
    said: set[str] = set()
    first, second = (UnitProgress(notes, label, said) for label in ("a", "b"))
    for each in (first, second):
        each.task("stage 1", total=3)
        each.message("7 pictures to train on")
        each.warn("left out: x.png")
    second.warn("left out: y.png")
    assert [label for label, _, _ in notes.tasks] == ["a: stage 1", "b: stage 1"]
    assert notes.messages == []
    assert notes.warnings == ["a: left out: x.png", "b: left out: y.png"]
