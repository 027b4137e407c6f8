"""Outputs are no more readable than inputs, and have their dates where that is asked for."""

from __future__ import annotations

import os
import stat
import sys

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.photographs import PLACE, write_by_gdal

pytestmark = pytest.mark.posix
SMALL = ("-m", "bicubic", "-s", 2)
THEN = 1_000_000_000_123_456_789


@pytest.fixture(autouse=True)
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def make(path, kind):
    values = np.random.default_rng(0).integers(0, 256, (3, 12, 14, 3), np.uint8)
    images = [Image.fromarray(each) for each in values]
    if kind == "photograph":
        images[0].save(path)
    elif kind == "animation":
        images[0].save(path, save_all=True, append_images=images[1:])
    else:
        write_by_gdal(path, values[0], **PLACE)
    os.utime(path, ns=(THEN, THEN))
    return path


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


KINDS = [
    ("photograph", "a.png", "out.png"),
    ("photograph", "a.png", "out.tif"),
    ("animation", "a.gif", "out.gif"),
    ("animation", "a.webp", "out.png"),
    ("raster", "a.tif", "out.tif"),
    ("raster", "a.tif", "out.jpg"),
]


@pytest.mark.parametrize(("kind", "name", "output"), KINDS)
def test_rights_and_dates(srx, tmp_path, kind, name, output):
    source, folder = make(tmp_path / name, kind), tmp_path / "out"
    folder.mkdir()
    asked = ("upscale", source, folder / output, *SMALL)
    for given, expected in ((0o600, 0o600), (0o640, 0o600), (0o644, 0o600)):
        source.chmod(given)
        srx(*asked, "--overwrite", code=0)
        # one that exists does not become more readable either
        files = [path for path in folder.iterdir() if path.is_file()]
        assert {rights(path) for path in files} == {expected}
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.unlink()
    for given, expected in ((0o664, 0o644), (0o400, 0o600)):
        source.chmod(given)
        srx(*asked, "--overwrite", "--keep-dates", code=0)
        assert rights(folder / output) == expected
        assert (folder / output).stat().st_mtime_ns == THEN
    again = srx(*asked, "--keep-dates")
    assert "1 skipped" in again.out
    assert "interrupted" not in again.err
    os.utime(source, ns=(THEN + 10**7, THEN + 10**7))
    assert "1 skipped" not in srx(*asked, "--keep-dates").out
    os.utime(source, ns=(-THEN, -THEN))  # before 1970
    srx(*asked, "--overwrite", "--keep-dates", code=0)
    assert "1 skipped" in srx(*asked, "--keep-dates").out


def test_nobody_reads_an_output_while_it_is_written(srx, tmp_path, monkeypatch):
    source, seen = make(tmp_path / "a.png", "photograph"), []
    source.chmod(0o600)
    replace = type(source).replace

    def looking(path, target):
        seen.append(rights(path))
        return replace(path, target)

    monkeypatch.setattr(type(source), "replace", looking)
    srx("upscale", source, tmp_path / "out.png", *SMALL, code=0)
    assert seen == [0o600]


@pytest.mark.parametrize("then", [THEN, 4 * THEN])
def test_without_the_option_outputs_are_of_now_but_not_older_than_inputs(
    srx, tmp_path, then
):
    source, out = make(tmp_path / "a.png", "photograph"), tmp_path / "out.png"
    os.utime(source, ns=(then, then))
    srx("upscale", source, out, *SMALL, code=0)
    assert out.stat().st_mtime_ns >= max(then, THEN + 10**9)
    assert "1 skipped" in srx("upscale", source, out, *SMALL).out


def test_private_standard_input_stays_private(tmp_path, monkeypatch, srx):
    source = make(tmp_path / "a.png", "photograph")
    source.chmod(0o600)
    with source.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        srx("upscale", "-", tmp_path / "out.png", *SMALL, "--keep-dates", code=0)
    assert rights(tmp_path / "out.png") == 0o600
    assert (tmp_path / "out.png").stat().st_mtime_ns == THEN
