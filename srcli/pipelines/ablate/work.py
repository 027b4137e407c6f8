"""Units of work of an ablation: train a variant and measure it, or measure its cost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from srcli.errors import CheckpointError, InferenceError, SrxError
from srcli.inference.engines import EngineOptions
from srcli.metrics.machine import threads
from srcli.pipelines.ablate.costs import OUT_OF_MEMORY, measure_cost, out_of_memory
from srcli.pipelines.ablate.options import AblateOptions
from srcli.pipelines.ablate.results import Cost, SetScores, Trained, read_training
from srcli.pipelines.ablate.store import COST, TRAINING, Store, StoredResult
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train
from srcli.recipes.ablation import METRICS
from srcli.recipes.training import TrainRecipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from srcli.ports.executor import JsonDict, Place
    from srcli.ports.progress import Progress

DONE, STOPPED, FAILED, BUSY = "done", "stopped", "failed", "busy"
TRAINED, MEASURED = "trained", "measured"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A set that a trained variant is measured on."""

    key: str
    """Key of the scores."""
    dataset: str
    """As given: a name or a folder."""
    protocol: str


@dataclass(frozen=True, kw_only=True)
class TrainingUnit:
    """The training of one variant with one seed, and its scores."""

    label: str
    """Name for messages."""
    key: str
    """Key of the result."""
    options: AblateOptions
    recipe: TrainRecipe
    scale: int
    seed: int
    validate: tuple[str, ...]
    """Sets for the curve, beside the held-out pictures."""
    measure: tuple[Measurement, ...]
    """Scores that are not there yet."""

    def remaining(self, result: StoredResult) -> TrainingUnit | None:
        """Return the part of the unit that a result lacks; None if it is complete."""
        measure = tuple(each for each in self.measure if each.key not in result.scores)
        if result.training is not None and not measure:
            return None
        return replace(self, measure=measure)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the result that the unit makes, in order."""
        return (TRAINING, *(each.key for each in self.measure))


@dataclass(frozen=True, kw_only=True)
class CostUnit:
    """The parameters, work and memory of one variant."""

    label: str
    key: str
    options: AblateOptions
    recipe: TrainRecipe
    scale: int
    sizes: tuple[tuple[int, int], ...]
    """LR (height, width) at which memory is measured."""
    gradients: bool
    """Measure it with gradients recorded."""

    def remaining(self, result: StoredResult) -> CostUnit | None:
        """Return the unit if a result has no cost."""
        return self if result.cost is None else None

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the result that the unit makes."""
        return (COST,)


def run_unit(
    unit: CostUnit | TrainingUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit and store its results.

    Failures with a reason of their own (a diverged training, too little memory, a picture) are
    stored as such. A training that is stopped goes on from its checkpoint the next time.

    Args:
        unit: The unit.
        place: Device and threads.
        progress: Receives the progress.
        stop: Called after every iteration; true stops.

    Returns:
        ``ended``: ``done``, ``stopped``, ``failed``, or ``busy`` if another process does it;
        ``did``: ``trained``, or ``measured`` if no more than that was to be done.
    """
    store = Store(unit.options.store)
    with store.lock(unit.key) as own, threads(place.threads or None):
        if not own:
            return {"ended": BUSY}
        left = unit.remaining(store.read(unit.key))
        if left is None:
            return {"ended": DONE}  # another process was faster
        if isinstance(left, CostUnit):
            done = _attempt(store, left, COST, partial(_cost, left, place))
            return {"ended": DONE if done else FAILED}
        return _training(left, store, place, progress, stop)


def _training(
    unit: TrainingUnit, store: Store, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    did, failed = "", False
    weights = store.weights(unit.key)
    if weights is None:
        if store.read(unit.key).training is not None:
            # The weights are lost; those of an unfinished training must not be taken for them.
            store.put(unit.key, TRAINING, None)
        call = partial(_train, unit, store, place, progress, stop)
        finished = _attempt(store, unit, TRAINING, call)
        weights = store.weights(unit.key)
        if weights is None:
            return {"ended": STOPPED if finished else FAILED}
        did = TRAINED
        for name in ("state.safetensors", "best.safetensors"):
            with suppress(OSError):  # they only take room
                weights.with_name(name).unlink()
    for each in unit.measure:
        if stop():
            return {"ended": STOPPED, "did": did}
        measure = partial(_scores, unit, each, weights, place, progress)
        if _attempt(store, unit, each.key, measure):
            did = did or MEASURED
        else:
            failed = True
    return {"ended": FAILED if failed else DONE, "did": did}


def _attempt(
    store: Store,
    unit: CostUnit | TrainingUnit,
    part: str,
    call: Callable[[], Cost | Trained | SetScores | None],
) -> bool:
    """Store the value of a call, or the reason why it failed; return false if it did."""
    try:
        value = call()
        if value is not None:
            store.put(unit.key, part, value, unit.label)
        return True
    except InferenceError as error:
        reason = error.reason  # its advice is about the options of a single training
    except SrxError as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = OUT_OF_MEMORY
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    store.put(unit.key, part, reason, unit.label)
    return False


def _cost(unit: CostUnit, place: Place) -> Cost:
    return measure_cost(
        unit.recipe.model,
        unit.recipe.network,
        scale=unit.scale,
        sizes=unit.sizes,
        gradients=unit.gradients,
        device=place.device,
    )


def _train(
    unit: TrainingUnit, store: Store, place: Place, progress: Progress, stop: Callable[[], bool]
) -> Trained | None:
    """Train to the end; None if stopped before."""
    own, folder = unit.options, store.training(unit.key)
    options = TrainOptions(
        recipe=str(store.put_recipe(unit.key, unit.recipe)),
        scale=unit.scale,
        data=own.data,
        out=folder,
        seed=unit.seed,
        budget=own.budget,
        resume=True,
        hold_out=own.hold_out,
        hold_out_listed=own.hold_out_listed,
        exclude=own.exclude,
        validate=unit.validate,
        device=place.device,
        precision=own.precision,
        threads=place.threads,
        validate_leniently=True,
    )
    try:
        result = train(options, progress, stop)
    except CheckpointError as error:
        # A damaged or foreign checkpoint decides no weight; the unit must not be stuck with it.
        progress.warn(f"{error.reason}; the training starts over")
        store.drop_training(unit.key)
        result = train(options, progress, stop)
    if not result.finished:
        return None
    return read_training(folder / "log.jsonl", result.iterations)


def _scores(
    unit: TrainingUnit, measurement: Measurement, weights: Path, place: Place, progress: Progress
) -> SetScores:
    options = EvalOptions(
        protocol=measurement.protocol,
        metrics=METRICS,
        resamples=0,
        costs=False,
        engine=EngineOptions(device=place.device, precision="fp32"),
    )
    found = evaluate(
        [str(weights)],
        [measurement.dataset],
        scales=(unit.scale,),
        options=options,
        progress=progress,
    )
    for failure in found.failures:
        progress.warn(f"left out: {failure.dataset}/{failure.picture}: {failure.reason}")
    (mean,) = found.means()
    return SetScores(
        pictures={score.picture: score.values for score in found.scores},
        seconds=mean.seconds,
        of=mean.of,
        left_out=tuple(failure.picture for failure in found.failures),
    )
