"""Do one unit of work: train a variant and measure it, or measure what it costs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import CheckpointError, InferenceError, SrxError
from srcli.files import lock_file
from srcli.inference.engines import EngineOptions
from srcli.metrics.machine import threads
from srcli.pipelines.ablate.costs import measure_cost
from srcli.pipelines.ablate.figures import LAST, read_scores
from srcli.pipelines.ablate.memory import out_of_memory
from srcli.pipelines.ablate.store import Store
from srcli.pipelines.ablate.training_log import read_log
from srcli.pipelines.ablate.units import CostUnit, TrainingUnit, read_unit
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcli.pipelines.ablate.units import Measuring
    from srcli.ports.executor import JsonDict
    from srcli.ports.progress import Progress

METRICS = ("psnr", "ssim")
DONE, STOPPED, FAILED, BUSY = "done", "stopped", "failed", "busy"
TRAINED, MEASURED = "trained", "measured"


def run_unit(plain: JsonDict, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    """Do a unit and put its figures into the store.

    What fails for a reason of its own (a diverged training, too little memory, a picture) is kept
    as a figure that says so. A training that is stopped goes on from its checkpoint the next time.

    Args:
        plain: A ``TrainingUnit`` or ``CostUnit`` as plain data.
        progress: Told of everything.
        stop: Asked after every iteration.

    Returns:
        ``ended``: ``done``, ``stopped``, ``failed``, or ``busy`` where another process is at it;
        ``did``: ``trained``, or ``measured`` where no more than that was to be done.
    """
    unit = read_unit(plain)
    store = Store(Path(unit.store))
    with lock_file(store.claim_file(unit.key)) as own, threads(unit.threads or None):
        if not own:
            return {"ended": BUSY}
        if not unit.missing(store.get):
            return {"ended": DONE}  # another process was faster
        if isinstance(unit, CostUnit):
            return {"ended": _attempt(store, unit.key, lambda: _cost(unit, store))}
        return _training(unit, store, progress, stop)


def _training(
    unit: TrainingUnit, store: Store, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    did, failed = "", False
    weights = store.weights(unit.key)
    if weights is None:
        if store.has(unit.key):
            store.forget(unit.key)  # its weights are lost; those of a part must not pass for them
        ended = _attempt(store, unit.key, lambda: _train(unit, store, progress, stop))
        weights = store.weights(unit.key)
        if weights is None:
            return {"ended": ended}
        did = TRAINED
    for each in unit.measure:
        if read_scores(store.get(each.key)) is not None:
            continue
        if stop():
            return {"ended": STOPPED, "did": did}
        call = _measuring(unit, each, weights, store, progress)
        if _attempt(store, each.key, call) == FAILED:
            failed = True
        else:
            did = did or MEASURED
    return {"ended": FAILED if failed else DONE, "did": did}


def _attempt(store: Store, key: str, call: Callable[[], str]) -> str:
    """Return how a call ended; what the user can understand of a failure goes into the store."""
    try:
        return call()
    except InferenceError as error:
        reason = error.reason  # its advice is about the options of a single training
    except SrxError as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = "out of memory"
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    store.put(key, {"failure": reason})
    return FAILED


def _cost(unit: CostUnit, store: Store) -> str:
    figure = measure_cost(
        Path(unit.recipe),
        scale=unit.scale,
        sizes=[(size[0], size[1]) for size in unit.sizes],
        gradients=unit.gradients,
        device=unit.device,
    )
    store.put(unit.key, figure)
    return DONE


def _train(unit: TrainingUnit, store: Store, progress: Progress, stop: Callable[[], bool]) -> str:
    folder = store.training(unit.key)
    options = TrainOptions(
        recipe=unit.recipe,
        scale=unit.scale,
        data=tuple(map(Path, unit.data)),
        out=folder,
        seed=unit.seed,
        budget=unit.budget,
        resume=True,
        hold_out=unit.hold_out,
        hold_out_listed=unit.hold_out_listed,
        exclude=unit.exclude,
        validate=unit.validate,
        device=unit.device,
        precision=unit.precision,
        threads=unit.threads,
        validate_leniently=True,
    )
    try:
        result = train(options, progress, stop)
    except CheckpointError as error:
        # What was once measured, or a crash, decides no weight: the unit must not stay stuck.
        progress.warn(f"{error.reason}; the training starts over")
        store.drop_training(unit.key)
        result = train(options, progress, stop)
    if not result.finished:
        return STOPPED
    log = read_log(folder / "log.jsonl")
    figure: dict[str, Any] = {
        "iterations": result.iterations,
        "seconds": log.seconds,
        "curves": log.curves,
        "weights": LAST,
    }
    store.put(unit.key, figure)
    for name in ("state.safetensors", "best.safetensors"):
        with suppress(OSError):  # only room on the disk
            (folder / name).unlink()
    return DONE


def _measuring(
    unit: TrainingUnit, what: Measuring, weights: Path, store: Store, progress: Progress
) -> Callable[[], str]:
    def measure() -> str:
        options = EvalOptions(
            protocol=what.protocol,
            metrics=METRICS,
            resamples=0,
            costs=False,
            engine=EngineOptions(device=unit.device, precision="fp32"),
        )
        found = evaluate(
            [str(weights)], [what.dataset], scales=(unit.scale,), options=options, progress=progress
        )
        for failure in found.failures:
            progress.warn(f"left out: {failure.dataset}/{failure.picture}: {failure.reason}")
        (mean,) = found.means()
        figure = {
            "pictures": {score.picture: score.values for score in found.scores},
            "seconds": mean.seconds,
            "of": mean.of,
            "left_out": [failure.picture for failure in found.failures],
        }
        store.put(what.key, figure)
        return DONE

    return measure
