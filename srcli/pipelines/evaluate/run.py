"""Measure models on sets of pictures: the loop over scales and sets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import DataError, ModelError, UsageError
from srcli.evaluation.candidates import (
    FolderContestant,
    NetworkContestant,
    labels,
    once,
)
from srcli.evaluation.scores import Evaluation, Failure
from srcli.evaluation.sets import BUILT_IN, PictureSet, find_set, place_of
from srcli.inference.device import choose_device
from srcli.models import MODELS
from srcli.pipelines.evaluate.cache import ScoreCache
from srcli.pipelines.evaluate.costs import cost_of
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.set_run import SetRun
from srcli.pipelines.evaluate.summary import add_differences, add_published
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.evaluation.candidates import Contestant
    from srcli.pipelines.evaluate.crops import Watcher

WORKERS = 4
"""Threads that read pictures and score them."""


def evaluate(
    models: Sequence[str],
    datasets: Sequence[str] = (BUILT_IN,),
    *,
    scales: Sequence[int] = (4,),
    options: EvalOptions | None = None,
    watchers: Sequence[Watcher] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Score models, and SR pictures of other programs, on sets of HR pictures.

    Args:
        models: Names of ``srx models``, weights files, or folders of SR pictures that other
            programs made, matched with the sets' by their names. The first is what the others are
            compared with.
        datasets: As :func:`~srcli.evaluation.sets.find_set` takes them.
        scales: The factors.
        options: Protocol, chain, metrics, device.
        watchers: Shown every picture; with them nothing comes from the cache alone.
        progress: Told of every picture.

    Returns:
        Scores and everything that could not be scored; one bad picture stops nothing.

    Raises:
        DataError: If a set is missing or empty, or nothing at all could be measured.
        ModelError: If no model can be used.
        UsageError: If there is nothing to compare.
    """
    own = options or EvalOptions()
    if not models:
        raise UsageError("nothing to measure: give models or folders of SR pictures")
    names = once(models)
    called = dict(zip(names, labels(names), strict=True))
    told = progress or NoProgress()
    sets = _find_sets(datasets, scales, own)
    for note in dict.fromkeys(note for _, each in sets for note in each.notes):
        told.warn(note)
    result = Evaluation(
        scales=tuple(scales),
        models=tuple(called.values()),
        protocol=own.measure(1).protocol,
        metrics=own.metrics,
        chain=own.describe(*_lr_origins(sets, own)),
    )
    cache = ScoreCache(own.cache)
    task = told.task("pictures", total=sum(each.size for _, each in sets), unit="pictures")
    papers: set[str] = set()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for scale in scales:
            networks = _networks(called, scale, own, result)
            papers.update(each.network_name for each in networks)
            for each in (found for at, found in sets if at == scale):
                contestants: list[Contestant] = [
                    *networks,
                    *_folders(called, scale, each, own, result),
                ]
                SetRun(scale, each, contestants, own, result, cache=cache).run(pool, watchers, task)
            if own.costs:
                result.costs.extend(cost_of(n, own, cache) for n in networks)
    finally:
        pool.shutdown(cancel_futures=True)
        task.close()
    if not result.scores:
        _nothing(result)
    add_differences(result, resamples=own.resamples)
    if own.published:
        add_published(result, None if own.published == "all" else papers)
    return result


def _find_sets(
    datasets: Sequence[str], scales: Sequence[int], options: EvalOptions
) -> list[tuple[int, PictureSet]]:
    if options.lr_folder is not None and (len(datasets) > 1 or len(scales) > 1):
        raise UsageError("--lr belongs to one set at one scale; give one --data and one -s")
    wanted = list({place_of(name): name for name in reversed(datasets)}.values())[::-1]
    found = []
    for scale in scales:
        sets = [find_set(name, scale, lr_folder=options.lr_folder) for name in wanted]
        short = [each.name for each in sets]
        for name, each in zip(wanted, sets, strict=True):
            same = short.count(each.name) > 1  # two folders of one name: tell them apart
            found.append((scale, each.renamed(str(Path(name))) if same else each))
    return found


def _lr_origins(sets: Sequence[tuple[int, PictureSet]], options: EvalOptions) -> tuple[str, ...]:
    """Say where LR comes from, unless all of it is made."""
    given = [f"{each.name} x{scale}" for scale, each in sets if each.lr_folder is not None]
    if not given:
        return ()
    if len(given) < len(sets):
        return (f"{options.made}, but read from files for {', '.join(given)}",)
    small = options.measure(1).kernel
    if "consistency" in options.metrics:
        return (f"read from files; consistency by {small.description}",)
    if small.name != "bicubic":
        raise UsageError(f"--kernel {small.name}: all LR is read from files; leave --kernel")
    return ("read from files",)


def _networks(
    called: Mapping[str, str], scale: int, options: EvalOptions, result: Evaluation
) -> list[NetworkContestant]:
    choose_device(options.engine.device)  # refuse a wrong one before anything is read
    chain = options.measure(scale).chain
    found = []
    for model, label in called.items():
        if _is_folder(model):
            continue
        try:
            found.append(NetworkContestant(model, label, scale, chain, options))
        except ModelError as error:
            alone = len(called) == 1 and len(result.scales) == 1
            if alone or not (model in MODELS or Path(model).is_file()):
                raise  # nothing else to do, or a slip of the pen rather than a missing scale
            result.failures.append(
                Failure(scale=scale, dataset="", picture="", model=label, reason=str(error))
            )
    return found


def _folders(
    called: Mapping[str, str],
    scale: int,
    pictures: PictureSet,
    options: EvalOptions,
    result: Evaluation,
) -> list[FolderContestant]:
    chain, names = options.measure(scale).chain, [item.name for item in pictures.items]
    found = []
    for model, label in called.items():
        if not _is_folder(model):
            continue
        inner = Path(model) / pictures.name
        place = inner if inner.is_dir() else Path(model)
        each = FolderContestant(place, label, scale, names, chain)
        found.append(each)
        result.failures.extend(
            Failure(scale=scale, dataset=pictures.name, picture=name, model=label, reason=reason)
            for name, reason in each.matched.orphans.items()
        )
    return found


def _is_folder(model: str) -> bool:
    return model not in MODELS and Path(model).is_dir()


def _nothing(result: Evaluation) -> None:
    reasons = list(dict.fromkeys(failure.reason for failure in result.failures))
    rest = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    raise DataError(f"nothing could be measured: {reasons[0] if reasons else 'no pictures'}{rest}")
