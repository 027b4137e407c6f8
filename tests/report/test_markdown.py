"""Markdown that GitHub shows as it was meant, whatever models and pictures are called."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from srcli.report.markdown import escape, markdown

PIPE = re.compile(r"(?<!\\)\|")
BOLD = re.compile(r"\*\*(.+)\*\*")


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


@pytest.fixture(scope="module")
def found(written):
    return read(markdown(written))


def test_scores_are_the_means_with_pictures_of_pictures(written, found):
    head, *rows = found[0]
    assert head == ["set", "model", "pictures", "PSNR dB", "SSIM", "s/picture"]
    ours = [row for row in rows if row[2] != "printed"]
    means = {(m.dataset, m.model): m for m in written.means()}
    assert len(ours) == 6
    for dataset, model, pictures, psnr, ssim, seconds in ours:
        mean = means.get((plain(dataset), plain(model)))
        if mean is None:
            assert [pictures, psnr, ssim, seconds] == ["0 of 1", "–", "–", "–"]
            continue
        assert pictures == f"{mean.pictures} of {mean.of}"
        assert psnr.strip("*") == f"{mean.values['psnr']:.3f}"
        assert ssim.strip("*") == f"{mean.values['ssim']:.4f}"
        assert seconds == ("–" if mean.seconds is None else f"{0.0125:.3f}")


def test_the_best_of_a_set_is_bold(written, found):
    for dataset, model, _, psnr, ssim, _ in found[0][1:]:
        best = written.best(4, plain(dataset))
        assert bool(BOLD.fullmatch(psnr)) == (plain(model) in best["psnr"])
        assert bool(BOLD.fullmatch(ssim)) == (plain(model) in best["ssim"])
    assert sum(bool(BOLD.fullmatch(row[3])) for row in found[0][1:]) == 2


def test_published_rows_name_their_source_and_keep_their_digits(found):
    printed = [row for row in found[0][1:] if row[2] == "printed"]
    assert [row[3:5] for row in printed] == [["28.20", "–"], ["28.35", "0.7841"]]
    assert plain(printed[0][1]) == ("OLD, as printed in Nobody | et al., Table <2>; protocol: Y")


def test_differences_stand_with_their_intervals(written, found):
    head, *rows = found[1]
    assert head == ["set", "model", "pictures", "PSNR dB", "SSIM"]
    by_metric = {(d.dataset, d.model, d.metric): d for d in written.differences}
    for dataset, model, pictures, psnr, _ in rows:
        each = by_metric[plain(dataset), plain(model), "psnr"]
        interval = f" [{each.low:+.3f}, {each.high:+.3f}]" if each.pictures > 1 else ""
        assert psnr == f"{each.mean:+.3f}{interval}"
        assert pictures == str(each.pictures)
    assert len(rows) == 3


def test_costs_have_a_table(written, found):
    head, *rows = found[2]
    assert head[0] == "model"
    assert [plain(row[0]) for row in rows] == list(written.models)
    assert rows[1][1:] == ["579.7 K", "256×256", "36.05 G", "36.18 G", "31.71 G", "123 MiB (host)"]
    assert rows[2][-1] == "–"


def test_chain_and_failures_end_the_text(written):
    lines = markdown(written).split("\n")
    assert written.chain in [plain(line) for line in lines]
    failures = [plain(line) for line in lines if line.startswith("- ")]
    assert failures[0].endswith(": <out> of ice")
    assert failures[1] == "- Photos/16-bit ×4, every model: has | values"


def test_what_is_not_there_leaves_no_trace(written):
    text = markdown(replace(written, failures=[], costs=[], differences=[], published=[]))
    assert len(read(text)) == 2  # scores, and every picture
    assert not re.search("failed|Not measured|costs|differences|printed", text)


def test_without_intervals_none_are_promised(written):
    nan = float("nan")
    bare = [replace(each, low=nan, high=nan) for each in written.differences]
    assert "95 %" in markdown(written)
    assert "95 %" not in markdown(replace(written, differences=bare))


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
