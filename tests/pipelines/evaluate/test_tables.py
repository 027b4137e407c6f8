"""Numbers as every written form prints them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from srcli.pipelines.evaluate import tables


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
    assert tables.number(value, digits, sign=sign) == expected


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
    assert tables.short(value) == expected


def test_without_times_there_is_no_column_of_them(written):
    untimed = replace(written, scores=[replace(s, seconds=None) for s in written.scores])
    assert tables.score_table(written, 4).headings[-1] == "s/picture"
    table = tables.score_table(untimed, 4)
    assert table.headings == ("pictures", "PSNR dB", "SSIM")
    assert {len(row.cells) for row in table.rows} == {3}


def test_a_scale_shows_its_own_rows_only(written):
    other = replace(written, scales=(2, 4), sizes={**written.sizes, (2, "Photos"): 1})
    assert [row.label for row in tables.score_table(other, 2).rows][-1] == "ELSEWHERE"
    assert tables.difference_table(other, 2).rows == ()
    assert tables.cost_table(other, 2).rows == ()


def test_differences_over_unlike_pictures_say_so(written):
    changed = [
        replace(each, pictures=1) if each.metric == "psnr" else each for each in written.differences
    ]
    rows = tables.difference_table(replace(written, differences=changed), 4).rows
    assert [row.cells[0] for row in rows] == ["1 or 2", "1 or 2", "1"]


def test_a_printed_row_of_ours_is_named_and_its_doubts_are_told(written):
    row = replace(written.published[0], model="bicubic", note="looks wrong")
    table = tables.score_table(replace(written, published=[row]), 4)
    (printed,) = [row for row in table.rows if row.source]
    assert printed.label == "OLD (bicubic)"
    assert printed.source is not None
    assert printed.source.endswith("; protocol: Y; looks wrong")


def test_the_best_of_a_picture_are_all_that_print_alike():
    assert tables.best_pictures({"a": 30.0001, "b": 30.0, "c": 29.0}, 3) == {"a", "b"}
    assert tables.best_pictures({"a": math.inf, "b": 30.0}, 3) == {"a"}
    assert tables.best_pictures({"a": 30.0}, 3) == set()
