"""Paired differences and their intervals, against an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from srcli.evaluation.statistics import Difference, bootstrap, paired_mean


@pytest.mark.parametrize("count", [5, 14, 100])
def test_intervals_agree_with_scipy(count):
    from scipy.stats import bootstrap as reference
    from scipy.stats import norm, t

    values = np.random.default_rng(7).gamma(2.0, 0.4, size=count)
    low, high = bootstrap(list(values), resamples=20_000)
    # as much further out as Student's interval is wider than the normal one
    ends = t.ppf(0.975, count - 1) * math.sqrt(count / (count - 1))
    other = reference(
        (values,),
        np.mean,
        n_resamples=20_000,
        confidence_level=1 - 2 * norm.sf(ends),
        method="percentile",
        rng=np.random.default_rng(8),
    ).confidence_interval
    tolerance = 0.05 * (other.high - other.low)  # of two sets of 20 000 draws
    assert low == pytest.approx(other.low, abs=tolerance)
    assert high == pytest.approx(other.high, abs=tolerance)
    assert low < values.mean() < high


def test_the_same_differences_give_the_same_interval():
    values = [0.1, 0.4, -0.2, 0.3]
    assert bootstrap(values, resamples=1000) == bootstrap(values, resamples=1000)


def test_large_sets_are_drawn_in_parts_to_the_same_effect():
    values = np.random.default_rng(0).normal(0.3, 0.1, size=3000)
    low, high = bootstrap(list(values), resamples=1000)  # takes three parts
    spread = values.std() / math.sqrt(3000)
    assert (high - low) / (2 * 1.96 * spread) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("values", "resamples"), [([0.3], 1000), ([], 1000), ([0.1, 0.2], 0)])
def test_no_interval_without_two_pictures_or_draws(values, resamples):
    assert all(math.isnan(end) for end in bootstrap(values, resamples=resamples))


def test_a_model_does_not_differ_from_itself():
    values = {"a": 30.123456, "b": 27.1, "c": 33.3}
    assert paired_mean(values, dict(values), resamples=500) == (3, 0.0, 0.0, 0.0)


def test_only_pictures_of_both_are_paired():
    first = {"a": 30.0, "b": 28.0, "c": 26.0, "e": math.inf}
    other = {"b": 29.0, "c": 28.0, "d": 50.0, "e": 40.0}
    count, mean, low, high = paired_mean(first, other, resamples=500)
    assert (count, mean) == (2, 1.5)
    # Student's, for two are too few to draw from: half the distance times tan(0.475 pi)
    half = 0.5 * math.tan(0.475 * math.pi)
    assert (low, high) == pytest.approx((1.5 - half, 1.5 + half))


@pytest.mark.parametrize("count", [2, 3, 5, 14])
def test_intervals_hold_the_true_mean_as_often_as_they_say(count):
    rng = np.random.default_rng(1)
    samples = rng.normal(0.0, 1.0, size=(400, count))
    intervals = [bootstrap(list(values), resamples=1000) for values in samples]
    held = sum(low <= 0 <= high for low, high in intervals) / len(intervals)
    assert 0.9 < held < 0.99


def test_nothing_in_common_has_no_mean():
    count, *rest = paired_mean({"a": 1.0}, {"b": 2.0}, resamples=10)
    assert count == 0
    assert all(math.isnan(value) for value in rest)


@pytest.mark.parametrize(
    ("low", "high", "clear"),
    [
        (0.1, 0.2, True),
        (-0.2, -0.1, True),
        (-0.1, 0.1, False),
        (0, 0, False),
        (math.nan,) * 2 + (0,),
    ],
)
def test_a_difference_is_clear_where_its_interval_leaves_out_zero(low, high, clear):
    found = Difference(
        scale=4,
        dataset="Set5",
        model="b",
        against="a",
        metric="psnr",
        pictures=5,
        mean=0.15,
        low=low,
        high=high,
    )
    assert found.clear == clear
