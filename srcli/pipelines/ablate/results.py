"""Results of ablations: costs, trainings and scores of every variant, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from srcli.recipes.ablation import Ablation, Variant

if TYPE_CHECKING:
    from pathlib import Path

Curve = tuple[tuple[int, float], ...]
"""(iteration, PSNR-Y in dB) of every validation."""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """The peak memory of one forward pass."""

    size: tuple[int, int]
    """LR (height, width)."""
    peak: int | None
    """Bytes; None where it could not be measured."""
    of: str
    """``host`` or ``device``."""
    reason: str = ""
    """Reason why it could not be measured; empty if it was."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Parameters, work and memory of a variant, in its deployed form."""

    parameters: int
    macs: int
    """Multiply-accumulates of the convolutions for an LR picture of 256x256."""
    memory: tuple[MemoryUse, ...]


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """The scores of one training on one set."""

    pictures: Mapping[str, Mapping[str, float]]
    """By picture and metric (``psnr``, ``ssim``)."""
    seconds: float | None
    """Median time of the network, a picture."""
    left_out: tuple[str, ...] = ()
    """Pictures that could not be measured."""
    of: int = 0
    """Pictures that the set holds, those left out included."""

    def mean(self, metric: str) -> float:
        """Return the mean over the pictures."""
        return fmean(values[metric] for values in self.pictures.values())


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that has come to its end."""

    iterations: int
    seconds: float | None
    """Median time of an iteration; None if too few were run."""
    curves: Mapping[str, Curve]
    """By set."""


def read_training(log: Path, iterations: int) -> Trained:
    """Read curves and speed of a finished training; damaged lines and a missing log count as empty.

    Args:
        log: The file ``log.jsonl`` of the training.
        iterations: Iterations that were run.
    """
    from srcli.training.monitor import LOG_STEPS  # here: results are shown without torch

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


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One training of a variant with its scores."""

    seed: int
    iterations: int | None = None
    """None where it has not been trained to the end."""
    seconds: float | None = None
    """Median time of an iteration; None if too few were run."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """By set, as validated during the training."""
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By set."""
    failure: str = ""
    """Reason why the training or the evaluation failed; empty if they did not."""


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """Cost and trainings of one variant."""

    variant: Variant
    cost: Cost | None = None
    """None where it has not been measured."""
    cost_failure: str = ""
    seeds: tuple[SeedResult, ...] = ()

    def measured(self, dataset: str) -> dict[int, SetScores]:
        """Return the scores on a set by seed, of the trainings that have them."""
        return {each.seed: each.scores[dataset] for each in self.seeds if dataset in each.scores}


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions that all variants of a run share."""

    trained: bool
    budget: str | None
    """None for the recipes' own."""
    seeds: int
    overrides: tuple[str, ...] = ()
    """``path=value`` for the recipes of all variants."""
    data: tuple[str, ...]
    """As given."""
    pictures: int = 0
    """Pictures to train on."""
    held_out: int = 0
    """Pictures to validate on."""
    excluded: int = 0
    """Pictures left out by name."""
    data_digest: str = ""
    sets: tuple[str, ...] = ()
    """Sets to measure on, as tables call them."""
    missing: tuple[str, ...] = ()
    """Sets of the paper that were not available."""
    precision: str
    """Precision of the trainings: ``bf16`` or ``fp32``."""
    device: str
    """``cpu``, ``cuda`` or ``mps``."""
    machine: str
    """Device, processor, threads and version of PyTorch in words."""
    processes: int
    """Processes that shared the machine."""


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """One ablation under one set of conditions."""

    ablation: Ablation
    conditions: Conditions
    variants: tuple[VariantResult, ...]
    """In the order of the ablation."""

    @property
    def base(self) -> VariantResult:
        """The variant that the others are compared with."""
        return self.of(self.ablation.base)

    def of(self, name: str) -> VariantResult:
        """Return the result of a variant by its name."""
        return next(each for each in self.variants if each.variant.name == name)

    @property
    def missing(self) -> int:
        """Number of trainings that are not finished and measured on all sets, or have failed."""
        seeds = self.conditions.seeds if self.conditions.trained else 1
        return len(self.variants) * seeds - self.done

    @property
    def done(self) -> int:
        """Number of trainings measured on all sets; of costs, where nothing was trained."""
        if not self.conditions.trained:
            return sum(each.cost is not None for each in self.variants)
        sets = self.conditions.sets
        seeds = [seed for each in self.variants for seed in each.seeds]
        return sum(all(name in seed.scores for name in sets) for seed in seeds)

    @property
    def left_out(self) -> list[str]:
        """Pictures left out of the scores, a line for each set."""
        found: list[str] = []
        for dataset in self.conditions.sets:
            kinds: dict[str, list[str]] = {}
            for each in self.variants:
                for scores in each.measured(dataset).values():
                    text = f"{len(scores.pictures)} of {scores.of} pictures could be read"
                    text += f"; left out: {', '.join(scores.left_out)}"
                    kinds.setdefault(text if scores.left_out else "", []).append(each.variant.name)
            for text, names in kinds.items():
                own = f", {', '.join(dict.fromkeys(names))}" if len(kinds) > 1 else ""
                found += [f"{dataset}{own}: {text}"] * bool(text)
        return found

    @property
    def failures(self) -> list[str]:
        """A line for each failure."""
        found = []
        for each in self.variants:
            if each.cost_failure:
                found.append(f"{each.variant.name}, costs: {each.cost_failure}")
            found += [
                f"{each.variant.name}, seed {s.seed}: {s.failure}" for s in each.seeds if s.failure
            ]
        return found
