"""A file that holds less than it claims is refused in a line before anything is made."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
import tifffile
from PIL import Image
from scipy.io import netcdf_file

from tests.fixtures.claims import claim, gif, label, png_chunk, sparse, write_lan
from tests.fixtures.mosaics import SIMPLE, vrt
from tests.fixtures.photographs import PLACE, noise, read_by_gdal, write_by_gdal

WORDS = "-m bicubic -s 2"
SMALL = "--tile 64 --overlap 8 --classes no"
RAW = {
    "EHdr": "bil",
    "ENVI": "img",
    "HFA": "img",
    "LAN": "lan",
    "RST": "rst",
    "SAGA": "sdat",
    "NITF": "ntf",
    "VICAR": "vic",
    "netCDF": "nc",
    "PNM": "pgm",
}


@pytest.fixture
def refused(srx):
    """Check that a file is refused alike in a dry run and in a run, which writes nothing."""

    def run(path, reason, *options):
        out = path.parent / "out"
        dry = srx(f"upscale {path} {out} {WORDS}", *options, "--dry-run", code=2)
        assert f"would fail: {path}: " in dry.out
        assert reason in dry.out
        real = srx(f"upscale {path} {out} {WORDS}", *options, code=2)
        assert reason in real.err
        assert not list(out.glob("*"))

    return run


@pytest.fixture
def picture(tmp_path):
    """A TIFF of 32x24 in one strip."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((24, 32, 3)), photometric="rgb")
    return path


def test_rows_that_no_strip_holds(refused, picture):
    claim(picture, ImageLength=30_000)
    refused(picture, "cut short: 24 of its 30,000 rows are there")


def test_a_width_that_no_strip_holds(refused, picture):
    claim(picture, ImageWidth=2**23)
    refused(picture, "cut short: 1 of its 1 strips lie beyond its end")


def test_tiles_that_are_missing(refused, tmp_path):
    path = tmp_path / "a.tif"
    write_by_gdal(
        path, noise((64, 64)), tiled=True, blockxsize=16, blockysize=16, **PLACE
    )
    claim(path, ImageLength=640)
    refused(path, "cut short: 16 of its 160 tiles are there")


@pytest.mark.parametrize("compress", ["deflate", "lzw", "packbits", "zstd"])
def test_strips_too_short_for_their_pixels(refused, tmp_path, compress):
    path = tmp_path / "a.tif"
    write_by_gdal(path, noise((64, 64)), compress=compress, blockysize=64, **PLACE)
    claim(path, ImageWidth=2**23)
    refused(path, "1 of its 1 strips are too short for their pixels")


def test_a_geotiff_that_ends_early(refused):
    path = write_by_gdal("a.tif", noise((200, 200)), **PLACE)
    path.write_bytes(path.read_bytes()[:30_000])
    refused(path, "strips lie beyond its end")


def test_a_page_in_an_archive(srx, picture):
    claim(picture, ImageLength=30_000)
    with zipfile.ZipFile("a.zip", "w") as members:
        members.write(picture, "a.tif")
    result = srx(f"upscale /vsizip/a.zip/a.tif b.tif {WORDS}", code=2)
    assert "24 of its 30,000 rows are there" in result.err


def test_a_source_of_a_mosaic(srx, picture):
    claim(picture, ImageLength=30_000)
    path = vrt(picture.with_name("m.vrt"), SIMPLE, name="a.tif", relative=1)
    result = srx(f"upscale {path} b.tif {WORDS}", code=2)
    assert (
        f"m.vrt: its source {picture}: the file is damaged or cut short" in result.err
    )


@pytest.mark.parametrize("driver", RAW)
def test_raw_pixels_that_end_early(srx, refused, tmp_path, driver):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = noise((200, 150)) | 1
    path = folder / f"a.{RAW[driver]}"
    if driver == "LAN":
        write_lan(path, pixels)
    else:
        rasterio.shutil.copy(
            write_by_gdal("a.tif", pixels, **PLACE), path, driver=driver
        )
    largest = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    srx(f"upscale {path} whole.tif {WORDS}", code=0)
    assert (read_by_gdal("whole.tif") > 0).mean() > 0.99
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size * 55 // 100])
    refused(path, "damaged or cut short")


def test_a_variable_along_records_needs_no_filling_at_its_end(srx):
    """One alone of odd size is not filled up to four bytes, as the format's specification says."""
    values = noise((3, 31, 2)) >> 1
    with netcdf_file("a.nc", "w") as file:
        for name, length in (("time", None), ("y", 3), ("x", 31)):
            file.createDimension(name, length)
        variable = file.createVariable("v", "b", ("time", "y", "x"))
        for step in range(2):
            variable[step] = values[:, :, step]
    srx(f"upscale a.nc a.tif {WORDS} --classes yes", code=0)
    repeated = values.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(read_by_gdal("a.tif"), repeated)


