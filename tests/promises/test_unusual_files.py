"""Sound files of unusual kinds are read, or refused in a line that says why; never read by half."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.reading import read_photograph
from tests.fixtures.files import names_in
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import turned_exif

HEIGHT = 20
WIDTH = 27
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([ROWS * 12, COLUMNS * 9, 255 - ROWS * 5 - COLUMNS * 4], axis=2).astype(
    np.uint8
)
ALPHA = (255 - COLUMNS * 9).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])


def cmyk_to_rgb(cmyk):
    ink = cmyk[:, :, :3].astype(int)
    black = 255 - cmyk[:, :, 3:4].astype(int)
    return (255 - ink) * black / 255


LOW = np.uint8(15) & (RGB >> 4)
DEEP = RGB.astype(np.uint16) * 16 + 15


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (RGB, {"compress": "WEBP", "webp_lossless": "YES", "photometric": "RGB"}, RGB),
        (RGB, {"compress": "LERC", "photometric": "RGB"}, RGB),
        (RGB, {"bigtiff": "YES", "endianness": "BIG", "photometric": "RGB"}, RGB),
        (LOW, {"nbits": 4, "photometric": "RGB"}, LOW * 17),
        (LOW[:, :, :1] // 4, {"nbits": 2}, LOW[:, :, :1] // 4 * 85),
        (DEEP, {"nbits": 12, "photometric": "RGB"}, np.rint(DEEP * (65535 / 4095))),
        (RGBA, {"nbits": 8, "compress": "WEBP", "webp_lossless": "YES"}, RGBA),
        (
            RGBA[:, :, 2:],
            {"interleave": "BAND", "compress": "DEFLATE", "alpha": "YES"},
            None,
        ),
    ],
    ids=[
        "webp",
        "lerc",
        "big",
        "4 bits",
        "2 bits",
        "12 bits",
        "webp rgba",
        "planes of gray",
    ],
)
def test_tiff(tmp_path, values, options, expected):
    path = tmp_path / "a.tif"
    write_by_gdal(path, values, **options)
    photograph = read_photograph(path)
    assert any("stretched to 16" in note for note in photograph.warnings) == (
        "12" in str(options)
    )
    shown = (
        photograph.pixels
        if photograph.alpha is None
        else np.dstack([photograph.pixels, photograph.alpha])
    )
    np.testing.assert_array_equal(shown, values if expected is None else expected)
    assert shown.dtype == (np.uint16 if values.dtype == np.uint16 else np.uint8)


@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("white", [255, np.float32(1)])
def test_cmyk_with_a_fifth_channel(tmp_path, extra, planes, white):
    """It is transparency only where the file says so."""
    values = np.dstack([RGB, 255 - RGB[:, :, :1], ALPHA])
    stored = values if planes == "contig" else np.moveaxis(values, 2, 0)
    stored = stored if white == 255 else stored / 255 * white
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, stored, photometric="separated", extrasamples=[extra], planarconfig=planes
    )
    photograph = read_photograph(path)
    np.testing.assert_allclose(photograph.pixels, cmyk_to_rgb(values), atol=2)
    assert (photograph.alpha is None) == (extra == "unspecified")
    if photograph.alpha is not None:
        np.testing.assert_array_equal(photograph.alpha, ALPHA)


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        (DEEP, {"photometric": "cielab"}, "LAB colours in over 8 bits"),
        (RGB, {"photometric": "icclab"}, "bands of unknown meaning"),
        (DEEP[:, :, 0], {"photometric": "cfa"}, "a camera's raw file"),
        (
            RGB,
            {"photometric": "rgb", "subfiletype": 1, "subifds": 1},
            "a camera's raw file",
        ),
    ],
    ids=["lab", "icclab", "mosaic of a sensor", "preview of a raw file"],
)
def test_what_is_no_red_green_and_blue_is_not_taken_for_it(
    srx, values, options, reason
):
    with tifffile.TiffWriter("a.dng") as writer:
        writer.write(values, metadata=None, **options)
        if "subifds" in options:
            writer.write(DEEP[:, :, 0], photometric="cfa", metadata=None)
    assert reason in srx("upscale a.dng out.tif -m bicubic -s 2").err
    assert not Path("out.tif").exists()


def test_jpeg_of_12_bits(tmp_path):
    path = tmp_path / "a.jpg"
    write_by_gdal(path, DEEP, "JPEG", nbits=12, quality=100)
    assert open_picture(path).bits == 16
    photograph = read_photograph(path)
    assert photograph.warnings == ("values of 12 bits stretched to 16",)
    pixels = photograph.pixels
    assert pixels.dtype == np.uint16
    assert np.abs(pixels / 65535 - DEEP / 4095).mean() < 0.005


def jpeg(**options):
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def with_an_empty_segment(content):
    """A JFIF header of no length in front, which Pillow stumbles over."""
    return content[:2] + b"\xff\xe0\0\x07JFIF\0" + content[2:]


def tiff_with(tag, value):
    """A small TIFF file with another value of a short tag."""
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "TIFF")
    content = stream.getvalue()
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    places = [directory + 2 + 12 * index for index in range(count)]
    at = next(
        place for place in places if struct.unpack_from("<H", content, place)[0] == tag
    )
    return content[: at + 8] + struct.pack("<HH", value, 0) + content[at + 12 :]


def two_bits():
    Image.fromarray(RGB).save(stream := io.BytesIO(), "BMP")
    return stream.getvalue().replace(b"\1\0\x18\0", b"\1\0\2\0", 1)


FOREIGN = {
    "lossless.jpg": (
        jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc3\0\x11\x10"),
        "16-bit",
    ),
    "jpeg2000.tif": (
        tiff_with(259, 34712),
        "stored as JPEG 2000, which is not read from TIFF",
    ),
    "two bits.bmp": (two_bits(), "Unsupported BMP pixel depth (2)"),
}


def test_kinds_that_are_not_read_are_refused_with_the_reason(srx, tmp_path):
    for name, (content, _) in FOREIGN.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(RGB).save("good.png")
    result = srx("upscale", tmp_path, "out", "-s 2 -m bicubic", code=1)
    for name, (_, words) in FOREIGN.items():
        (line,) = [line for line in result.err.splitlines() if f"/{name}: " in line]
        assert words in line
    assert names_in("out") == ["good.png"]


def sound_files(folder):
    """One file of each kind that only a second reader takes."""
    yield "empty.jpg", with_an_empty_segment(jpeg())
    options = {"compress": "WEBP", "webp_lossless": "YES", "photometric": "RGB"}
    write_by_gdal(folder / "webp.tif", RGB, **options)
    write_by_gdal(
        folder / "big.tif", RGB, bigtiff="YES", endianness="BIG", photometric="RGB"
    )
    write_by_gdal(folder / "bits.tif", LOW, nbits=4, photometric="RGB", compress="LZW")
    write_by_gdal(folder / "planes.tif", RGB, interleave="BAND", photometric="RGB")
    write_by_gdal(folder / "deep.jpg", DEEP, "JPEG", nbits=12)
    for name in ("webp.tif", "big.tif", "bits.tif", "planes.tif", "deep.jpg"):
        yield name, (folder / name).read_bytes()


def test_files_cut_short_are_not_read_by_half(tmp_path):
    """A second reader must not forgive what the first one does not."""
    for name, content in sound_files(tmp_path):
        path = tmp_path / name
        path.write_bytes(content)
        complete = read_photograph(path)
        for length in (len(content) // 2, len(content) * 9 // 10, len(content) - 5):
            path.write_bytes(content[:length])
            try:
                photograph = read_photograph(path)
            except PictureError as error:
                assert "damaged or cut short" in str(error)  # noqa: PT017
            else:  # nothing of the picture was missing
                np.testing.assert_array_equal(
                    photograph.pixels, complete.pixels, err_msg=name
                )
                assert length == len(content) - 5


def test_orientation_of_another_type(tmp_path):
    """IrfanView writes it as a byte, which Pillow does not follow."""
    path = tmp_path / "a.tif"
    orientation = [(274, 1, 1, 8, True)]
    tifffile.imwrite(path, RGB, photometric="rgb", extratags=orientation)
    assert (open_picture(path).height, open_picture(path).width) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_photograph(path).pixels, np.rot90(RGB))


@pytest.mark.parametrize(("values", "bits"), [(LOW, 4), (RGB, 8), (DEEP, 16)])
def test_tiff_without_its_strips_is_not_taken_for_black(tmp_path, values, bits):
    """GDAL reads a strip of no length as empty."""
    path = tmp_path / "a.tif"
    write_by_gdal(path, values, nbits=bits, photometric="RGB")
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags["StripByteCounts"].offset
    path.write_bytes(content[: at + 8] + bytes(4) + content[at + 12 :])
    with pytest.raises(PictureError, match="a part of its pixels is missing"):
        read_photograph(path)


def test_what_readers_find_beside_the_pixels_is_kept(tmp_path):
    """A JPEG that Pillow does not open keeps its orientation, EXIF and XMP."""
    exif = turned_exif(6)
    exif[0x010F] = "camera"
    content = jpeg(exif=exif.tobytes(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    path = tmp_path / "a.jpg"
    path.write_bytes(with_an_empty_segment(content))
    with pytest.raises(Exception, match=r"cannot identify|unpack"):
        Image.open(path).load()
    photograph = read_photograph(path)
    assert photograph.pixels.shape == (WIDTH, HEIGHT, 3)
    assert photograph.metadata.exif is not None
    assert b"camera" in photograph.metadata.exif
    assert photograph.metadata.xmp is not None
    assert b"xmpmeta" in photograph.metadata.xmp


@pytest.mark.parametrize(
    "form",
    [
        {"tiled": True, "blockxsize": 32, "blockysize": 32},
        {"tiled": True, "blockxsize": 32, "blockysize": 32, "interleave": "BAND"},
        {"blockysize": 16, "compress": "DEFLATE"},
    ],
    ids=["tiles", "planes", "strips"],
)
def test_what_a_sparse_tiff_leaves_out_is_black_and_told(srx, form):
    whole = np.zeros((64, 64, 3), np.uint8)
    whole[:32, :32] = np.tile(RGB[:16, :16], (2, 2, 1))
    write_by_gdal("a.tif", whole, photometric="RGB", sparse_ok="TRUE", **form)
    write_by_gdal("full.tif", whole, photometric="RGB")
    np.testing.assert_array_equal(read_photograph(Path("a.tif")).pixels, whole)
    told = srx("upscale a.tif full.tif out -s 2 -m bicubic", code=0).err
    assert "are left out in the file: their pixels are 0" in told
    assert told.count("warning") == 1
    sparse, full = (
        read_photograph(Path("out", name)) for name in ("a.tif", "full.tif")
    )
    np.testing.assert_array_equal(sparse.pixels, full.pixels)
