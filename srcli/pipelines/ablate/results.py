"""Results of ablations: costs, trainings and scores of every variant, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from srcli.errors import RecipeError
from srcli.recipes.ablation import METRICS, Ablation, Variant
from srcli.recipes.fields import AnyFloat

COST, TRAINING = "cost", "training"
"""Parts of results beside the scores, which have a key of their own each."""
Curve = tuple[tuple[int, AnyFloat], ...]
"""(iteration, PSNR-Y in dB) of every validation."""


def bicubic_key(scale: int) -> str:
    """Return the key of the scores of bicubic interpolation."""
    return f"bicubic-x{scale}"


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

    def __post_init__(self) -> None:
        """Refuse other sizes."""
        if len(tuple(self.size)) != 2:
            raise RecipeError(f"size must be a height and a width, got {self.size}")


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

    pictures: Mapping[str, Mapping[str, AnyFloat]]
    """By picture and metric (``psnr``, ``ssim``)."""
    seconds: float | None
    """Median time of the network, a picture; None if other work shared the machine."""
    left_out: tuple[str, ...] = ()
    """Pictures that could not be measured."""
    of: int = 0
    """Pictures that the set holds, those left out included."""

    def __post_init__(self) -> None:
        """Refuse pictures without scores."""
        if not self.pictures or any(each.keys() != set(METRICS) for each in self.pictures.values()):
            raise RecipeError(f"pictures: there must be some, each with {' and '.join(METRICS)}")

    def mean(self, metric: str) -> float:
        """Return the mean over the pictures."""
        return fmean(values[metric] for values in self.pictures.values())


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that has come to its end."""

    iterations: int
    seconds: float | None
    """Median time of an iteration; None if too few were run, or other work shared the machine."""
    curves: Mapping[str, Curve]
    """By set."""


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """All that is known of the cost of a variant, or of one of its trainings."""

    cost: Cost | None = None
    training: Trained | None = None
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By key."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Reasons by part: ``cost``, ``training``, or the key of scores."""

    def has(self, part: str) -> bool:
        """Return whether a part is there."""
        whole = {COST: self.cost, TRAINING: self.training, **self.scores}
        return whole.get(part) is not None

    def by_set(self, keys: Mapping[str, str]) -> dict[str, SetScores]:
        """Return the scores that are there by set, from their keys by set."""
        return {name: self.scores[key] for name, key in keys.items() if key in self.scores}


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

    def means(self, dataset: str, metric: str = "psnr") -> list[float]:
        """Return the mean over the pictures of a set for each training that has it."""
        return [each.mean(metric) for each in self.measured(dataset).values()]


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
    """Pictures left out of the training to validate on."""
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
class SeedKeys:
    """Keys of one training and its scores."""

    seed: int
    training: str
    scores: Mapping[str, str] = field(default_factory=dict)
    """By set."""


@dataclass(frozen=True, kw_only=True)
class VariantKeys:
    """Keys of the results of one variant."""

    cost: str
    seeds: tuple[SeedKeys, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """One ablation under one set of conditions."""

    ablation: Ablation
    conditions: Conditions
    variants: tuple[VariantResult, ...]
    """In the order of the ablation."""
    bicubic: Mapping[str, SetScores] = field(default_factory=dict)
    """Scores of bicubic interpolation by set, as far as they were measured."""

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
