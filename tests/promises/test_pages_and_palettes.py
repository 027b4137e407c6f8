"""TIFFs with thumbnails and unusual palettes, and pictures beside an animation's frames."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import srcli
from tests.fixtures.claims import insert_chunks, write_tiff
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import flat_frames


def colours(height=24, width=32) -> np.ndarray:
    """Colours that differ in every pixel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([x * 7, y * 9, (x + y) * 4]).astype(np.uint8)


@pytest.fixture
def enlarged(srx):
    """Return the pixels of a file's enlargement, and what was told."""

    def run(source, target, *options):
        result = srx(f"upscale {source} {target} -m bicubic -s 2", *options, code=0)
        with Image.open(target) as image:
            return np.asarray(image), result.err

    return run


@pytest.mark.parametrize("photometric", ["rgb", "separated"])
def test_a_thumbnail_on_the_first_page_is_not_the_picture(enlarged, photometric):
    full = colours() if photometric == "rgb" else np.full((24, 32, 4), 60, np.uint8)
    with tifffile.TiffWriter("a.tif") as writer:
        writer.write(255 - full[::4, ::4], photometric=photometric, subfiletype=1)
        writer.write(full, photometric=photometric)
    tifffile.imwrite("b.tif", full, photometric=photometric)
    pixels, told = enlarged("a.tif", "a.png")
    np.testing.assert_array_equal(pixels, enlarged("b.tif", "b.png")[0])
    assert "only the first" not in told


def palette_tiff(path, indices, table):
    """Write a TIFF whose palette, (N, 3) of 16 bits, may be shorter than its values allow."""
    values = struct.pack(f"<{table.size}H", *table.T.ravel().tolist())
    height, width = indices.shape
    bits = indices.dtype.itemsize * 8
    start = 8 + len(values)
    pixels = indices.astype(f"<u{bits // 8}").tobytes()
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 1),
    ]
    entries += [(262, 3, 1, 3), (273, 4, 1, start), (277, 3, 1, 1), (278, 4, 1, height)]
    entries += [(279, 4, 1, len(pixels)), (320, 3, table.size, 8)]
    write_tiff(path, values + pixels, entries)


@pytest.mark.parametrize(("dtype", "length"), [(np.uint8, 195), (np.uint16, 65536)])
def test_palettes_of_any_length_give_their_colours(enlarged, dtype, length):
    table = np.random.default_rng(0).integers(0, 256, (length, 3)) * 257
    indices = np.arange(24 * 32, dtype=dtype).reshape(24, 32) % min(length, 700)
    palette_tiff("a.tif", indices.astype(dtype), table)
    pixels, _ = enlarged("a.tif", "a.png")
    expected = srcli.upscale((table // 257).astype(np.uint8)[indices], "bicubic", 2)
    np.testing.assert_array_equal(pixels, expected)


def animation(path):
    """Write an APNG of two frames whose default picture, a red one, is none of them."""
    frames = flat_frames((20, 16), ["red", "lime", "blue"])
    picture, *further = frames
    picture.save(
        path, save_all=True, append_images=further, default_image=True, duration=100
    )


def test_the_default_picture_of_an_animation_is_for_other_formats(enlarged):
    animation("a.png")
    _, told = enlarged("a.png", "out.png")
    assert "its picture for programs without animation is left out" in told
    # animations lose no more
    assert "left out" not in enlarged("out.png", "again.png")[1]
    assert Path("again.png").read_bytes().count(b"fcTL") == 2
    found, told = enlarged("a.png", "out.tif")
    assert "left out" not in told
    np.testing.assert_array_equal(found, np.full((32, 40, 3), (255, 0, 0), np.uint8))


def test_a_dry_run_tells_of_pages_that_are_dropped(srx):
    with tifffile.TiffWriter("a.tif") as writer:
        for _ in range(3):
            writer.write(colours(), photometric="rgb")
    words = "holds 3 pictures: only the first is used"
    result = srx("upscale a.tif out.png --dry-run", code=0)
    assert words in result.out + result.err


def test_a_dry_run_tells_of_texts_that_are_lost(srx):
    Image.fromarray(colours()).save("a.png")
    insert_chunks("a.png", (b"tEXt", b"Mood\0calm"))
    result = srx("upscale a.png out.jpg --dry-run", code=0)
    assert "text entries left out (png keeps them): Mood" in result.out + result.err


# red, lime and blue of 40x40 pixels, as libjxl 0.11 writes them
_ANIMATED_JXL = (
    "ff0a49044d00202608040100c0004b122951bd800218701fc6fbb80a82200829b061630cde37c68d1b63dc18e31e"
    "00b0f9ce80495cffc2f681053bb7570d0804010090004b122951bd800218701fc6fbb80a82200829b061630c266e"
    "8c710f00f85073b1ef0af40108040500d4004b122951bd800218701fc6fbb80a82200829b061630cde37c6dd8d1b"
    "37c6b807006c1a02c0ddc68146fa4d3b64870edd1d876da906"
)


@pytest.mark.parametrize("contained", [False, True])
def test_an_animation_of_jpeg_xl_is_not_its_last_frame(srx, contained):
    pytest.importorskip("pillow_jxl")
    data = bytes.fromhex(_ANIMATED_JXL)
    if contained:
        head = (
            bytes.fromhex("0000000c4a584c200d0a870a0000001466747970")
            + b"jxl \0\0\0\0jxl "
        )
        data = head + struct.pack(">I", 8 + len(data)) + b"jxlc" + data
    Path("a.jxl").write_bytes(data)
    result = srx("upscale a.jxl out.png -m bicubic", code=2)
    assert "animations in JPEG XL are not read" in result.err


@pytest.mark.parametrize("size", [(40, 40), (48, 56), (37, 301)])
def test_still_pictures_in_jpeg_xl_are_read(enlarged, size):
    pytest.importorskip("pillow_jxl")
    pixels = colours(*size)
    Image.fromarray(pixels).save("a.jxl", lossless=True)
    shown, _ = enlarged("a.jxl", "out.png")
    np.testing.assert_array_equal(shown, srcli.upscale(pixels, "bicubic", 2))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("space", "words"), [(12, "its colours are CMYK"), (14, "CIELab")]
)
def test_jpeg_2000_of_other_colours_is_not_taken_for_rgb(tmp_path, srx, space, words):
    pixels = np.full((32, 32, 4), 90, np.uint8)
    path = write_by_gdal(tmp_path / "a.jp2", pixels, "JP2OpenJPEG")
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(b"colr") + 7, space)
    path.write_bytes(data)
    assert words in srx(f"upscale {path} out.tif -m bicubic", code=2).err