def test_a_label_that_claims_much(refused, tmp_path):
    refused(label(tmp_path), "of its 198,181,760 bytes are there")


def test_a_gif_with_a_small_frame_on_a_small_canvas(srx):
    Path("a.gif").write_bytes(gif(40, 30, (1, 1)))
    srx(f"upscale a.gif b.png {WORDS}", code=0)
    with Image.open("b.png") as enlarged:
        assert enlarged.size == (80, 60)


def test_a_png_with_too_few_bytes(refused, tmp_path):
    path = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(90_001))), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in parts)
    )
    refused(path, "bytes cannot hold its 900,000,000 pixels")


@pytest.mark.parametrize(
    ("fmt", "marker", "offset", "size"),
    [
        ("bmp", b"BM", 18, struct.pack("<ii", 30_000, 30_000)),
        ("jpeg", b"\xff\xc0", 5, struct.pack(">HH", 30_000, 30_000)),
    ],
)
def test_other_headers_with_too_few_bytes(refused, tmp_path, fmt, marker, offset, size):
    path = tmp_path / f"a.{fmt}"
    Image.fromarray(noise((24, 32, 3))).save(path)
    data = bytearray(path.read_bytes())
    position = data.index(marker) + offset
    data[position : position + len(size)] = size
    path.write_bytes(data)
    refused(path, "bytes cannot hold its 900,000,000 pixels")


@pytest.mark.parametrize(
    "options", [{}, {"tiled": True}, {"compress": "deflate"}], ids=str
)
def test_sound_files_of_all_layouts_are_read(srx, options):
    # as little as a compression can make of it
    values = np.zeros((300, 300, 3), np.uint8)
    path = write_by_gdal("a.tif", values, interleave="band", **PLACE, **options)
    srx(f"upscale {path} b.tif {WORDS}", code=0)
    assert read_by_gdal("b.tif").shape == (600, 600, 3)


def test_strips_without_their_lengths_are_read(srx):
    """Some writers state 0 for the only strip, which libtiff mends."""
    path = write_by_gdal("a.tif", noise((24, 32)), blockysize=24, **PLACE)
    srx(f"upscale {path} b.tif {WORDS}", code=0)
    srx("upscale", claim(path, StripByteCounts=0), "c.tif", WORDS, code=0)
    assert np.array_equal(read_by_gdal("b.tif"), read_by_gdal("c.tif"))


@pytest.mark.parametrize("nodata", [None, 0, 200])
def test_a_sparse_raster_equals_a_full_one(srx, nodata):
    holes = sparse("a.tif", 384, 448, [(1, 2), (5, 0)], nodata=nodata)
    with rasterio.open(holes) as file:
        values = np.moveaxis(file.read(), 0, 2)
    full = write_by_gdal("full.tif", values, nodata=nodata, **PLACE)
    for source, name in ((holes, "b.tif"), (full, "c.tif")):
        srx(f"upscale {source} {name} {WORDS} {SMALL}", code=0)
    assert np.array_equal(read_by_gdal("b.tif"), read_by_gdal("c.tif"))


def test_a_huge_sparse_raster_stays_small_and_quick(srx):
    path = sparse("a.tif", 2**18, 256, [(2**11, 2)], nodata=0)
    dry = srx(f"upscale {path} b.tif {WORDS} --dry-run", code=0)
    srx(f"upscale {path} b.tif {WORDS}", code=0)
    with rasterio.open("b.tif") as enlarged:
        block = enlarged.read(
            1, window=rasterio.windows.Window(0, 2**18 - 1000, 512, 2000)
        )
        assert enlarged.shape == (2**19, 512)
    assert "at most 0 MB on disk" in dry.out
    rows = np.flatnonzero(block.any(axis=1))
    assert (rows[0], rows[-1]) == (1000, 1127)
    assert Path("b.tif").stat().st_size < 4 << 20


def test_blocks_of_another_declared_value_are_kept(srx):
    """What a file leaves out is its nodata, valid where the user says that there is none."""
    path = sparse("a.tif", 384, 256, [(0, 0)], nodata=77)
    words = [WORDS, SMALL, "--nodata", "none"]
    srx(f"upscale {path} b.tif", *words, code=0)
    assert (read_by_gdal("b.tif")[200:] == 77).all()


def test_pages_are_checked_by_their_own_directory(srx, tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for seed in (0, 1):
            writer.write(noise((24, 32, 3), seed=seed), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        (at,) = [
            tag.offset
            for tag in file.pages[1].aspage().tags
            if tag.name == "ImageLength"
        ]
    data = bytearray(path.read_bytes())
    data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 5000)
    path.write_bytes(data)
    result = srx(f"upscale GTIFF_DIR:2:{path} b.tif {WORDS}", code=2)
    assert "24 of its 5,000 rows are there" in result.err
    srx(f"upscale GTIFF_DIR:1:{path} c.tif {WORDS}", code=0)
