"""An evaluation as tables, Markdown that GitHub shows as it was meant."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from srcli.pipelines.evaluate import report as tables
from srcli.pipelines.evaluate.report import evaluation_report
from srcli.report.table import markdown

PIPE = re.compile(r"(?<!\\)\|")


def plain(text):
    """What is shown of an escaped text."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def read(text):
    """Tables as lists of rows of cells; every row has as many cells as its heading."""
    tables = []
    for block in text.split("\n\n"):
        lines = block.strip().split("\n")
        if lines[0].startswith("|"):
            rows = [[cell.strip() for cell in PIPE.split(line)[1:-1]] for line in lines]
            assert {len(row) for row in rows} == {len(rows[0])}
            assert set("".join(rows[1])) <= set("-:")
            tables.append([rows[0], *rows[2:]])
    return tables


def test_a_scale_shows_its_own_rows_only(written):
    two_scales = replace(
        written, scales=(2, 4), sizes={**written.sizes, (2, "Photos"): 1}
    )
    assert [row.cells[0] for row in tables.score_table(two_scales, 2).rows][
        -1
    ] == "ELSEWHERE"
    assert tables.difference_table(two_scales, 2).rows == ()
    assert [table.rows for table in tables.scale_tables(two_scales, 2)[2:]] == [(), ()]


def test_rows_of_another_protocol_are_not_comparable(written):
    row = replace(written.published[0], preset="rgb")
    table = tables.score_table(replace(written, published=[row]), 4)
    (printed,) = [row for row in table.rows if row.source]
    assert printed.cells[1] == "not comparable"
    assert "; comparable by --protocol rgb" in printed.source


def test_a_printed_row_of_ours_is_named_and_its_doubts_are_told(written):
    row = replace(written.published[0], model="bicubic", note="looks wrong")
    table = tables.score_table(replace(written, published=[row]), 4)
    (printed,) = [row for row in table.rows if row.source]
    assert printed.cells[0] == "OLD (bicubic)"
    assert printed.source.endswith("; protocol: Y; looks wrong")


@pytest.fixture(scope="module")
def found(written):
    return read(markdown(evaluation_report(written)))


def test_scores_are_the_means_with_pictures_of_pictures(written, found):
    head, *rows = found[0]
    assert head == ["set", "model", "pictures", "PSNR dB", "SSIM", "s/picture"]
    ours = [row for row in rows if row[2] != "printed"]
    means = {(m["dataset"], m["model"]): m for m in written.means()}
    assert len(ours) == 6
    for dataset, model, pictures, psnr, ssim, seconds in ours:
        mean = means.get((plain(dataset), plain(model)))
        if mean is None:
            assert [pictures, psnr, ssim, seconds] == ["0 of 1", "–", "–", "–"]
            continue
        assert pictures == f"{mean['pictures']} of {mean['of']}"
        assert psnr.strip("*") == f"{mean['values']['psnr']:.3f}"
        assert ssim.strip("*") == f"{mean['values']['ssim']:.4f}"
        assert seconds == ("–" if mean["seconds"] is None else f"{0.0125:.3f}")


def test_published_rows_name_their_source_and_keep_their_digits(found):
    printed = [row for row in found[0][1:] if row[2] == "printed"]
    assert [row[3:5] for row in printed] == [["28.20", "–"], ["28.35", "0.7841"]]
    assert plain(printed[0][1]) == (
        "OLD, as printed in Nobody | et al., Table <2>; protocol: Y"
    )


def test_differences_stand_with_their_intervals(written, found):
    head, *rows = found[1]
    assert head == ["set", "model", "metric", "pictures", "difference", "95 % interval"]
    for difference, row in zip(written.differences, rows, strict=True):
        assert (plain(row[0]), plain(row[1])) == (
            difference["dataset"],
            difference["model"],
        )
        digits = 3 if difference["metric"] == "psnr" else 4
        count = difference["pictures"]
        low, mean, high = (
            f"{difference[key]:+.{digits}f}" for key in ("low", "mean", "high")
        )
        assert row[3:] == [str(count), mean, f"[{low}, {high}]" if count > 1 else "–"]


def test_chain_and_failures_end_the_text(written):
    lines = [*map(plain, markdown(evaluation_report(written)).split("\n"))]
    assert written.chain in lines
    failures = [line for line in lines if line.startswith("Not measured: ")]
    assert failures[0].endswith(": <out> of ice")
    assert failures[1] == "Not measured: Photos/16-bit ×4, every model: has | values"
