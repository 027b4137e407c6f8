"""Quality against parameters: places, levels, labels that keep clear of each other."""

from __future__ import annotations

import math

import pytest

from srcli.report.scatter import LETTER, LINE, NARROW, Point, scatter_svg


def point(label, parameters, value, *, printed=False):
    """A point with a title."""
    return Point(
        label=label,
        parameters=parameters,
        value=value,
        colour="c1",
        title=f"title of {label}",
        printed=printed,
    )


def across(node, name="x"):
    """Place in pixels of a narrow chart."""
    return float(node.attributes[name].rstrip("%")) / 100 * NARROW


def test_better_is_higher_and_larger_is_further_right(parse):
    svg = parse(scatter_svg([point("a", 1e5, 28.0), point("b", 1e6, 30.0)], label="what"))
    a, b = svg.all("circle")
    assert across(a, "cx") < across(b, "cx")
    assert float(a.attributes["cy"]) > float(b.attributes["cy"])
    (drawn,) = svg.all("svg")
    assert (drawn.attributes["role"], drawn.attributes["aria-label"]) == ("img", "what")


def test_a_method_without_parameters_is_a_level_line(parse):
    svg = parse(scatter_svg([point("bicubic", 0, 28.0), point("b", 1e6, 30.0)], label=""))
    assert len(svg.all("line", "level")) == 1
    assert len(svg.all("circle")) == 1


def test_printed_points_are_told_apart_and_infinite_ones_left_out(parse):
    points = [point("a", 1e5, 28.0, printed=True), point("b", 1e6, math.inf)]
    svg = parse(scatter_svg(points, label=""))
    (group,) = svg.all("g")
    assert group.attributes["class"] == "c1 printed"
    assert group.all("title")[0].text == "title of a"


def test_long_names_are_cut_short_and_stay_whole_in_the_title(parse):
    svg = parse(scatter_svg([point("n" * 80, 1e5, 28.0), point("b", 1e6, 30.0)], label=""))
    label = svg.all("text", "label")[0]
    assert len(label.text) == 26
    assert label.text.endswith("…")
    assert svg.all("title")[0].text == "title of " + "n" * 80


@pytest.mark.parametrize("printed", [False, True])
def test_labels_do_not_lie_on_each_other(parse, printed):
    points = [point(f"method {i}", 5e5 * 1.02**i, 28 + 0.01 * i, printed=i > 2) for i in range(16)]
    points += [point("far", 4e6, 31.0, printed=printed)]
    texts = parse(scatter_svg(points, label="")).all("text", "label")
    boxes = []
    for text in texts:
        wide = len(text.text) * LETTER
        edge = across(text) + float(text.attributes.get("dx", 0))
        left = edge if "first" in text.attributes["class"].split() else edge - wide
        boxes.append((left, left + wide, float(text.attributes["y"])))
    assert {"method 0", "method 1", "method 2", "far"} <= {text.text for text in texts}
    assert len(texts) < len(points)  # there is no room for all
    for i, (left, right, y) in enumerate(boxes):
        for other_left, other_right, other_y in boxes[i + 1 :]:
            assert right <= other_left or other_right <= left or abs(y - other_y) >= LINE
