"""Hidden names, one writer at a time, failures in words."""

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
    open_exclusive,
    part_path,
    sync,
    sync_file,
    sync_folder,
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
