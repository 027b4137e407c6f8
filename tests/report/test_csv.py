"""CSV that reads back to the very numbers."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

from srcli.report.csv import csv_rows, csv_text


def read(text):
    """Rows by heading."""
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_for_every_picture_under_every_model(written):
    rows = read(csv_text(written))
    assert len(rows) == len(written.scores) == 8
    for row, score in zip(rows, written.scores, strict=True):
        found = (int(row["scale"]), row["set"], row["picture"], row["model"])
        assert found == (score.scale, score.dataset, score.picture, score.model)


def test_values_keep_all_digits(written):
    for row, score in zip(read(csv_text(written)), written.scores, strict=True):
        assert {name: float(row[name]) for name in written.metrics} == score.values
        assert row["seconds"] == ("" if score.seconds is None else "0.0125")


def test_every_row_says_how_it_came_about(written):
    rows = read(csv_text(written))
    assert {row["protocol"] for row in rows} == {"y"}
    assert {row["chain"] for row in rows} == {written.chain}


def test_columns_follow_the_metrics(written):
    heading = next(iter(csv_rows(replace(written, metrics=("ifc", "psnr")))))
    assert heading[:6] == ["scale", "set", "picture", "model", "ifc", "psnr"]
    rows = read(csv_text(replace(written, metrics=("ifc", "psnr"))))
    assert {row["ifc"] for row in rows} == {""}


def test_equal_pictures_read_back_as_infinite(written):
    score = replace(written.scores[0], values={"psnr": math.inf, "ssim": 1.0})
    (row,) = read(csv_text(replace(written, scores=[score])))
    assert float(row["psnr"]) == math.inf


def test_names_that_are_not_utf8_can_be_written(written):
    score = replace(written.scores[0], picture="caf\udce9", model='a,b\n"c"')
    text = csv_text(replace(written, scores=[score]))
    assert text.encode("utf-8")
    (row,) = read(text)
    assert (row["picture"], row["model"]) == ("caf?", 'a,b\n"c"')
