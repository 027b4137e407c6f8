"""Canvases that grow while parts are made: bytes, disk, damage, other options and runs."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

import numpy as np
import pytest
import rasterio

from srcli.errors import PictureError
from srcli.imaging.rasters import publishing
from srcli.imaging.rasters.canvas import append_behind, open_canvas
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import AppendedPart, Journal, open_parts, read_journal
from tests.imaging.rasters.conftest import open_source

SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}
HEIGHT = 250
WIDTH = 70
COUNT = 6


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 48)


@pytest.fixture
def pixels(noise):
    return noise((HEIGHT, WIDTH, 3))


@pytest.fixture
def source(save, pixels):
    return save("in.tif", pixels, photometric="RGB")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.tif"


def write_part(parts, source, number):
    """Write one part of an output that is as large as its input."""
    with open_source(source) as opened:
        writer = PartWriter(parts, range(number, number + 1), opened, 1)
        writer.write(0, opened.decode(opened.window).pixels)


def write_whole(path, out, source, blank=()):
    """Write the output from parts that are all made before the first is appended."""
    with open_parts(path, out, {}) as (parts, _):
        assert parts.count == COUNT
        for number in range(parts.count):
            if number in blank:
                parts.add(number, b"")
            else:
                write_part(parts, source, number)
        publishing.publish(parts)
    return path.read_bytes()


def grow(target, out, source, order, blank=()):
    """Write the output from parts in some order, each appended as soon as it can be."""
    with open_parts(target, out, {}) as (parts, _):
        with open_canvas(parts) as canvas:
            for number in order:
                if number in blank:
                    parts.add(number, b"")
                else:
                    write_part(parts, source, number)
                while canvas.append_next():
                    pass
            assert not parts.inbox()
        publishing.publish(parts)
    return target.read_bytes()


CASES = [
    ("uint8", 3, {"COMPRESS": "NONE"}),
    ("uint8", 3, {}),
    ("uint8", 3, {"COMPRESS": "JPEG"}),
    ("float32", 2, {"COMPRESS": "ZSTD", "INTERLEAVE": "BAND"}),
    ("int16", 4, {"COMPRESS": "LZW", "INTERLEAVE": "BAND", "mask": True}),
    ("uint8", 1, {"BIGTIFF": "YES", "mask": True}),
    ("uint16", 1, {"TFW": "YES", "nodata": 7}),
]


@pytest.mark.parametrize(("dtype", "bands", "options"), CASES, ids=str)
def test_the_file_is_the_same_in_whatever_order_parts_are_made(
    save, noise, plan, tmp_path, target, dtype, bands, options
):
    options = dict(options)
    valid = noise((HEIGHT, WIDTH), seed=2) > 50

    def describe(file):
        if has_mask:
            file.write_mask(valid)

    has_mask = options.pop("mask", False)
    nodata = options.pop("nodata", None)
    pixels = noise((HEIGHT, WIDTH, bands), dtype)
    source = save("in.tif", pixels, nodata=nodata, then=describe)
    out = plan(source, creation={**SMALL, **options})
    assert out.mask == has_mask
    expected = write_whole(tmp_path / "ref.tif", out, source)
    for order in (range(COUNT), range(COUNT)[::-1], (3, 0, 2, 1, 5, 4)):
        target.unlink(missing_ok=True)
        assert grow(target, out, source, order) == expected
    names = {path.name for path in tmp_path.iterdir()}
    worlds = {"out.tfw", "ref.tfw"} if "TFW" in options else set()
    assert names == {"in.tif", "out.tif", "ref.tif"} | worlds


@pytest.mark.parametrize("blank", [{0}, {2, 3}, {5}, set(range(COUNT))])
@pytest.mark.parametrize(
    ("sparse", "nodata"), [("TRUE", None), ("TRUE", 7), ("FALSE", 7)]
)
def test_blank_parts_are_appended_in_any_order(
    source, plan, tmp_path, target, blank, sparse, nodata, pixels, save
):
    source = save("in.tif", pixels | 8, nodata=nodata)
    out = plan(source, creation={**SMALL, "SPARSE_OK": sparse})
    expected = write_whole(tmp_path / "ref.tif", out, source, blank)
    assert grow(target, out, source, range(COUNT), blank) == expected


@pytest.mark.parametrize("compression", ["NONE", "DEFLATE", "JPEG"])
def test_parts_and_result_take_hardly_more_room_than_the_result(
    source, plan, target, monkeypatch, compression
):
    peak = 0
    largest_part = 0
    real = os.fsync

    def measure(number):
        nonlocal peak, largest_part
        real(number)
        taken = -source.stat().st_size
        for file in target.parent.rglob("*"):
            with suppress(FileNotFoundError):  # which the other thread has removed
                taken += file.stat().st_size * file.is_file()
        peak = max(peak, taken)

    monkeypatch.setattr(os, "fsync", measure)
    out = plan(source, creation={**SMALL, "COMPRESS": compression})
    with open_parts(target, out, {}) as (parts, _):
        with append_behind(parts):
            for number in range(parts.count):
                write_part(parts, source, number)
                for file in parts.inbox().values():
                    with suppress(FileNotFoundError):
                        largest_part = max(largest_part, file.stat().st_size)
        publishing.publish(parts)
    small_files = 4_000  # plan and journal
    size = target.stat().st_size
    assert size < peak < size + 2 * largest_part + small_files
    with rasterio.open(target) as file:
        assert file.shape == (HEIGHT, WIDTH)


def half_done(target, out, source, count=4, appended=3):
    """Leave parts of which the canvas has the first ones, as a run that was killed."""
    with open_parts(target, out, {}) as (parts, _):
        with open_canvas(parts) as canvas:
            for number in range(count):
                write_part(parts, source, number)
            for _ in range(appended):
                assert canvas.append_next()
        assert len(parts.journal().parts) == appended
        assert len(parts.inbox()) == count - appended
    return parts


def finish(target, out, source):
    """Make what is missing; return how many parts that were, and what was said."""
    with open_parts(target, out, {}) as (parts, notes):
        missing = [number for run in parts.missing() for number in run]
        for number in missing:
            write_part(parts, source, number)
        publishing.publish(parts)
    assert not parts.folder.exists()
    return missing, notes


def test_a_run_goes_on_behind_what_the_canvas_has(source, plan, tmp_path, target):
    out = plan(source, creation=SMALL)
    expected = write_whole(tmp_path / "ref.tif", out, source)
    parts = half_done(target, out, source)
    # a part that was appended, and not removed any more; blocks and a line of the journal
    # that a kill has cut
    stale = parts.folder / "part-000002-00000000.tif"
    stale.write_bytes(b"stale")
    with parts.canvas.open("ab") as stream:
        stream.write(b"half a part")
    with parts.journal().path.open("ab") as stream:
        stream.write(b'12345678 {"crc":3,"siz')
    assert finish(target, out, source) == ([4, 5], ())
    assert target.read_bytes() == expected


@pytest.mark.parametrize(
    ("creation", "is_copied"),
    [
        ({"BIGTIFF": "YES"}, False),  # with a longer header
        ({"GEOTIFF_VERSION": "1.1", "TFW": "YES"}, False),
        ({"COMPRESS": "LZW"}, True),
        ({"COMPRESS": "JPEG"}, True),
        ({"TILED": "NO"}, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("has_mask", [False, True])
def test_other_options_keep_what_the_canvas_has(
    save, noise, plan, target, pixels, creation, is_copied, has_mask
):
    valid = noise((HEIGHT, WIDTH), seed=2) > 50
    pixels = pixels * valid[:, :, None]

    def describe(file):
        if has_mask:
            file.write_mask(valid)

    source = save("in.tif", pixels, photometric="RGB", then=describe)
    half_done(target, plan(source, creation=SMALL), source)
    options = {} if "TILED" in creation else SMALL
    out = plan(source, creation={**options, **creation})
    assert finish(target, out, source) == ([4, 5], ())
    assert target.with_suffix(".tfw").exists() == ("TFW" in creation)
    if not is_copied:
        is_big = target.read_bytes()[2] == 43
        assert is_big == ("BIGTIFF" in creation)
    with rasterio.open(target) as file:
        if creation.get("COMPRESS") != "JPEG":
            np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)
        np.testing.assert_array_equal(file.dataset_mask() > 0, valid | (not has_mask))


def test_a_canvas_that_has_lost_the_room_for_its_header_begins_anew(
    save, plan, tmp_path, target
):
    """As by a power cut, which nothing waits for while all parts are without blocks."""
    pixels = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    source = save("in.tif", pixels)
    out = plan(source, creation={**SMALL, "SPARSE_OK": "TRUE"})
    expected = write_whole(tmp_path / "ref.tif", out, source)
    parts = half_done(target, out, source)
    os.truncate(parts.canvas, 0)
    missing, _ = finish(target, out, source)
    assert missing == [0, 1, 2, 4, 5]
    assert target.read_bytes() == expected


def damage_blocks(parts):
    with parts.canvas.open("r+b") as stream:
        stream.seek(-5, os.SEEK_END)
        stream.write(b"?????")


def damage_line(parts):
    """Damage what the journal says of the second part."""
    path = parts.journal().path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + lines[2].replace(b"crc", b"arc") + lines[3])


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (damage_blocks, [2]),
        (lambda parts: parts.canvas.unlink(), [0, 1, 2]),
        (lambda parts: os.truncate(parts.canvas, 9), [0, 1, 2]),
        (lambda parts: parts.journal().path.unlink(), [0, 1, 2]),
        (damage_line, [1, 2]),
    ],
    ids=["blocks", "file", "short", "journal", "line"],
)
def test_parts_that_are_damaged_in_the_canvas_are_made_again(
    source, plan, tmp_path, target, damage, lost
):
    out = plan(source, creation=SMALL)
    expected = write_whole(tmp_path / "ref.tif", out, source)
    parts = half_done(target, out, source)
    count = len(parts.found())
    damage(parts)
    gone = count - len(parts.found())
    missing, notes = finish(target, out, source)
    assert missing == [*lost, 4, 5]
    damaged = f"damaged: {len(lost) - gone} of {count - gone} parts are made again"
    notice = (f"earlier work on out.tif is {damaged}",)
    assert notes == (notice if len(lost) > gone else ())
    assert target.read_bytes() == expected


def test_a_full_disk_gives_the_room_back_and_appends_later(
    source, plan, tmp_path, target, monkeypatch
):
    out = plan(source, creation=SMALL)
    expected = write_whole(tmp_path / "ref.tif", out, source)
    half = half_done(target, out, source)
    length = half.canvas.stat().st_size
    real = os.fsync

    def refuse(number):
        raise OSError(errno.ENOSPC, "x")

    with open_parts(target, out, {}) as (parts, _):
        monkeypatch.setattr(os, "fsync", refuse)
        with append_behind(parts):
            pass
        with open_canvas(parts) as canvas, pytest.raises(OSError, match="x"):
            canvas.append_next()
        assert parts.canvas.stat().st_size == length
        assert parts.missing() == [range(4, 6)]
        monkeypatch.setattr(os, "fsync", real)
        write_part(parts, source, 4)
        write_part(parts, source, 5)
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(PictureError, match=r"out.tif: the disk is full.*is kept"):
            publishing.publish(parts)
        assert not target.exists()
        monkeypatch.setattr(os, "fsync", real)
    assert finish(target, out, source) == ([], ())
    assert target.read_bytes() == expected


def test_half_a_line_that_a_full_disk_takes_is_an_error(tmp_path):
    """A system takes what there is room for, and fails at the next byte only."""
    resource = pytest.importorskip("resource")
    journal = Journal(tmp_path / "journal")
    journal.begin(8)
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.length + 10, most))
    try:
        with pytest.raises(OSError, match=r"File too large"):
            journal.append(AppendedPart(3, [5, 6]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.parts == []
    for size in (5, 7):
        journal.append(AppendedPart(3, [size]))
    assert read_journal(journal.path) == journal


def test_a_name_that_it_does_not_get_loses_nothing(
    source, plan, tmp_path, target, monkeypatch
):
    """As where the folder of the output may not be written into any more."""

    def refuse(*_):
        raise PermissionError(errno.EACCES, "x")

    out = plan(source, creation={**SMALL, "TFW": "YES"})
    expected = write_whole(tmp_path / "ref.tif", out, source)
    half_done(target, out, source)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "move_into_place", refuse)
        with pytest.raises(PictureError, match=r"out.tif: .*no permission to write"):
            finish(target, out, source)
    assert not target.exists()
    assert finish(target, out, source) == ([], ())
    assert target.read_bytes() == expected
    assert target.with_suffix(".tfw").exists()


def test_what_another_machine_cuts_off_is_noticed(source, plan, target):
    out = plan(source, creation=SMALL)
    with open_parts(target, out, {}) as (parts, _):
        for number in range(COUNT):
            write_part(parts, source, number)
        with open_canvas(parts) as canvas:
            assert canvas.append_next()
            os.truncate(parts.canvas, parts.canvas.stat().st_size // 2)
            with pytest.raises(PictureError, match="cut off what was written"):
                canvas.append_next()
            with pytest.raises(PictureError, match="cut off what was written"):
                canvas.finish(parts.folder / "x.tif")
    with open_parts(target, out, {}) as (parts, notes):
        assert list(parts.found()) == list(range(1, COUNT))
    assert notes
    assert not target.exists()


def test_one_thread_has_the_canvas_at_a_time(source, plan, target):
    """As after Ctrl-C in Python, when GDAL still writes into it."""
    out = plan(source, creation=SMALL)
    with open_parts(target, out, {}) as (parts, _):
        write_part(parts, source, 0)
        with (
            open_canvas(parts),
            pytest.raises(PictureError, match="another srx is writing this file"),
            open_canvas(parts),
        ):
            pass


def test_where_there_are_no_locks_it_grows_all_the_same(
    source, plan, tmp_path, target, monkeypatch
):
    out = plan(source, creation=SMALL)
    expected = write_whole(tmp_path / "ref.tif", out, source)
    monkeypatch.setattr("srcli.imaging.rasters.canvas.lock_stream", lambda *_: None)
    assert grow(target, out, source, range(COUNT)) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"creation": {**SMALL, "BIGTIFF": "YES"}, "overviews": True},
        {"cog": True, "creation": {"BLOCKSIZE": "128"}},
        {"creation": {"TILED": "NO"}},
    ],
    ids=["overviews", "COG", "strips"],
)
def test_what_an_ending_has_begun_is_undone_by_the_next(
    source, plan, target, options, monkeypatch
):
    """As where a kill cuts through overviews that GDAL builds behind the blocks."""
    monkeypatch.setattr("srcli.imaging.rasters.profile.OVERVIEW_SIDE", 64)
    out = plan(source, **options)
    results = []
    for is_cut in (False, True):
        with open_parts(target, out, {}) as (parts, _):
            for number in range(parts.count):
                write_part(parts, source, number)
            if is_cut:
                folder = parts.folder / "result"
                folder.mkdir()
                publishing.write_result(parts, folder / "out.tif")
                if out.overviews:
                    os.truncate(parts.canvas, parts.canvas.stat().st_size - 100)
            else:
                publishing.publish(parts)
        if is_cut:
            assert finish(target, out, source) == ([], ())
        results.append(target.read_bytes())
        target.unlink()
    assert results[0] == results[1]
