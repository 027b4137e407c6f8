"""Hidden names that every file system takes; failures in words."""

from __future__ import annotations

import errno
import os

import pytest

from srcli.imaging.targets import explain_os_error, hidden_name, remove_stale


@pytest.mark.parametrize("letter", ["a", "ü", "字"])
def test_names_are_never_too_long_nor_the_same(tmp_path, letter):
    count = 250 // len(letter.encode())
    targets = [tmp_path / (letter * count + tail) for tail in ("1.tif", "2.tif")]
    names = [hidden_name(target, ".part") for target in targets]
    for name in names:
        name.write_bytes(b"")  # the file system takes it
        assert name.name.endswith(".part")
        name.with_name(name.name + ".aux.xml").write_bytes(b"")  # as GDAL may
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, ""), "no permission to write here; take another folder"),
        (FileNotFoundError(errno.ENOENT, ""), "its folder does not exist; make it first"),
        (IsADirectoryError(errno.EISDIR, ""), "is a folder; take another name"),
        (OSError(errno.ENOSPC, ""), "the disk is full; make room and run again, all is kept"),
        (OSError(errno.EDQUOT, ""), "the disk is full; make room and run again, all is kept"),
        (OSError(errno.EROFS, ""), "the file system is read-only; take another folder"),
        (OSError(errno.ENAMETOOLONG, ""), "the name is too long; take a shorter one"),
    ],
)
def test_what_the_system_says_clearly_is_told(tmp_path, error, words):
    target = tmp_path / "a.tif"
    assert explain_os_error(target, error, full=", all is kept") == f"{target}: {words}"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ValueError("no"), OSError("?")])
def test_what_is_not_clear_is_left_to_the_caller(tmp_path, error):
    assert explain_os_error(tmp_path, error) is None


def test_what_belonged_to_an_earlier_file_goes(tmp_path):
    names = ("a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "a.tif", "a.tfw", "b.tif.ovr")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    remove_stale(tmp_path / "a.tif", keep={"a.tif.msk"})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.tif.msk", "a.tif", "a.tfw", "b.tif.ovr"}
    remove_stale(tmp_path / ("n" * 251 + ".tif"))  # nothing can be there


def test_names_that_are_no_unicode_stay_different(tmp_path):
    names = [os.fsdecode(b"photo_" + byte + b".png") for byte in (b"\xe8", b"\xe9")]
    hidden = [hidden_name(tmp_path / name, ".part") for name in names]
    assert [path.name for path in hidden] == [f".{name}.part" for name in names]
    assert hidden[0] != hidden[1]
    long = [hidden_name(tmp_path / (name * 40), ".part") for name in names]
    assert long[0] != long[1]
