"""Results of ablations, the files that keep them, and verdicts on what was printed.

Variants are compared with their base in pairs, by seed and picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

import numpy as np

from srcli.errors import DataError, RecipeError
from srcli.evaluation.scores import crossed_interval, holm
from srcli.files import parse_text
from srcli.recipes.ablations import Ablation, Variant
from srcli.recipes.fields import Range, convert
from srcli.recipes.published import name_key
from srcli.report.table import NOTHING

RESULT = "ablation.json"
"""File of a result in the folder of its ablation."""
LEVEL = 0.05
"""Chance of any false verdict among all tests of a report."""
LEAST_GAIN = 1.0
"""Decibels above bicubic below which a network is too little trained to judge."""
PRINTED_SHARE = 0.5
"""Share of the printed gain over bicubic below which a network is too little trained to
judge."""
ScoredMetric = Literal["psnr", "ssim"]
_NUMBER = Range("a number", lambda value: isinstance(value, int | float))
Figure = Annotated[Any, _NUMBER]
"""A number, which may be infinite: the PSNR of equal pictures."""


@dataclass(frozen=True, kw_only=True)
class PictureScores:
    """Scores of one picture."""

    psnr: Figure
    """In dB."""
    ssim: Figure


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """Scores of one training on a set."""

    pictures: Mapping[str, PictureScores]
    """By the name of the picture."""
    bicubic: Figure
    """Mean PSNR of the pictures' bicubic interpolation in dB."""
    best: Figure | None = None
    """Mean PSNR of the best weights by validation in dB."""
    key: str = ""
    """A digest of the protocol and of the pictures' places and times."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Paired difference of a variant to the base, in dB or in SSIM."""

    mean: float
    low: float
    """Lower end of its 95 % interval; NaN, as the next three, where there is none."""
    high: float
    p: float
    """Two-sided p-value of no difference."""
    freedom: float
    """Degrees of freedom."""
    seeds: int
    """Number of those that both have."""
    pictures: int
    """Likewise."""


@dataclass(kw_only=True)
class VariantComparison:
    """A variant on a set, compared with the base by ``judge``."""

    set: str
    variant: str
    found: Difference | None
    """In PSNR."""
    ssim: Difference | None
    printed: float | None
    """The printed difference in dB, if there is one."""
    verdict: str
    p: float | None
    """Adjusted for all tests of the report; None where there is no test."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions that all variants of an ablation share."""

    device: str
    """Kind of the device: ``cpu``, ``cuda``, ``mps``."""
    machine: str
    """In words."""
    precision: str
    """Of the trainings."""
    processes: int
    """Trainings that ran at once."""
    trained: bool
    """False where only costs were measured."""
    budget: str | None
    """Iterations or time; None for those of the recipes."""
    seeds: int
    overrides: tuple[str, ...]
    """Changed fields of all recipes, ``path=value``."""
    data: tuple[str, ...]
    """Files and folders as given."""
    pictures: int = 0
    """Number of those trained on."""
    held_out: int = 0
    """Number of those validated on."""
    data_digest: str = ""
    """Of names and sizes of the pictures."""
    sets: tuple[str, ...] = ()
    """Names of those measured on."""
    missing: tuple[str, ...] = ()
    """Sets of the ablation that are not at hand."""


@dataclass(frozen=True, kw_only=True)
class VariantCost:
    """Cost of a variant in its deployed form."""

    parameters: int
    macs: int
    """Multiply-accumulates of the convolutions for an LR picture of 256x256."""
    products: int | None = None
    """Those of linear layers, matrix products and attention; None where they were not
    counted."""
    memory: Mapping[str, int | None]
    """Peak of one forward pass in bytes, by LR ``HEIGHTxWIDTH``; None where there is too
    little or the device keeps no account."""


@dataclass(kw_only=True)
class SeedResult:
    """One training of a variant with its scores; filled in while it is run."""

    seed: int
    iterations: int | None = None
    """None where it has not been trained to the end."""
    scores: Mapping[str, SetScores] = field(default_factory=dict)
    """By set."""
    failure: str = ""
    """Reason why the training or the evaluation failed, if it did."""


