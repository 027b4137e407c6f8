"""Intervals that keep their promise, against tables and simulation; corrected p-values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from srcli.pipelines.ablate.results import SetScores
from srcli.pipelines.ablate.statistics import (
    crossed_interval,
    difference,
    holm,
    student,
)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (1.5, 6.01666), (2, 4.303), (4, 2.776), (13, 2.160), (99, 1.984), (10**9, 1.960)],
)
def test_quantiles_are_those_of_the_printed_tables(freedom, quantile):
    assert student(float(freedom)) == pytest.approx(quantile, abs=6e-4)
    assert student(0.2) == student(1.0)


@pytest.mark.parametrize("turned", [False, True])
def test_one_seed_or_one_picture_is_the_plain_paired_interval(turned):
    values = np.array([[0.1, 0.3, -0.2, 0.25, 0.4]])
    half = 2.776445 * values.std(ddof=1) / math.sqrt(5)
    *found, _ = crossed_interval(values.T if turned else values)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-5)


def test_one_value_alone_has_no_interval():
    assert all(map(math.isnan, crossed_interval(np.array([[1.0]]))))


def test_equal_differences_have_an_interval_without_width():
    assert crossed_interval(np.full((3, 4), 0.5)) == pytest.approx((0.5, 0.5, 0.0))


@pytest.mark.parametrize(
    ("shape", "parts"), [((3, 14), (1, 1, 1)), ((3, 5), (0.2, 1, 0.2)), ((5, 14), (1, 0.2, 1))]
)
def test_intervals_hold_the_truth_as_often_as_they_say(shape, parts):
    generator = np.random.default_rng(5)
    seeds, pictures = shape
    held = 0
    for _ in range(400):
        values = (
            parts[0] * generator.normal(size=(seeds, 1))
            + parts[1] * generator.normal(size=(1, pictures))
            + parts[2] * generator.normal(size=shape)
        )
        low, high, _ = crossed_interval(values)
        held += low <= 0 <= high
    assert 0.91 <= held / 400 <= 0.99


@pytest.mark.parametrize("pictures", [14, 100])
def test_two_seeds_miss_the_truth_about_twice_as_often_as_others(pictures):
    generator = np.random.default_rng(6)
    held = 0
    for _ in range(1000):
        values = (
            generator.normal(size=(2, 1))
            + generator.normal(size=(1, pictures))
            + generator.normal(size=(2, pictures))
        )
        low, high, _ = crossed_interval(values)
        held += low <= 0 <= high
    assert 0.86 <= held / 1000 <= 0.94  # as the note below such a table says


def test_a_difference_is_paired_by_seed_and_picture(written):
    found = difference(written, "small", "Set5")
    assert found is not None
    assert found.mean == pytest.approx(-0.5, abs=0.03)
    assert (found.seeds, found.pictures) == (3, 5)
    # Pictures differ by decibels, and seeds together: none of that is in the interval.
    assert found.high - found.low < 0.2
    base, other = (written.of(name).measured("Set5") for name in ("middle", "small"))
    assert found.mean == pytest.approx(
        np.mean([other[s].mean("psnr") - base[s].mean("psnr") for s in range(3)])
    )


def test_only_what_both_have_is_compared(written):
    found = difference(written, "other", "Set5")
    assert found is not None
    assert found.seeds == 2
    assert difference(written, "small", "Urban100") is None
    base = written.base.seeds[0]
    few = {k: v for k, v in base.scores["Set5"].pictures.items() if k != "p1"}
    few["p2"] = {"psnr": math.inf, "ssim": 1.0}
    fewer = replace(base, scores={"Set5": SetScores(pictures=few, bicubic=27.0)})
    changed = replace(written.base, seeds=(fewer,))
    own = replace(
        written, variants=tuple(changed if v is written.base else v for v in written.variants)
    )
    found = difference(own, "small", "Set5")
    assert found is not None
    assert (found.seeds, found.pictures) == (1, 3)


@pytest.mark.parametrize(
    ("plain", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.03, 0.01, 0.04], [0.06, 0.03, 0.06]),  # 2 * 0.03, 3 * 0.01; never below a smaller one
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_holms_correction_by_hand(plain, adjusted):
    assert holm(plain) == pytest.approx(adjusted)


def test_the_p_value_is_that_of_the_paired_t_test():
    from scipy.stats import ttest_1samp

    values = np.array([[0.1, 0.3, -0.2, 0.25, 0.4]])
    assert crossed_interval(values)[2] == pytest.approx(ttest_1samp(values[0], 0).pvalue)
