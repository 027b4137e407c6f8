"""An evaluation as tables, Markdown that GitHub shows as it was meant."""

from __future__ import annotations

import fnmatch
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
            rows = []
            for line in lines:
                _, *cells, _ = map(str.strip, PIPE.split(line))
                rows.append(cells)
                assert len(cells) == len(rows[0])
            assert set("".join(rows[1])) <= set("-:")
            tables.append([rows[0], *rows[2:]])
    return tables


def test_a_scale_shows_its_own_rows_only(written):
    two_scales = replace(
        written, scales=(2, 4), sizes={**written.sizes, (2, "Photos"): 1}
    )
    assert tables.score_table(two_scales, 2).rows[-1].cells[0] == "ELSEWHERE"
    assert tables.difference_table(two_scales, 2).rows == ()
    _, _, costs, failures = tables.scale_tables(two_scales, 2)
    assert (costs.rows, failures.rows) == ((), ())


def printed_row(written, **changes):
    """The row of the table of scores that was printed elsewhere."""
    published = [replace(written.published[0], **changes)]
    table = tables.score_table(replace(written, published=published), 4)
    (printed,) = [row for row in table.rows if row.source]
    return printed


def test_rows_of_another_protocol_are_not_comparable(written):
    printed = printed_row(written, preset="rgb")
    assert printed.cells[1] == "not comparable"
    assert "; comparable by --protocol rgb" in printed.source


def test_a_printed_row_of_ours_is_named_and_its_doubts_are_told(written):
    printed = printed_row(written, model="bicubic", note="looks wrong")
    assert printed.cells[0] == "OLD (bicubic)"
    assert printed.source.endswith("; protocol: Y; looks wrong")


@pytest.fixture(scope="module")
def rows_of_tables(written):
    return read(markdown(evaluation_report(written)))


def test_scores_are_the_means_with_pictures_of_pictures(written, rows_of_tables):
    head, *rows = rows_of_tables[0]
    assert head == ["set", "model", "pictures", "PSNR dB", "SSIM", "s/picture"]
    means = {(mean["dataset"], mean["model"]): mean for mean in written.means()}
    rows = [row for row in rows if row[2] != "printed"]
    assert len(rows) == 6
    for dataset, model, pictures, psnr, ssim, seconds in rows:
        mean = means.get((plain(dataset), plain(model)))
        if mean is None:
            assert [pictures, psnr, ssim, seconds] == ["0 of 1", "–", "–", "–"]
            continue
        assert pictures == f"{mean['pictures']} of {mean['of']}"
        assert psnr.strip("*") == f"{mean['values']['psnr']:.3f}"
        assert ssim.strip("*") == f"{mean['values']['ssim']:.4f}"
        assert seconds == ("–" if mean["seconds"] is None else f"{0.0125:.3f}")


def test_published_rows_name_their_source_and_keep_their_digits(rows_of_tables):
    old, new = [row for row in rows_of_tables[0] if row[2] == "printed"]
    assert old[3:5] == ["28.20", "–"]
    assert new[3:5] == ["28.35", "0.7841"]
    assert plain(old[1]) == (
        "OLD, as printed in Nobody | et al., Table <2>; protocol: Y"
    )


def test_differences_stand_with_their_intervals(written, rows_of_tables):
    head, *rows = rows_of_tables[1]
    assert head == ["set", "model", "metric", "pictures", "difference", "95 % interval"]
    for difference, row in zip(written.differences, rows, strict=True):
        assert (plain(row[0]), plain(row[1])) == (
            difference["dataset"],
            difference["model"],
        )
        digits = 3 if difference["metric"] == "psnr" else 4
        count = difference["pictures"]
        interval = "–"
        if count > 1:
            low = f"{difference['low']:+.{digits}f}"
            high = f"{difference['high']:+.{digits}f}"
            interval = f"[{low}, {high}]"
        assert row[3:] == [str(count), f"{difference['mean']:+.{digits}f}", interval]


def test_chain_and_failures_end_the_text(written):
    lines = [*map(plain, markdown(evaluation_report(written)).split("\n"))]
    assert written.chain in lines
    first_failure, second_failure = fnmatch.filter(lines, "Not measured: *")
    assert first_failure.endswith(": <out> of ice")
    assert second_failure == "Not measured: Photos/16-bit ×4, every model: has | values"
