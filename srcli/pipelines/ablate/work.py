"""Do a unit of work of an ablation: train a variant and measure it, or measure its cost."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import CheckpointError, DefectError, InferenceError, SrxError, one_file
from srcli.inference.device import choose_device
from srcli.inference.engines import EngineOptions
from srcli.metrics.machine import describe_machine, is_shared, threads
from srcli.pipelines.ablate.costs import OUT_OF_MEMORY, measure_cost, out_of_memory
from srcli.pipelines.ablate.results import COST, TRAINING, Cost, SetScores, Trained
from srcli.pipelines.ablate.store import Store
from srcli.pipelines.ablate.units import BicubicUnit, CostUnit
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.numerics import resolve_precision
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train
from srcli.ports.progress import show_traceback
from srcli.recipes.ablation import METRICS
from srcli.training.monitor import LOG_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from srcli.pipelines.ablate.results import Curve
    from srcli.pipelines.ablate.units import MachineUnit, Measurement, TrainingUnit, Unit
    from srcli.ports.executor import JsonDict, Place
    from srcli.ports.progress import Progress

DONE, STOPPED, FAILED, BUSY = "done", "stopped", "failed", "busy"
TRAINED, MEASURED = "trained", "measured"


def describe_place(
    unit: MachineUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Describe the machine of a worker.

    Returns:
        ``device``: its type; ``machine``: in words; ``precision``: that of the options, resolved.
    """
    device = choose_device(place.device)
    with threads(place.threads or None):
        machine = str(describe_machine(device))
    precision = resolve_precision(unit.options.precision, device)
    return {"device": device.type, "machine": machine, "precision": precision}


def run_unit(unit: Unit, place: Place, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    """Do a unit and store its results.

    Failures (a diverged training, too little memory, a defect) are stored as such. A training
    that is stopped goes on from its checkpoint the next time.

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
            cost = partial(measure_cost, left, place.device)
            done = _attempt(store, left, COST, cost, progress)
            return {"ended": DONE if done else FAILED}
        if isinstance(left, BicubicUnit):
            return _measure(left, "bicubic", store, place, progress, stop)
        return _training(left, store, place, progress, stop)


def _training(
    unit: TrainingUnit, store: Store, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    did = ""
    weights = store.weights(unit.key)
    if weights is None:
        if store.read(unit.key).training is not None:
            # The weights are lost; those of an unfinished training must not be taken for them.
            store.put(unit.key, TRAINING, None)
        call = partial(_train, unit, store, place, progress, stop)
        finished = _attempt(store, unit, TRAINING, call, progress)
        weights = store.weights(unit.key)
        if weights is None:
            return {"ended": STOPPED if finished else FAILED}
        did = TRAINED
        for name in ("state.safetensors", "best.safetensors"):
            with suppress(OSError):  # they only take room
                weights.with_name(name).unlink()
    done = _measure(unit, str(weights), store, place, progress, stop)
    return {**done, "did": did or done["did"]}


def _measure(
    unit: BicubicUnit | TrainingUnit,
    model: str,
    store: Store,
    place: Place,
    progress: Progress,
    stop: Callable[[], bool],
) -> JsonDict:
    """Measure a model, ``bicubic`` or a weights file, on all sets of a unit."""
    ended, did = DONE, ""
    for each in unit.measure:
        if stop():
            return {"ended": STOPPED, "did": did}
        measure = partial(_scores, unit, each, model, place, progress)
        if _attempt(store, unit, each.key, measure, progress):
            did = MEASURED
        else:
            ended = FAILED
    return {"ended": ended, "did": did}


def _attempt(
    store: Store,
    unit: Unit,
    part: str,
    call: Callable[[], Cost | Trained | SetScores | None],
    progress: Progress,
) -> bool:
    """Store the value of a call, or the reason why it failed; return false if it did."""
    try:
        with one_file("failed"):
            value = call()
        if value is not None:
            store.put(unit.key, part, value, unit.label)
        return True
    except InferenceError as error:
        reason = error.reason  # its advice is about the options of a single training
    except DefectError as error:
        if isinstance(error.__cause__, Exception) and out_of_memory(error.__cause__):
            reason = OUT_OF_MEMORY
        else:
            reason = str(error)
            show_traceback(error, progress)
    except SrxError as error:
        reason = str(error)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    store.put(unit.key, part, reason, unit.label)
    return False


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
        curve_only=True,
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
    trained = read_training(folder / "log.jsonl", result.iterations)
    return replace(trained, seconds=None) if _shared(unit) else trained


def _shared(unit: BicubicUnit | TrainingUnit) -> bool:
    """Return whether other work shared the machine, so that times tell nothing."""
    return unit.options.processes > 1 or is_shared()


def read_training(log: Path, iterations: int) -> Trained:
    """Read curves and speed of a finished training; damaged lines and a missing log count as empty.

    Args:
        log: The file ``log.jsonl`` of the training.
        iterations: Iterations that were run.
    """
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    curves: dict[str, Curve] = {}
    speeds: list[float] = []
    for line in lines:
        entry = _entry(line)
        # The speed of a few iterations varies; older logs do not give their number.
        enough = entry.get("iterations", LOG_STEPS) >= LOG_STEPS
        if entry.get("event") == "train" and enough and entry.get("per_second"):
            speeds.append(float(entry["per_second"]))
        if entry.get("event") != "validation":
            continue
        for dataset, psnr in entry.get("sets", {}).items():
            if isinstance(psnr, float):
                curves[dataset] = (*curves.get(dataset, ()), (int(entry["total"]), psnr))
    seconds = 1 / median(speeds) if speeds else None
    return Trained(iterations=iterations, seconds=seconds, curves=curves)


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _scores(
    unit: BicubicUnit | TrainingUnit,
    measurement: Measurement,
    model: str,
    place: Place,
    progress: Progress,
) -> SetScores:
    options = EvalOptions(
        protocol=measurement.protocol,
        metrics=METRICS,
        resamples=0,
        costs=False,
        engine=EngineOptions(device=place.device, precision="fp32"),
    )
    found = evaluate(
        [model],
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
        seconds=None if _shared(unit) else mean.seconds,
        of=mean.of,
        left_out=tuple(failure.picture for failure in found.failures),
    )