@dataclass(kw_only=True)
class VariantResult:
    """Cost and trainings of one variant; filled in while it is run."""

    variant: Variant
    cost: VariantCost | None = None
    cost_failure: str = ""
    seeds: tuple[SeedResult, ...] = ()

    def measured(self, dataset: str) -> dict[int, SetScores]:
        """Return the scores on a set by seed, of the trainings that have them."""
        scores = {}
        for result in self.seeds:
            if dataset in result.scores:
                scores[result.seed] = result.scores[dataset]
        return scores

    def means(self, dataset: str, metric: ScoredMetric = "psnr") -> list[float]:
        """Return the mean over the pictures of a set for each training that has it."""
        means = []
        for scores in self.measured(dataset).values():
            values = map(attrgetter(metric), scores.pictures.values())
            means.append(fmean(values))
        return means


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """One ablation under one set of conditions; compared by ``judge``."""

    ablation: Ablation
    conditions: Conditions
    variants: tuple[VariantResult, ...]
    """In the order of the ablation."""
    comparisons: tuple[VariantComparison, ...] = ()
    """Of each variant on each set."""
    tests: int = 0
    """Tests of the whole report, which p-values are adjusted for."""

    def __post_init__(self) -> None:
        """Refuse other variants than those of the ablation."""
        variants = tuple(result.variant for result in self.variants)
        if variants != self.ablation.variants:
            raise RecipeError("it has not the variants of its ablation")

    @property
    def base(self) -> VariantResult:
        """The variant that the others are compared with."""
        return self.of(self.ablation.base)

    def of(self, name: str) -> VariantResult:
        """Return the result of a variant by its name."""
        return next(result for result in self.variants if result.variant.name == name)

    def bicubic(self, dataset: str) -> float | None:
        """Return the mean PSNR of bicubic on a set; None where none was measured."""
        for result in self.variants:
            for scores in result.measured(dataset).values():
                return float(scores.bicubic)
        return None

    @property
    def missing(self) -> int:
        """Number of trainings that are not finished and measured on all sets."""
        sets = set(self.conditions.sets)
        missing = 0
        for result in self.variants:
            missing += sum(not sets <= seed.scores.keys() for seed in result.seeds)
        return missing

    @property
    def failures(self) -> list[str]:
        """Lines that tell the failures."""
        lines = []
        for result in self.variants:
            parts: dict[str, list[str]] = {}
            if result.cost_failure:
                parts[result.cost_failure] = ["costs"]
            for seed in result.seeds:
                if seed.failure:
                    parts.setdefault(seed.failure, []).append(f"seed {seed.seed}")
            for reason, failed in parts.items():
                lines.append(f"{result.variant.name}, {', '.join(failed)}: {reason}")
        return lines


def read_result(out: Path, name: str) -> AblationResult | None:
    """Return the result of an ablation in the folder of all; None if it was not run.

    DataError if the file holds no result, or one of another version.
    """
    file = out / name / RESULT
    try:
        plain = parse_text(file.read_text("utf-8"))
        result: AblationResult = convert(plain, AblationResult, "it")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecipeError) as error:
        raise DataError(
            f"{file}: not a result of this version of srx ({error}); "
            "remove it: what is trained stays, and is measured again"
        ) from error
    return result


def stored_names(out: Path) -> list[str]:
    """Return the names of all ablations with a result in the folder."""
    files = (*out.glob(f"*/{RESULT}"), *out.glob(f"*/*/{RESULT}"))
    return sorted(file.parent.relative_to(out).as_posix() for file in files)


def difference(
    result: AblationResult,
    name: str,
    dataset: str,
    metric: ScoredMetric = "psnr",
) -> Difference | None:
    """Return the paired difference in a metric, PSNR in dB, of a variant to the base on a set.

    None for the base, and where both share no training and picture.
    """
    if name == result.ablation.base:
        return None
    of_base = result.base.measured(dataset)
    of_variant = result.of(name).measured(dataset)
    seeds = [seed for seed in of_base if seed in of_variant]
    pairs = []
    for seed in seeds:
        pairs.append((of_variant[seed].pictures, of_base[seed].pictures))
    differences = []
    for picture in pairs[0][1] if pairs else ():
        if all(_has_finite_psnr(scores, picture) for scores in chain(*pairs)):
            score = attrgetter(metric)
            row = [
                score(variant[picture]) - score(base[picture])
                for variant, base in pairs
            ]
            differences.append(row)
    if not differences:
        return None
    values = np.array(differences).T
    interval = crossed_interval(values)
    return Difference(
        mean=float(values.mean()),
        **interval._asdict(),
        seeds=len(seeds),
        pictures=len(differences),
    )


