"""A picture file is opened once to be planned and once to be decoded, however it is asked about."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.opening import open_picture
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.reading import read_photograph
from srcli.imaging.writing import write_photograph

COUNT = """
import os, sys
opened = []
names = [os.path.realpath(name) for name in sys.argv[1:-1]]
def look(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path in names:
            opened.append(path)
sys.addaudithook(look)
from srcli.cli.main import main
try:
    main(["upscale", *names, sys.argv[-1], "-m", "bicubic", "-s", "2", "--quiet"])
except SystemExit as end:
    assert not end.code, end.code
print([opened.count(name) for name in names])
"""


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_upscale_opens_a_file_at_most_twice(tmp_path, dtype):
    pixels = np.full((12, 17, 3), 99, dtype)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata=None)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.webp", lossless=True)
    names = [str(tmp_path / name) for name in ("a.png", "a.tif", "a.webp")]
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *names, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # 16-bit TIFF is decoded by GDAL, whose own opening Python does not see
    assert done.stdout.splitlines()[-1] == "[2, 2, 2]"


def test_a_picture_that_was_opened_is_not_looked_at_again(tmp_path, monkeypatch):
    photograph = Photograph(
        pixels=np.arange(60, dtype=np.uint16).reshape(4, 5, 3),
        alpha=None,
        metadata=Metadata(dpi=(72.0, 72.0)),
    )
    for fmt in ("png", "tif"):
        path = tmp_path / f"a.{fmt}"
        write_photograph(path, photograph, fmt=fmt)
        picture = open_picture(path)
        assert (picture.path, picture.format, picture.raster) == (path, fmt, None)
        with monkeypatch.context() as patch:
            patch.setattr("srcli.imaging.reading.read_header", None)
            again = read_photograph(picture)
        assert np.array_equal(again.pixels, photograph.pixels)
        assert again.metadata == picture.metadata
        assert again.metadata.dpi == pytest.approx((72.0, 72.0), abs=0.02)


def test_a_file_that_changed_in_between_is_read_anew(tmp_path):
    path = tmp_path / "a.png"
    for level in (3, 200):
        Image.new("RGB", (6, 5), (level, level, level)).save(path)
        assert read_photograph(path).pixels.max() == level


def test_a_file_of_no_format_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("words, and no picture at all")
    with pytest.raises(PictureError, match=r"a\.png: not a picture that srx reads \(avif, bmp"):
        open_picture(tmp_path / "a.png")


def test_many_bands_are_counted_with_their_bits(tmp_path):
    path = tmp_path / "a.tif"
    values = np.zeros((5, 6, 200), np.uint16)
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig", metadata=None)
    reason = "200 band(s) of 16 bits, of a kind that photographs have not"
    assert open_picture(path).raster == reason


def test_damaged_exif_costs_a_tiff_nothing_else(tmp_path):
    path = tmp_path / "a.tif"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = 0.5
    photograph = Photograph(
        pixels=np.full((5, 6, 1), 9, np.uint8), alpha=None, metadata=Metadata(exif=exif.tobytes())
    )
    write_photograph(path, photograph, fmt="tif")
    content = path.read_bytes()
    at = content.index(struct.pack("<HHI", 0x8769, 4, 1)) + 8
    path.write_bytes(content[:at] + struct.pack("<I", 10**6) + content[at + 4 :])
    photograph = read_photograph(path)
    assert photograph.pixels.max() == 9
    assert photograph.metadata.exif is None
    assert "damaged EXIF left out" in photograph.warnings
