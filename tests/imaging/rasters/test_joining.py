"""Parts that are joined into the file while others are made: bytes, disk, kills, other runs."""

from __future__ import annotations

import errno
import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio

from srcli.errors import PictureError
from srcli.imaging.files.tiff_assembly import TiffAssembly
from srcli.imaging.rasters import joining as module
from srcli.imaging.rasters import merging
from srcli.imaging.rasters.joining import StoppedError, join_behind, open_joining
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.result_file import write_result
from tests.imaging.rasters.conftest import open_source

SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}
HEIGHT = 250
WIDTH = 70
COUNT = 6


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._BLOCK_HEIGHT", 48)


@pytest.fixture
def pixels(noise):
    return noise((HEIGHT, WIDTH, 3))


@pytest.fixture
def source(save, pixels):
    return save("in.tif", pixels, photometric="RGB")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.tif"


@contextmanager
def joining_of(parts):
    """The file that parts are joined into."""
    with open_joining(parts) as joining:
        assert joining is not None
        yield joining


def write_part(parts, source, number):
    """Write one part of an output that is as large as its input."""
    with open_source(source) as opened:
        writer = PartWriter(parts, range(number, number + 1), opened, 1)
        writer.write(0, opened.decode(opened.window).pixels)


def put_together(path, out, source, blank=()):
    """Write the output from all parts at once, by no joining."""
    with open_parts(path.with_name("whole.tif"), out, {}) as (parts, _):
        assert parts.count == COUNT
        for number in range(parts.count):
            if number in blank:
                parts.add(number, b"")
            else:
                write_part(parts, source, number)
        write_result(merging.mosaic_files(parts), path, out)
        parts.remove()
    return path.read_bytes()


def join(target, out, source, order, blank=()):
    """Write the output from parts in some order, each joined as soon as it can be."""
    with open_parts(target, out, {}) as (parts, _):
        with joining_of(parts) as joining:
            for number in order:
                if number in blank:
                    parts.add(number, b"")
                else:
                    write_part(parts, source, number)
                while joining.join_next():
                    pass
            assert set(parts.unjoined()) <= set(blank)
        merging.merge_parts(parts)
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


