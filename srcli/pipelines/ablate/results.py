"""Results of ablations, the files that keep them, and verdicts on what was printed.

Variants are compared with their base in pairs, by seed and picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError, RecipeError
from srcli.evaluation.scores import crossed_interval
from srcli.files import parse_text
from srcli.recipes.ablations import Ablation, Variant
from srcli.recipes.fields import AnyFloat, convert
from srcli.recipes.files import write_json
from srcli.recipes.published import name_key
from srcli.report.table import NOTHING

if TYPE_CHECKING:
    from pathlib import Path

RESULT = "ablation.json"
"""File of a result in the folder of its ablation."""
LEVEL = 0.05
"""Chance of any false verdict among all tests of a report."""
LEAST_GAIN = 1.0
"""Decibels above bicubic below which a network is too little trained to judge."""
PRINTED_SHARE = 0.5
"""Share of the printed gain over bicubic below which a network is too little trained to judge."""


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
    key: str = ""
    """Digest of the protocol and of the pictures' places and times: scores of others are measured
    again."""

    def mean(self, metric: str) -> float:
        """Return the mean over the pictures."""
        return fmean(values[metric] for values in self.pictures.values())


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One training of a variant with its scores."""

    seed: int
    iterations: int | None = None
    """None where it has not been trained to the end."""
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By set."""
    failure: str = ""
    """Reason why the training or the evaluation failed, if it did."""


@dataclass(kw_only=True)
class VariantResult:
    """Cost and trainings of one variant; they are filled in while it is run."""

    variant: Variant
    cost: Cost | None = None
    cost_failure: str = ""
    seeds: tuple[SeedResult, ...] = ()

    def take(self, seed: int, outcome: Mapping[str, Any]) -> None:
        """Fill in what a unit gave: the training with a seed, or the cost, of seed -1."""
        if seed < 0:
            self.cost, self.cost_failure = outcome.get("cost"), outcome["failure"]
        self.seeds = tuple(
            replace(each, **outcome) if each.seed == seed else each for each in self.seeds
        )

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
    data_digest: str = ""
    """Of names and sizes."""
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
    def failures(self) -> list[str]:
        """A line for each failure."""
        found = []
        for each in self.variants:
            failed = [("costs", each.cost_failure)]
            failed += [(f"seed {own.seed}", own.failure) for own in each.seeds]
            found += [f"{each.variant.name}, {what}: {why}" for what, why in failed if why]
        return found


def write_values(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all, with its folder."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
    except OSError as error:
        raise DataError(f"{file}: cannot be written ({error.strerror})") from error


def read_result(out: Path, name: str) -> AblationResult | None:
    """Return the result of an ablation in the folder of all; None if it was not run."""
    file = out / name / RESULT
    try:
        found: AblationResult = convert(parse_text(file.read_text("utf-8")), AblationResult, "it")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecipeError) as error:
        raise DataError(
            f"{file}: not a result of this version of srx ({error})",
            advice="remove it: what is trained stays, and is measured again",
        ) from error
    return found


def stored_names(out: Path) -> list[str]:
    """Return the names of all ablations with a result in the folder."""
    files = (*out.glob(f"*/{RESULT}"), *out.glob(f"*/*/{RESULT}"))
    return sorted(file.parent.relative_to(out).as_posix() for file in files)


def difference(result: AblationResult, name: str, dataset: str) -> dict[str, Any] | None:
    """Return the paired difference in PSNR, in dB, of a variant to the base on a set.

    It is ``mean``, ``low`` and ``high`` end of its 95 % interval and the two-sided ``p`` of no
    difference, NaN where there are none, and the numbers of ``seeds`` and ``pictures`` that both
    have. None for the base, and where both share no training and picture.
    """
    if name == result.ablation.base:
        return None
    base, other = result.base.measured(dataset), result.of(name).measured(dataset)
    pairs = [(base[seed].pictures, other[seed].pictures) for seed in base if seed in other]
    pictures = [
        picture
        for picture in (pairs[0][0] if pairs else ())
        if all(picture in t and math.isfinite(t[picture]["psnr"]) for pair in pairs for t in pair)
    ]
    if not pictures:
        return None
    values = np.array([[b[p]["psnr"] - a[p]["psnr"] for p in pictures] for a, b in pairs])
    low, high, p = crossed_interval(values)
    ends = {"mean": float(values.mean()), "low": low, "high": high, "p": p}
    return {**ends, "seeds": len(pairs), "pictures": len(pictures)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm 1979).

    One below 0.05 is significant while the chance of any false one among all stays below 5 %.
    """
    values = np.array(p_values, dtype=np.float64)
    order, adjusted = np.argsort(values, kind="stable"), np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(p) for p in adjusted]


