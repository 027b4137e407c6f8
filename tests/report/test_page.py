"""Pages are escaped, whole and closed to the world; their parts are those of tables."""

from __future__ import annotations

import math

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from srcli.evaluation.statistics import Difference
from srcli.report.page import (
    Bar,
    axis_of,
    bar_marks,
    colour_of,
    environment,
    interval_table,
    plot_column,
    render_page,
)
from srcli.report.table import Column, Row, Table


def draw(table):
    """The markup of a table."""
    macro = environment().get_template("parts.html.j2").module.__dict__["table"]
    return macro(table, "A <label>")


def test_text_is_escaped_once_and_markup_stays(parse):
    cells = ("a < b & 'c'", Markup("<b>bold</b>"))
    columns = (Column("<i>", "text"), Column("value"))
    tree = parse(draw(Table(columns=columns, rows=(Row(cells=cells),))))
    (head,) = tree.all("tbody")[0].all("th")
    assert head.text == "a < b & 'c'"
    assert tree.all("td")[0].all("b")[0].text == "bold"
    assert [each.text for each in tree.all("thead")[0].all("th")] == ["<i>", "value"]
    assert tree.all("div", "scroll")[0].attributes["aria-label"] == "A <label>"


def test_groups_are_shown_where_they_have_a_heading(parse):
    rows = (Row(cells=("a",), group="one"), Row(cells=("b",), group="two"))
    columns = (Column("name", "text"),)
    shown = parse(draw(Table(group_heading="set", columns=columns, rows=rows)))
    assert [head.text for head in shown.all("tr", "group")] == ["one", "two"]
    assert parse(draw(Table(columns=columns, rows=rows))).all("tr", "group") == []


def test_a_page_names_what_its_template_lacks():
    with pytest.raises(UndefinedError):
        render_page("srcli.pipelines.ablate", title="no results", version="1")


def test_half_characters_can_be_written():
    page = render_page(
        "srcli.pipelines.ablate",
        title="caf\udce9 <one>",
        version="1",
        summary=Table(columns=(), rows=()),
        ablations=[],
    )
    assert "<h1>caf? &lt;one&gt;</h1>" in page
    assert "<title>caf? &lt;one&gt;</title>" in page
    assert page.encode("utf-8")


def at(axis, value):
    """Place of a value on an axis, 0 to 1."""
    return float(axis.percent(value)[:-1]) / 100


def found(mean, low, high):
    """A difference."""
    return Difference(
        scale=4,
        dataset="a",
        model="b",
        against="c",
        metric="psnr",
        pictures=2,
        mean=mean,
        low=low,
        high=high,
    )


@pytest.mark.parametrize(
    "values", [[28.1, 28.4, 31.9], [-0.3, 0.9], [1e-4, 3e-4], [12.0], [0.0], [], [-5, -4]]
)
def test_values_lie_inside_and_ticks_are_few_and_round(values):
    axis = axis_of(values)
    held = [*values, 0.0]
    assert all(0 < at(axis, value) < 1 for value in held)
    assert 2 <= len(axis.ticks) <= 8
    assert all(0 <= at(axis, tick) <= 1 for tick in axis.ticks)
    printed = axis.labels
    assert len(set(printed)) == len(printed)
    assert [float(each) for each in printed] == pytest.approx(list(axis.ticks), abs=1e-12)


def test_places_follow_values():
    axis = axis_of([0.0, 10.0])
    assert at(axis, 5.0) == pytest.approx(0.5)
    assert float(axis.width(5.0)[:-1]) / 100 == pytest.approx(at(axis, 5.0) - at(axis, 0.0))
    assert at(axis, 2.0) < at(axis, 3.0)


def test_values_that_are_not_finite_do_not_stretch_an_axis():
    assert axis_of([math.inf, 1.0, 2.0, math.nan]) == axis_of([1.0, 2.0])


AXIS = axis_of([-1.0, 2.0])


def drawn(each):
    """The cell that shows a difference, beside one that sets the ends of the axis."""
    entries = [("", "a", "c1", each), ("", "b", "c2", found(0.0, -1.0, 2.0))]
    table = interval_table(entries, ("model", "difference"), digits=2)
    assert table.headings[2] == plot_column(AXIS).heading
    return table.rows[0].cells[2]


def place(node, name):
    """Place of a mark across its chart, 0 to 1."""
    value = node.attributes[name]
    assert value.endswith("%")
    return float(value[:-1]) / 100


def test_a_difference_lies_on_its_interval(parse):
    svg = parse(drawn(found(1.2, 0.5, 1.9)))
    (dot,) = svg.all("circle")
    (line,) = svg.all("line", "interval")
    assert place(dot, "cx") == pytest.approx(at(AXIS, 1.2), abs=1e-4)
    assert place(line, "x1") == pytest.approx(at(AXIS, 0.5), abs=1e-4)
    assert place(line, "x2") == pytest.approx(at(AXIS, 1.9), abs=1e-4)
    assert not svg.all("circle", "hollow")
    (zero,) = svg.all("line", "zero")
    assert place(zero, "x1") == pytest.approx(at(AXIS, 0.0), abs=1e-4)


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 0.0), (math.nan, math.nan)])
def test_a_dot_is_hollow_unless_its_interval_leaves_out_zero(parse, low, high):
    svg = parse(drawn(found(0.2, low, high)))
    assert len(svg.all("circle", "hollow")) == 1
    assert len(svg.all("line", "interval")) == (0 if math.isnan(low) else 1)


def test_no_mean_no_dot(parse):
    svg = parse(drawn(found(math.nan, math.nan, math.nan)))
    assert svg.all("circle") == []
    assert len(svg.all("line", "zero")) == 1


def test_bars_start_at_zero_to_either_side(parse):
    bars = [Bar(value=v, colour="c1", title=f"<{v}>") for v in (2.0, -0.5, math.inf)]
    svg = parse(bar_marks(AXIS, bars))
    right, left = svg.all("rect")
    assert place(right, "x") == pytest.approx(at(AXIS, 0.0), abs=1e-4)
    assert place(right, "width") == pytest.approx(at(AXIS, 2.0) - at(AXIS, 0.0), abs=2e-4)
    assert place(left, "x") + place(left, "width") == pytest.approx(at(AXIS, 0.0), abs=2e-4)
    assert float(right.attributes["y"]) + float(right.attributes["height"]) < float(
        left.attributes["y"]
    )
    assert [node.text for node in svg.all("title")] == ["<2.0>", "<-0.5>"]


def test_ticks_are_written_at_their_places(parse):
    texts = parse(plot_column(AXIS).heading).all("text")
    assert [node.text for node in texts] == ["-1", "0", "1", "2"]
    assert [place(node, "x") for node in texts] == pytest.approx(
        [at(AXIS, tick) for tick in (-1, 0, 1, 2)], abs=1e-4
    )


def test_only_the_first_model_is_gray():
    colours = [colour_of(i) for i in range(30)]
    assert colours[0] == "c0"
    assert "c0" not in colours[1:]
    assert len(set(colours[:8])) == 8
    assert set(colours) == {f"c{i}" for i in range(8)}
