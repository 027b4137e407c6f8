"""Units run in this process in order, or in processes side by side, of which none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from operator import attrgetter
from types import SimpleNamespace as Unit

import pytest
import torch

from srcli.errors import DataError, UsageError
from srcli.machine import processor_count
from srcli.pipelines.executors import choose_executor
from srcli.pipelines.executors.processes import ProcessExecutor, Slot
from tests.fixtures.files import names_in, wait_until
from tests.pipelines.executors.units import column, have_met, make_units, run_units

HERE = Slot(device="cpu", threads=1)
DEFECT = "this is a defect of srx: please report it"


def wait_for_end(pid):
    """Wait until a process is no more, however long its end takes beside other work."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.02)


def test_units_share_a_process(work, notes, capfd):
    executor = ProcessExecutor([Slot(device="only", threads=1)])
    outcomes = run_units(executor, make_units(3), work.double, notes)
    assert column(outcomes, "value") == [0, 2, 4]
    assert set(column(outcomes, "slot")) == {"only"}
    assert len({*column(outcomes, "pid"), os.getpid()}) == 2
    assert notes.warnings == ["unit 0: even", "unit 1: odd"]
    assert capfd.readouterr() == ("", "")


def test_places_work_at_the_same_time(work, notes, tmp_path):
    units = make_units(2, label="", folder=str(tmp_path))
    outcomes = run_units(ProcessExecutor([HERE, HERE]), units, work.meet, notes)
    assert column(outcomes, "met") == [2, 2]


def test_a_death_is_told_and_takes_no_other_with_it(work, notes):
    endings = ("kill", "exit", "raise", "not at all")
    units = [Unit(label=ending, how=ending) for ending in endings]
    killed, ended, raised, alive = run_units(
        ProcessExecutor([HERE]), units, work.die, notes
    )
    reason = "its process was killed by signal 9, perhaps for want of memory"
    assert killed.failure == reason
    assert ended.failure == "its process ended with code 3"
    assert raised.failure == f"failed: ValueError: no such luck; {DEFECT}"
    assert '    raise ValueError("no such luck")' in notes.details
    assert (killed.result, ended.result, raised.result) == (None, None, None)
    assert alive.result == {"alive": True}


def test_an_error_for_the_user_is_raised(work, notes):
    units = [Unit(label="", how="error")]
    with pytest.raises(DataError, match="the store is full; make room"):
        run_units(ProcessExecutor([HERE]), units, work.die, notes)


class AllAtOnce(ProcessExecutor):
    """Looks at workers when all of them have something to tell."""

    def wait(self, workers):
        return workers if all(worker.pipe.poll() for worker in workers) else []


def test_what_has_ended_beside_an_error_for_the_user_counts(work, notes):
    units = [Unit(label="", how="error"), Unit(label="", how="not at all")]
    running = AllAtOnce([HERE, HERE]).run(work.die, units, progress=notes)
    assert next(running).result == {"alive": True}
    with pytest.raises(DataError, match="the store is full; make room"):
        next(running)


def test_stopping_ends_what_runs_in_order_and_begins_nothing(work, notes, tmp_path):
    units = make_units(4, folder=str(tmp_path))
    executor = ProcessExecutor([HERE, HERE])
    outcomes = run_units(executor, units, work.wait, notes, have_met(tmp_path))
    assert column(outcomes, "ended") == ["stopped", "stopped"]
    assert (outcomes[0].unit, outcomes[1].unit) == (units[0], units[1])


@pytest.mark.posix
def test_no_process_stays_behind(work, notes, tmp_path):
    # The first unit ends at once, the second would wait for ever; nobody asks for its
    # result.
    units = make_units(2, label="", folder=str(tmp_path))
    running = ProcessExecutor([HERE, HERE]).run(
        work.wait, units, progress=notes, stop=have_met(tmp_path)
    )
    with closing(running):
        next(running)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    for file in files:
        wait_for_end(int(file.name))


PARENT = """
import sys
from srcli.pipelines.executors.processes import ProcessExecutor
from srcli.ports import Progress
from srcli.pipelines.executors.processes import Slot
import types, units_of_work

if __name__ == "__main__":
    unit = types.SimpleNamespace(label="", folder=sys.argv[1])
    slot = Slot(device="cpu", threads=1)
    list(ProcessExecutor([slot]).run(units_of_work.wait, [unit], progress=Progress()))
"""


@pytest.mark.posix
def test_a_process_ends_with_its_parent(work, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen([sys.executable, script, folder]) as parent:
        wait_until(lambda: names_in(folder), parent)
        parent.send_signal(signal.SIGKILL)
    (child,) = names_in(folder)
    wait_for_end(int(child))


def test_everything_arrives_in_the_parent(work, notes):
    task = notes.task("all")
    list(
        ProcessExecutor([HERE]).run(
            work.report,
            [Unit(label="u")],
            progress=notes,
            task=task,
            label_of=attrgetter("label"),
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
    half = Slot(device="cpu", threads=max(1, processor_count() // 2))
    both = [half, half]
    assert choose_executor("cpu", processes=2) == (ProcessExecutor(both), "cpu")
    three = ProcessExecutor([Slot(device="cpu", threads=4)] * 3)
    assert choose_executor("cpu, cpu,cpu", threads=4) == (three, "cpu")
    with pytest.raises(UsageError, match=r"--device tpu: give auto, cpu, cuda, cuda:N"):
        choose_executor("cpu,tpu")


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    ("devices", "processes", "slots"),
    [
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", 2, ["cuda:1", "cuda:1"]),
        ("all", None, ["cuda:0", "cuda:1"]),
    ],
)
def test_processes_take_gpus_in_turn(devices, processes, slots):
    executor, device = choose_executor(devices, processes=processes, threads=1)
    assert executor is not None
    assert executor.slots == [Slot(device=name, threads=1) for name in slots]
    assert device == slots[0]
    with pytest.raises(UsageError, match="this machine has 2 CUDA devices"):
        choose_executor("cuda:2", processes=2)
