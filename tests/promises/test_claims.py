"""A file that holds less than it claims is refused in a line before anything is made."""

from __future__ import annotations

import struct
import zipfile
import zlib

import numpy as np
import pytest
import rasterio.shutil
import tifffile
from PIL import Image

from tests.fixtures.mosaics import SIMPLE, vrt
from tests.fixtures.photographs import PLACE, noise, read_by_gdal, write_by_gdal

WORDS = ("-m", "bicubic", "-s", 2)
SMALL = ("--tile", 64, "--overlap", 8, "--classes", "no")
RAW = {
    "EHdr": "bil", "ENVI": "img", "ERS": "ers", "HFA": "img", "LAN": "lan", "PCIDSK": "pix",
    "RST": "rst", "SAGA": "sdat", "NITF": "ntf", "VICAR": "vic", "netCDF": "nc", "PNM": "pgm",
}  # fmt: skip


def claim(path, **numbers):
    """Give tags of a little-endian TIFF of numbers other values: ``claim(path, ImageLength=9)``."""
    with tifffile.TiffFile(path) as file:
        places = {tag.name: tag.offset for tag in file.pages.first.tags}
    data = bytearray(path.read_bytes())
    for name, value in numbers.items():
        data[places[name] + 2 : places[name] + 12] = struct.pack("<HII", 4, 1, value)
    path.write_bytes(data)
    return path


def refused(srx, path, reason, *more):
    """Check that a file is refused alike in a dry run and in a run, which writes nothing."""
    out = path.parent / "out"
    dry = srx("upscale", path, out, *WORDS, *more, "--dry-run", code=2)
    assert f"would fail: {path}: " in dry.out
    assert reason in dry.out
    real = srx("upscale", path, out, *WORDS, *more, code=2)
    assert [line for line in real.err.splitlines() if reason in line]
    assert not list(out.glob("*"))


