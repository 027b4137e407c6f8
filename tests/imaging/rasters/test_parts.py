"""Parts of an unfinished raster: any rows, kept, damaged, of other options, of two runs at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from srcli.errors import PictureError
from srcli.files import hidden_name
from srcli.imaging.files.stored_parts import has_unfinished_parts
from srcli.imaging.rasters import parts as parts_module
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.publishing import publish
from tests.imaging.rasters.conftest import open_source

MARK = {"model": "a", "part": (1, 2)}
ROWS = 1100
BLOCKS = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "256"}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(parts_module, "_LEAST_PIXELS", 1)


@pytest.fixture
def pixels(noise):
    return noise((ROWS, 20, 3))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.tif"


@pytest.fixture
def source(save, pixels):
    with open_source(save("in.tif", pixels)) as source:
        yield source


@pytest.fixture
def begin(source, plan, target):
    """Open the five parts of an output: ``begin(mark, resume=True)``."""
    out = plan(source.info.path, creation=BLOCKS)
    return lambda mark=MARK, **options: open_parts(target, out, mark, **options)


@pytest.fixture
def folder(begin, source, pixels, target):
    """The folder of a run that was stopped after 2 of 5 parts and some rows."""
    with begin() as (parts, _):
        PartWriter(parts, range(5), source, 1).write(0, pixels[:700])
    return hidden_name(target, ".parts")


def left(begin, **options):
    with begin(**options) as (parts, notes):
        return parts.missing(), notes


def read(parts):
    """All rows of all parts."""
    rows = []
    for _, path in sorted(parts.found().items()):
        with rasterio.open(path) as file:
            rows.append(np.moveaxis(file.read(), 0, 2))
    return np.concatenate(rows)


def test_rows_outside_a_run_are_left_out(begin, source, pixels):
    with begin() as (parts, _):
        writer = PartWriter(parts, range(1, 3), source, 1)
        writer.write(200, np.concatenate([pixels[200:256] * 0, pixels[256:400]]))
        writer.write(390, pixels[390:])
        assert parts.missing() == [range(1), range(3, 5)]
        np.testing.assert_array_equal(read(parts), pixels[256:768])


@pytest.mark.posix
def test_complete_parts_are_kept_and_all_else_is_removed(begin, folder):
    names = {path.name for path in folder.iterdir()}
    (folder / "0123456789abcdef.part").write_bytes(b"half a part")
    (folder / "result").mkdir()
    (folder / "result" / "out.tif").write_bytes(b"half a result")
    for _ in range(2):  # looking does no harm
        assert left(begin) == ([range(2, 5)], ())
        assert {path.name for path in folder.iterdir()} == names
    assert folder.stat().st_mode & 0o077 == 0


def test_any_parts_may_be_missing(begin, folder, source, pixels, target, write_parts):
    target.write_bytes(b"old")
    with begin() as (parts, _):
        PartWriter(parts, range(3, 4), source, 1).write(700, pixels[700:])
        assert parts.missing() == [range(2, 3), range(4, 5)]
        assert parts.missing([range(1, 3), range(3, 4)]) == [range(2, 3)]
        assert parts.span(4) == range(1024, 1100)
        write_parts(parts, source.info.path)
        assert has_unfinished_parts(target)
        publish(parts)
    assert not has_unfinished_parts(target)
    assert not folder.exists()


@pytest.mark.parametrize("has_plan", [True, False])
def test_parts_of_a_finished_file_go_without_a_word(folder, target, has_plan):
    time.sleep(0.05)
    target.write_bytes(b"finished, then killed while the parts were removed")
    if not has_plan:
        (folder / "plan.json").unlink()
    assert not has_unfinished_parts(target)
    assert not folder.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-9] + b"?" + data[-8:],
        lambda data: b"",
    ],
    ids=["short", "changed", "empty"],
)
def test_damaged_parts_are_made_again(begin, folder, damage):
    part = min(folder.glob("part-*"))
    part.write_bytes(damage(part.read_bytes()))
    message = "earlier work on out.tif is damaged: 1 of 2 parts are made again"
    assert left(begin) == ([range(1), range(2, 5)], (message,))
    assert left(begin) == ([range(1), range(2, 5)], ())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3"])
def test_a_plan_that_cannot_be_read_starts_over(begin, folder, text):
    (folder / "plan.json").write_bytes(text)
    assert left(begin) == ([range(5)], ())
    assert not folder.exists()  # nothing is done that could be continued


def test_another_model_starts_over_and_says_so(begin, folder):
    words = "earlier work on out.tif is not continued: changed: model"
    assert left(begin, mark={**MARK, "model": "b"}) == ([range(5)], (words,))
    assert not folder.exists()


def test_starting_over_on_purpose_says_nothing(begin, folder):
    assert left(begin, resume=False) == ([range(5)], ())


def parts_left(target, out):
    """What is missing of the parts that another run has left, and what is said of them."""
    with open_parts(target, out, MARK) as (parts, notes):
        return parts.missing(), notes


@pytest.mark.parametrize(
    "first",
    [
        {"creation": BLOCKS},
        {"creation": {"TILED": "NO"}},
        {"creation": {**BLOCKS, "NBITS": "8"}, "nbits": True},
    ],
    ids=["blocks", "copied", "bits"],
)
@pytest.mark.parametrize(
    "second",
    [
        {"creation": {**BLOCKS, "COMPRESS": "LZW"}},
        {"creation": {"COMPRESS": "JPEG"}},
        {"cog": True},
        {"format": "png"},
    ],
    ids=["LZW", "JPEG", "COG", "PNG"],
)
def test_another_form_of_the_file_keeps_parts_without_loss(
    source, plan, pixels, target, write_parts, first, second
):
    first = dict(first)
    is_cut = first.pop("nbits", False)
    out = plan(source.info.path, **first)
    with open_parts(target, out, MARK) as (parts, _):
        PartWriter(parts, range(5), source, 1).write(0, pixels[:700])
    out = plan(source.info.path, **second)
    assert out.keeps_blocks == (second != {"format": "png"})
    with open_parts(target, out, MARK) as (parts, notes):
        if is_cut:
            assert notes[0].endswith("changed: creation options")
            return
        assert not parts.output.keeps_blocks
        assert (parts.missing(), notes) == ([range(2, 5)], ())
        write_parts(parts, source.info.path)
        publish(parts)
    with rasterio.open(target) as file:
        written = np.moveaxis(file.read(), 0, 2)
    is_lossy = second == {"creation": {"COMPRESS": "JPEG"}}
    assert (written == pixels).all() != is_lossy


def test_pixels_of_another_kind_are_made_again(folder, save, plan, pixels, target):
    masked = plan(save("in.tif", pixels, nodata=3), creation=BLOCKS)
    missing, notes = parts_left(target, masked)
    assert missing == [range(5)]
    words = "earlier work on out.tif is not continued: changed: form of parts"
    assert notes == (words,)


def test_blocks_with_losses_are_made_again(source, plan, pixels, target):
    out = plan(source.info.path, creation={**BLOCKS, "COMPRESS": "JPEG"})
    with open_parts(target, out, MARK) as (parts, _):
        PartWriter(parts, range(5), source, 1).write(0, pixels[:700])
    missing, notes = parts_left(target, plan(source.info.path, creation=BLOCKS))
    assert missing[0].start == 0
    words = "earlier work on out.tif is not continued: changed: creation options"
    assert notes == (words,)


def test_options_that_no_block_depends_on_keep_the_parts(folder, source, plan, target):
    creation = {**BLOCKS, "BIGTIFF": "YES", "TFW": "YES", "NUM_THREADS": "1"}
    other = plan(source.info.path, creation=creation)
    assert parts_left(target, other) == ([range(2, 5)], ())


def test_two_runs_are_told_apart(begin, target):
    with begin() as (parts, _):
        with (
            pytest.raises(PictureError, match=r"another srx is writing this file"),
            begin(),
        ):
            pass
        assert parts.folder.exists()
    with begin():
        pass


@pytest.mark.posix
def test_a_link_in_place_of_the_folder_is_not_followed(begin, target, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plan.json").write_text("precious")
    hidden_name(target, ".parts").symlink_to(elsewhere)
    with (
        pytest.raises(
            PictureError, match=r"out.tif: .*\.parts is in the way; remove it"
        ),
        begin(),
    ):
        pass
    assert (elsewhere / "plan.json").read_text() == "precious"
    assert len(list(elsewhere.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("folder", "is a folder"), ("missing/out.tif", "folder does not exist")],
)
def test_targets_that_cannot_be_written(save, plan, tmp_path, noise, name, words):
    (tmp_path / "folder").mkdir()
    out = plan(save("in.tif", noise((20, 20, 1))))
    with pytest.raises(PictureError, match=words), open_parts(tmp_path / name, out, {}):
        pass


@pytest.mark.posix
def test_a_folder_of_another_user_is_refused(begin, folder, monkeypatch):
    real = Path.lstat

    def of_another(path):
        state = real(path)
        return SimpleNamespace(st_uid=state.st_uid + 1, st_mode=state.st_mode)

    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 2)
    with begin():  # as on disks without owners
        pass
    monkeypatch.setattr(Path, "lstat", of_another)
    with pytest.raises(PictureError, match="belongs to another user"), begin():
        pass
