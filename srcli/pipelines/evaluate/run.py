"""Evaluate models on sets of pictures, in this process or in shares on several workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from srcli.errors import DataError, UsageError
from srcli.evaluation.candidates import FolderCandidate, short_labels, unique_models
from srcli.evaluation.scores import Evaluation, Failure
from srcli.evaluation.sets import BUILT_IN, PictureSet, SetPicture, find_set, resolve_set_name
from srcli.inference.device import choose_device
from srcli.metrics.efficiency import model_cost
from srcli.metrics.machine import threads
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.set_run import (
    WORKERS,
    EnlargedPicture,
    SetRun,
    hand_over,
    make_folders,
    make_networks,
)
from srcli.pipelines.executors.processes import run_units, shares
from srcli.ports.progress import NoProgress, Progress
from srcli.recipes.published import published_costs, rows_beside

if TYPE_CHECKING:
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
    folders: dict[tuple[int, str], list[FolderCandidate]] = {}
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for scale in scales:
            alone = len(labels) == len(scales) == 1
            networks = make_networks(labels, scale, own, result.failures, alone=alone)
            network_names.update(each.network_name for each in networks)
            for note in (note for network in networks for note in network.network.notes):
                progress.message(note)
            for each in (found for at, found in sets if at == scale):
                result.sizes[scale, each.name] = each.size
                place = scale, each.name
                folders[place] = make_folders(labels, scale, each, own, result.failures)
                result.failures += [
                    Failure(scale, each.name, name, None, reason)
                    for name, reason in (*each.missing, *each.orphans)
                ]
                task.advance(len(each.missing))
                if executor is None:
                    SetRun(
                        scale=scale,
                        pictures=each,
                        candidates=[*networks, *folders[place]],
                        options=own,
                        result=result,
                        pool=pool,
                        progress=progress,
                        on_picture=on_picture,
                    ).run(task)
            if own.costs:
                result.costs += [
                    model_cost(each.network, model=each.label, device=device) for each in networks
                ]
        if executor is not None:
            pictures = [(scale, each.name, p) for scale, each in sets for p in each.items]
            whole = EvalShare(
                items=[_Item(i, *picture) for i, picture in enumerate(pictures)],
                folders=folders,
                result=result,
                labels=labels,
                options=own,
                want_pictures=bool(on_picture),
            )
            _score_on_workers(executor, whole, on_picture, progress, task)
    finally:
        pool.shutdown(cancel_futures=True)
        task.close()
    _complete(result, own, network_names)
    return result


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


class _Item(NamedTuple):
    number: int
    """Place among all pictures of all sets."""
    scale: int
    dataset: str
    picture: SetPicture


@dataclass(frozen=True, kw_only=True)
class EvalShare:
    """A unit of work: some of the pictures."""

    items: Sequence[_Item]
    folders: Mapping[tuple[int, str], Sequence[FolderCandidate]]
    """Folders of SR pictures by scale and set."""
    result: Evaluation
    """Without scores in a worker."""
    labels: Mapping[str, str]
    """Names in tables by model."""
    options: EvalOptions
    want_pictures: bool
    """Return SR pictures, too."""
    again: bool = False
    """Another worker was lost with it."""
    label: str = ""


def _score_on_workers(
    executor: Executor,
    whole: EvalShare,
    on_picture: Sequence[Callable[[EnlargedPicture], None]],
    progress: Progress,
    task: Task,
) -> None:
    """Score all pictures of sets at their scales, with the results of one process in its order."""
    result = whole.result
    part = replace(whole, result=replace(result, scores=[], failures=[]))
    units = [replace(part, items=share) for share in shares(whole.items, executor.slots)]
    seen = [path for path in (whole.items[0].picture.hr, *map(Path, whole.labels)) if path]
    done_ahead: dict[int, tuple[Sequence[_Item], Mapping[str, Any]]] = {}
    number = 0
    for unit, done in run_units(
        executor, score_share, units, progress=progress, task=task, shared=seen
    ):
        found = done.result
        if found is None:
            ((_, scale, dataset, picture),) = unit.items
            reason = f"{picture.where}: {done.failure}"
            lost = Failure(scale, dataset, picture.name, None, reason)
            found = {"scores": [], "failures": [lost], "pictures": []}
        done_ahead[unit.items[0].number] = unit.items, found
        while number in done_ahead:
            first, own = done_ahead.pop(number)
            number += len(first)
            result.scores += own["scores"]
            result.failures += own["failures"]
            for picture in own["pictures"]:
                hand_over(picture, on_picture, result, progress)


def score_share(
    unit: EvalShare, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Score the pictures of a share in a worker, which keeps its networks for the next share."""
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    pictures: list[EnlargedPicture] = []
    task = progress.task("pictures")
    result = replace(unit.result, scores=[], failures=[])
    with threads(place.threads or None), ThreadPoolExecutor(WORKERS) as pool:
        for (scale, dataset), items in groupby(unit.items, key=lambda item: item[1:3]):
            networks = _networks(tuple(unit.labels.items()), scale, options)
            SetRun(
                scale=scale,
                pictures=PictureSet(name=dataset, items=tuple(item.picture for item in items)),
                candidates=[*networks, *unit.folders[scale, dataset]],
                options=options,
                result=result,
                pool=pool,
                progress=progress,
                on_picture=[pictures.append] if unit.want_pictures else (),
            ).run(task)
    return {"scores": result.scores, "failures": result.failures, "pictures": pictures}


@lru_cache(maxsize=4)
def _networks(
    labels: tuple[tuple[str, str], ...], scale: int, options: EvalOptions
) -> list[NetworkCandidate]:
    return make_networks(dict(labels), scale, options, [])  # the parent reports failures
