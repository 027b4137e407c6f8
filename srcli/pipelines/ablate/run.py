"""Run ablations: every variant and seed is a training as of ``srx train``, scored alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import UsageError
from srcli.pipelines.ablate.plan import plan_runs
from srcli.pipelines.ablate.work import CostUnit, MachineUnit, describe_place, run_unit
from srcli.pipelines.executors.cluster import RayExecutor
from srcli.pipelines.executors.make import make_executor
from srcli.ports.executor import Place
from srcli.ports.progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from srcli.pipelines.ablate.results import AblateOptions, AblationResult
    from srcli.ports.executor import Executor, JsonDict
    from srcli.ports.progress import Progress
    from srcli.recipes.ablations import Ablation


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
    same evaluation. ``options.out`` has a folder for each ablation, variant and seed, the last of
    them as ``srx train`` writes it; what is finished there is not done again. A variant that fails
    becomes a row that says so.

    Args:
        ablations: The ablations; each name once.
        options: Data, budget, seeds, sets, device and folder.
        progress: Receives the progress.
        stop: Called often; true ends the run. Running trainings keep a checkpoint, from which the
            next run goes on.
        executor: Runs the units; None for the one that the options ask for.

    Returns:
        One result for each ablation; see :attr:`AblationResult.missing`.

    Raises:
        SrxError: If the options, the data or a variant make no sense, or the folder holds trainings
            under other conditions.
    """
    own = progress or NoProgress()
    executor = executor or make_executor(
        options.device, processes=options.processes, threads=options.threads, fresh=True
    )
    runs = plan_runs(ablations, options, _describe_machine(options, executor), own)
    work = [(run, unit) for run in runs for unit in run.units()]
    work.sort(key=lambda each: -1 if isinstance(each[1], CostUnit) else each[1].training.seed)
    trainings = sum(len(run.seeds) for run in runs)
    missing = sum(not isinstance(unit, CostUnit) for _, unit in work)
    if missing < trainings:
        own.message(f"{trainings - missing} of {trainings} trainings are there already")
    task = own.task("results", total=len(work), unit="results")
    for run in runs:  # at once, so that results are found whatever happens
        run.write()
    try:
        units = [unit for _, unit in work]
        shared = (options.out, *options.data)
        for done in executor.run(run_unit, units, progress=own, stop=stop, shared=shared):
            run, unit = work[done.index]
            if reason := run.take(unit, done):
                own.warn(f"{unit.label}: {reason}")
            if not (done.result or {}).get("stopped"):
                task.advance(1)
    finally:
        task.close()
        for run in runs:
            run.write()
    return [run.result() for run in runs]


def _describe_machine(options: AblateOptions, executor: Executor) -> JsonDict:
    """Return ``device``, ``machine`` and ``precision`` of the place where units are run."""
    unit = MachineUnit(precision=options.precision)
    if not isinstance(executor, RayExecutor):  # the place is this machine
        place = Place(device=options.device, threads=options.threads)
        return describe_place(unit, place, NoProgress(), lambda: False)
    (done,) = executor.run(describe_place, [unit], progress=NoProgress(), stop=lambda: False)
    if done.result is None:
        raise UsageError(f"--executor {executor.kind}: {done.failure}")
    return done.result
