"""Numbers as every written form prints them, and columns chosen from a table."""

from __future__ import annotations

import math
import re

from srcli.report.table import (
    Column,
    Row,
    Table,
    decimals,
    escape,
    markdown_table,
    number,
    short,
    significant,
    visible,
)


def test_numbers_are_printed_in_their_digits():
    assert number(31.23456, 3) == "31.235"
    assert number(0.5, 3, sign=True) == "+0.500"
    assert (number(-0.00001, 4), number(-0.00001, 4, sign=True)) == (
        "0.0000",
        "+0.0000",
    )
    assert (number(math.inf, 3), number(math.nan, 3, sign=True), number(None, 3)) == (
        "inf",
        "–",
        "–",
    )
    counts = (0, 999, 579_738, 999_960, 1_234_567, 36_182_000_000, 5e15)
    assert [*map(short, counts)] == [
        "0",
        "999",
        "579.7 K",
        "1 M",
        "1.235 M",
        "36.18 G",
        "5000 T",
    ]
    values = (1316.2, 84.23, 0.5234, 0.00123456, 0)
    assert [*map(significant, values)] == ["1316", "84.2", "0.523", "0.00123", "0"]
    assert (decimals([32.2, 32.25]), decimals([4096, 21]), decimals([], 2)) == (2, 0, 2)


TABLE = Table(
    group_heading="set",
    columns=(Column("model", "text"), Column("dB"), Column("verdict", "text")),
    rows=(
        Row(cells=("a|b", "31.00", "base"), group="<Set>", best=frozenset({"dB"})),
        Row(cells=("c", None, "better"), group="<Set>", source="a paper"),
    ),
)


def test_markdown_has_groups_bold_values_and_sources():
    assert list(markdown_table(TABLE)) == [
        "| set | model | dB | verdict |",
        "| --- | --- | ---: | --- |",
        r"| \<Set\> | a\|b | **31.00** | base |",
        r"| \<Set\> | c, as printed in a paper | – | better |",
        "",
    ]


def test_texts_are_shown_as_they_are():
    for text in ("a|b", "**x**", "<i>", "C:\\x", "_x_"):
        assert re.sub(r"\\(.)", r"\1", escape(text)) == text != escape(text)
    assert [*map(escape, ("my_model_x4", "two\nlines", "caf\udce9"))] == [
        "my_model_x4",
        "two lines",
        "caf?",
    ]


def test_what_steers_terminals_is_escaped():
    assert visible("a\x1b[2J\nb\u202ec é") == "a\\x1b[2J\\nb\\u202ec é"
