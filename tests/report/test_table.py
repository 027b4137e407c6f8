"""Numbers as every written form prints them, and columns chosen from a table."""

from __future__ import annotations

import math

import pytest

from srcli.report.table import (
    Column,
    Row,
    Table,
    csv_text,
    decimals,
    escape,
    markdown_table,
    number,
    short,
    significant,
    visible,
)


@pytest.mark.parametrize(
    ("value", "digits", "sign", "expected"),
    [
        (31.23456, 3, False, "31.235"),
        (0.5, 3, True, "+0.500"),
        (-0.00001, 4, True, "+0.0000"),
        (-0.00001, 4, False, "0.0000"),
        (math.inf, 3, False, "inf"),
        (math.nan, 3, True, "–"),
        (None, 3, False, "–"),
    ],
)
def test_numbers(value, digits, sign, expected):
    assert number(value, digits, sign=sign) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (579_738, "579.7 K"),
        (999_960, "1 M"),
        (1_234_567, "1.235 M"),
        (36_182_000_000, "36.18 G"),
        (5e15, "5000 T"),
    ],
)
def test_counts_are_short(value, expected):
    assert short(value) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(1316.2, "1316"), (84.23, "84.2"), (0.5234, "0.523"), (0.00123456, "0.00123"), (0, "0")],
)
def test_significant_digits(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("values", "least", "digits"), [([32.2, 32.25], 0, 2), ([4096, 21], 0, 0), ([], 2, 2)]
)
def test_printed_values_have_the_digits_of_the_longest(values, least, digits):
    assert decimals(values, least) == digits


def test_cells_are_printed_as_their_columns_say():
    columns = (Column("a", "text"), Column("b", digits=1), Column("c"))
    row = Row(cells=("x", 0.25, 7))
    table = Table(columns=columns, rows=(row,))
    assert [text for _, text in table.cells(row)] == ["x", "0.2", "7"]
    assert [text for _, text in table.cells(Row(cells=("x", math.nan, None)))] == ["x", "–", "–"]


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
    assert (
        csv_text(TABLE.headings, [row.cells for row in TABLE.rows])
        == "model,dB,verdict\na|b,31.005,base\nc,,better\n"
    )


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


def test_what_steers_terminals_is_escaped():
    assert visible("a\x1b[2J\nb\u202ec é") == "a\\x1b[2J\\nb\\u202ec é"


@pytest.mark.parametrize("cell", ["=1+1", "+a", "-a", "@a", "\ta", "-1+cmd|x"])
def test_no_cell_of_csv_is_a_formula(cell):
    assert f"'{cell}" in csv_text(["a"], [[cell]])
    for plain in ("a=b", "-1.5", "+2e-3", "-inf", -3.5):
        assert csv_text(["a"], [[plain]]) == f"a\n{plain}\n"
