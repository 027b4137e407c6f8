"""Pages are escaped, whole and closed to the world; their parts are those of tables."""

from __future__ import annotations

import base64
import html
import re

import matplotlib as mpl
import pytest
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from srcli.report.page import draw_chart, draw_sheet, render_page
from srcli.report.table import Column, Row, Table


def draw(table):
    """The markup of a table."""
    environment = Environment(loader=PackageLoader("srcli.report", ""), autoescape=True)
    macro = environment.get_template("parts.html.j2").module.__dict__["table"]
    return macro(table, "A <label>")


def test_text_is_escaped_once_and_markup_stays(parse):
    cells = ("a < b & 'c'", Markup("<b>bold</b>"))
    columns = (Column("<i>", "text"), Column("value"))
    tree = parse(draw(Table(columns=columns, rows=(Row(cells=cells),))))
    (head,) = tree.all("tbody")[0].all("th")
    assert head.text == "a < b & 'c'"
    assert tree.all("td")[0].all("b")[0].text == "bold"
    assert [cell.text for cell in tree.all("thead")[0].all("th")] == ["<i>", "value"]
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
    ((uri, alt),) = re.findall(
        r'<img class="chart" src="([^"]*)" alt="([^"]*)">', image
    )
    return base64.b64decode(uri.partition(",")[2]).decode(), html.unescape(alt)


@pytest.mark.parametrize("name", ["$x_1$", "超解像"])
def test_the_same_chart_twice_whatever_names_and_settings_are(name):
    def draw(axes):
        axes.plot([1, 2], [3, 4], label=name)
        axes.legend()

    once = draw_chart(draw, name)
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "other"}):
        assert draw_chart(draw, name) == once
        assert mpl.rcParams["font.size"] == 30
    assert name in drawn(once)[0]


def test_a_sheet_has_a_cell_for_each_picture_whatever_its_name(astronaut):
    row = {"caf\udce9": astronaut[:9, :12], "超" * 99: astronaut[:9, :20]}
    sheet = draw_sheet([row, {"a": astronaut[:5, :5], "b": astronaut[:5, :5]}], 20)
    assert sheet.shape == (9 + 26 + 5 + 26, 2 * 28, 3)
    assert (sheet[4:13, 4:16] == astronaut[:9, :12]).all()
