"""Processes side by side: results, deaths, stopping; none stays behind."""

from __future__ import annotations

import importlib
import os
import time
from contextlib import closing

import pytest

from srcli.pipelines.process_executor import ProcessExecutor

WORK = """
import os, pathlib, sys, time

def double(unit, progress, stop):
    print("noise on stdout")
    task = progress.task("doubling", total=1)
    task.advance(1)
    task.close()
    progress.warn("odd" if unit["value"] % 2 else "even")
    return {"value": 2 * unit["value"], "place": unit["place"], "pid": os.getpid()}

def meet(unit, progress, stop):
    own = pathlib.Path(unit["folder"])
    (own / str(unit["value"])).touch()
    until = time.monotonic() + 20
    while len(list(own.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return {"met": len(list(own.iterdir()))}

def die(unit, progress, stop):
    if unit["how"] == "kill":
        os.kill(os.getpid(), 9)
    if unit["how"] == "exit":
        os._exit(3)
    if unit["how"] == "raise":
        raise ValueError("no such luck")
    return {"alive": True}

def wait(unit, progress, stop):
    pathlib.Path(unit["folder"], str(os.getpid())).touch()
    while not stop():
        time.sleep(0.01)
    return {"ended": "stopped"}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A module of work that worker processes can import."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "ablation_work.py").write_text(WORK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        before = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{before}" if before else str(folder))
        yield importlib.import_module("ablation_work")


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


def test_every_unit_comes_out_of_a_process_of_its_own(work, notes):
    units = [{"label": f"unit {i}", "value": i, "place": "?"} for i in range(3)]
    found = ended_by_index(ProcessExecutor([{"place": "only"}]), work.double, units, notes)
    assert [found[i].result["value"] for i in range(3)] == [0, 2, 4]
    assert {each.result["place"] for each in found.values()} == {"only"}
    assert len({each.result["pid"] for each in found.values()} | {os.getpid()}) == 4
    assert notes.warnings == ["unit 0: even", "unit 1: odd"]
    assert [label for label, _, _ in notes.closed] == [f"unit {i}: doubling" for i in range(3)]


def test_places_work_at_the_same_time(work, notes, tmp_path):
    units = [{"label": "", "value": i, "folder": str(tmp_path)} for i in range(2)]
    found = ended_by_index(ProcessExecutor([{}, {}]), work.meet, units, notes)
    assert [found[i].result for i in range(2)] == [{"met": 2}] * 2


def test_a_death_is_told_and_takes_no_other_with_it(work, notes):
    hows = ("kill", "exit", "raise", "not at all")
    units = [{"label": how, "how": how} for how in hows]
    found = ended_by_index(ProcessExecutor([{}]), work.die, units, notes)
    assert found[0].crash == "its process was killed by signal 9, perhaps for want of memory"
    assert found[1].crash == "its process ended with code 3: no message"
    assert found[2].crash == "its process ended with code 1: ValueError: no such luck"
    assert [found[i].result for i in range(4)] == [None, None, None, {"alive": True}]


def test_stopping_ends_what_runs_in_order_and_begins_nothing(work, notes, tmp_path):
    units = [{"label": str(i), "folder": str(tmp_path)} for i in range(4)]
    stop = lambda: len(list(tmp_path.iterdir())) >= 2  # noqa: E731 - when both run
    found = ended_by_index(ProcessExecutor([{}, {}]), work.wait, units, notes, stop)
    assert sorted(found) == [0, 1]
    assert {each.result["ended"] for each in found.values()} == {"stopped"}


def test_no_process_stays_behind(work, notes, tmp_path):
    # The first unit ends at once, the second would wait for ever; nobody asks for its result.
    units = [{"label": "", "folder": str(tmp_path)} for _ in range(2)]
    running = ProcessExecutor([{}, {}]).run(
        work.wait, units, progress=notes, stop=lambda: len(list(tmp_path.iterdir())) >= 2
    )
    with closing(running):
        next(running)
    pids = [int(file.name) for file in tmp_path.iterdir()]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
