"""Work off what a plan lacks; what another process is at comes last, and is waited for."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from srcli.files import lock_file
from srcli.pipelines.ablate.figures import failure_of, read_training
from srcli.pipelines.ablate.units import CostUnit, TrainingUnit
from srcli.pipelines.ablate.work import BUSY, MEASURED, STOPPED, TRAINED, run_unit
from srcli.report.table import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from srcli.pipelines.ablate.plan import Plan
    from srcli.pipelines.ablate.store import Store
    from srcli.ports.executor import Executor, UnitResult
    from srcli.ports.progress import Progress, Task

    Unit = CostUnit | TrainingUnit

WAIT_SECONDS = 1.0
"""How often it is looked whether another process has ended."""


def work_off(
    plan: Plan, store: Store, executor: Executor, progress: Progress, stop: Callable[[], bool]
) -> None:
    """Do all units of a plan that are not in the store.

    Args:
        plan: What is wanted.
        store: What is there, and where the rest goes.
        executor: Where units run.
        progress: Told of everything.
        stop: Asked often; true ends it.

    Raises:
        SrxError: If the store cannot be written.
    """
    units = plan.missing(store)
    known = len(plan.costs) + len(plan.trainings) - len(units)
    if known:
        progress.message(f"{known} of {known + len(units)} results are there already")
    task = progress.task("results", total=len(units), unit="results")
    backlog = _Backlog(store, executor, progress, stop, task)
    try:
        waiting = backlog.do(units)
        while waiting and not stop():
            backlog.tell(waiting)
            time.sleep(WAIT_SECONDS)
            wanted = {unit.key for unit in waiting}
            missing = [unit for unit in plan.missing(store) if unit.key in wanted]
            task.advance(len(waiting) - len(missing))  # the other process has made these
            free = [unit for unit in missing if backlog.is_free(unit)]
            waiting = [unit for unit in missing if unit not in free] + backlog.do(free)
    finally:
        task.close()


class _Backlog:
    """The units of a run on their way."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        progress: Progress,
        stop: Callable[[], bool],
        task: Task,
    ) -> None:
        self._store = store
        self._executor = executor
        self._progress = progress
        self._stop = stop
        self._task = task
        self._told: set[str] = set()

    def do(self, units: Sequence[Unit]) -> list[Unit]:
        """Do units; return those that another process is at."""
        busy = []
        plain = [asdict(unit) for unit in units]
        for ended in self._executor.run(run_unit, plain, progress=self._progress, stop=self._stop):
            unit = units[ended.index]
            result = ended.result or {}
            if result.get("ended") == BUSY:
                busy.append(unit)
                continue
            self._report(unit, ended)
            if result.get("ended") != STOPPED:
                self._task.advance(1)
        return busy

    def is_free(self, unit: Unit) -> bool:
        """Whether no other process is at a unit by now."""
        with lock_file(self._store.claim_file(unit.key)) as own:
            return own

    def tell(self, units: Sequence[Unit]) -> None:
        """Say once of each unit that it is waited for."""
        for unit in units:
            if unit.key not in self._told:
                self._told.add(unit.key)
                verb = "trains" if isinstance(unit, TrainingUnit) else "measures"
                self._progress.message(f"{unit.label}: another process {verb} it; waiting for that")

    def _report(self, unit: Unit, ended: UnitResult) -> None:
        store = self._store
        if ended.result is None:
            store.put(self._crashed(unit), {"failure": ended.failure})
        measured = unit.measure if isinstance(unit, TrainingUnit) else ()
        for key in (unit.key, *(each.key for each in measured)):
            if reason := failure_of(store.get(key)):
                self._progress.warn(f"{unit.label}: {reason}")
        if not isinstance(unit, TrainingUnit) or ended.result is None:
            return
        training, did = read_training(store.get(unit.key)), ended.result.get("did")
        if did == TRAINED and training is not None:
            done = plural(training.iterations, "iteration")
            self._progress.message(f"{unit.label}: trained {done}")
        elif did == MEASURED:
            self._progress.message(f"{unit.label}: measured")

    def _crashed(self, unit: Unit) -> str:
        """Return the key of what a process that has died was at."""
        missing = unit.missing(self._store.get)
        return missing[0] if missing else unit.key