def _has_finite_psnr(scores: Mapping[str, PictureScores], picture: str) -> bool:
    return picture in scores and math.isfinite(scores[picture].psnr)


def judge(results: Sequence[AblationResult]) -> list[AblationResult]:
    """Compare all variants with their bases, and adjust the p-values for all tests together.

    A test is a printed difference with a sign, of variants with two seeds or more that
    both are trained well above bicubic; in ablations that nobody has printed, any
    difference of such variants that are above bicubic. ``results`` are everything that
    one report shows.
    """
    compared = []
    tests = []
    p_values = []
    for result in results:
        comparisons = []
        for dataset, variant in product(sets_of(result), result.variants):
            comparison = _compare(result, variant, dataset)
            comparisons.append(comparison)
            if comparison.p is not None:
                tests.append(comparison)
                p_values.append(comparison.p)
        compared.append(replace(result, comparisons=tuple(comparisons)))
    for test, p in zip(tests, holm(p_values), strict=True):
        test.p = p
        if p < LEVEL and test.found is not None:
            is_higher = test.found.mean > 0
            if not test.printed:
                test.verdict = "higher" if is_higher else "lower"
            elif is_higher == (test.printed > 0):
                test.verdict = "same sign"
            else:
                test.verdict = "opposite sign"
    return [replace(result, tests=len(tests)) for result in compared]


def _compare(
    result: AblationResult, variant: VariantResult, dataset: str
) -> VariantComparison:
    """Compare a variant with the base; "undecided" is a test, with its plain p."""
    name = variant.variant.name
    measured = difference(result, name, dataset)
    printed = result.ablation.printed_difference(name, dataset)
    failures = [seed.failure for seed in variant.seeds if seed.failure]
    p = None
    if name == result.ablation.base:
        verdict = "base"
        if failures and len(failures) == len(variant.seeds):
            verdict = "failed"
    elif measured is None:
        verdict = NOTHING
        if failures and not variant.measured(dataset):
            verdict = "failed"
    elif not printed and is_printed(result):
        verdict = "none: no sign printed"
    elif measured.seeds == 1:  # its interval is over pictures alone
        verdict = "none: one seed"
    elif not (
        _is_trained(result, result.base, dataset)
        and _is_trained(result, variant, dataset)
    ):
        verdict = "none: below bicubic"
        if is_printed(result):
            verdict = "none: too near bicubic"
    else:
        verdict = "undecided"
        p = measured.p
    return VariantComparison(
        set=dataset,
        variant=name,
        found=measured,
        ssim=measured and difference(result, name, dataset, "ssim"),
        printed=printed,
        verdict=verdict,
        p=p,
    )


def is_printed(result: AblationResult) -> bool:
    """Return whether a paper has figures of an ablation; the user's own have none."""
    return any(variant.published for variant in result.ablation.variants)


def _is_trained(result: AblationResult, variant: VariantResult, dataset: str) -> bool:
    """Return whether a variant is far enough above our bicubic on a set for a verdict.

    That is any gain where nothing is printed; else ``LEAST_GAIN``, and
    ``PRINTED_SHARE`` of the gain over it that is printed.
    """
    bicubic = result.bicubic(dataset)
    assert bicubic is not None  # a difference was found
    gain = fmean(variant.means(dataset)) - bicubic
    if not is_printed(result):
        return gain > 0
    printed = result.ablation.printed(variant.variant.name, dataset) or bicubic
    return gain >= max(LEAST_GAIN, PRINTED_SHARE * (printed - bicubic))


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    sets = list(result.conditions.sets)
    measured = {name_key(name) for name in sets}
    costs = ("parameters", "gflops", "memory", "training")
    for variant in result.ablation.variants:
        for key in variant.published:
            name = key.partition(".")[0]
            if name not in costs and name_key(name) not in measured:
                measured.add(name_key(name))
                sets.append(name)
    return sets
