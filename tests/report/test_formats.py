"""Tables and values as Markdown, CSV and JSON, whatever stands in them."""

from __future__ import annotations

import json
import math

import pytest

from srcli.report.formats import csv_text, escape, json_text, markdown_table
from srcli.report.table import Column, Row, Table

TABLE = Table(
    group_heading="set",
    columns=(Column("model", "text"), Column("dB", digits=2), Column("verdict", "status")),
    rows=(
        Row(cells=("a|b", 31.005, "base"), group="<Set>", best=frozenset({"dB"})),
        Row(cells=("c", None, "better"), group="<Set>", source="a paper"),
    ),
)


def test_markdown_has_groups_bold_values_and_sources():
    assert list(markdown_table(TABLE)) == [
        "| set | model | dB | verdict |",
        "| --- | --- | ---: | ---: |",
        r"| \<Set\> | a\|b | **31.00** | base |",
        r"| \<Set\> | c, as printed in a paper | – | better |",
        "",
    ]


def test_csv_keeps_all_digits_and_leaves_nothing_empty():
    assert csv_text(TABLE) == "model,dB,verdict\na|b,31.005,base\nc,,better\n"


def test_json_has_no_number_that_is_not_finite():
    values = {"a": math.nan, "b": (1.5, -math.inf), 3: [None, True]}
    text = json_text(values)
    assert json.loads(text) == {"a": None, "b": [1.5, None], "3": [None, True]}
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("my_model_x4", "my_model_x4"),
        ("_x_", "\\_x\\_"),
        ("**x**", "\\*\\*x\\*\\*"),
        ("<i>", "\\<i\\>"),
        ("C:\\x", "C:\\\\x"),
        ("two\nlines", "two lines"),
        ("caf\udce9", "caf?"),
    ],
)
def test_texts_are_shown_as_they_are(text, expected):
    assert escape(text) == expected
