"""A file on which a library hangs or crashes is reported by name, and the others are done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.cli.start import GRACE_SECONDS, POLL_SECONDS, WatchedWorker, Watcher
from tests.fixtures.files import hear_signals, json_lines, names_in, wait_until

pytestmark = pytest.mark.posix

FAULTY = textwrap.dedent(
    """
    import ctypes, os, pathlib, signal, sys
    import srcli.imaging.photographs.reading as reading
    import srcli.imaging.photographs.writing as writing
    import srcli.inference.stream as stream
    from srcli.supervision import Readings

    if "--dry-run" not in sys.argv:  # once for all workers
        import torch
        import srcli.inference.engines

    def obey(name):
        if "crash" in name:
            signal.raise_signal(signal.SIGSEGV)  # in this thread, before all else
        if "kill" in name:
            signal.raise_signal(signal.SIGKILL)
        if "hang" in name:
            pathlib.Path(__file__).with_name("hangs").touch()
            ctypes.PyDLL(None).sleep(600)  # with Python's lock

    def obeying(function, stage, name_of):
        def call(*values, **named):
            name = name_of(*values)
            if stage in name:
                obey(name)
            return function(*values, **named)
        return call

    reading.read_photograph_header = obeying(
        reading.read_photograph_header, "header", lambda path, *_: path.name
    )
    reading._decode = obeying(
        reading._decode, "pixels", lambda picture, *_: picture.path.name
    )
    stream._finish_at_once = obeying(
        stream._finish_at_once,
        "network",
        lambda _, batch, task: " ".join(
            os.path.basename(tile.job.name) for tile in batch.tiles
        ),
    )
    find_late = Readings.find_late

    def find_late_if_one_hangs(readings):
        is_hanging = any("hang" in path for path in readings.paths)
        return find_late(readings) if is_hanging else ""

    Readings.find_late = find_late_if_one_hangs
    sys.argv = ["srx", *sys.argv[1:]]
    from srcli.cli.start import main

    main()
    """
)
"""Runs ``srx`` with libraries that do what the names of files say, and with patience for
the others, which may take long beside other work."""


@pytest.fixture
def faulty(tmp_path):
    """Start ``srx upscale`` with libraries that obey names such as ``crash pixels.png``."""
    script = tmp_path / "faulty.py"
    script.write_text(FAULTY, encoding="utf-8")

    def start(*words, **named):
        command = [sys.executable, script, "upscale", *map(str, words), "-m", "bicubic"]
        return subprocess.Popen(
            command,
            stdin=named.get("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            preexec_fn=hear_signals,
        )

    return start


def make_pictures(folder, *names):
    """Make small pictures of these names."""
    folder = Path(folder)
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in names:
        pixels = noise.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def end(process):
    """Wait for a process, and return its exit code and what it printed."""
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.slow
def test_others_are_done_where_readers_hang_and_crash(faulty, tmp_path):
    names = ["a.png", "b crash pixels.png", "c.png", "d hang pixels.png", "e.png"]
    names += ["f kill pixels.png", "g.png"]
    folder = make_pictures("in", *names)
    report = tmp_path / "report.jsonl"
    words = [folder, tmp_path / "out", "--read-timeout", 2, "--report", report]
    code, out, err = end(faulty(*words))
    assert code == 1
    assert "4 done, 3 failed" in out
    crashed = (
        f"error: {folder}/b crash pixels.png: the reader of this kind of file crashed"
    )
    assert f"{crashed} (SIGSEGV)" in err
    assert f"error: {folder}/d hang pixels.png: was still reading after " in err
    assert f"error: {folder}/f kill pixels.png: its process was killed" in err
    assert err.count("error:") == 3
    lines = json_lines(report)
    states = {line["source"].rpartition("/")[2]: line["state"] for line in lines}
    assert sorted(states) == names
    assert len(lines) == 7
    assert [states[name] for name in names[::2]] == ["done"] * 4
    assert names_in("out") == names[::2]


def test_headers_that_hang_are_named_by_a_dry_run(faulty, tmp_path):
    folder = make_pictures("in", "a.png", "hang header.png", "z.png")
    words = [folder, tmp_path / "out", "--dry-run", "--read-timeout", 1]
    code, out, err = end(faulty(*words))
    assert code == 1
    assert f"would fail: {folder}/hang header.png: was still reading after" in out
    assert out.count(" -> ") == 2
    assert "Traceback" not in err


@pytest.fixture
def crashing(forking_python):
    """Run ``srx upscale`` as ``faulty`` does, where nothing hangs, and sooner."""

    def call(*words):
        arguments = ["srx", "upscale", *map(str, words), "-m", "bicubic"]
        return forking_python.run(f"import sys\nsys.argv = {arguments}\n{FAULTY}")

    return call


def test_networks_that_crash_cost_their_picture(crashing):
    folder = make_pictures("in", "a.png", "b.png", "crash network.png")
    ended = crashing(folder, "out")
    assert ended.returncode == 1
    assert "2 done, 1 failed" in ended.stdout
    expected = f"{folder}/crash network.png: its process crashed (SIGSEGV)"
    assert expected in ended.stderr
    assert names_in("out") == ["a.png", "b.png"]


def test_one_file_alone_is_the_whole_failure(crashing):
    folder = make_pictures("in", "crash pixels.png")
    ended = crashing(folder / "crash pixels.png", "out.png")
    assert ended.returncode == 2
    assert "0 done, 1 failed" in ended.stdout
    assert not Path("out.png").exists()
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_standard_input_is_not_read_twice(faulty):
    """What a crash has consumed is named in one line."""
    folder = make_pictures("in", "a.png")
    script = FAULTY.replace('if "crash" in name', 'if "standard" in name')
    assert script != FAULTY
    Path("faulty.py").write_text(script.replace('"pixels"', '""'), encoding="utf-8")
    with (folder / "a.png").open("rb") as stdin:
        code, _, err = end(faulty("-", "out.png", stdin=stdin))
    assert code == 2
    assert "the reader of this kind of file crashed" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_what_hangs_within_two_seconds(faulty, number):
    folder = make_pictures("in", "a.png", "hang header.png")
    process = faulty(folder, "out", "--dry-run")
    wait_until(Path("hangs").exists, process)
    process.send_signal(number)
    code, _, err = end(process)
    assert GRACE_SECONDS + POLL_SECONDS <= 2
    assert code == 130
    assert err.strip() == "srx: interrupted"


SLOW_END = """
import pathlib, sys, time, types
import srcli.cli.main as main
import srcli.cli.start as start

