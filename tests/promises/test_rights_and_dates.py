"""Outputs are no more readable than inputs, and have their dates where that is asked for."""

from __future__ import annotations

import errno
import os
import stat
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli import files
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.pictures import save_frames

pytestmark = pytest.mark.posix
SMALL = "-m bicubic -s 2"
THEN = 1_000_000_000_123_456_789


@pytest.fixture(autouse=True)
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def make(path, form):
    values = np.random.default_rng(0).integers(0, 256, (3, 12, 14, 3), np.uint8)
    path = Path(path)
    if form == "photograph":
        Image.fromarray(values[0]).save(path)
    elif form == "animation":
        save_frames(path, [Image.fromarray(frame) for frame in values])
    else:
        write_by_gdal(path, values[0], **PLACE)
    os.utime(path, ns=(THEN, THEN))
    return path


def rights(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


KINDS = [
    ("photograph", "a.png", "out.png"),
    ("photograph", "a.png", "out.tif"),
    ("animation", "a.gif", "out.gif"),
    ("animation", "a.webp", "out.png"),
    ("raster", "a.tif", "out.tif"),
    ("raster", "a.tif", "out.jpg"),
]


@pytest.mark.parametrize(("form", "name", "output"), KINDS)
def test_rights_and_dates(srx, tmp_path, form, name, output):
    source = make(tmp_path / name, form)
    folder = tmp_path / "out"
    folder.mkdir()
    asked = ("upscale", source, folder / output, SMALL)
    for mode, expected in ((0o600, 0o600), (0o640, 0o600), (0o644, 0o600)):
        source.chmod(mode)
        srx(*asked, "--overwrite", code=0)
        # one that exists does not become more readable either
        files = [path for path in folder.iterdir() if path.is_file()]
        assert {rights(path) for path in files} == {expected}
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.unlink()
    for mode, expected in ((0o664, 0o644), (0o400, 0o600)):
        source.chmod(mode)
        srx(*asked, "--overwrite --keep-dates", code=0)
        assert rights(folder / output) == expected
        assert (folder / output).stat().st_mtime_ns == THEN
    again = srx(*asked, "--keep-dates")
    assert "1 skipped" in again.out
    assert "interrupted" not in again.err
    os.utime(source, ns=(THEN + 10**7, THEN + 10**7))
    assert "1 skipped" not in srx(*asked, "--keep-dates").out
    os.utime(source, ns=(-THEN, -THEN))  # before 1970
    srx(*asked, "--overwrite --keep-dates", code=0)
    assert "1 skipped" in srx(*asked, "--keep-dates").out


BOOK = ("book", "a.cbz", "out.cbz")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
@pytest.mark.parametrize(("form", "name", "output"), [*KINDS, BOOK])
def test_shares_that_refuse_rights_and_dates(
    srx, monkeypatch, caplog, form, name, output, number
):
    source = make("p.png" if form == "book" else name, form)
    if form == "book":
        with zipfile.ZipFile(name, "w") as book:
            book.write(source, "1.png")
        source = source.with_name(name)
    source.chmod(0o600)

    def refuse(*values, **names):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(files, "_refused", set())
    asked = f"upscale {source} {output} {SMALL} --keep-dates"
    srx(asked, code=0)
    assert Path(output).exists()
    told = caplog.text.count("takes over no dates"), caplog.text.count("access rights")
    # GDAL makes files that all may read; other outputs are private from the start
    assert told == (1, form == "raster")
    if form != "book":
        assert "1 skipped" in srx(asked, code=0).out


def test_nobody_reads_an_output_while_it_is_written(srx, monkeypatch):
    source = make("a.png", "photograph")
    seen = []
    source.chmod(0o600)
    replace = type(source).replace

    def looking(path, target):
        seen.append(rights(path))
        return replace(path, target)

    monkeypatch.setattr(type(source), "replace", looking)
    srx(f"upscale {source} out.png {SMALL}", code=0)
    assert seen == [0o600]


@pytest.mark.parametrize("then", [THEN, 4 * THEN])
def test_without_the_option_outputs_are_of_now_but_not_older_than_inputs(
    srx, tmp_path, then
):
    source = make("a.png", "photograph")
    out = tmp_path / "out.png"
    os.utime(source, ns=(then, then))
    srx(f"upscale {source} {out} {SMALL}", code=0)
    assert out.stat().st_mtime_ns >= max(then, THEN + 10**9)
    assert "1 skipped" in srx(f"upscale {source} {out} {SMALL}").out


def test_private_standard_input_stays_private(monkeypatch, srx):
    source = make("a.png", "photograph")
    source.chmod(0o600)
    with source.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        srx(f"upscale - out.png {SMALL} --keep-dates", code=0)
    assert rights("out.png") == 0o600
    assert Path("out.png").stat().st_mtime_ns == THEN
