"""Axes hold their values and carry round ticks."""

from __future__ import annotations

import math

import pytest

from srcli.report.axis import linear_axis, log_axis


@pytest.mark.parametrize(
    "values", [[28.1, 28.4, 31.9], [-0.3, 0.9], [1e-4, 3e-4], [12.0], [0.0], [], [-5, -4]]
)
@pytest.mark.parametrize("zero", [False, True])
def test_values_lie_inside_and_ticks_are_few_and_round(values, zero):
    axis = linear_axis(values, zero=zero)
    held = [*values, *([0.0] if zero else [])]
    assert all(0 < axis.at(value) < 1 for value in held)
    assert 2 <= len(axis.ticks) <= 8
    assert all(0 <= axis.at(tick) <= 1 for tick in axis.ticks)
    printed = [f"{tick:.{axis.digits}f}" for tick in axis.ticks]
    assert len(set(printed)) == len(printed)
    assert [float(each) for each in printed] == pytest.approx(list(axis.ticks), abs=1e-12)


def test_places_follow_values():
    axis = linear_axis([0.0, 10.0])
    assert axis.at(5.0) == pytest.approx(0.5)
    assert axis.at(2.0) < axis.at(3.0)


def test_values_that_are_not_finite_do_not_stretch_an_axis():
    assert linear_axis([math.inf, 1.0, 2.0, math.nan]) == linear_axis([1.0, 2.0])


@pytest.mark.parametrize("values", [[8e3, 16e6], [500e3, 600e3], [1e6], [261e3, 580e3, 1.6e6]])
def test_a_factor_is_a_distance_on_a_logarithmic_axis(values):
    axis = log_axis(values)
    assert all(0 < axis.at(value) < 1 for value in values)
    assert 1 <= len(axis.ticks) <= 6
    step = axis.at(2 * values[0]) - axis.at(values[0])
    assert axis.at(4 * values[0]) - axis.at(2 * values[0]) == pytest.approx(step)
