"""What Windows and macOS do otherwise, tried on any system by pretending to be there."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import PureWindowsPath

import pytest
from PIL import Image

from srcli import files
from srcli.errors import PictureError
from srcli.files import FileAttributes, free_disk, write_whole

SMALL = "-m bicubic -s 2"


@pytest.fixture
def named_alike(tmp_path, monkeypatch):
    """Make a picture of each name, in a folder of its own; return their paths."""

    def make(*names):
        monkeypatch.chdir(tmp_path)
        paths = []
        for number, name in enumerate(names):
            path = tmp_path / str(number) / name
            path.parent.mkdir()
            Image.new("RGB", (6, 4), (number, 0, 0)).save(path)
            paths.append(path)
        return paths

    return make


def test_windows_tells_names_with_sharp_s_from_those_with_two(
    srx, named_alike, monkeypatch
):
    pictures = named_alike("straße.png", "strasse.png")
    monkeypatch.setattr("sys.platform", "win32")
    result = srx("upscale", *pictures, "out", SMALL, "--dry-run", code=0)
    assert "out/straße.png" in result.out
    assert "out/strasse.png" in result.out


def test_a_mac_takes_both_ways_to_write_an_accent_for_one(
    srx, named_alike, monkeypatch
):
    forms = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    pictures = named_alike(*forms)
    monkeypatch.setattr("sys.platform", "darwin")
    assert "would both become" in srx("upscale", *pictures, "out", SMALL, code=2).err


def test_a_closed_console_of_windows_ends_a_run_as_sigterm_does():
    code = (
        "import signal\n"
        "signal.SIGBREAK = getattr(signal, 'SIGBREAK', None) or signal.SIGUSR1\n"
        "from srcli.cli import main\n"
        "main.group.main = lambda **_: signal.raise_signal(signal.SIGBREAK)\n"
        "main.main(['models'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert result.returncode == 130


def test_times_are_set_after_closing_which_sets_them_on_windows(tmp_path, monkeypatch):
    streams = []
    closed = []
    make_part = files.make_part
    utime = os.utime

    def keep_stream(*arguments):
        temporary, stream = make_part(*arguments)
        streams.append(stream)
        return temporary, stream

    def look(path, **times):
        closed.append(streams[-1].closed)
        utime(path, **times)

    monkeypatch.setattr(files, "make_part", keep_stream)
    monkeypatch.setattr(files, "lock_stream", lambda *_: True)
    monkeypatch.setattr("os.utime", look)
    monkeypatch.setattr("sys.platform", "win32")
    write_whole(tmp_path / "a.png", b"new", FileAttributes(times=(10**18, 10**18)))
    assert closed == [True]
    assert (tmp_path / "a.png").stat().st_mtime_ns == 10**18


def test_a_missing_drive_is_named():
    class Missing(PureWindowsPath):
        def exists(self):
            return False

    with pytest.raises(PictureError, match=r"there is no Z:\\; give another output"):
        free_disk(Missing("Z:/out/a.png"))  # type: ignore[arg-type]


def test_a_path_too_long_for_windows_is_called_so(
    srx, named_alike, tmp_path, monkeypatch
):
    (picture,) = named_alike("a.png")

    def refuse(*_):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(files, "make_part", refuse)
    target = tmp_path / "b.png"
    result = srx(f"upscale {picture} {target} {SMALL}", code=2)
    assert (
        f"{target}: the path is too long ({len(str(target))} characters)" in result.err
    )
