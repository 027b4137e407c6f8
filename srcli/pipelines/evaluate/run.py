"""Evaluate models on sets of pictures, in this process or in shares on several workers."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import DataError, UsageError
from srcli.evaluation.candidates import short_labels, unique_models
from srcli.evaluation.scores import Evaluation, Failure
from srcli.evaluation.sets import BUILT_IN, PictureSet, find_set, resolve_set_name
from srcli.inference.device import choose_device
from srcli.metrics.efficiency import model_cost
from srcli.metrics.machine import threads
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.set_run import (
    EnlargedPicture,
    EvalShare,
    ScoredPicture,
    make_folders,
    make_networks,
)
from srcli.pipelines.executors.processes import run_units, shares
from srcli.ports.progress import NoProgress, Progress
from srcli.recipes.published import published_costs, rows_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from srcli.evaluation.candidates import NetworkCandidate
    from srcli.pipelines.executors.processes import Executor, JsonDict, Place
    from srcli.ports.progress import Task


def evaluate(
    models: Sequence[str],
    datasets: Sequence[str] = (BUILT_IN,),
    *,
    scales: Sequence[int] = (4,),
    options: EvalOptions | None = None,
    on_picture: Sequence[Callable[[EnlargedPicture], None]] = (),
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Evaluation:
    """Score models, and SR pictures of other programs, on sets of HR pictures.

    One bad picture stops nothing: the result tells what could not be scored.

    Args:
        models: Names of ``srx models``, weights files, or folders of SR pictures that other
            programs made, matched with the sets' by their names. The others are compared with the
            first.
        datasets: As :func:`~srcli.evaluation.sets.find_set` takes them.
        scales: The factors.
        options: Protocol, chain, metrics, device.
        on_picture: Called with every picture after all models have enlarged it.
        progress: Shows every picture.
        executor: Runs shares of the pictures on devices of their own; None scores all in this
            process.

    Raises:
        DataError: If a set is missing or empty, or nothing at all could be measured.
        ModelError: If no model can be used.
        UsageError: If there is nothing to compare.
    """
    own = options or EvalOptions()
    if not models:
        raise UsageError("nothing to measure: give models or folders of SR pictures")
    unique = unique_models(models)
    labels = dict(zip(unique, short_labels(unique), strict=True))
    progress = progress or NoProgress()
    sets = _find_sets(datasets, scales, own)
    for note in dict.fromkeys(note for _, each in sets for note in each.notes):
        progress.warn(note)
    result = Evaluation(
        scales=tuple(scales),
        models=tuple(labels.values()),
        protocol=own.rules,
        metrics=own.metrics,
        chain=own.describe(_lr_origins(sets, own)),
    )
    device = choose_device(own.engine.device)  # refuse a wrong one before anything is read
    task = progress.task("pictures", total=sum(each.size for _, each in sets), unit="pictures")
    network_names: set[str] = set()
    units: list[EvalShare] = []
    numbers = count()
    record = partial(_record, result, on_picture, progress)
    try:
        for scale in scales:
            alone = len(labels) == len(scales) == 1
            networks = make_networks(labels, scale, own, result.failures, alone=alone)
            network_names.update(each.network_name for each in networks)
            for note in (note for network in networks for note in network.network.notes):
                progress.message(note)
            for each in (found for at, found in sets if at == scale):
                result.sizes[scale, each.name] = each.size
                whole = EvalShare(
                    scale=scale,
                    dataset=each.name,
                    items=[(next(numbers), picture) for picture in each.items],
                    labels=labels,
                    folders=make_folders(labels, scale, each, own, result.failures),
                    options=own,
                    want_pictures=bool(on_picture),
                )
                result.failures += [
                    Failure(scale, each.name, name, None, reason)
                    for name, reason in (*each.missing, *each.orphans)
                ]
                task.advance(len(each.missing))
                if executor is None:
                    record(whole.score(networks, progress, task))
                else:
                    parts = shares(whole.items, executor.slots)
                    units += [replace(whole, items=part) for part in parts]
            if own.costs:
                result.costs += [
                    model_cost(each.network, model=each.label, device=device) for each in networks
                ]
        if executor is not None:
            record(_score_on_workers(executor, units, progress, task))
    finally:
        task.close()
    _complete(result, own, network_names)
    return result


def _record(
    result: Evaluation,
    on_picture: Sequence[Callable[[EnlargedPicture], None]],
    progress: Progress,
    scored: Iterable[ScoredPicture],
) -> None:
    """Hand every picture over and add what came of it to the result."""
    for each in scored:
        if each.enlarged:
            for call in on_picture:
                each.attempt(partial(call, each.enlarged), None, progress)
        result.scores += each.scores
        result.failures += each.failures


def _complete(result: Evaluation, options: EvalOptions, network_names: set[str]) -> None:
    """Add differences and printed rows to the scores."""
    if not result.scores:
        reasons = list(dict.fromkeys(failure.reason for failure in result.failures))
        rest = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise DataError(f"nothing could be measured: {(reasons or ['no pictures'])[0]}{rest}")
    result.add_differences(resamples=options.resamples)
    if options.published:
        wanted = None if options.published == "all" else network_names
        for scale, dataset in result.sizes:
            result.published.extend(rows_beside(scale, dataset, wanted))
        for scale in result.scales if options.costs else ():
            result.published_costs.extend(published_costs(scale, wanted))


def _find_sets(
    datasets: Sequence[str], scales: Sequence[int], options: EvalOptions
) -> list[tuple[int, PictureSet]]:
    if options.lr_folder is not None and (len(datasets) > 1 or len(scales) > 1):
        raise UsageError("--lr belongs to one set at one scale; give one --data and one -s")
    wanted = list({resolve_set_name(name): name for name in reversed(datasets)}.values())[::-1]
    found = []
    for scale in scales:
        sets = [find_set(name, scale, lr_folder=options.lr_folder) for name in wanted]
        labels = [each.name for each in sets]
        for name, each in zip(wanted, sets, strict=True):
            same = labels.count(each.name) > 1  # two folders of one name: show their paths
            found.append((scale, replace(each, name=str(Path(name))) if same else each))
    return found


def _lr_origins(sets: Sequence[tuple[int, PictureSet]], options: EvalOptions) -> str:
    """Return the origins of LR in words; empty if all of it is made."""
    from_files = [f"{each.name} x{scale}" for scale, each in sets if each.lr_folder is not None]
    if not from_files:
        return ""
    if len(from_files) < len(sets):
        return f"{options.lr_origin}, but read from files for {', '.join(from_files)}"
    kernel = options.lr_kernel
    if "consistency" in options.metrics:
        return f"read from files; consistency by {kernel.description}"
    if kernel.name != "bicubic":
        raise UsageError(f"--kernel {kernel.name}: all LR is read from files; drop --kernel")
    return "read from files"


def _score_on_workers(
    executor: Executor, units: list[EvalShare], progress: Progress, task: Task
) -> Iterator[ScoredPicture]:
    """Yield what came of every picture, in their order, as one process does."""
    inputs = [path for unit in units[:1] for path in (unit.items[0][1].hr, *unit.labels)]
    seen = [Path(each) for each in inputs if each]
    ahead: dict[int, ScoredPicture] = {}
    number = 0
    for unit, done in run_units(
        executor, score_share, units, progress=progress, task=task, shared=seen
    ):
        if done.result is None:
            ((_, lost),) = unit.items
            place, reason = (unit.scale, unit.dataset, lost.name), f"{lost.where}: {done.failure}"
            found = [ScoredPicture(*place, failures=[Failure(*place, None, reason)])]
        else:
            found = done.result["pictures"]
        ahead.update(zip((n for n, _ in unit.items), found, strict=True))
        while number in ahead:
            yield ahead.pop(number)
            number += 1


def score_share(
    unit: EvalShare, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Score the pictures of a share in a worker, which keeps its networks for the next share."""
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    with threads(place.threads or None):
        networks = _networks(tuple(unit.labels.items()), unit.scale, options)
        own, task = replace(unit, options=options), progress.task("pictures")
        found = own.score(networks, progress, task)
        kept = [each if unit.want_pictures else replace(each, enlarged=None) for each in found]
    return {"pictures": kept}


@lru_cache(maxsize=4)
def _networks(
    labels: tuple[tuple[str, str], ...], scale: int, options: EvalOptions
) -> list[NetworkCandidate]:
    return make_networks(dict(labels), scale, options, [])  # the parent reports failures
