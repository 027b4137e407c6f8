"""Curves: every point where it belongs, styles that can be told apart."""

from __future__ import annotations

import pytest

from srcli.pipelines.ablate.curves import HEIGHT, UNIT, Line, curves_svg, legend, style_of


def points_of(node):
    pairs = (pair.split(",") for pair in node.attributes["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def line(*points, style="c1 d0", again=False):
    return Line(points=points, style=style, title="a: 31 dB", again=again)


def test_points_lie_where_their_values_say(parse):
    lines = [line((100, 30.0), (200, 31.0), (400, 32.0)), line((400, 31.5), style="c2 d0")]
    tree = parse(curves_svg(lines, label="what it says"))
    (chart,) = tree.all("svg", "curves")
    assert chart.attributes["aria-label"] == "what it says"
    assert chart.attributes["height"] == str(HEIGHT)
    first, second = (points_of(node) for node in tree.all("polyline"))
    assert [y for _, y in first] == sorted((y for _, y in first), reverse=True)
    assert all(0 < y < UNIT for _, y in first)
    (x1, y1), (x2, y2), (x3, y3) = first
    assert (x3 - x2) == pytest.approx(2 * (x2 - x1), abs=0.2)
    assert (y2 - y3) == pytest.approx(y1 - y2, abs=0.2)
    assert len(second) == 2  # one point is drawn as a dash that ends there
    assert second[1] == pytest.approx((x3, (y2 + y3) / 2), abs=0.1)


def test_the_low_beginning_does_not_flatten_the_end(parse):
    points = ((10, 12.0), (500, 31.0), (1000, 32.0))
    (node,) = parse(curves_svg([line(*points)], label="")).all("polyline")
    (_, early), (_, middle), (_, end) = points_of(node)
    assert middle - end > UNIT / 2
    assert early > UNIT  # below the ground, where it is cut off


def test_ticks_name_values_and_iterations(parse):
    points = ((1000, 30.0), (5000, 31.0))
    texts = [t.text for t in parse(curves_svg([line(*points)], label="")).all("text")]
    assert "iterations" in texts
    assert {"0", "2 K", "4 K"} <= set(texts)
    assert any(text.startswith("30.") for text in texts)


def test_further_seeds_are_faint(parse):
    lines = [line((1, 30.0), (2, 31.0)), line((1, 30.1), (2, 31.1), again=True)]
    nodes = parse(curves_svg(lines, label="")).all("polyline")
    assert [node.attributes["class"] for node in nodes] == ["c1 d0", "c1 d0 again"]


def test_styles_repeat_no_pair_of_colour_and_dash():
    styles = [style_of(index) for index in range(20)]
    assert len(set(styles)) == 20
    assert {style.split()[1] for style in styles} == {"d0", "d1", "d2"}
    assert [style.split()[0] for style in styles].count("c0") == 1


def test_the_legend_shows_each_line(parse):
    tree = parse(legend([("<a>", "c0 d0"), ("b", "c1 d2")]))
    assert [item.text for item in tree.all("li")] == ["<a>", "b"]
    assert [node.attributes["class"] for node in tree.all("line")] == ["c0 d0", "c1 d2"]
