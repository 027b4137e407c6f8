"""The journal: read back as written, up to where it is torn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from srcli.imaging.rasters.blocks import BlockGrid, BlockTable
from srcli.imaging.rasters.journal import (
    Chunk,
    FileStamp,
    Journal,
    JournalRecord,
    describe_changes,
    json_values,
    read_journal,
)

GRID = BlockGrid(
    height=70, width=50, block_height=16, block_width=32, planes=(3, 1), chunk_blocks=2
)
MARK = {"model": "g-idrn", "scale": 4, "part": (0, 0, 50, 70)}


def chunk(number):
    rng = np.random.default_rng(number)
    tables = [
        BlockTable(offsets=rng.integers(0, 2**40, shape), sizes=rng.integers(0, 2**31, shape))
        for shape in GRID.shapes(number)
    ]
    return Chunk(end=1000 * (number + 1), checksum=number, tables=tables)


@pytest.fixture
def path(tmp_path):
    """A journal of three chunks, ready for its name."""
    path = tmp_path / "journal"
    journal = Journal.start(path, MARK)
    for number in range(3):
        journal.add(number, chunk(number))
    journal.sync()
    journal.set_ready(FileStamp(size=5, time=2**60 + 1))
    journal.close()
    return path


def read(path) -> JournalRecord:
    record = read_journal(path, GRID)
    assert record is not None
    return record


def test_it_is_read_back_as_written(path):
    record = read(path)
    assert record.fingerprint == json_values(MARK)
    assert [one.end for one in record.chunks] == [1000, 2000, 3000]
    assert [one.checksum for one in record.chunks] == [0, 1, 2]
    for number, one in enumerate(record.chunks):
        for found, wanted in zip(one.tables, chunk(number).tables, strict=True):
            np.testing.assert_array_equal(found.offsets, wanted.offsets)
            np.testing.assert_array_equal(found.sizes, wanted.sizes)
    assert record.ready == FileStamp(size=5, time=2**60 + 1)


def test_no_journal_is_none(tmp_path):
    assert read_journal(tmp_path / "missing", GRID) is None


def test_cut_anywhere_it_gives_what_is_whole(path):
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    for length in {*range(0, len(data), 37), *ends, *(end - 1 for end in ends)}:
        path.write_bytes(data[:length])
        whole = sum(end <= length for end in ends)
        record = read_journal(path, GRID)
        if whole == 0:
            assert record is None
            continue
        assert record is not None
        assert len(record.chunks) == min(whole - 1, 3)
        assert (record.ready is not None) == (whole == 5)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[]",
        b"{}",
        b'{"chunk":1,"end":1,"checksum":2,"tables":[]}',
        b'{"chunk":1,"end":1,"checksum":2,"tables":7}',
        b'{"chunk":1,"end":"x","checksum":2,"tables":[{"offsets":[1],"sizes":[2]}]}',
        b'{"chunk":"1","end":1,"checksum":2,"tables":[]}',
        b'{"chunk":2,"end":1,"checksum":2,"tables":[]}',  # one is missing before it
        b'{"ready":[1,2]}',  # before all chunks are there
    ],
)
def test_a_damaged_line_ends_it(path, line):
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    record = read(path)
    assert len(record.chunks) == 1
    assert record.ready is None


def test_another_version_is_not_read(path):
    lines = path.read_bytes().split(b"\n")
    head = {**json.loads(lines[0]), "srx": 99}
    path.write_bytes(b"\n".join([json.dumps(head).encode(), *lines[1:]]))
    assert read_journal(path, GRID) is None


def test_going_on_cuts_off_what_does_not_count(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + b"torn")
    record = read(path)
    record.chunks.pop()  # its bytes were not whole
    journal = Journal.resume(path, record)
    journal.add(2, chunk(2))
    journal.set_ready(FileStamp(size=5, time=2**60 + 1))
    journal.close()
    assert path.read_bytes() == whole


def test_a_chunk_that_is_noted_twice_counts_once(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[1], lines[2], *lines[3:4]]))
    record = read(path)
    assert [one.end for one in record.chunks] == [1000, 2000, 3000]
    record.chunks.pop()
    Journal.resume(path, record).close()
    assert [one.end for one in read(path).chunks] == [1000, 2000]


def test_what_is_ready_stays_so(path):
    whole = path.read_bytes()
    Journal.resume(path, read(path)).close()
    assert path.read_bytes() == whole


def test_the_last_word_on_what_is_ready_counts(path):
    journal = Journal.resume(path, read(path))
    journal.set_ready(FileStamp(size=6, time=7))
    journal.close()
    assert read(path).ready == FileStamp(size=6, time=7)


def test_differences_in_words():
    old, new = json_values(MARK), json_values({**MARK, "scale": 2, "tile": "x" * 99})
    assert describe_changes(old, old) == ""
    words = describe_changes(old, new)
    assert words.startswith("scale was 4, is 2; tile was not set, is xxx")
    assert len(words) < 100
    many = {str(number): number for number in range(5)}
    assert describe_changes(many, {}).endswith("2 was 2, is not set; and 2 more")
