"""Results of ablations, the files that keep them, and verdicts on what was printed.

Variants are compared with their base in pairs, by seed and picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError, RecipeError
from srcli.evaluation.scores import crossed_interval
from srcli.files import parse_text
from srcli.recipes.ablations import Ablation, Variant
from srcli.recipes.fields import convert
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


@dataclass(kw_only=True)
class SeedResult:
    """One training of a variant with its scores; filled in while it is run."""

    seed: int
    iterations: int | None = None
    """None where it has not been trained to the end."""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By set: ``pictures``, each with its ``psnr`` and ``ssim``; mean PSNR of their ``bicubic``
    interpolation in dB; ``key``, a digest of the protocol and of their places and times."""
    failure: str = ""
    """Reason why the training or the evaluation failed, if it did."""


@dataclass(kw_only=True)
class VariantResult:
    """Cost and trainings of one variant; filled in while it is run."""

    variant: Variant
    cost: Mapping[str, Any] | None = None
    """``parameters`` and ``macs`` of the deployed form, multiply-accumulates of the convolutions
    for an LR picture of 256x256; ``memory``: the peak of one forward pass in bytes, by LR
    ``HEIGHTxWIDTH``, None where there is too little or the device keeps no account."""
    cost_failure: str = ""
    seeds: tuple[SeedResult, ...] = ()

    def measured(self, dataset: str) -> dict[int, Mapping[str, Any]]:
        """Return the scores on a set by seed, of the trainings that have them."""
        return {each.seed: each.scores[dataset] for each in self.seeds if dataset in each.scores}

    def means(self, dataset: str, metric: str = "psnr") -> list[float]:
        """Return the mean over the pictures of a set for each training that has it."""
        scores = self.measured(dataset).values()
        return [fmean(own[metric] for own in each["pictures"].values()) for each in scores]


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """One ablation under one set of conditions; compared by ``judge``."""

    ablation: Ablation
    conditions: Mapping[str, Any]
    """What all variants share. Whether they were ``trained``; ``budget`` (None: the recipes'),
    ``seeds``, ``overrides``, ``precision`` of the trainings; ``data`` as given, the numbers of
    ``pictures`` and of those ``held_out``, ``data_digest`` of names and sizes; ``sets`` to measure
    on and those ``missing``; ``device``, ``machine`` in words, ``processes`` at once."""
    variants: tuple[VariantResult, ...]
    """In the order of the ablation."""
    comparisons: tuple[Mapping[str, Any], ...] = ()
    """By ``set`` and ``variant``: what was ``found`` (``difference``), the ``printed`` difference
    in dB, None if there is none, the ``verdict``, and ``p`` adjusted for all tests of the report,
    None where there is no test."""
    tests: int = 0
    """Tests of the whole report, which p-values are adjusted for."""

    @property
    def base(self) -> VariantResult:
        """The variant that the others are compared with."""
        return self.of(self.ablation.base)

    def of(self, name: str) -> VariantResult:
        """Return the result of a variant by its name."""
        return next(each for each in self.variants if each.variant.name == name)

    def comparison(self, dataset: str, name: str) -> Mapping[str, Any]:
        """Return what ``judge`` found of a variant on a set."""
        own = (each for each in self.comparisons if each["set"] == dataset)
        return next(each for each in own if each["variant"] == name)

    def bicubic(self, dataset: str) -> float | None:
        """Return the mean PSNR of bicubic interpolation on a set; None where none was measured."""
        scores = (own for each in self.variants for own in each.measured(dataset).values())
        return next((own["bicubic"] for own in scores), None)

    @property
    def missing(self) -> int:
        """Number of trainings that are not finished and measured on all sets, or have failed."""
        sets = set(self.conditions["sets"])
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
    pairs = [(base[seed]["pictures"], other[seed]["pictures"]) for seed in base if seed in other]
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


def judge(results: Sequence[AblationResult]) -> list[AblationResult]:
    """Compare all variants with their bases, and adjust the p-values for all tests together.

    A test is a printed difference with a sign, of variants with two seeds or more that both are
    trained well above bicubic. ``results`` are everything that one report shows.
    """
    compared = [
        [_compare(result, each, dataset) for dataset in sets_of(result) for each in result.variants]
        for result in results
    ]
    tests = [each for own in compared for each in own if each["p"] is not None]
    for each, p in zip(tests, holm([each["p"] for each in tests]), strict=True):
        each["p"] = p
        if p < LEVEL:
            same = (each["found"]["mean"] > 0) == (each["printed"] > 0)
            each["verdict"] = "same sign" if same else "opposite sign"
    pairs = zip(results, compared, strict=True)
    return [replace(result, comparisons=tuple(own), tests=len(tests)) for result, own in pairs]


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
    level = result.bicubic(dataset)
    assert level is not None  # a difference was found
    printed = result.ablation.printed(each.variant.name, dataset) or level
    return fmean(each.means(dataset)) - level >= max(LEAST_GAIN, PRINTED_SHARE * (printed - level))


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    measured = list(result.conditions["sets"])
    known = {name_key(name) for name in measured}
    keys = [key.split(".") for each in result.variants for key in each.variant.published]
    costs = ("parameters", "gflops", "memory", "training")
    printed = dict.fromkeys(name for name, *_ in keys if name not in costs)
    return measured + [name for name in printed if name_key(name) not in known]
