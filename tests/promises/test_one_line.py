"""What the system or a file denies ends in one line of srx, without tracebacks."""

from __future__ import annotations

import errno
import io
import tempfile
import threading
import warnings
from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
import tifffile
from PIL import Image

from srcli.cli import streams
from tests.fixtures.files import json_lines
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

WORDS = "-m bicubic -s 2"


def picture(path):
    Image.fromarray(noise((24, 32, 3))).save(path)


def test_a_model_with_a_stray_sign(srx):
    picture("a.png")
    line = srx("upscale a.png b.png -m =quick", code=2).err
    assert "no model '=quick' (did you mean quick?); give one that 'srx models'" in line
    assert "rrlfn" not in line


def test_control_points_without_a_coordinate_system(srx):
    corners = ((0, 0), (32, 0), (32, 24), (0, 24))
    points = []
    for x, y in corners:
        points += [x, y, 0, 10 + x / 10, 50 - y / 10, 0]
    tags = [(33922, "d", len(points), points, True)]
    tifffile.imwrite("a.tif", noise((24, 32, 3)), photometric="rgb", extratags=tags)
    srx(f"upscale a.tif b.tif {WORDS}", code=0)
    with warnings.catch_warnings(action="ignore"), rasterio.open("b.tif") as enlarged:
        kept_points, crs = enlarged.gcps
    assert crs is None
    assert [(point.col, point.row, point.x) for point in kept_points] == [
        (0, 0, 10),
        (64, 0, pytest.approx(13.2)),
        (64, 48, pytest.approx(13.2)),
        (0, 48, 10),
    ]


@pytest.mark.parametrize("driver", ["ERS", pytest.param("MRF", marks=pytest.mark.slow)])
def test_headers_with_bytes_that_are_no_text(tmp_path, forking_python, driver):
    source = write_by_gdal("a.tif", noise((24, 32)), **PLACE)
    path = tmp_path / f"a.{driver.lower()}"
    rasterio.shutil.copy(source, path, driver=driver)
    header = path.read_bytes()
    offset = header.index(b"Da" if driver == "ERS" else b"<Size")
    path.write_bytes(header[:offset] + b"\xff\xff\xfc" + header[offset + 3 :])
    result = forking_python.run_srx("upscale", path, "out", *WORDS.split())
    lines = [line for line in result.stderr.splitlines() if line]
    assert (result.returncode, len(lines)) == (2, 1)
    assert lines[0].startswith(f"error: {path}: ")
    assert "codec" not in lines[0]


def test_keys_of_a_geotiff_that_proj_does_not_know(forking_python):
    name = b"WGS 84 / UTM zone 32N|WGS 84|"
    keys = [1, 1, 0, 5, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, 22, 0, 3072, 0, 1, 3]
    tags = [
        (33550, "d", 3, (1.0, 1.0, 0.0), True),
        (33922, "d", 6, (0, 0, 0, 5e5, 5.2e6, 0), True),
        (34735, "H", len(keys) + 4, [*keys, 3076, 0, 1, 9001], True),
        (34737, "s", len(name), name, True),
    ]
    tifffile.imwrite("a.tif", noise((24, 32, 3)), photometric="rgb", extratags=tags)
    result = forking_python.run_srx("upscale", "a.tif", "out", *WORDS.split())
    assert result.returncode == 0
    for line in result.stderr.splitlines():  # a slow machine shows how far it is
        assert line.startswith("upscaling:")


@pytest.fixture
def no_threads(monkeypatch):
    """A system that starts no thread."""

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_a_system_without_threads(srx, no_threads):
    picture("a.png")
    result = srx(f"upscale a.png out {WORDS}", code=2)
    assert result.err.splitlines() == [
        "srx: error: no more threads can be started; raise 'ulimit -u', or end other programs"
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_on_a_full_disk_is_an_error(srx):
    picture("a.png")
    result = srx(f"upscale a.png out {WORDS} --report /dev/full", code=1)
    assert (
        "error: --report /dev/full: the disk is full; the report ends before"
        in result.err
    )
    assert Path("out/a.png").exists()


def test_a_full_folder_of_temporary_files_is_named(srx, monkeypatch, tmp_path):
    """GDAL tries the options there; they are not to blame."""
    write_by_gdal("a.tif", noise((24, 32)), **PLACE)
    write_bytes = Path.write_bytes

    def write_little(path, data):
        if len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    def fail(*_):
        raise ValueError("Write error at scanline 0")

    monkeypatch.setattr(Path, "write_bytes", write_little)
    monkeypatch.setattr("srcli.imaging.rasters.publishing.copy_file", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = srx(f"upscale a.tif out.tif {WORDS} -co COMPRESS=LZW", code=2)
    assert f"the disk of {tmp_path} is full, where GDAL tries" in result.err
    assert "change --co" not in result.err


class SmallDisk(io.FileIO):
    """A file on a disk with room for 300 bytes, which takes a part of what does not fit."""

    def write(self, data):
        room = 300 - self.tell()
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[:room])


def test_a_report_holds_whole_lines_alone(srx, monkeypatch):
    for number in range(4):
        picture(f"{number}.bmp")
    monkeypatch.setattr(streams, "_open_report", lambda path: SmallDisk(path, "wb"))
    pictures = [f"{number}.bmp" for number in range(4)]
    srx("upscale", *pictures, "out", WORDS, "--report report.jsonl", code=1)
    lines = json_lines("report.jsonl")
    assert [line["source"] for line in lines] == ["0.bmp"]
