"""Verdicts on differences that papers printed, corrected for the number of tests of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING

from srcli.errors import RecipeError
from srcli.pipelines.ablate.statistics import PairedDifference, difference, holm
from srcli.recipes.files import load_recipe
from srcli.recipes.published import name_key, published_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.pipelines.ablate.results import AblationResult, VariantResult

LEVEL = 0.05
"""Chance of any false verdict among all tests of a report."""
LEAST_GAIN = 1.0
"""Decibels above bicubic below which a network is too little trained to judge."""
PRINTED_SHARE = 0.5
"""Share of the printed gain over bicubic below which a network is too little trained to judge."""


class Verdict(StrEnum):
    """Verdict of a measured difference on the printed one; those after the third are none."""

    SAME = "same sign"
    """The difference is significant and has the sign of the printed one."""
    OPPOSITE = "opposite sign"
    UNDECIDED = "undecided"
    """The difference is not significant after the correction."""
    BASE = "base"
    ONE_SEED = "none: one seed"
    """Its interval is over pictures alone; another seed may well give the other sign."""
    UNTRAINED = "none: too near bicubic"
    """Base or variant is too little trained to ask."""
    UNPRINTED = "none: no sign printed"
    FAILED = "failed"
    UNKNOWN = "–"
    """It has not been measured."""


@dataclass(frozen=True, kw_only=True)
class JudgedDifference:
    """A variant beside its base on one set."""

    found: PairedDifference | None
    """None for the base, and where it was not measured."""
    printed: float | None
    """The difference that the paper printed, in dB; None if it printed none."""
    verdict: Verdict
    p: float | None = None
    """P-value adjusted for all tests of the report; None where there is no test."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The comparisons of one ablation, and the number of tests in its report."""

    comparisons: Mapping[tuple[str, str], JudgedDifference]
    """By set and name of the variant."""
    tests: int
    """Tests of all ablations of the report, which the p-values are adjusted for."""


def judge(results: Sequence[AblationResult]) -> list[Judgement]:
    """Compare all variants with their bases, and adjust the p-values for all tests together.

    A test is a printed difference with a sign, of variants with two seeds or more that both are
    trained well above bicubic.

    Args:
        results: Everything that one report shows.

    Returns:
        One for each result.
    """
    found = [
        {
            (dataset, each.variant.name): _compare(result, each, dataset)
            for dataset in sets_of(result)
            for each in result.variants
        }
        for result in results
    ]
    tests = [(own, key) for own in found for key, each in own.items() if each.p is not None]
    adjusted = holm([own[key].p or 0.0 for own, key in tests])
    for (own, key), p in zip(tests, adjusted, strict=True):
        own[key] = _decide(own[key], p)
    return [Judgement(comparisons=own, tests=len(tests)) for own in found]


def _compare(result: AblationResult, each: VariantResult, dataset: str) -> JudgedDifference:
    """Compare a variant with the base; a verdict of ``UNDECIDED`` is a test, with its plain p."""
    name = each.variant.name
    found, printed = difference(result, name, dataset), printed_difference(result, name, dataset)
    failed = [seed.failure for seed in each.seeds if seed.failure]
    if name == result.ablation.base:
        verdict = Verdict.FAILED if failed and len(failed) == len(each.seeds) else Verdict.BASE
    elif found is None:
        verdict = Verdict.FAILED if failed and not each.measured(dataset) else Verdict.UNKNOWN
    elif not printed:
        verdict = Verdict.UNPRINTED
    elif found.seeds == 1:
        verdict = Verdict.ONE_SEED
    elif not all(is_trained(result, own, dataset) for own in (result.base, each)):
        verdict = Verdict.UNTRAINED
    else:
        return JudgedDifference(found=found, printed=printed, verdict=Verdict.UNDECIDED, p=found.p)
    return JudgedDifference(found=found, printed=printed, verdict=verdict)


def _decide(comparison: JudgedDifference, p: float) -> JudgedDifference:
    found, printed, verdict = comparison.found, comparison.printed, Verdict.UNDECIDED
    if found is not None and printed is not None and p < LEVEL:
        verdict = Verdict.SAME if (found.mean > 0) == (printed > 0) else Verdict.OPPOSITE
    return replace(comparison, verdict=verdict, p=p)


def is_trained(result: AblationResult, each: VariantResult, dataset: str) -> bool:
    """Return whether a variant is far enough above bicubic on a set for a verdict.

    That is ``LEAST_GAIN``, and ``PRINTED_SHARE`` of the gain that is printed for it, or else for
    the final network, over our bicubic. Without a measured bicubic it is not known: false.
    """
    level, own = result.bicubic(dataset), each.variant.published
    if level is None:
        return False
    keys = printed_keys(result, dataset, "psnr")
    printed = [own[key] for key in keys if key in own and not key.endswith(".difference")]
    printed = printed or _printed_by_model(result, dataset)
    least = max([LEAST_GAIN, *(PRINTED_SHARE * (value - level) for value in printed[:1])])
    return fmean(each.means(dataset)) - level >= least


def _printed_by_model(result: AblationResult, dataset: str) -> list[float]:
    ablation = result.ablation
    try:
        model = load_recipe(ablation.recipe).model
    except RecipeError:  # a file that is gone since
        return []
    return [row.values["psnr"] for row in published_rows(ablation.scale, dataset, models=[model])]


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    measured = list(result.conditions.sets)
    known = {name_key(name) for name in measured}
    printed = dict.fromkeys(
        key.partition(".")[0]
        for key in all_keys(result)
        if not key.startswith(("parameters", "gflops", "memory.", "training."))
    )
    return measured + [name for name in printed if name_key(name) not in known]


def printed_difference(result: AblationResult, name: str, dataset: str) -> float | None:
    """Return the PSNR difference to the base that was printed for a set, in dB, if one was."""
    for key in printed_keys(result, dataset, "psnr"):
        stem = key.removesuffix(".difference")
        found = result.ablation.published_difference(name, stem)
        if found is not None:
            return found
    return None


def printed_keys(result: AblationResult, dataset: str, metric: str) -> list[str]:
    """Return the keys of printed figures of a set, whatever the paper calls it."""
    own = name_key(dataset)
    return [
        key
        for key in all_keys(result)
        if name_key(key.partition(".")[0]) == own and key.partition(".")[2].startswith(metric)
    ]


def all_keys(result: AblationResult) -> list[str]:
    """Return the keys of all printed figures of an ablation."""
    return list(dict.fromkeys(k for v in result.variants for k in v.variant.published))
