"""What a run of ablations found: costs, trainings and scores of every variant, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from srcli.recipes.ablation import Ablation, Variant

Curve = tuple[tuple[int, float], ...]
"""(iteration, PSNR-Y in dB) of every validation."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The peak memory of one forward pass."""

    size: tuple[int, int]
    """LR (height, width)."""
    peak: int | None
    """Bytes; None where it could not be measured."""
    of: str
    """``host`` or ``device``."""
    reason: str = ""
    """Why there is no figure."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a variant costs, whatever it has learned; of its deployed form, where it has one."""

    parameters: int
    macs: int
    """Multiply-accumulates of the convolutions for an LR picture of 256x256."""
    memory: tuple[Memory, ...]


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """One training on one set."""

    pictures: Mapping[str, Mapping[str, float]]
    """By picture and metric (``psnr``, ``ssim``)."""
    seconds: float | None
    """Median time of the network, a picture."""
    left_out: tuple[str, ...] = ()
    """Pictures that could not be measured."""
    of: int = 0
    """Pictures that the set holds, those included; 0 where a former version did not say."""

    def mean(self, metric: str) -> float:
        """Return the mean over the pictures."""
        return fmean(values[metric] for values in self.pictures.values())


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One training of a variant, and what it was measured to be worth."""

    seed: int
    iterations: int | None = None
    """None where it has not been trained to the end."""
    seconds: float | None = None
    """An iteration; None where too few were run to tell."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """By set, as validated on the way."""
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By set."""
    failure: str = ""
    """Why the training or the measuring failed; empty where it did not."""


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """Everything of one variant."""

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
    """What all variants of a run had in common."""

    trained: bool
    budget: str | None
    """None for the recipes' own."""
    seeds: int
    overrides: tuple[str, ...] = ()
    """``path=value`` for the recipes of all variants."""
    data: tuple[str, ...]
    """As given."""
    pictures: int
    """To train on."""
    held_out: int
    """To validate on."""
    excluded: int = 0
    """Left out by name."""
    data_digest: str
    sets: tuple[str, ...]
    """Measured on, as tables call them."""
    missing: tuple[str, ...]
    """Sets of the paper that were not at hand."""
    precision: str
    """Of the trainings: ``bf16`` or ``fp32``, whatever ``auto`` is on the machine."""
    device: str
    """``cpu``, ``cuda`` or ``mps``."""
    machine: str
    """Device, processor, threads and version of PyTorch in words."""
    processes: int
    """That shared the machine."""


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
        """How many trainings have not been done and measured to the end, failed ones included."""
        seeds = self.conditions.seeds if self.conditions.trained else 1
        return len(self.variants) * seeds - self.done

    @property
    def done(self) -> int:
        """How many trainings have been measured to the end; costs, where nothing was trained."""
        if not self.conditions.trained:
            return sum(each.cost is not None for each in self.variants)
        sets = self.conditions.sets
        seeds = [seed for each in self.variants for seed in each.seeds]
        return sum(all(name in seed.scores for name in sets) for seed in seeds)

    @property
    def left_out(self) -> list[str]:
        """Pictures that scores are without, a line for each set."""
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
        """What failed, a line each."""
        found = []
        for each in self.variants:
            if each.cost_failure:
                found.append(f"{each.variant.name}, costs: {each.cost_failure}")
            found += [
                f"{each.variant.name}, seed {s.seed}: {s.failure}" for s in each.seeds if s.failure
            ]
        return found
