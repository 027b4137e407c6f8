"""Run ablations: train and measure every variant alike, and do only what the store lacks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from srcli.data.training_set import find_split
from srcli.errors import DataError, UsageError, did_you_mean
from srcli.evaluation.sets import BUILT_IN, find_set
from srcli.metrics.protocol import PROTOCOLS
from srcli.pipelines.ablate.plan import AblationPlan, checked_recipes, data_digest
from srcli.pipelines.ablate.results import Conditions
from srcli.pipelines.ablate.store import Store, put_run
from srcli.pipelines.ablate.units import MachineUnit, TrainingUnit
from srcli.pipelines.ablate.work import BUSY, MEASURED, STOPPED, TRAINED, describe_place, run_unit
from srcli.pipelines.executors.cluster import RayExecutor
from srcli.pipelines.executors.make import make_executor
from srcli.ports.executor import Place
from srcli.ports.progress import NoProgress
from srcli.report.table import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.ablate.results import AblationResult
    from srcli.pipelines.ablate.units import AblateOptions, Unit
    from srcli.ports.executor import Executor, JsonDict, UnitResult
    from srcli.ports.progress import Progress, Task
    from srcli.recipes.ablation import Ablation

WAIT_SECONDS = 1.0
"""Interval between two looks at the work of another process."""


def run_ablations(
    ablations: Sequence[Ablation],
    options: AblateOptions,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    executor: Executor | None = None,
) -> list[AblationResult]:
    """Train and measure all variants of ablations under the same conditions.

    Every variant gets the same budget, for each seed the same batches in the same order, and the
    same evaluation. Results are stored as soon as they are there, and stored ones are not computed
    again. A variant that fails becomes a row that says so.

    Args:
        ablations: The ablations; each name once.
        options: Data, budget, seeds, sets, device and store.
        progress: Receives the progress.
        stop: Called often; true ends the run. Running trainings keep a checkpoint, from which the
            next run goes on.
        executor: Runs the units; None for the one that the options ask for.

    Returns:
        One result for each ablation, from all that is stored now; see
        :attr:`AblationResult.missing`.

    Raises:
        SrxError: If the options, the data or a variant make no sense.
    """
    own = progress or NoProgress()
    store = Store(options.store)
    executor = executor or make_executor(
        options.device, processes=options.processes, threads=options.threads, fresh=True
    )
    plan = _plan(ablations, options, own, executor)
    try:
        for run in plan.runs:  # at once, so that results are found whatever happens
            put_run(store, run)
        run_missing(plan, store, executor, own, stop)
    finally:
        for run in plan.runs:  # by now it may have more results than a former run
            put_run(store, run)
    return [run.result(store) for run in plan.runs]


def _plan(
    ablations: Sequence[Ablation], options: AblateOptions, progress: Progress, executor: Executor
) -> AblationPlan:
    """Check everything before anything takes long, and list the units of work."""
    _check_names(ablations)
    recipes = [checked_recipes(each, options.overrides, options.budget) for each in ablations]
    where = _describe_machine(options, executor)
    # Machines that share a store may resolve auto differently, so that keys hold the result.
    own = replace(options, precision=where["precision"])
    data: dict[str, Any] = {}
    if own.train:
        split = find_split(own, progress)
        # It warns of prefixes that exclude nothing; the trainings need not do so again.
        used = tuple(each for each in own.exclude if each not in split.unmatched)
        own = replace(own, exclude=used)
        data = {"data_digest": data_digest(split), "excluded": split.excluded}
        data |= {"pictures": len(split.train), "held_out": len(split.held_out)}
    shared = Conditions(
        trained=own.train,
        budget=own.budget,
        overrides=own.overrides,
        seeds=own.seeds,
        data=tuple(str(path) for path in own.data),
        precision=own.precision,
        device=where["device"],
        machine=where["machine"],
        processes=own.processes,
        **data,
    )
    plan = AblationPlan()
    for ablation, variants in zip(ablations, recipes, strict=True):
        sets, missing = _sets(ablation, own, progress)
        conditions = replace(shared, sets=tuple(sets), missing=missing)
        plan.add(ablation, variants, own, conditions, sets)
    return plan


def _describe_machine(options: AblateOptions, executor: Executor) -> JsonDict:
    """Return ``device``, ``machine`` and ``precision`` of the place where units are run."""
    unit = MachineUnit(options)
    if not isinstance(executor, RayExecutor):  # the place is this machine
        place = Place(device=options.device, threads=options.threads)
        return describe_place(unit, place, NoProgress(), lambda: False)
    (done,) = executor.run(describe_place, [unit], progress=NoProgress(), stop=lambda: False)
    if done.result is None:
        raise UsageError(f"--executor {executor.kind}: {done.failure}")
    return done.result


def _check_names(ablations: Sequence[Ablation]) -> None:
    if not ablations:
        raise UsageError("no ablation to run; give its name, or a file")
    names = [ablation.name for ablation in ablations]
    for name, protocol in zip(names, (each.protocol for each in ablations), strict=True):
        if names.count(name) > 1:
            raise UsageError(f"ablation {name}: given twice")
        if protocol not in PROTOCOLS:
            hint, known = did_you_mean(protocol, PROTOCOLS), ", ".join(PROTOCOLS)
            raise UsageError(f"{name}: no protocol {protocol!r}{hint}; there are: {known}")


def _sets(
    ablation: Ablation, options: AblateOptions, progress: Progress
) -> tuple[dict[str, tuple[str, PictureSet]], tuple[str, ...]]:
    """Return the sets to measure on, by label with their name as given; and the missing ones."""
    found: dict[str, tuple[str, PictureSet]] = {}
    missing = []
    if not options.train:
        return found, ()
    for name in options.sets or ablation.sets:
        try:
            pictures = find_set(name, ablation.scale)
        except DataError:
            if options.sets is not None:
                raise
            missing.append(name)
            continue
        if pictures.name in found:
            raise UsageError(f"--sets {name}: given twice")
        found[pictures.name] = (name, pictures)
    if not found:
        wanted = ", ".join(missing) or "it names none"
        progress.warn(
            f"{ablation.name}: no set available ({wanted}); measured on {BUILT_IN} pictures"
        )
        found[BUILT_IN] = (BUILT_IN, find_set(BUILT_IN, ablation.scale))
    elif missing:
        progress.message(f"{ablation.name}: not available: {', '.join(missing)}")
    return found, tuple(missing)


def run_missing(
    plan: AblationPlan,
    store: Store,
    executor: Executor,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Run all units of a plan that the store lacks; then wait for those of other processes.

    Raises:
        SrxError: If the store cannot be written.
    """
    units = plan.missing(store)
    known = len(plan.units) - len(units)
    if known:
        progress.message(f"{known} of {known + len(units)} results are there already")
    task = progress.task("results", total=len(units), unit="results")
    reported: set[str] = set()
    try:
        busy = _run(units, store, executor, progress, stop, task)
        while busy and not stop():
            for unit in [each for each in busy if each.key not in reported]:
                reported.add(unit.key)
                verb = "trains" if isinstance(unit, TrainingUnit) else "measures"
                progress.message(f"{unit.label}: another process {verb} it; waiting for that")
            time.sleep(WAIT_SECONDS)
            keys = {unit.key for unit in busy}
            missing = [unit for unit in plan.missing(store) if unit.key in keys]
            task.advance(len(busy) - len(missing))  # the other process has finished these
            free = [unit for unit in missing if _is_free(unit, store)]
            busy = [unit for unit in missing if unit not in free]
            busy += _run(free, store, executor, progress, stop, task)
    finally:
        task.close()