@pytest.fixture
def picture(tmp_path):
    """A TIFF of 32x24 in one strip."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((24, 32, 3)), photometric="rgb")
    return path


def test_rows_that_no_strip_holds(srx, picture):
    claim(picture, ImageLength=30_000)
    refused(srx, picture, "cut short: 24 of its 30,000 rows are there")


def test_a_width_that_no_strip_holds(srx, picture):
    claim(picture, ImageWidth=2**30)
    refused(srx, picture, "cut short: 1 of its 1 strips lie beyond its end")


def test_tiles_that_are_missing(srx, tmp_path):
    path = tmp_path / "a.tif"
    write_by_gdal(
        path, noise((64, 64)), tiled=True, blockxsize=16, blockysize=16, **PLACE
    )
    claim(path, ImageLength=640)
    refused(srx, path, "cut short: 16 of its 160 tiles are there")


@pytest.mark.parametrize("compress", ["deflate", "lzw", "packbits", "zstd"])
def test_strips_too_short_for_their_pixels(srx, tmp_path, compress):
    path = tmp_path / "a.tif"
    write_by_gdal(path, noise((64, 64)), compress=compress, blockysize=64, **PLACE)
    claim(path, ImageWidth=2**30)
    refused(srx, path, "1 of its 1 strips are too short for their pixels")


def test_a_geotiff_that_ends_early(srx, tmp_path):
    path = write_by_gdal(tmp_path / "a.tif", noise((200, 200)), **PLACE)
    path.write_bytes(path.read_bytes()[:30_000])
    refused(srx, path, "strips lie beyond its end")


def test_a_page_in_an_archive(srx, picture):
    claim(picture, ImageLength=30_000)
    archive = picture.with_name("a.zip")
    with zipfile.ZipFile(archive, "w") as members:
        members.write(picture, "a.tif")
    done = srx(
        "upscale", f"/vsizip/{archive}/a.tif", picture.parent / "b.tif", *WORDS, code=2
    )
    assert "24 of its 30,000 rows are there" in done.err


def test_a_source_of_a_mosaic(srx, picture):
    claim(picture, ImageLength=30_000)
    path = vrt(picture.with_name("m.vrt"), SIMPLE, name="a.tif", place=1)
    done = srx("upscale", path, picture.parent / "b.tif", *WORDS, code=2)
    assert f"m.vrt: its source {picture}: the file is damaged or cut short" in done.err


@pytest.mark.parametrize("driver", RAW)
def test_raw_pixels_that_end_early(srx, tmp_path, driver):
    folder = tmp_path / "in"
    folder.mkdir()
    source = write_by_gdal(tmp_path / "a.tif", noise((200, 150)) | 1, **PLACE)
    path = folder / f"a.{RAW[driver]}"
    rasterio.shutil.copy(source, path, driver=driver)
    largest = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    srx("upscale", path, tmp_path / "whole.tif", *WORDS, code=0)
    assert (read_by_gdal(tmp_path / "whole.tif") > 0).mean() > 0.99
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size * 55 // 100])
    refused(srx, path, "damaged or cut short")


def test_a_label_that_claims_much(srx, tmp_path):
    source = write_by_gdal(tmp_path / "a.tif", noise((24, 32)), **PLACE)
    path = tmp_path / "a.lan"
    rasterio.shutil.copy(source, path, driver="LAN")
    data = bytearray(path.read_bytes())
    data[16:20] = struct.pack("<I", 8_257_568)
    path.write_bytes(data)
    refused(srx, path, "of its 198,181,760 bytes are there")


def gif(width, height, frame, data=b"\x02\x02\x44\x01\x00"):
    """Return a GIF of one frame of its own width and height, black by default."""
    head = (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        + bytes([0, 0, 0, 9, 9, 9])
    )
    return head + b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + data + b"\x3b"


def test_a_gif_of_one_pixel_on_a_huge_canvas(srx, tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(gif(32768, 16385, (1, 1)))
    refused(srx, path, "claims 32768x16385 pixels, of which its frames fill 1x1")


def test_a_gif_whose_frame_has_too_few_bytes(srx, tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(gif(20000, 20000, (20000, 20000)))
    refused(srx, path, "2 bytes cannot hold its 400,000,000 pixels")


def test_a_gif_with_a_small_frame_on_a_small_canvas(srx, tmp_path):
    (tmp_path / "a.gif").write_bytes(gif(40, 30, (1, 1)))
    srx("upscale", tmp_path / "a.gif", tmp_path / "b.png", *WORDS, code=0)
    with Image.open(tmp_path / "b.png") as made:
        assert made.size == (80, 60)


def test_a_webp_whose_frames_are_tiny(srx, tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    data = bytearray(path.read_bytes())
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = (16_000).to_bytes(3, "little") * 2
    path.write_bytes(data)
    refused(srx, path, "claims 16001x16001 pixels, of which its frames fill 16x16")


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def test_a_png_with_too_few_bytes(srx, tmp_path):
    path = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(90_001))), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)
    )
    refused(srx, path, "bytes cannot hold its 900,000,000 pixels")


@pytest.mark.parametrize(
    ("fmt", "marker", "offset", "size"),
    [
        ("bmp", b"BM", 18, struct.pack("<ii", 30_000, 30_000)),
        ("jpeg", b"\xff\xc0", 5, struct.pack(">HH", 30_000, 30_000)),
    ],
)
def test_other_headers_with_too_few_bytes(srx, tmp_path, fmt, marker, offset, size):
    path = tmp_path / f"a.{fmt}"
    Image.fromarray(noise((24, 32, 3))).save(path)
    data = bytearray(path.read_bytes())
    place = data.index(marker) + offset
    data[place : place + len(size)] = size
    path.write_bytes(data)
    refused(srx, path, "bytes cannot hold its 900,000,000 pixels")


@pytest.mark.parametrize(
    "options", [{}, {"tiled": True}, {"compress": "deflate"}], ids=str
)
def test_sound_files_of_all_layouts_are_read(srx, tmp_path, options):
    values = np.zeros(
        (300, 300, 3), np.uint8
    )  # as little as a compression can make of it
    path = write_by_gdal(
        tmp_path / "a.tif", values, interleave="band", **PLACE, **options
    )
    srx("upscale", path, tmp_path / "b.tif", *WORDS, code=0)
    assert read_by_gdal(tmp_path / "b.tif").shape == (600, 600, 3)


def test_strips_without_their_lengths_are_read(srx, tmp_path):
    """Some writers state 0 for the only strip, which libtiff mends."""
    path = write_by_gdal(tmp_path / "a.tif", noise((24, 32)), blockysize=24, **PLACE)
    srx("upscale", path, tmp_path / "b.tif", *WORDS, code=0)
    srx("upscale", claim(path, StripByteCounts=0), tmp_path / "c.tif", *WORDS, code=0)
    assert np.array_equal(
        read_by_gdal(tmp_path / "b.tif"), read_by_gdal(tmp_path / "c.tif")
    )


def sparse(path, height, width, filled, **options):
    """Write a sparse raster of blocks of 64 pixels, of which one at (row, column) is there."""
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8",
        "tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": True, **PLACE, **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for row, column in filled:
            window = rasterio.windows.Window(column * 64, row * 64, 64, 64)
            file.write(noise((1, 64, 64)) | 1, window=window)
    return path


@pytest.mark.parametrize("nodata", [None, 0, 200])
def test_a_sparse_raster_equals_a_full_one(srx, tmp_path, nodata):
    holes = sparse(tmp_path / "a.tif", 384, 448, [(1, 2), (5, 0)], nodata=nodata)
    with rasterio.open(holes) as file:
        values = np.moveaxis(file.read(), 0, 2)
    full = write_by_gdal(tmp_path / "full.tif", values, nodata=nodata, **PLACE)
    for source, name in ((holes, "b.tif"), (full, "c.tif")):
        srx("upscale", source, tmp_path / name, *WORDS, *SMALL, code=0)
    assert np.array_equal(
        read_by_gdal(tmp_path / "b.tif"), read_by_gdal(tmp_path / "c.tif")
    )


def test_a_huge_sparse_raster_stays_small_and_quick(srx, tmp_path):
    path = sparse(tmp_path / "a.tif", 2**18, 256, [(2**11, 2)], nodata=0)
    dry = srx("upscale", path, tmp_path / "b.tif", *WORDS, "--dry-run", code=0)
    srx("upscale", path, tmp_path / "b.tif", *WORDS, code=0)
    with rasterio.open(tmp_path / "b.tif") as made:
        block = made.read(1, window=rasterio.windows.Window(0, 2**18 - 1000, 512, 2000))
        assert made.shape == (2**19, 512)
    assert "at most 0 MB on disk" in dry.out
    rows = np.flatnonzero(block.any(axis=1))
    assert (rows[0], rows[-1]) == (1000, 1127)
    assert (tmp_path / "b.tif").stat().st_size < 4 << 20


def test_blocks_of_another_declared_value_are_kept(srx, tmp_path):
    """What a file leaves out is its nodata, valid where the user says that there is none."""
    path = sparse(tmp_path / "a.tif", 384, 256, [(0, 0)], nodata=77)
    words = [*WORDS, *SMALL, "--nodata", "none"]
    srx("upscale", path, tmp_path / "b.tif", *words, code=0)
    assert (read_by_gdal(tmp_path / "b.tif")[200:] == 77).all()


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
    done = srx("upscale", f"GTIFF_DIR:2:{path}", tmp_path / "b.tif", *WORDS, code=2)
    assert "24 of its 5,000 rows are there" in done.err
    srx("upscale", f"GTIFF_DIR:1:{path}", tmp_path / "c.tif", *WORDS, code=0)
