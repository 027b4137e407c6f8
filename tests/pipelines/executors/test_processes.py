"""Units run in this process in order, or in processes side by side, of which none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace as Unit

import pytest
import torch

from srcli.errors import DataError, UsageError
from srcli.pipelines.executors import choose_executor
from srcli.pipelines.executors.processes import Place, ProcessExecutor

HERE = Place(device="cpu", threads=1)
DEFECT = "this is a defect of srx: please report it"


def ended_by_index(executor, work, units, progress, stop=lambda: False):
    found = list(executor.run(work, units, progress=progress, stop=stop))
    return {units.index(each.unit): each for each in found}


def gone(pid):
    """Whether a process is no more, within a few seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_units_share_a_process(work, notes, capfd):
    units = [Unit(label=f"unit {i}", value=i) for i in range(3)]
    executor = ProcessExecutor([Place(device="only", threads=1)])
    found = ended_by_index(executor, work.double, units, notes)
    assert [found[i].result["value"] for i in range(3)] == [0, 2, 4]
    assert {each.result["place"] for each in found.values()} == {"only"}
    assert len({each.result["pid"] for each in found.values()} - {os.getpid()}) == 1
    assert notes.warnings == ["unit 0: even", "unit 1: odd"]
    assert capfd.readouterr() == ("", "")


def test_places_work_at_the_same_time(work, notes, tmp_path):
    units = [Unit(label="", value=i, folder=str(tmp_path)) for i in range(2)]
    found = ended_by_index(ProcessExecutor([HERE, HERE]), work.meet, units, notes)
    assert [found[i].result for i in range(2)] == [{"met": 2}] * 2


def test_a_death_is_told_and_takes_no_other_with_it(work, notes):
    hows = ("kill", "exit", "raise", "not at all")
    units = [Unit(label=how, how=how) for how in hows]
    found = ended_by_index(ProcessExecutor([HERE]), work.die, units, notes)
    assert (
        found[0].failure
        == "its process was killed by signal 9, perhaps for want of memory"
    )
    assert found[1].failure == "its process ended with code 3"
    assert found[2].failure == f"failed: ValueError: no such luck; {DEFECT}"
    assert '    raise ValueError("no such luck")' in notes.details
    assert [found[i].result for i in range(4)] == [None, None, None, {"alive": True}]


def test_an_error_for_the_user_is_raised(work, notes):
    units = [Unit(label="", how="error")]
    with pytest.raises(DataError, match="the store is full; make room"):
        list(
            ProcessExecutor([HERE]).run(
                work.die, units, progress=notes, stop=lambda: False
            )
        )


def test_stopping_ends_what_runs_in_order_and_begins_nothing(work, notes, tmp_path):
    units = [Unit(label=str(i), folder=str(tmp_path)) for i in range(4)]
    stop = lambda: len(list(tmp_path.iterdir())) >= 2  # noqa: E731 - when both run
    found = ended_by_index(ProcessExecutor([HERE, HERE]), work.wait, units, notes, stop)
    assert sorted(found) == [0, 1]
    assert {each.result["ended"] for each in found.values()} == {"stopped"}


@pytest.mark.posix
def test_no_process_stays_behind(work, notes, tmp_path):
    # The first unit ends at once, the second would wait for ever; nobody asks for its
    # result.
    units = [Unit(label="", folder=str(tmp_path)) for _ in range(2)]
    running = ProcessExecutor([HERE, HERE]).run(
        work.wait,
        units,
        progress=notes,
        stop=lambda: len(list(tmp_path.iterdir())) >= 2,
    )
    with closing(running):
        next(running)
    pids = [int(file.name) for file in tmp_path.iterdir()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


PARENT = """
import sys
from srcli.pipelines.executors.processes import ProcessExecutor
from srcli.ports.progress import Progress
from srcli.pipelines.executors.processes import Place
import types, units_of_work

if __name__ == "__main__":
    unit = types.SimpleNamespace(label="", folder=sys.argv[1])
    place = Place(device="cpu", threads=1)
    list(ProcessExecutor([place]).run(units_of_work.wait, [unit], progress=Progress()))
"""


@pytest.mark.posix
def test_a_process_ends_with_its_parent(work, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen([sys.executable, script, folder]) as parent:
        until = time.monotonic() + 60
        while not (children := list(folder.iterdir())) and time.monotonic() < until:
            time.sleep(0.01)
        parent.send_signal(signal.SIGKILL)
    (child,) = (int(file.name) for file in children)
    assert gone(child)


def test_everything_arrives_in_the_parent(work, notes):
    task = notes.task("all")
    list(
        ProcessExecutor([HERE]).run(
            work.report, [Unit(label="u")], progress=notes, task=task
        )
    )
    task.close()
    # the worker dies, twice; the texts of its task are not shown
    assert notes.closed == [("all", 4.0, ["grown by 4", "grown by 4"])]
    assert (notes.messages, notes.warnings) == ([], ["u: careful"])


@pytest.fixture
def _two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_one_device_needs_no_executor_and_several_processes_share_the_processor():
    assert choose_executor("auto") == (None, "auto")
    assert choose_executor("cpu", processes=1, threads=2) == (None, "cpu")
    whole = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    both = [Place(device="cpu", threads=max(1, whole // 2))] * 2
    assert choose_executor("cpu", processes=2) == (ProcessExecutor(both), "cpu")
    three = ProcessExecutor([Place(device="cpu", threads=4)] * 3)
    assert choose_executor("cpu, cpu,cpu", threads=4) == (three, "cpu")
    with pytest.raises(UsageError, match=r"--device tpu: give auto, cpu, cuda, cuda:N"):
        choose_executor("cpu,tpu")


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    ("devices", "processes", "places"),
    [
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),
        ("all", None, ["cuda:0", "cuda:1"]),
    ],
)
def test_processes_take_gpus_in_turn(devices, processes, places):
    made, first = choose_executor(devices, processes=processes, threads=1)
    assert made is not None
    assert [place.device for place in made.places] == places
    assert first == places[0]
    with pytest.raises(UsageError, match="this machine has 2 CUDA devices"):
        choose_executor("cuda:2", processes=2)
