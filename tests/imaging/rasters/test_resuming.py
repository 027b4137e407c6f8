"""What an earlier run has left, whole or damaged."""

from __future__ import annotations

import pytest

from srcli.imaging.rasters import writing
from srcli.imaging.rasters.disk import journal_path, part_path
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.resuming import remove_partial_files
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.writing import RasterWriter
from srcli.ports.image import Window

MARK = {"model": "a", "part": (1, 2)}
ROWS, CHUNK = 1100, 256


@pytest.fixture
def pixels(noise):
    return noise((ROWS, 20, 3))


@pytest.fixture
def begin(save, pixels, tmp_path, monkeypatch):
    """Start or go on with a file of five chunks: ``begin(mark, resume=True, predictor=...)``."""
    monkeypatch.setattr(writing, "_SECONDS_BETWEEN_SYNCS", 0.0)
    info = read_info(save("in.tif", pixels))
    begun = []

    def start(mark=MARK, *, resume=True, predictor="2"):
        creation = {"BLOCKXSIZE": "16", "BLOCKYSIZE": "16", "PREDICTOR": predictor}
        whole = Window(top=0, left=0, height=ROWS, width=20)
        out = make_output(info, choose_layout(info), whole, 1, OutputOptions(creation=creation))
        begun.append(RasterWriter.begin(tmp_path / "out.tif", out, mark, resume=resume))
        return begun[-1]

    yield start
    for writer in begun:
        writer.suspend()


@pytest.fixture
def left(begin, pixels, tmp_path):
    """The file and the journal of a run that was stopped after 2 of 5 chunks and some rows."""
    writer = begin()
    writer.write(0, pixels[:700])
    writer.suspend()
    return part_path(tmp_path / "out.tif"), journal_path(tmp_path / "out.tif")


def test_it_goes_on_behind_the_last_chunk(left, begin):
    for _ in range(2):  # looking does no harm
        writer = begin()
        assert (writer.first_row, writer.notes) == (2 * CHUNK, ())
        writer.suspend()


def test_what_lies_behind_the_last_chunk_is_cut_off(left, begin):
    part, journal = left
    whole = part.read_bytes(), journal.read_bytes()
    part.write_bytes(whole[0] + b"half a chunk")
    journal.write_bytes(whole[1] + b'{"end":12,')
    begin().suspend()
    assert (part.read_bytes(), journal.read_bytes()) == whole


@pytest.mark.parametrize(
    ("damage", "row"),
    [
        (lambda data: data[:-1], CHUNK),
        (lambda data: data[:-9] + b"?" + data[-8:], CHUNK),
        (lambda data: data[:20], 0),
        (lambda data: data[:30] + bytes(9) + data[39:], 0),
        (lambda data: b"", 0),
    ],
    ids=["short", "changed", "nearly empty", "changed early", "empty"],
)
def test_chunks_that_are_not_whole_are_done_again(left, begin, damage, row):
    part, _ = left
    part.write_bytes(damage(part.read_bytes()))
    writer = begin()
    assert writer.first_row == row
    assert writer.notes == (f"earlier work on out.tif is damaged: continued from row {row}",)


def test_a_missing_file_starts_over(left, begin):
    left[0].unlink()
    assert begin().first_row == 0


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense\n", b'{"srx":1}\n'])
def test_a_journal_that_says_nothing_starts_over(left, begin, text):
    left[1].write_bytes(text)
    writer = begin()
    assert (writer.first_row, writer.notes) == (0, ())


def test_another_model_starts_over_and_says_so(left, begin):
    writer = begin({**MARK, "model": "b"})
    assert writer.first_row == 0
    assert writer.notes == ("earlier work on out.tif is not continued: model was a, is b",)
    assert len(left[0].read_bytes()) == 16
    writer.suspend()
    assert not any(path.exists() for path in left)  # nothing was done that could go on


def test_another_layout_of_the_file_starts_over_and_says_so(left, begin):
    writer = begin(predictor="1")
    assert writer.first_row == 0
    assert "layout of the file was" in writer.notes[0]


def test_starting_over_on_purpose_says_nothing(left, begin):
    writer = begin(resume=False)
    assert (writer.first_row, writer.notes) == (0, ())


def test_removing_everything(left, tmp_path):
    remove_partial_files(tmp_path / "out.tif")
    remove_partial_files(tmp_path / "out.tif")
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif"}
