"""Charts: marks in their places, labels that keep clear of each other, colours of the page."""

from __future__ import annotations

import math
import re

import matplotlib as mpl
import pytest

from srcli.report.charts import LETTERS, LINE, Line, Point, curve_chart, scatter_chart

WIDE = 6.6
"""Pixels of a letter in the page's font."""


def point(label, parameters, value, *, printed=False):
    """A point, measured or printed."""
    return Point(
        label=label,
        parameters=parameters,
        value=value,
        text=str(value),
        colour="c1",
        source="a <paper>" if printed else "",
    )


def curve(*points, colour="c1"):
    """A curve with a title."""
    return Line(points=points, colour=colour, title="a: 31 dB")


def points_of(node):
    """Corners of a drawn line."""
    numbers = [float(each) for each in re.findall(r"-?[\d.]+", node.attributes["d"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def lines_of(tree, class_="curve"):
    """Drawn curves, in order."""
    return [group.all("path")[0] for group in tree.all("g", class_)]


def test_better_is_higher_and_larger_is_further_right(parse):
    svg = parse(scatter_chart([point("a", 1e5, 28.0), point("b", 1e6, 30.0)], '"what"'))
    a, b = svg.all("circle")
    assert float(a.attributes["cx"]) < float(b.attributes["cx"])
    assert float(a.attributes["cy"]) > float(b.attributes["cy"])
    (drawn,) = svg.all("svg")
    assert (drawn.attributes["role"], drawn.attributes["aria-label"]) == (
        "img",
        '"what": a: 28.0, 100 K parameters; b: 30.0, 1 M parameters',
    )


@pytest.mark.parametrize("values", [[8e3, 16e6], [500e3, 600e3], [1e6], [261e3, 580e3, 1.6e6]])
def test_a_factor_is_a_distance_and_ticks_are_few(parse, values):
    points = [point(str(i), size, 30.0) for i, size in enumerate((*values, 2 * values[0]))]
    svg = parse(scatter_chart([*points, point("c", 4 * values[0], 30.0)], ""))
    places = [float(node.attributes["cx"]) for node in svg.all("circle")]
    assert places[-1] - places[-2] == pytest.approx(places[-2] - places[0])
    assert all(48 < place < 530 for place in places)
    ticks = [t.text for t in svg.all("text") if re.fullmatch(r"\d+( [KM])?", t.text)]
    assert 1 <= len([tick for tick in ticks if " " in tick]) <= 8


def test_a_method_without_parameters_is_a_level_line(parse):
    points = [point("bicubic", 0, 28.0), point("b", 1e6, 30.0)]
    svg = parse(scatter_chart(points, ""))
    assert len(svg.all("g", "level")) == 1
    assert len(svg.all("circle")) == 1
    (label,) = [text for text in svg.all("text") if text.text == "bicubic"]
    ((_, height), *_) = points_of(svg.all("g", "level")[0].all("path")[0])
    assert height - LINE < float(label.attributes["y"]) < height


def test_printed_points_are_told_apart_and_infinite_ones_left_out(parse):
    points = [point("a", 1e5, 28.0, printed=True), point("b", 1e6, math.inf)]
    svg = parse(scatter_chart(points, ""))
    (group,) = svg.all("g", "printed")
    assert group.all("title")[0].text == "a: 28.0, 100 K parameters, as printed in a <paper>"
    assert svg.all("g", "measured") == []
    assert "fill: var(--panel)" in group.all("circle")[0].attributes["style"]


def test_long_names_are_cut_short_and_stay_whole_in_the_title(parse):
    points = [point("n" * 80, 1e5, 28.0), point("b", 1e6, 30.0)]
    svg = parse(scatter_chart(points, ""))
    (label,) = [text.text for text in svg.all("text") if text.text.startswith("nnn")]
    assert len(label) == LETTERS
    assert label.endswith("…")
    assert svg.all("title")[0].text == "n" * 80 + ": 28.0, 100 K parameters"


@pytest.mark.parametrize(
    "name", ["$x_1$", "超解像", "caf\udce9", '<b id="x">', "_under", "#00ff00"]
)
def test_names_stay_text(parse, name):
    svg = parse(scatter_chart([point(name, 1e5, 28.0), point("b", 1e6, 30.0)], ""))
    assert name.replace("\udce9", "?") in [text.text for text in svg.all("text")]


@pytest.mark.parametrize("printed", [False, True])
def test_labels_do_not_lie_on_each_other(parse, printed):
    points = [point(f"method {i}", 5e5 * 1.02**i, 28 + 0.01 * i, printed=i > 2) for i in range(16)]
    points += [point("far", 4e6, 31.0, printed=printed)]
    names = {each.label for each in points}
    texts = [t for t in parse(scatter_chart(points, "")).all("text") if t.text in names]
    boxes = []
    for text in texts:
        wide = len(text.text) * WIDE
        place = float(text.attributes["x"])
        left = place - wide if "text-anchor: end" in text.attributes["style"] else place
        boxes.append((left, left + wide, float(text.attributes["y"])))
    assert {"method 0", "method 1", "method 2", "far"} <= {text.text for text in texts}
    assert len(texts) < len(points)  # there is no room for all
    for i, (left, right, y) in enumerate(boxes):
        for other_left, other_right, other_y in boxes[i + 1 :]:
            assert right <= other_left or other_right <= left or abs(y - other_y) >= LINE - 1e-3


def test_points_lie_where_their_values_say(parse):
    curves = [curve((100, 30.0), (200, 31.0), (400, 32.0)), curve((400, 31.5), colour="c2")]
    tree = parse(curve_chart(curves, "what it says"))
    (chart,) = tree.all("svg", "curves")
    assert chart.attributes["aria-label"] == "what it says: a: 31 dB; a: 31 dB"
    first, second = map(points_of, lines_of(tree))
    assert [y for _, y in first] == sorted((y for _, y in first), reverse=True)
    (x1, y1), (x2, y2), (x3, y3) = first
    assert (x3 - x2) == pytest.approx(2 * (x2 - x1), abs=0.2)
    assert (y2 - y3) == pytest.approx(y1 - y2, abs=0.2)
    assert len(second) == 2  # one point is drawn as a dash that ends there
    assert second[1] == pytest.approx((x3, (y2 + y3) / 2), abs=0.1)


def test_the_low_beginning_does_not_flatten_the_end(parse):
    points = ((10, 12.0), (500, 31.0), (1000, 32.0))
    (line,) = lines_of(parse(curve_chart([curve(*points)], "")))
    (_, early), (_, middle), (_, end) = points_of(line)
    assert middle - end > 0.75 * 272
    assert early <= 286 + 0.1  # cut off where the axis begins
    assert early > middle


def test_ticks_name_values_and_iterations(parse):
    points = ((1000, 30.0), (5000, 31.0))
    texts = [t.text for t in parse(curve_chart([curve(*points)], "")).all("text")]
    assert "iterations" in texts
    assert {"0", "2 K", "4 K"} <= set(texts)
    assert any(text.startswith("30.") for text in texts)


def test_the_same_marks_give_the_same_chart_whatever_the_settings_are():
    points = [point("a", 1e5, 28.0), point("b", 1e6, 30.0)]
    once = scatter_chart(points, "")
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert scatter_chart(points, "") == once
        assert mpl.rcParams["font.size"] == 30


def test_a_chart_has_the_colours_of_its_page_and_refers_to_nothing():
    chart = scatter_chart([point("a", 1e5, 28.0), point("b", 0, 30.0)], "")
    assert not re.search(r"#[0-9a-f]{6}|font-family|url\(|http| id=", chart)
    assert {"var(--c1)", "var(--ink)", "var(--quiet)", "var(--line)"} <= set(
        re.findall(r"var\(--\w+\)", chart)
    )
