"""Charts draw what the numbers say."""

from __future__ import annotations

import math

import pytest

from srcli.report.axis import linear_axis
from srcli.report.charts import (
    Bar,
    bars_svg,
    colour_of,
    interval_svg,
    ticks_svg,
)

AXIS = linear_axis([-1.0, 2.0], zero=True)


def place(node, name):
    """Place of a mark across its chart, 0 to 1."""
    value = node.attributes[name]
    assert value.endswith("%")
    return float(value[:-1]) / 100


def test_a_difference_lies_on_its_interval(parse):
    svg = parse(interval_svg(AXIS, 1.2, 0.5, 1.9))
    (dot,) = svg.all("circle")
    (line,) = svg.all("line", "interval")
    assert place(dot, "cx") == pytest.approx(AXIS.at(1.2), abs=1e-4)
    assert place(line, "x1") == pytest.approx(AXIS.at(0.5), abs=1e-4)
    assert place(line, "x2") == pytest.approx(AXIS.at(1.9), abs=1e-4)
    assert not svg.all("circle", "hollow")
    (zero,) = svg.all("line", "zero")
    assert place(zero, "x1") == pytest.approx(AXIS.at(0.0), abs=1e-4)


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 0.0), (math.nan, math.nan)])
def test_a_dot_is_hollow_unless_its_interval_leaves_out_zero(parse, low, high):
    svg = parse(interval_svg(AXIS, 0.2, low, high))
    assert len(svg.all("circle", "hollow")) == 1
    assert len(svg.all("line", "interval")) == (0 if math.isnan(low) else 1)


def test_no_mean_no_dot(parse):
    svg = parse(interval_svg(AXIS, math.nan, math.nan, math.nan))
    assert svg.all("circle") == []
    assert len(svg.all("line", "zero")) == 1


def test_bars_start_at_zero_to_either_side(parse):
    bars = [Bar(value=v, colour="c1", title=f"<{v}>") for v in (2.0, -0.5, math.inf)]
    svg = parse(bars_svg(AXIS, bars))
    right, left = svg.all("rect")
    assert place(right, "x") == pytest.approx(AXIS.at(0.0), abs=1e-4)
    assert place(right, "width") == pytest.approx(AXIS.at(2.0) - AXIS.at(0.0), abs=2e-4)
    assert place(left, "x") + place(left, "width") == pytest.approx(AXIS.at(0.0), abs=2e-4)
    assert float(right.attributes["y"]) + float(right.attributes["height"]) < float(
        left.attributes["y"]
    )
    assert [node.text for node in svg.all("title")] == ["<2.0>", "<-0.5>"]


def test_ticks_are_written_at_their_places(parse):
    texts = parse(ticks_svg(AXIS)).all("text")
    assert [node.text for node in texts] == ["-1", "0", "1", "2"]
    assert [place(node, "x") for node in texts] == pytest.approx(
        [AXIS.at(tick) for tick in (-1, 0, 1, 2)], abs=1e-4
    )


def test_only_the_first_model_is_gray():
    colours = [colour_of(i) for i in range(30)]
    assert colours[0] == "c0"
    assert "c0" not in colours[1:]
    assert len(set(colours[:8])) == 8
    assert set(colours) == {f"c{i}" for i in range(8)}
