"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from srcli import files
from srcli.errors import DataError
from srcli.files import (
    cache_folder,
    hidden_name,
    lock_file,
    open_input,
    parse_text,
    replacing,
    write_whole,
)


def test_a_file_appears_whole_under_any_name(tmp_path):
    file = tmp_path / ("x" * 255)  # no room for a longer name beside it
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failing_write_leaves_the_former_file(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_whole(file, b"old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"half")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_interruption_leaves_nothing_behind(tmp_path):
    file = tmp_path / "a.json"

    def interrupted():
        with replacing(file) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix
def test_links_are_never_written_through(tmp_path, monkeypatch):
    victim = tmp_path / "precious"
    victim.write_bytes(b"precious")
    tokens = iter([bytes(8), b"1" * 8])
    monkeypatch.setattr("os.urandom", lambda count: next(tokens))
    (tmp_path / f".srx-{files.machine_id()}-{'0' * 16}.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.json", b"new")
    assert victim.read_bytes() == b"precious"
    write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_what_killed_processes_leave_is_removed_and_nothing_else(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom srcli.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as part:\n    os._exit(1)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a"], check=False, timeout=60
    )
    (path,) = tmp_path.iterdir()
    assert path.name.startswith(".srx-")
    elsewhere = [tmp_path / f".srx-{name}{'0' * 16}.part" for name in ("", "0123abcd-")]
    mine = [tmp_path / name for name in (".srx-a.part", ".a.part", "a.part")]
    for file in (*elsewhere, *mine):
        file.write_bytes(b"")
    with replacing(tmp_path / "live"):
        files._remove_abandoned.cache_clear()
        write_whole(tmp_path / "new", b"")
        assert len([*tmp_path.iterdir()]) == len(elsewhere) + len(mine) + 2
    assert {*tmp_path.iterdir()} == {
        *elsewhere,
        *mine,
        tmp_path / "live",
        tmp_path / "new",
    }


@pytest.mark.posix
def test_pipes_are_no_input(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="a pipe or a device"):
            open_input(path)
    with pytest.raises(IsADirectoryError):
        open_input(tmp_path)


@pytest.mark.parametrize(
    ("parse", "text"), [(json.loads, "["), (tomllib.loads, "a = [")]
)
def test_texts_that_are_nested_too_deeply_are_damaged(parse, text):
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_text(text + "[" * 100_000 + "]" * 100_001, parse)


def test_one_at_a_time(tmp_path):
    file = tmp_path / "claims" / "key.lock"
    with lock_file(file) as lock:
        assert lock
        with lock_file(file) as second:
            assert not second
        with lock_file(file.with_name("other.lock")) as second_lock:
            assert second_lock
    with lock_file(file) as again:
        assert again


def test_on_windows_a_lock_file_goes_when_it_is_closed(tmp_path, monkeypatch):
    """There no open file can be removed, with the folder of a raster's parts around it."""
    region = SimpleNamespace(locking=lambda *_: None, LK_NBLCK=2)
    monkeypatch.setattr(files, "msvcrt", region, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    (tmp_path / "parts").mkdir()
    with lock_file(tmp_path / "parts" / "lock") as lock:
        assert lock
    assert [*tmp_path.iterdir()] == []


def test_on_windows_a_file_that_is_held_for_a_moment_is_replaced_after_it(
    tmp_path, monkeypatch
):
    replace = Mock(side_effect=[*[PermissionError(13, "in use")] * 2, None])
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(files, "lock_stream", lambda *_: True)
    monkeypatch.setattr(sys, "platform", "win32")
    write_whole(tmp_path / "a.png", b"new")
    assert replace.call_count == 3


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "claims").touch()
    with (
        pytest.raises(DataError, match=r"key\.lock: cannot be written"),
        lock_file(tmp_path / "claims" / "key.lock"),
    ):
        pass


@pytest.mark.posix
def test_a_file_that_was_removed_is_nobodys(tmp_path, monkeypatch):
    file = tmp_path / "key.lock"
    lock = files.lock_stream

    def late(path, stream):
        file.unlink()  # by its former holder, between opening and locking
        return lock(path, stream)

    monkeypatch.setattr(files, "lock_stream", late)
    with lock_file(file) as own:
        assert not own


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


@pytest.mark.posix
def test_names_that_are_no_unicode_stay_different(tmp_path):
    names = [os.fsdecode(b"photo_" + byte + b".png") for byte in (b"\xe8", b"\xe9")]
    hidden = [hidden_name(tmp_path / name, ".part") for name in names]
    assert [path.name for path in hidden] == [f".{name}.part" for name in names]
    assert hidden[0] != hidden[1]
    long = [hidden_name(tmp_path / (name * 40), ".part") for name in names]
    assert long[0] != long[1]


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("SRX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "srx"
    monkeypatch.delenv("XDG_CACHE_HOME")
    # a user of a container, without a home
    monkeypatch.setattr(os.path, "expanduser", str)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "srx"
