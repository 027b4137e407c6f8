"""Hidden names, one writer at a time, failures in words, sidecars."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from rasterio.errors import RasterioIOError

from srcli.errors import PictureError
from srcli.imaging.rasters.disk import (
    journal_path,
    make_sidecar_folder,
    move_sidecars,
    open_exclusive,
    part_path,
    remove_sidecar_folder,
    sync,
    sync_file,
    sync_folder,
    write_sidecars,
    writing_errors,
)


def test_names_are_hidden_and_always_the_same(tmp_path):
    target = tmp_path / "a.tif"
    assert part_path(target) == tmp_path / ".a.tif.part"
    assert journal_path(target) == tmp_path / ".a.tif.journal"


def test_two_writers_are_told_apart(tmp_path):
    path, target = tmp_path / ".a.part", tmp_path / "a"
    with open_exclusive(path, target) as stream:
        stream.write(b"mine")
        with pytest.raises(PictureError, match=r"a: another srx is writing this file") as error:
            open_exclusive(path, target)
        assert "\n" not in str(error.value)
    with open_exclusive(path, target) as stream:
        assert stream.read() == b"mine"


def test_a_killed_process_blocks_nobody(tmp_path):
    path = tmp_path / ".a.part"
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from srcli.imaging.rasters.disk import open_exclusive\n"
        "stream = open_exclusive(Path(sys.argv[1]), Path('a'))\n"
        "print('open', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(PictureError, match="another srx"):
            open_exclusive(path, tmp_path / "a")
        other.kill()
        other.wait()
        open_exclusive(path, tmp_path / "a").close()


def test_a_file_that_was_renamed_in_between_is_not_taken_for_the_part(tmp_path, monkeypatch):
    path, target = tmp_path / ".a.part", tmp_path / "a"
    path.write_bytes(b"finished")
    real = os.open
    calls: list[object] = []

    def renames(name, *rest):
        number = real(name, *rest)
        if not calls:
            path.replace(target)  # as if another process finished just now
        calls.append(name)
        return number

    monkeypatch.setattr(os, "open", renames)
    with open_exclusive(path, target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"finished"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "the disk is full; make room and run again"),
        (OSError(errno.EFBIG, "x"), "the disk is full"),
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
    with path.open("wb") as stream:
        stream.write(b"abc")
        sync(stream)
        assert path.read_bytes() == b"abc"
    sync_file(path)
    sync_folder(tmp_path)
    sync_folder(tmp_path / "missing")  # does what it can
    assert path.read_bytes() == b"abc"


def test_they_get_the_names_that_belong_to_the_output(tmp_path):
    target = tmp_path / "map.v2.tif"
    folder = make_sidecar_folder(target)
    assert folder.name.startswith(".")
    write_sidecars(folder, target, {".aux.xml": b"1", "*.tfw": b"2"})
    (folder / target.name).write_bytes(b"the picture itself is not moved here")
    move_sidecars(folder, target)
    assert (tmp_path / "map.v2.tif.aux.xml").read_bytes() == b"1"
    assert (tmp_path / "map.v2.tfw").read_bytes() == b"2"
    assert not target.exists()


def test_those_of_an_earlier_file_go(tmp_path):
    target = tmp_path / "a.tif"
    for name in ("a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "b.tif.ovr", "a.txt"):
        (tmp_path / name).write_bytes(b"old")
    folder = make_sidecar_folder(target)
    write_sidecars(folder, target, {".aux.xml": b"new"})
    move_sidecars(folder, target)
    remove_sidecar_folder(target)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif.aux.xml", "b.tif.ovr", "a.txt"}
    assert (tmp_path / "a.tif.aux.xml").read_bytes() == b"new"
    move_sidecars(None, target)
    assert not (tmp_path / "a.tif.aux.xml").exists()


def test_the_folder_is_empty_at_first(tmp_path):
    folder = make_sidecar_folder(tmp_path / "a.tif")
    (folder / "left").write_bytes(b"over")
    assert list(make_sidecar_folder(tmp_path / "a.tif").iterdir()) == []
    remove_sidecar_folder(tmp_path / "a.tif")
    remove_sidecar_folder(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_the_coordinate_system_of_another_file_is_left_alone(tmp_path, caplog):
    target, system = tmp_path / "a.png", tmp_path / "a.prj"
    system.write_bytes(b"of a shapefile")

    def move(text):
        folder = make_sidecar_folder(target)
        write_sidecars(folder, target, {"*.prj": text, "*.pgw": b"1"})
        move_sidecars(folder, target)
        remove_sidecar_folder(target)
        return system.read_bytes()

    assert move(b"new") == b"of a shapefile"
    assert f"{system}: is left as it is" in caplog.text
    assert (tmp_path / "a.pgw").read_bytes() == b"1"
    target.write_bytes(b"")  # now the picture that is replaced may be what it belongs to
    assert move(b"newer") == b"newer"
    (tmp_path / "a.shp").write_bytes(b"")
    assert move(b"newest") == b"newer"


def test_a_world_file_of_an_earlier_output_is_told(tmp_path, caplog):
    target = tmp_path / "a.tif"
    (tmp_path / "a.tfw").write_text("old")
    move_sidecars(None, target)
    assert "a.tfw: is not of this a.tif: remove it" in caplog.text
    caplog.clear()
    folder = make_sidecar_folder(target)
    write_sidecars(folder, target, {"*.tfw": b"new"})
    move_sidecars(folder, target)
    assert (tmp_path / "a.tfw").read_text() == "new"
    assert caplog.text == ""
