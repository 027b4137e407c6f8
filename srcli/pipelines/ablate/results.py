"""Options and results of ablations as plain values, and the files that keep results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from srcli.data.training_set import DataSelection
from srcli.errors import DataError, RecipeError, UsageError
from srcli.files import parse_text
from srcli.inference.device import Precision
from srcli.recipes.ablations import METRICS, Ablation, Variant
from srcli.recipes.fields import AnyFloat, convert
from srcli.recipes.files import write_json
from srcli.training.budget import parse_budget

RESULT = "ablation.json"
"""File of a result in the folder of its ablation."""


@dataclass(frozen=True, kw_only=True)
class AblateOptions(DataSelection):
    """Options of a run, the same for all variants; data may be left out if none is trained."""

    budget: str | None = None
    """Iterations (``5000``) or time (``20m``) for every variant and seed; None for the recipe's."""
    overrides: tuple[str, ...] = ()
    """``path=value`` for the recipes of all variants, as ``srx train --set`` takes them."""
    seeds: int = 1
    """Trainings of every variant, with the seeds 0, 1, ..."""
    train: bool = True
    """False measures parameters, work and memory only."""
    sets: tuple[str, ...] | None = None
    """Sets to measure on; None for those of each ablation that are available."""
    device: str = "auto"
    precision: Precision = "auto"
    """Number format of the trainings; quality is always measured in fp32."""
    threads: int = 0
    """Threads of each process; 0 leaves PyTorch's choice, or divides the processor."""
    processes: int = 1
    """Units at once; 1 works in this process, more give each GPU a process, or share the CPU."""
    out: Path = Path("ablations")
    """Folder of all ablations, each in a folder of its name."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"--seeds must be at least 1, got {self.seeds}")
        if self.budget is not None:
            parse_budget(self.budget)
        if self.train and not self.data:
            raise UsageError("--data: give pictures to train on, or --no-train")
        if self.train and self.precision == "fp16":
            raise UsageError("--precision fp16: gradients would vanish; train in bf16 or fp32")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Parameters, work and memory of a variant, in its deployed form."""

    parameters: int
    macs: int
    """Multiply-accumulates of the convolutions for an LR picture of 256x256."""
    memory: Mapping[str, int | None]
    """Peak of one forward pass in bytes, by LR ``HEIGHTxWIDTH``; None where memory does not suffice
    or the device keeps no account."""


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """The scores of one training on one set."""

    pictures: Mapping[str, Mapping[str, AnyFloat]]
    """By picture and metric (``psnr``, ``ssim``)."""
    bicubic: AnyFloat
    """Mean PSNR of bicubic interpolation of the same pictures, in dB."""
    left_out: tuple[str, ...] = ()
    """Pictures that could not be measured."""
    of: int = 0
    """Pictures that the set holds, those left out included."""
    key: str = ""
    """Digest of the pictures and the protocol: scores of another one are measured again."""

    def __post_init__(self) -> None:
        if not self.pictures or any(each.keys() != set(METRICS) for each in self.pictures.values()):
            raise RecipeError(f"pictures: there must be some, each with {' and '.join(METRICS)}")

    def mean(self, metric: str) -> float:
        """Return the mean over the pictures."""
        return fmean(values[metric] for values in self.pictures.values())


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One training of a variant with its scores; ``scores.json`` beside its weights."""

    seed: int
    weights: str = ""
    """Digest of the weights that were measured; those of another one are measured again."""
    iterations: int | None = None
    """None where it has not been trained to the end."""
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By set."""
    failure: str = ""
    """Reason why the training or the evaluation failed, if it did."""


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """Cost and trainings of one variant."""

    variant: Variant
    cost: Cost | None = None
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
    data: tuple[str, ...] = ()
    """As given."""
    pictures: int = 0
    """Number of pictures to train on."""
    held_out: int = 0
    excluded: int = 0
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

    def scores(self, dataset: str) -> list[SetScores]:
        """Return the scores of all trainings on a set."""
        return [own for each in self.variants for own in each.measured(dataset).values()]

    @property
    def missing(self) -> int:
        """Number of trainings that are not finished and measured on all sets, or have failed."""
        sets = set(self.conditions.sets)
        return sum(not sets <= own.scores.keys() for each in self.variants for own in each.seeds)

    @property
    def left_out(self) -> list[str]:
        """Pictures left out of the scores, in words, each set once."""
        found = (
            f"{dataset}: {len(own.pictures)} of {own.of} pictures could be read; left out: "
            f"{', '.join(own.left_out)}"
            for dataset in self.conditions.sets
            for own in self.scores(dataset)
            if own.left_out
        )
        return list(dict.fromkeys(found))

    @property
    def failures(self) -> list[str]:
        """A line for each failure."""
        found = []
        for each in self.variants:
            failed = [("costs", each.cost_failure)]
            failed += [(f"seed {own.seed}", own.failure) for own in each.seeds]
            found += [f"{each.variant.name}, {what}: {why}" for what, why in failed if why]
        return found


def read_values(file: Path, kind: type) -> Any:  # noqa: ANN401 - of the kind that is asked for
    """Return the dataclass that a JSON file holds, or None if there is no such file."""
    try:
        return convert(parse_text(file.read_text(encoding="utf-8")), kind, "it")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecipeError) as error:
        raise DataError(
            f"{file}: not a result of this version of srx ({error})",
            advice=f"remove {file.parent} to start over",
        ) from error


def write_values(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all, with its folder."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror})") from error


def read_result(out: Path, name: str) -> AblationResult | None:
    """Return the result of an ablation in the folder of all; None if it was not run."""
    return cast("AblationResult | None", read_values(out / name / RESULT, AblationResult))


def stored_names(out: Path) -> list[str]:
    """Return the names of all ablations with a result in the folder."""
    files = (*out.glob(f"*/{RESULT}"), *out.glob(f"*/*/{RESULT}"))
    return sorted(file.parent.relative_to(out).as_posix() for file in files)