def work(**_):
    pathlib.Path("works").touch()
    time.sleep(60)

start.GRACE_SECONDS = 0.3
main.group.main = work
main.gc = types.SimpleNamespace(
    set_threshold=lambda *_: None, freeze=lambda: time.sleep(60)
)
sys.argv = ["srx", "upscale", "in", "out"]
start.main()
"""


def test_an_interruption_is_told_once_where_the_end_takes_too_long():
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_END],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    )
    wait_until(Path("works").exists, process)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130
    assert err == "srx: interrupted; the same command continues\n"


def test_new_suspects_go_alone_after_others_were_found():
    """A file beside the one that crashes is never refused untried."""
    watcher = Watcher([])
    worker = WatchedWorker(pid=0, pipe=0, started_files={"a.png", "b.png"})
    assert watcher.blame_files(worker, "crashed")
    assert watcher.history.refused == {}
    worker.started_files = {"c.png", "d.png"}
    assert watcher.blame_files(worker, "crashed")
    assert watcher.history.refused == {}
    worker.started_files = {"c.png"}
    assert watcher.blame_files(worker, "crashed")
    assert watcher.history.refused == {"c.png": "crashed"}


def test_workers_end_with_the_watching_process(faulty):
    names = [f"{number:02}.png" for number in range(40)]
    folder = make_pictures("in", *names)
    process = faulty(folder, "out", "-s", 4)
    wait_until(lambda: list(Path("out").glob("*.png")), process)
    process.kill()
    # ends with the worker, which holds its ends of the pipes
    _, err = process.communicate()
    assert "Traceback" not in err


@pytest.mark.slow
def test_several_workers_leave_out_what_hangs(faulty, tmp_path):
    folder = make_pictures("in", "a.png", "hang pixels.png", "z.png")
    script = FAULTY.replace('sys.argv = ["srx", *sys.argv[1:]]', "")
    package = tmp_path / "faulty_libraries.py"
    package.write_text(script.partition("from srcli.cli.start")[0], encoding="utf-8")
    Path("sitecustomize.py").write_text("import faulty_libraries\n", encoding="utf-8")
    command = [sys.executable, "-m", "srcli", "upscale", folder, tmp_path / "out"]
    command += ["-m", "bicubic", "--device", "cpu,cpu", "--read-timeout", "1"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 1
    assert "2 done, 1 failed" in result.stdout
    assert f"{folder}/hang pixels.png: was still reading after" in result.stderr
