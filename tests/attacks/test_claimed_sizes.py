"""Files that claim much are refused with the memory of any other file, in dry runs as well."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import rasterio.shutil
import tifffile

from tests.fixtures.photographs import PLACE, noise, write_by_gdal

pytestmark = pytest.mark.attack
CEILING = 250 << 20
"""Bytes above those of a command that does nothing."""
LIMIT = 6 << 30
"""Bytes of address space, so that a failing test does no harm to the machine."""
SECONDS = 60.0


def tiff(folder, name, value):
    path = folder / "a.tif"
    tifffile.imwrite(path, noise((24, 32, 3)), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[name].offset
    data = bytearray(path.read_bytes())
    data[place + 2 : place + 12] = struct.pack("<HII", 4, 1, value)
    path.write_bytes(data)
    return path


def gif(folder):
    path = folder / "a.gif"
    head = b"GIF89a" + struct.pack("<HHBBB", 32768, 16385, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00\x3b"
    path.write_bytes(head + frame)
    return path


def label(folder):
    source = write_by_gdal(folder / "source.tif", noise((24, 32)), **PLACE)
    path = folder / "a.lan"
    rasterio.shutil.copy(source, path, driver="LAN")
    data = bytearray(path.read_bytes())
    data[16:20] = struct.pack("<I", 8_257_568)
    path.write_bytes(data)
    return path


MADE = {
    "rows": lambda folder: tiff(folder, "ImageLength", 2**30),
    "width": lambda folder: tiff(folder, "ImageWidth", 2**30),
    "gif": gif,
    "lan": label,
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=str)
def test_no_memory_is_taken_for_claims(tmp_path, fork, name, more):
    base = fork(["models", "bicubic"]).peak
    words = [
        "upscale",
        MADE[name](tmp_path),
        tmp_path / "out",
        "-m",
        "bicubic",
        "-s",
        "2",
        *more,
    ]
    ended = fork(words, SECONDS, LIMIT)
    assert ended.code == 2, ended.text[-2000:]
    assert ended.peak - base < CEILING
    assert not list((tmp_path / "out").glob("*"))


def test_a_sparse_giant_takes_no_memory(tmp_path, fork):
    path = tmp_path / "a.tif"
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": "uint8",
        "SPARSE_OK": True,
        **PLACE,
    }
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "nodata": 0}
    with rasterio.open(
        path, "w", height=60_000, width=60_000, **profile, **tiles
    ) as file:
        window = rasterio.windows.Window(512, 512, 256, 256)
        file.write(np.full((1, 256, 256), 7, np.uint8), window=window)
    base = fork(["models", "bicubic"]).peak
    words = [
        "upscale",
        path,
        tmp_path / "b.tif",
        "-m",
        "bicubic",
        "-s",
        "2",
        "--classes",
        "no",
    ]
    ended = fork(words, SECONDS, None)
    assert ended.code == 0, ended.text[-2000:]
    assert ended.peak - base < 1 << 30
    with rasterio.open(tmp_path / "b.tif") as made:
        assert (
            made.read(1, window=rasterio.windows.Window(1024, 1024, 512, 512)).min() > 0
        )
