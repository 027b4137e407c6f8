"""Score shares of the pictures of all sets in several workers, each of which keeps its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from srcli.evaluation.scores import Evaluation, Failure
from srcli.evaluation.sets import PictureSet, SetPicture
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

if TYPE_CHECKING:
    from srcli.evaluation.candidates import NetworkCandidate
    from srcli.ports.executor import Executor, JsonDict, Place
    from srcli.ports.progress import Progress, Task


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
    sets: Mapping[tuple[int, str], PictureSet]
    """Whole sets by scale and name, with which folders of SR pictures are matched."""
    result: Evaluation
    """Without scores."""
    labels: Mapping[str, str]
    """Names in tables by model."""
    options: EvalOptions
    want_pictures: bool
    """Return SR pictures, too."""
    label: str = ""


def score_on_workers(
    executor: Executor,
    sets: Sequence[tuple[int, PictureSet]],
    labels: Mapping[str, str],
    options: EvalOptions,
    result: Evaluation,
    on_picture: Sequence[Callable[[EnlargedPicture], None]],
    progress: Progress,
    task: Task,
) -> None:
    """Score all pictures of sets at their scales, with the results of one process in its order."""
    items: list[_Item] = []
    for scale, each in sets:
        items += [_Item(len(items) + i, scale, each.name, p) for i, p in enumerate(each.items)]
    models = [Path(model) for model in labels]
    folders = any(model.is_dir() for model in models)
    whole = EvalShare(
        items=items,
        sets={(scale, each.name): each for scale, each in sets} if folders else {},
        result=replace(result, scores=[], failures=[]),
        labels=labels,
        options=options,
        want_pictures=bool(on_picture),
    )
    units = [replace(whole, items=share) for share in shares(items, executor.slots)]
    seen = [path for path in (items[0].picture.hr, *models) if path]
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
    """Score the pictures of a share in a worker.

    Returns:
        ``scores``, ``failures`` and ``pictures`` (:class:`EnlargedPicture`), each in order.
    """
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    pictures: list[EnlargedPicture] = []
    task = progress.task("pictures")
    result = replace(unit.result, scores=[], failures=[])
    with threads(place.threads or None), ThreadPoolExecutor(WORKERS) as pool:
        for (scale, dataset), items in groupby(unit.items, key=lambda item: item[1:3]):
            ignored = replace(result, failures=[])  # the parent reports on models
            whole = unit.sets.get((scale, dataset), PictureSet(name=dataset, items=()))
            networks = _networks(tuple(unit.labels.items()), scale, options)
            folders = make_folders(unit.labels, scale, whole, options, ignored)
            SetRun(
                scale=scale,
                pictures=PictureSet(name=dataset, items=tuple(item.picture for item in items)),
                candidates=[*networks, *folders],
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
    ignored = Evaluation(
        scales=(scale, 0),  # several, so that a missing scale is no error of the command
        models=(),
        protocol=options.rules,
        metrics=options.metrics,
        chain="",
    )
    return make_networks(dict(labels), scale, options, ignored)
