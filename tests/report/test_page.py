"""Pages are escaped, whole and closed to the world; their parts are those of tables."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from srcli.report.page import environment, render_page
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
        title="caf\udce9",
        version="1",
        names=[],
        summary=Table(columns=(), rows=()),
        ablations=[],
    )
    assert "<h1>caf?</h1>" in page
    assert page.encode("utf-8")