@dataclass(frozen=True, kw_only=True)
class JudgedAblation:
    """A result with its comparisons: everything that a report shows."""

    result: AblationResult
    comparisons: Mapping[tuple[str, str], Mapping[str, Any]]
    """By set and name of the variant, as JSON has them: what was ``found`` (``difference``), the
    ``printed`` difference in dB, None if there is none, the ``verdict``, and ``p`` adjusted for all
    tests of the report, None where there is no test."""
    tests: int
    """Tests of the whole report, which p-values are adjusted for."""

    def as_json(self) -> Mapping[str, Any]:
        """Return all of it as plain values."""
        own = list(self.comparisons.values())
        return {**asdict(self.result), "comparisons": own, "tests": self.tests}


def judge(results: Sequence[AblationResult]) -> list[JudgedAblation]:
    """Compare all variants with their bases, and adjust the p-values for all tests together.

    A test is a printed difference with a sign, of variants with two seeds or more that both are
    trained well above bicubic. ``results`` are everything that one report shows.
    """
    judged = [
        {
            (dataset, each.variant.name): _compare(result, each, dataset)
            for dataset in sets_of(result)
            for each in result.variants
        }
        for result in results
    ]
    tests = [each for own in judged for each in own.values() if each["p"] is not None]
    for each, p in zip(tests, holm([each["p"] for each in tests]), strict=True):
        each["p"] = p
        if p < LEVEL:
            same = (each["found"]["mean"] > 0) == (each["printed"] > 0)
            each["verdict"] = "same sign" if same else "opposite sign"
    return [
        JudgedAblation(result=result, comparisons=own, tests=len(tests))
        for result, own in zip(results, judged, strict=True)
    ]


def _compare(result: AblationResult, each: VariantResult, dataset: str) -> dict[str, Any]:
    """Compare a variant with the base; "undecided" is a test, with its plain p."""
    name = each.variant.name
    found = difference(result, name, dataset)
    printed = result.ablation.printed_difference(name, dataset)
    failed = [seed.failure for seed in each.seeds if seed.failure]
    p = None
    if name == result.ablation.base:
        verdict = "failed" if failed and len(failed) == len(each.seeds) else "base"
    elif found is None:
        verdict = "failed" if failed and not each.measured(dataset) else NOTHING
    elif not printed:
        verdict = "none: no sign printed"
    elif found["seeds"] == 1:  # its interval is over pictures alone
        verdict = "none: one seed"
    elif not all(_is_trained(result, own, dataset) for own in (result.base, each)):
        verdict = "none: too near bicubic"
    else:
        verdict, p = "undecided", found["p"]
    own = {"found": found, "printed": printed, "verdict": verdict, "p": p}
    return {"set": dataset, "variant": name, **own}


def _is_trained(result: AblationResult, each: VariantResult, dataset: str) -> bool:
    """Return whether a variant is far enough above our bicubic on a set for a verdict.

    That is ``LEAST_GAIN``, and ``PRINTED_SHARE`` of the gain over it that is printed.
    """
    level = result.scores(dataset)[0].bicubic
    printed = result.ablation.printed(each.variant.name, dataset) or level
    return fmean(each.means(dataset)) - level >= max(LEAST_GAIN, PRINTED_SHARE * (printed - level))


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    measured = list(result.conditions.sets)
    known = {name_key(name) for name in measured}
    keys = [key.split(".") for each in result.variants for key in each.variant.published]
    costs = ("parameters", "gflops", "memory", "training")
    printed = dict.fromkeys(name for name, *_ in keys if name not in costs)
    return measured + [name for name in printed if name_key(name) not in known]
