"""Failures in words, files flushed to disk, sidecars."""

from __future__ import annotations

import errno

import pytest
from rasterio.errors import RasterioIOError

from srcli.errors import PictureError
from srcli.imaging.rasters.disk import (
    move_sidecars,
    sync_file,
    sync_folder,
    write_sidecars,
    writing_errors,
)


@pytest.fixture
def folder(tmp_path):
    """A folder for new sidecars."""
    path = tmp_path / ".new"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "the disk is full; make room and run again"),
        (OSError(errno.EFBIG, "x"), "larger than a file may be here"),
        (OSError(errno.ENAMETOOLONG, "x"), "take a shorter one"),
        (OSError(errno.EIO, "bad\nsector"), r"cannot be written \(.*bad sector\)"),
        (PermissionError(errno.EACCES, "x"), "no permission to write here"),
        (FileNotFoundError(errno.ENOENT, "x"), "folder does not exist"),
        (IsADirectoryError(errno.EISDIR, "x"), "is a folder"),
        (RasterioIOError("write failed"), "cannot be written .write failed"),
    ],
)
def test_failures_are_one_line_that_names_the_file(tmp_path, error, words):
    with pytest.raises(PictureError, match=words) as caught, writing_errors(tmp_path / "a.tif"):
        raise error
    assert str(caught.value).startswith(f"{tmp_path / 'a.tif'}: ")
    assert "\n" not in str(caught.value)


def test_an_error_in_words_stays_as_it_is(tmp_path):
    with pytest.raises(PictureError, match=r"^mine$"), writing_errors(tmp_path):
        raise PictureError("mine")


def test_syncing_flushes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    sync_file(path)
    sync_folder(tmp_path)
    sync_folder(tmp_path / "missing")  # does what it can
    assert path.read_bytes() == b"abc"


def test_they_get_the_names_that_belong_to_the_output(tmp_path, folder):
    target = tmp_path / "map.v2.tif"
    write_sidecars(folder, target, {".aux.xml": b"1", "*.tfw": b"2"})
    (folder / target.name).write_bytes(b"the picture itself is not moved here")
    move_sidecars(folder, target)
    assert (tmp_path / "map.v2.tif.aux.xml").read_bytes() == b"1"
    assert (tmp_path / "map.v2.tfw").read_bytes() == b"2"
    assert not target.exists()


def test_those_of_an_earlier_file_go(tmp_path, folder):
    target = tmp_path / "a.tif"
    for name in ("a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "b.tif.ovr", "a.txt"):
        (tmp_path / name).write_bytes(b"old")
    write_sidecars(folder, target, {".aux.xml": b"new"})
    move_sidecars(folder, target)
    folder.rmdir()
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif.aux.xml", "b.tif.ovr", "a.txt"}
    assert (tmp_path / "a.tif.aux.xml").read_bytes() == b"new"
    folder.mkdir(exist_ok=True)
    move_sidecars(folder, target)
    assert not (tmp_path / "a.tif.aux.xml").exists()


def test_the_coordinate_system_of_another_file_is_left_alone(tmp_path, caplog, folder):
    target, system = tmp_path / "a.png", tmp_path / "a.prj"
    system.write_bytes(b"of a shapefile")

    def move(text):
        write_sidecars(folder, target, {"*.prj": text, "*.pgw": b"1"})
        move_sidecars(folder, target)
        return system.read_bytes()

    assert move(b"new") == b"of a shapefile"
    assert f"{system}: is left as it is" in caplog.text
    assert (tmp_path / "a.pgw").read_bytes() == b"1"
    target.write_bytes(b"")  # now the picture that is replaced may be what it belongs to
    assert move(b"newer") == b"newer"
    (tmp_path / "a.shp").write_bytes(b"")
    assert move(b"newest") == b"newer"


def test_a_world_file_of_an_earlier_output_is_told(tmp_path, caplog, folder):
    target = tmp_path / "a.tif"
    (tmp_path / "a.tfw").write_text("old")
    folder.mkdir(exist_ok=True)
    move_sidecars(folder, target)
    assert "a.tfw: is not of this a.tif: remove it" in caplog.text
    caplog.clear()
    write_sidecars(folder, target, {"*.tfw": b"new"})
    move_sidecars(folder, target)
    assert (tmp_path / "a.tfw").read_text() == "new"
    assert caplog.text == ""
