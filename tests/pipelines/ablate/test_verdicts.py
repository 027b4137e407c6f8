"""Intervals that keep their promise; verdicts on printed signs alone, of trained networks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from srcli.evaluation.scores import crossed_interval, holm
from srcli.pipelines.ablate.report import report
from srcli.pipelines.ablate.results import (
    PictureScores,
    SetScores,
    difference,
    judge,
)
from srcli.report.table import markdown
from tests.pipelines.ablate.conftest import PRINTED


def comparison(result, variant):
    """What ``judge`` found of a variant on Set5."""
    (of_variant,) = [
        c for c in result.comparisons if (c.set, c.variant) == ("Set5", variant)
    ]
    return of_variant


@pytest.mark.parametrize("turned", [False, True])
def test_one_seed_or_one_picture_is_the_plain_paired_interval(turned):
    values = np.array([[0.1, 0.3, -0.2, 0.25, 0.4]])
    half = 2.776445 * values.std(ddof=1) / math.sqrt(5)
    *ends, p, _ = crossed_interval(values.T if turned else values)
    assert ends == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-5)
    assert p == pytest.approx(ttest_1samp(values[0], 0).pvalue)


def test_special_cases_of_intervals():
    assert all(map(math.isnan, crossed_interval(np.array([[1.0]]))))
    assert crossed_interval(np.full((3, 4), 0.5)) == pytest.approx((0.5, 0.5, 0.0, 1e4))


@pytest.mark.parametrize(
    ("shape", "parts", "lowest", "highest"),
    [
        ((3, 14), (1, 1, 1), 0.91, 0.99),
        ((3, 5), (0.2, 1, 0.2), 0.91, 0.99),
        ((5, 14), (1, 0.2, 1), 0.91, 0.99),
        ((2, 100), (1, 1, 1), 0.86, 0.94),  # as the note below such a table says
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(shape, parts, lowest, highest):
    generator = np.random.default_rng(5)
    seeds, pictures = shape
    hits = 0
    for _ in range(400):
        values = (
            parts[0] * generator.normal(size=(seeds, 1))
            + parts[1] * generator.normal(size=(1, pictures))
            + parts[2] * generator.normal(size=shape)
        )
        low, high, _, _ = crossed_interval(values)
        hits += low <= 0 <= high
    assert lowest <= hits / 400 <= highest


def test_a_difference_is_paired_by_seed_and_picture(written):
    measured = difference(written, "small", "Set5")
    assert measured is not None
    assert measured.mean == pytest.approx(-0.5, abs=0.03)
    assert (measured.seeds, measured.pictures) == (3, 5)
    # Pictures differ by decibels, and seeds together: none of that is in the interval.
    assert measured.high - measured.low < 0.2
    base = np.mean(written.of("middle").means("Set5"))
    small = np.mean(written.of("small").means("Set5"))
    assert measured.mean == pytest.approx(small - base)


def test_only_what_both_have_is_compared(written):
    measured = difference(written, "other", "Set5")
    assert measured is not None
    assert measured.seeds == 2
    assert difference(written, "small", "Urban100") is None
    base = written.base.seeds[0]
    few = dict(base.scores["Set5"].pictures)
    del few["p1"]
    few["p2"] = PictureScores(psnr=math.inf, ssim=1.0)
    fewer = replace(base, scores={"Set5": SetScores(pictures=few, bicubic=27.0)})
    variants = list(written.variants)
    position = variants.index(written.base)
    variants[position] = replace(written.base, seeds=(fewer,))
    shortened = replace(written, variants=tuple(variants))
    measured = difference(shortened, "small", "Set5")
    assert measured is not None
    assert (measured.seeds, measured.pictures) == (1, 3)


@pytest.mark.parametrize(
    ("plain", "adjusted"),
    [
        ([], []),
        # 2 * 0.03, 3 * 0.01; never below a smaller one
        ([0.03, 0.01, 0.04], [0.06, 0.03, 0.06]),
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_holms_correction_by_hand(plain, adjusted):
    assert holm(plain) == pytest.approx(adjusted)


def verdicts(result, dataset="Set5"):
    (judged,) = judge([result])
    verdict_of_variant = {}
    for comparison in judged.comparisons:
        if comparison.set == dataset:
            verdict_of_variant[comparison.variant] = comparison.verdict
    return verdict_of_variant


def printing(result, **printed):
    """The same with other printed figures on Set5; None for none."""
    variants = []
    results = []
    for variant_result in result.variants:
        variant = variant_result.variant
        value = printed.get(variant.name, variant.published.get("Set5.psnr"))
        figures = {} if value is None else {"Set5.psnr": value}
        variants.append(replace(variant, published=figures))
        results.append(replace(variant_result, variant=variants[-1]))
    ablation = replace(result.ablation, variants=tuple(variants))
    return replace(result, ablation=ablation, variants=tuple(results))


def above(result, gain):
    """The same with a bicubic so many decibels below the base on Set5."""
    level = result.base.means("Set5")[0] - gain

    def lower(seed):
        scores = dict(seed.scores)
        for name in scores:
            scores[name] = replace(scores[name], bicubic=level)
        return replace(seed, scores=scores)

    variants = [replace(v, seeds=tuple(map(lower, v.seeds))) for v in result.variants]
    return replace(result, variants=tuple(variants))


def test_signs_are_compared_with_the_printed_ones(written):
    assert verdicts(written) == {
        "small": "same sign",
        "middle": "base",
        "large": "opposite sign",
        "other": "undecided",
    }
    (judged,) = judge([written])
    assert judged.tests == 3
    plain = []
    adjusted = []
    for comparison in judged.comparisons:
        if comparison.p and comparison.found:
            plain.append(comparison.found.p)
            adjusted.append(comparison.p)
    assert min(adjusted) == pytest.approx(3 * min(plain))


@pytest.mark.parametrize("printed", [None, 30.62])
def test_nothing_is_said_where_no_sign_was_printed(written, printed):
    reprinted = printing(written, small=printed)
    assert verdicts(reprinted)["small"] == "none: no sign printed"
    assert judge([reprinted])[0].tests == 2


@pytest.mark.parametrize(("gain", "judged"), [(3.0, True), (0.9, False), (-4.0, False)])
def test_networks_near_bicubic_are_not_judged(written, gain, judged):
    lowered = above(written, gain)
    assert (verdicts(lowered)["small"] == "same sign") == judged
    assert (verdicts(lowered)["large"] == "none: too near bicubic") != judged


def test_ones_own_are_higher_or_lower_and_a_warning_stands_below_bicubic(written):
    own = above(printing(written, **dict.fromkeys(PRINTED)), 0.3)
    assert verdicts(own) == {
        "small": "none: below bicubic",
        "middle": "base",
        "large": "lower",
        "other": "undecided",
    }
    text = markdown(report(judge([own])))
    assert "Warning: small is below bicubic on Set5" in text
    assert "Warning: large" not in text
    ssim = comparison(judge([own])[0], "large").ssim
    assert ssim is not None
    assert ssim.mean == 0
    assert ssim.freedom == pytest.approx(1e4)


def test_half_of_the_printed_gain_is_needed(written):
    # 13 dB above bicubic, of which 3 are there
    reprinted = printing(above(written, 3.0), middle=40.0)
    assert verdicts(reprinted)["small"] == "none: too near bicubic"


def test_more_tests_make_it_harder(written):
    (alone,) = judge([written])
    (doubled, _) = judge([written, written])
    assert (alone.tests, doubled.tests) == (3, 6)
    before = comparison(alone, "small").p
    after = comparison(doubled, "small").p
    assert (after or 0) == pytest.approx(2 * (before or 1))