def _run(
    units: Sequence[Unit],
    store: Store,
    executor: Executor,
    progress: Progress,
    stop: Callable[[], bool],
    task: Task,
) -> list[Unit]:
    """Run units and report on them; return those that another process works on."""
    busy = []
    store.folder.mkdir(parents=True, exist_ok=True)
    shared = (store.folder, *(path for unit in units[:1] for path in unit.options.data))
    for done in executor.run(run_unit, units, progress=progress, stop=stop, shared=shared):
        unit, ended = units[done.index], (done.result or {}).get("ended")
        if ended == BUSY:
            busy.append(unit)
            continue
        _report(unit, done, store, progress)
        if ended != STOPPED:
            task.advance(1)
    return busy


def _is_free(unit: Unit, store: Store) -> bool:
    """Return true if no other process works on a unit."""
    with store.lock(unit.key) as own:
        return own


def _report(unit: Unit, done: UnitResult, store: Store, progress: Progress) -> None:
    """Report on a unit that was run; store the failure of its process."""
    if done.result is None:
        with store.lock(unit.key) as own:
            if own:
                there = store.read(unit.key)
                lacking = [part for part in unit.parts if not there.has(part)]
                store.put(unit.key, (lacking or unit.parts)[0], done.failure, unit.label)
    found = store.read(unit.key)
    for part in unit.parts:
        if reason := found.failures.get(part):
            progress.warn(f"{unit.label}: {reason}")
    did = (done.result or {}).get("did")
    if did == TRAINED and found.training is not None:
        count = plural(found.training.iterations, "iteration")
        progress.message(f"{unit.label}: trained {count}")
    elif did == MEASURED:
        progress.message(f"{unit.label}: measured")