@pytest.mark.parametrize(
    "order", [range(COUNT), range(COUNT)[::-1], (3, 0, 2, 1, 5, 4)]
)
@pytest.mark.parametrize(("dtype", "bands", "options"), CASES, ids=str)
def test_the_file_is_that_of_parts_put_together_at_once(
    save, noise, plan, tmp_path, target, dtype, bands, options, order
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
    expected = put_together(tmp_path / "ref.tif", out, source)
    assert join(target, out, source, order) == expected
    names = {path.name for path in tmp_path.iterdir()}
    worlds = {"out.tfw", "ref.tfw"} if "TFW" in options else set()
    assert names == {"in.tif", "out.tif", "ref.tif"} | worlds


@pytest.mark.parametrize("blank", [{0}, {2, 3}, {5}, set(range(COUNT))])
@pytest.mark.parametrize("sparse", ["TRUE", "FALSE"])
@pytest.mark.parametrize("nodata", [None, 7])
def test_blank_parts_are_joined_as_they_are_put_together(
    source, plan, tmp_path, target, blank, sparse, nodata, pixels, save
):
    source = save("in.tif", pixels | 8, nodata=nodata)
    out = plan(source, creation={**SMALL, "SPARSE_OK": sparse})
    expected = put_together(tmp_path / "ref.tif", out, source, blank)
    assert join(target, out, source, range(COUNT), blank) == expected


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
        files = [file.stat() for file in target.parent.rglob("*") if file.is_file()]
        taken = sum(state.st_size for state in files) - source.stat().st_size
        peak = max(peak, taken)

    monkeypatch.setattr(os, "fsync", measure)
    out = plan(source, creation={**SMALL, "COMPRESS": compression})
    with open_parts(target, out, {}) as (parts, _):
        with join_behind(parts):
            for number in range(parts.count):
                write_part(parts, source, number)
                sizes = [file.stat().st_size for file in parts.unjoined().values()]
                largest_part = max([largest_part, *sizes])
        merging.merge_parts(parts)
    small_files = 8_000  # plan, and what stands for joined parts
    size = target.stat().st_size
    assert size < peak < size + 2 * largest_part + small_files
    with rasterio.open(target) as file:
        assert file.shape == (HEIGHT, WIDTH)


def half_joined(target, out, source, count=4, joined=3):
    """Leave parts of which the first ones are joined, as a run that was killed."""
    with open_parts(target, out, {}) as (parts, _):
        with joining_of(parts) as joining:
            for number in range(count):
                write_part(parts, source, number)
            for _ in range(joined):
                assert joining.join_next()
        assert (len(parts.joined()), len(parts.unjoined())) == (joined, count - joined)
    return parts


def finish(target, out, source):
    """Make what is missing; return how many parts that were, and what was said."""
    with open_parts(target, out, {}) as (parts, notes):
        missing = [number for run in parts.missing() for number in run]
        for number in missing:
            write_part(parts, source, number)
        merging.merge_parts(parts)
    assert not parts.folder.exists()
    return missing, notes


def test_a_run_goes_on_behind_what_was_joined(source, plan, tmp_path, target):
    out = plan(source, creation=SMALL)
    expected = put_together(tmp_path / "ref.tif", out, source)
    parts = half_joined(target, out, source)
    # a part that was joined, and not removed any more; blocks that were not yet counted
    stale = parts.folder / "part-000002-00000000.tif"
    stale.write_bytes(b"stale")
    with parts.joined_file.open("ab") as stream:
        stream.write(b"half a part")
    assert finish(target, out, source) == ([4, 5], ())
    assert target.read_bytes() == expected


@pytest.mark.parametrize(
    ("creation", "is_copied"),
    [
        ({"BIGTIFF": "YES"}, False),
        ({"GEOTIFF_VERSION": "1.1", "TFW": "YES"}, False),
        ({"COMPRESS": "LZW"}, True),
        ({"COMPRESS": "JPEG"}, True),
        ({"TILED": "NO"}, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("has_mask", [False, True])
def test_other_options_keep_what_was_joined(
    save, noise, plan, tmp_path, target, pixels, creation, is_copied, has_mask
):
    valid = noise((HEIGHT, WIDTH), seed=2) > 50
    pixels = pixels * valid[:, :, None]

    def describe(file):
        if has_mask:
            file.write_mask(valid)

    source = save("in.tif", pixels, photometric="RGB", then=describe)
    half_joined(target, plan(source, creation=SMALL), source)
    options = {} if "TILED" in creation else SMALL
    out = plan(source, creation={**options, **creation})
    assert finish(target, out, source) == ([4, 5], ())
    if not is_copied:
        assert target.read_bytes() == put_together(tmp_path / "ref.tif", out, source)
    with rasterio.open(target) as file:
        if creation.get("COMPRESS") != "JPEG":
            np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)
        np.testing.assert_array_equal(file.dataset_mask() > 0, valid | (not has_mask))


def test_another_model_starts_over(source, plan, tmp_path, target):
    out = plan(source, creation=SMALL)
    half_joined(target, out, source)
    words = "earlier work on out.tif is not continued: changed: model"
    with open_parts(target, out, {"model": "b"}) as (parts, notes):
        assert notes == (words,)
        assert parts.missing() == [range(COUNT)]
        assert not parts.joined_file.exists()


def damage_blocks(parts):
    with parts.joined_file.open("r+b") as stream:
        stream.seek(-5, os.SEEK_END)
        stream.write(b"?????")


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (damage_blocks, [2]),
        (lambda parts: parts.joined_file.unlink(), [0, 1, 2]),
        (lambda parts: os.truncate(parts.joined_file, 9), [0, 1, 2]),
        (lambda parts: parts.joined()[1].write_bytes(b""), [1, 2]),
        (lambda parts: parts.joined()[1].unlink(), [1, 2]),
    ],
    ids=["blocks", "file", "short", "empty", "gone"],
)
def test_joined_parts_that_are_damaged_are_made_again(
    source, plan, tmp_path, target, damage, lost
):
    out = plan(source, creation=SMALL)
    expected = put_together(tmp_path / "ref.tif", out, source)
    parts = half_joined(target, out, source)
    count = len(parts.found())
    damage(parts)
    gone = count - len(parts.found())
    missing, notes = finish(target, out, source)
    assert missing == [*lost, 4, 5]
    damaged = f"damaged: {len(lost) - gone} of {count - gone} parts are made again"
    notice = (f"earlier work on out.tif is {damaged}",)
    assert notes == (notice if len(lost) > gone else ())
    assert target.read_bytes() == expected


def test_a_full_disk_gives_the_room_back_and_joins_later(
    source, plan, tmp_path, target, monkeypatch
):
    out = plan(source, creation=SMALL)
    expected = put_together(tmp_path / "ref.tif", out, source)
    half = half_joined(target, out, source)
    length = half.joined_file.stat().st_size
    real = os.fsync

    def refuse(number):
        raise OSError(errno.ENOSPC, "x")

    with open_parts(target, out, {}) as (parts, _):
        monkeypatch.setattr(os, "fsync", refuse)
        with join_behind(parts):
            pass
        with joining_of(parts) as joining, pytest.raises(OSError, match="x"):
            joining.join_next()
        assert parts.joined_file.stat().st_size == length
        assert parts.missing() == [range(4, 6)]
        monkeypatch.setattr(os, "fsync", real)
        write_part(parts, source, 4)
        write_part(parts, source, 5)
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(PictureError, match=r"out.tif: the disk is full.*is kept"):
            merging.merge_parts(parts)
        assert not target.exists()
        monkeypatch.setattr(os, "fsync", real)
    assert finish(target, out, source) == ([], ())
    assert target.read_bytes() == expected


def test_a_name_that_it_does_not_get_loses_nothing(
    source, plan, tmp_path, target, monkeypatch
):
    """As where the folder of the output may not be written into any more."""

    def refuse(*_):
        raise PermissionError(errno.EACCES, "x")

    out = plan(source, creation={**SMALL, "TFW": "YES"})
    expected = put_together(tmp_path / "ref.tif", out, source)
    half_joined(target, out, source)
    with monkeypatch.context() as patch:
        patch.setattr(merging, "move_into_place", refuse)
        with pytest.raises(PictureError, match=r"out.tif: .*no permission to write"):
            finish(target, out, source)
    assert not target.exists()
    assert finish(target, out, source) == ([], ())
    assert target.read_bytes() == expected
    assert target.with_suffix(".tfw").exists()


@pytest.mark.posix
def test_ctrl_c_ends_it_within_a_part(source, plan, tmp_path, target, monkeypatch):
    out = plan(source, creation=SMALL)
    expected = put_together(tmp_path / "ref.tif", out, source)
    real = TiffAssembly.copy_blocks

    def is_interrupted(assembly, stream):
        signal.raise_signal(signal.SIGINT)
        real(assembly, stream)  # in the thread, which goes on

    # tests of commands change it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open_parts(target, out, {}) as (parts, _):
        for number in range(parts.count):
            write_part(parts, source, number)
        monkeypatch.setattr(TiffAssembly, "copy_blocks", is_interrupted)
        with pytest.raises(KeyboardInterrupt):
            merging.merge_parts(parts)
    monkeypatch.undo()
    assert not any(thread.name == "gdal-copy" for thread in threading.enumerate())
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._BLOCK_HEIGHT", 48)
    assert finish(target, out, source) == ([], ())
    assert target.read_bytes() == expected


def test_a_part_is_given_up_when_the_run_ends(source, plan, target):
    out = plan(source, creation=SMALL)
    with open_parts(target, out, {}) as (parts, _):
        write_part(parts, source, 0)
        with joining_of(parts) as joining:
            joining.stop()
            with pytest.raises(StoppedError):
                joining.join_next()
        assert set(parts.unjoined()) == {0}
        assert parts.joined_file.stat().st_size == 0


def test_what_another_machine_cuts_off_is_noticed(source, plan, target):
    out = plan(source, creation=SMALL)
    with open_parts(target, out, {}) as (parts, _):
        for number in range(COUNT):
            write_part(parts, source, number)
        with joining_of(parts) as joining:
            assert joining.join_next()
            os.truncate(parts.joined_file, parts.joined_file.stat().st_size // 2)
            with pytest.raises(PictureError, match="cut off what was joined"):
                joining.join_next()
            with pytest.raises(PictureError, match="cut off what was joined"):
                joining.finish(parts.folder / "x.tif")
    with open_parts(target, out, {}) as (parts, notes):
        assert list(parts.found()) == list(range(1, COUNT))
    assert notes
    assert not target.exists()


def test_one_process_joins_at_a_time(source, plan, target, monkeypatch):
    out = plan(source, creation=SMALL)
    with open_parts(target, out, {}) as (parts, _):
        write_part(parts, source, 0)
        with (
            open_joining(parts),
            pytest.raises(PictureError, match="another srx is writing this file"),
            open_joining(parts),
        ):
            pass
        with joining_of(parts) as joining:
            assert joining.join_next()
        # where there are no locks, nobody does
        monkeypatch.setattr(module, "lock_stream", lambda *_: None)
        with open_joining(parts) as joining:
            assert joining is None
        for number in range(1, COUNT):
            write_part(parts, source, number)
        merging.merge_parts(parts)
    with rasterio.open(target) as file:
        assert file.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "options",
    [{"cog": True}, {"overviews": True}, {"creation": {"TILED": "NO"}}],
    ids=str,
)
def test_other_files_are_merged_at_the_end(source, plan, target, options):
    with open_parts(target, plan(source, **options), {}) as (parts, _):
        assert parts.count > 1 or "creation" not in options
        with open_joining(parts) as joining:
            assert joining is None
