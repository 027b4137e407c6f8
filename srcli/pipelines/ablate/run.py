"""Run ablations: train and measure every variant alike, doing only what is not in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.data.training_set import find_split
from srcli.errors import DataError, UsageError
from srcli.evaluation.sets import BUILT_IN, find_set
from srcli.inference.device import choose_device
from srcli.metrics.machine import describe_machine, threads
from srcli.metrics.protocol import PROTOCOLS
from srcli.pipelines.ablate.backlog import work_off
from srcli.pipelines.ablate.fingerprints import data_digest
from srcli.pipelines.ablate.plan import Planner, checked_recipes
from srcli.pipelines.ablate.results import Conditions
from srcli.pipelines.ablate.store import Store
from srcli.pipelines.executors import make_executor
from srcli.pipelines.train.data import data_options
from srcli.pipelines.train.numerics import resolve_precision
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.ablate.options import AblateOptions
    from srcli.pipelines.ablate.plan import Plan
    from srcli.pipelines.ablate.results import AblationResult
    from srcli.ports.executor import Executor
    from srcli.recipes.ablation import Ablation

Sets = dict[str, tuple[str, "PictureSet"]]
"""Sets to measure on, by label: the name as given, and the pictures."""


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
    same measuring. What is in the store is not done again; what ends is in the store at once. A
    variant that fails becomes a row that says so.

    Args:
        ablations: What is compared; each name once.
        options: How.
        progress: Told of everything.
        stop: Asked often; true ends the run. Trainings that run keep a checkpoint, from which the
            next run goes on.
        executor: Where units run; None for what the options say.

    Returns:
        What is there now, one result for each ablation; :attr:`AblationResult.missing` tells how
        much is not.

    Raises:
        SrxError: If the options, the data or a variant make no sense.
    """
    own = progress or NoProgress()
    store = Store(options.store)
    plan = _plan(ablations, options, store, own)
    try:
        for record in plan.records:  # at once, so that what ends is found whatever happens
            store.put_run(record)
        work_off(
            plan,
            store,
            executor or make_executor(options.device, options.processes, options.threads),
            own,
            stop,
        )
    finally:
        for record in plan.records:  # by now it may have more results than a former run
            store.put_run(record)
    return [store.result(record) for record in plan.records]


def _plan(
    ablations: Sequence[Ablation], options: AblateOptions, store: Store, progress: Progress
) -> Plan:
    """Refuse nonsense before anything takes long, and work out what is to be done."""
    if not ablations:
        raise UsageError("no ablation to run; give its name, or a file")
    names = [ablation.name for ablation in ablations]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"ablation {name}: given twice")
    device = choose_device(options.device)
    recipes = {
        each.name: checked_recipes(each, options.overrides, options.budget) for each in ablations
    }
    split = _Data(options, progress)
    with threads(options.threads or None):
        machine = str(describe_machine(device))
    # Machines that share a store may take auto for different formats: what it is here decides.
    precision = resolve_precision(options.precision, device)
    # Prefixes that exclude nothing have been told of: the trainings need not do so, one by one.
    own = replace(options, precision=precision, exclude=split.exclude)
    planner = Planner(own, store, device.type)
    for ablation in ablations:
        if ablation.protocol not in PROTOCOLS:
            raise UsageError(
                f"{ablation.name}: no protocol {ablation.protocol!r}; there are: "
                f"{', '.join(PROTOCOLS)}"
            )
        sets, missing = _sets(ablation, options, progress)
        conditions = Conditions(
            trained=options.train,
            budget=options.budget,
            overrides=options.overrides,
            seeds=options.seeds,
            data=tuple(str(path) for path in options.data),
            pictures=split.pictures,
            held_out=split.held_out,
            excluded=split.excluded,
            data_digest=split.digest,
            sets=tuple(sets),
            missing=missing,
            precision=precision,
            device=device.type,
            machine=machine,
            processes=options.processes,
        )
        planner.add(ablation, recipes[ablation.name], conditions, sets)
    return planner.plan


class _Data:
    """The training pictures: how many there are, and their digest."""

    def __init__(self, options: AblateOptions, progress: Progress) -> None:
        self.pictures = self.held_out = self.excluded = 0
        self.exclude = options.exclude
        self.digest = ""
        if not options.train:
            return
        split = find_split(data_options(options), progress)
        self.pictures, self.held_out = len(split.train), len(split.held_out)
        self.excluded = split.excluded
        self.exclude = tuple(each for each in options.exclude if each not in split.unmatched)
        self.digest = data_digest(split)


def _sets(
    ablation: Ablation, options: AblateOptions, progress: Progress
) -> tuple[Sets, tuple[str, ...]]:
    """Return the sets to measure on, and those of the paper that are not at hand."""
    found: Sets = {}
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
            f"{ablation.name}: no set at hand ({wanted}); measured on {BUILT_IN} pictures"
        )
        found[BUILT_IN] = (BUILT_IN, find_set(BUILT_IN, ablation.scale))
    elif missing:
        progress.message(f"{ablation.name}: not at hand: {', '.join(missing)}")
    return found, tuple(missing)
