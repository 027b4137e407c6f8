"""Pages are escaped, whole and closed to the world; their parts are those of tables."""

from __future__ import annotations

import base64
import html
import math
import re

import matplotlib as mpl
import pytest
from markupsafe import Markup

from srcli.report.page import chart_name, draw_chart, environment, interval_chart, render_page
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


def test_half_characters_can_be_written():
    page = render_page(
        "srcli.pipelines.train", title="caf\udce9 <one>", facts=[], charts=[], reload=0
    )
    assert "<h1>caf? &lt;one&gt;</h1>" in page
    assert "<title>caf? &lt;one&gt;</title>" in page
    assert page.encode("utf-8")


def drawn(image):
    """The SVG of a chart, and what is told to those who do not see it."""
    ((uri, alt),) = re.findall(r'<img class="chart" src="([^"]*)" alt="([^"]*)">', image)
    return base64.b64decode(uri.partition(",")[2]).decode(), html.unescape(alt)


def test_intervals_are_drawn_and_told():
    rows = [
        ("a", 1.2, 0.5, 1.9),
        ('$x_1$ "b"', -0.1, -0.3, 0.2),
        ("n" * 80, 0.2, math.nan, math.nan),
        ("nothing", math.nan, math.nan, math.nan),
    ]
    svg, alt = drawn(interval_chart(rows, "dB against c", 2))
    assert alt == (
        'dB against c: a: +1.20 [+0.50, +1.90]; $x_1$ "b": -0.10 [-0.30, +0.20]; '
        f"{'n' * 80}: +0.20; nothing: –"
    )
    assert "$x_1$" in svg
    assert "n" * 39 + "…" in svg
    assert svg.count("<use") >= 3


@pytest.mark.parametrize("name", ["$x_1$", "超解像", "caf\udce9", "_under", "a\x1bb"])
def test_the_same_chart_twice_whatever_names_and_settings_are(name):
    def draw(axes):
        axes.plot([1, 2], [3, 4], label=chart_name(name))
        axes.legend()

    once = draw_chart(draw, name)
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert draw_chart(draw, name) == once
        assert mpl.rcParams["font.size"] == 30
    assert name.replace("\udce9", "?").replace("\x1b", r"\x1b") in drawn(once)[0]
