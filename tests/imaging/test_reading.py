from __future__ import annotations

import io
import re
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, ImageDraw, ImageOps, PngImagePlugin

from srcli.errors import PictureError
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.writing import write_photograph
from tests.fixtures.photographs import SRGB, noise, write_by_gdal


def same(found, expected):
    return found is not None and np.array_equal(found, expected)


def png_of(*chunks):
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in (*chunks, (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        data += struct.pack(">I", len(content)) + kind + content + crc
    return data


def raw_png(values, colour, *, depth=16, key=None, rows=None):
    """A PNG file of unfiltered rows, made by hand."""
    height, width = values.shape[:2]
    body = values.astype(">u2" if depth == 16 else np.uint8).tobytes()
    step = len(body) // height
    lines = b"".join(
        b"\0" + body[i * step : (i + 1) * step] for i in range(rows or height)
    )
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    transparent = [(b"tRNS", struct.pack(f">{len(key)}H", *key))] if key else []
    return png_of((b"IHDR", head), *transparent, (b"IDAT", zlib.compress(lines)))


# --- PNG
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "colour", "key"),
    [
        (1, 0, ()),
        (2, 4, ()),
        (3, 2, ()),
        (4, 6, ()),
        (1, 0, (1000,)),
        (3, 2, (1, 2, 3)),
    ],
)
def test_16_bit_png_keeps_every_bit(tmp_path, channels, colour, key):
    values = noise((37, 23, channels), np.uint16)
    expected = values[:, :, -1] if channels in (2, 4) else None
    path = tmp_path / "a.png"
    if key:  # a colour that is transparent
        values[4, 5:7] = key
        values[4, 6, 0] += 256
        expected = np.full((37, 23), 65535)
        expected[4, 5] = 0
    path.write_bytes(raw_png(values, colour, key=key))
    photograph = read_photograph(path)
    assert photograph.pixels.dtype == np.uint16
    assert np.array_equal(photograph.pixels, values[:, :, : 1 if channels < 3 else 3])
    assert (
        photograph.alpha is None
        if expected is None
        else same(photograph.alpha, expected)
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_8_bit_png_equals_pillows(tmp_path, mode):
    image = Image.fromarray(
        noise((31, 20, 4))[:, :, : 3 if mode == "P" else 4]
    ).convert(mode)
    image.save(tmp_path / "a.png")
    photograph = read_photograph(tmp_path / "a.png")
    plain = {"1": "L", "LA": "L", "P": "RGB", "RGBA": "RGB"}.get(mode, mode)
    with Image.open(tmp_path / "a.png") as again:
        expected = np.asarray(again.convert(plain))
        alpha = np.asarray(again.getchannel("A")) if mode in ("LA", "RGBA") else None
    assert np.array_equal(photograph.pixels, expected.reshape(31, 20, -1))
    assert (photograph.alpha is None) == (alpha is None)
    assert alpha is None or same(photograph.alpha, alpha)


def test_palettes_with_transparency(tmp_path):
    image = Image.new("P", (4, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3])
    image.putdata([0, 1, 2, 3])
    image.save(tmp_path / "one.png", transparency=2)
    image.save(tmp_path / "all.png", transparency=bytes([0, 100, 200]))
    one, many = (
        read_photograph(tmp_path / "one.png"),
        read_photograph(tmp_path / "all.png"),
    )
    colours = [[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]]
    assert one.pixels[0].tolist() == many.pixels[0].tolist() == colours
    assert one.alpha is not None
    assert one.alpha[0].tolist() == [255, 255, 0, 255]
    assert many.alpha is not None
    assert many.alpha[0].tolist() == [0, 100, 200, 255]
    assert open_picture(tmp_path / "one.png").has_alpha


def test_a_damaged_chunk_is_refused_or_left_out(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(noise((20, 20, 3))).save(stream, "PNG", dpi=(300, 300))
    content = stream.getvalue()
    path = tmp_path / "a.png"
    at = content.index(b"IDAT") + 20
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(PictureError, match=r"a\.png: the file is damaged"):
        read_photograph(path)
    at = content.index(b"pHYs") + 5
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    photograph = read_photograph(path)
    assert photograph.metadata.dpi is None
    assert "pHYs" in photograph.warnings[0]


@pytest.mark.parametrize(
    ("depth", "colour", "channels"), [(8, 2, 3), (16, 2, 3), (16, 4, 2)]
)
def test_a_png_with_too_few_rows_is_refused(tmp_path, depth, colour, channels):
    values = noise((20, 20, channels), np.uint16 if depth == 16 else np.uint8)
    (tmp_path / "a.png").write_bytes(raw_png(values, colour, depth=depth, rows=11))
    with pytest.raises(PictureError, match="too little data"):
        read_photograph(tmp_path / "a.png")


# --- TIFF
# --------------------------------------------------------------------------------------

DEEP = noise((40, 33, 4), np.uint16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 7},
        {"tile": (16, 16)},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {
            "planarconfig": "separate",
            "tile": (16, 32),
            "compression": "zlib",
            "byteorder": ">",
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_of_any_structure(tmp_path, options, dtype):
    values = (DEEP[:, :, :3] >> (8 * (dtype == np.uint8))).astype(dtype)
    if dtype == np.float32 and options.get("predictor"):
        options = options | {"predictor": None}
    stored = np.moveaxis(values, 2, 0) if "planarconfig" in options else values
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", metadata=None, **options)
    photograph = read_photograph(path)
    assert photograph.pixels.dtype == dtype
    assert np.array_equal(photograph.pixels, values)
    assert photograph.alpha is None


@pytest.mark.parametrize("compress", ["LZW", "ZSTD", "PACKBITS", "DEFLATE"])
def test_16_bit_tiff_of_any_compression(tmp_path, compress):
    path = tmp_path / "a.tif"
    write_by_gdal(
        path, DEEP[:, :, :3], driver="GTiff", photometric="RGB", compress=compress
    )
    assert np.array_equal(read_photograph(path).pixels, DEEP[:, :, :3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_tiff_with_and_without_alpha(tmp_path, dtype):
    path, both, peak = (
        tmp_path / "a.tif",
        DEEP[:, :, :2].astype(dtype),
        np.iinfo(dtype).max,
    )
    tifffile.imwrite(path, both[:, :, 0], photometric="minisblack", metadata=None)
    assert np.array_equal(read_photograph(path).pixels, both[:, :, :1])
    tifffile.imwrite(path, both[:, :, 0], photometric="miniswhite", metadata=None)
    assert np.array_equal(read_photograph(path).pixels, peak - both[:, :, :1])
    tifffile.imwrite(
        path,
        both,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    photograph = read_photograph(path)
    assert np.array_equal(photograph.pixels, both[:, :, :1])
    assert same(photograph.alpha, both[:, :, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_colours_stored_multiplied_by_alpha_are_divided(tmp_path, dtype, channels):
    peak = np.iinfo(dtype).max
    values = noise((20, 20, channels), dtype)
    alpha = np.maximum(values[:, :, -1:], peak // 2).astype(np.float64) / peak
    stored = np.concatenate([np.rint(values[:, :, :-1] * alpha), alpha * peak], axis=2)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored.astype(dtype),
        photometric="rgb" if channels == 4 else "minisblack",
        planarconfig="contig",
        extrasamples=["assocalpha"],
        metadata=None,
    )
    photograph = read_photograph(tmp_path / "a.tif")
    assert np.abs(photograph.pixels.astype(int) - values[:, :, :-1]).max() <= 2
    assert same(photograph.alpha, stored[:, :, -1].astype(dtype))


def test_float_tiff_keeps_its_values_and_nan(tmp_path):
    values = np.random.default_rng(0).normal(500, 300, (9, 8, 3)).astype(np.float32)
    values[2, 3] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", metadata=None)
    photograph = read_photograph(tmp_path / "a.tif")
    assert photograph.pixels.dtype == np.float32
    assert np.array_equal(photograph.pixels, values, equal_nan=True)
    tifffile.imwrite(
        tmp_path / "b.tif", values[:, :, 0].astype(np.float64), photometric="minisblack"
    )
    photograph = read_photograph(tmp_path / "b.tif")
    assert np.array_equal(photograph.pixels, values[:, :, :1], equal_nan=True)
    assert "64-bit" in photograph.warnings[0]


@pytest.mark.parametrize(
    ("values", "photometric"),
    [
        (noise((8, 8, 5)), "rgb"),
        (noise((8, 8, 3)), "minisblack"),
        (noise((8, 8, 3), np.int16), "rgb"),
        (noise((8, 8, 3), np.uint32), "rgb"),
        (noise((8, 8, 3), np.int8), "rgb"),
    ],
    ids=["5 bands", "3 unnamed bands", "int16", "uint32", "int8"],
)
def test_other_tiff_layouts_are_refused_with_a_reason(tmp_path, values, photometric):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(
        path, values, photometric=photometric, planarconfig="contig", metadata=None
    )
    refused = r"odd\.tif: this TIFF has .*convert it"
    with pytest.raises(PictureError, match=refused):
        read_photograph(path)
    picture = open_picture(path)
    assert re.search(refused, picture.refusal or "")
    assert "of a kind that photographs have not" in (picture.raster or "")


def test_a_band_of_unknown_meaning_is_left_out_and_said(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, DEEP, photometric="rgb", extrasamples=["unspecified"], metadata=None
    )
    photograph = read_photograph(path)
    assert np.array_equal(photograph.pixels, DEEP[:, :, :3])
    assert photograph.alpha is None
    assert "unknown meaning" in photograph.warnings[0]


# --- Orientation and metadata
# --------------------------------------------------------------------


def turned(values, orientation):
    """The same as Pillow turns each channel."""
    planes = []
    for plane in np.moveaxis(values, 2, 0):
        image = Image.fromarray(plane)
        image.getexif()[0x0112] = orientation
        planes.append(np.asarray(ImageOps.exif_transpose(image)))
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "TIFF", "deep TIFF", "WEBP", "JPEG"])
def test_orientation_is_applied_once_and_reset(tmp_path, name, orientation):
    blocks = np.kron(noise((3, 5, 3)), np.ones((8, 8, 1), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "A camera"
    path = tmp_path / "a"
    options = (
        {"lossless": True} if name == "WEBP" else {"quality": 100, "subsampling": 0}
    )
    if name == "deep TIFF":
        blocks = blocks.astype(np.uint16) * 257
        tags = [(274, 3, 1, orientation, True), (271, 2, 9, "A camera", True)]
        tifffile.imwrite(path, blocks, photometric="rgb", metadata=None, extratags=tags)
    else:
        Image.fromarray(blocks).save(path, name, exif=exif, **options)
    photograph = read_photograph(path)
    expected, picture = turned(blocks, orientation), open_picture(path)
    assert (
        photograph.pixels.shape == expected.shape == (picture.height, picture.width, 3)
    )
    tolerance = 9 if name == "JPEG" else 0
    assert np.abs(photograph.pixels.astype(int) - expected).max() <= tolerance
    kept = Image.Exif()
    kept.load(photograph.metadata.exif or b"")
    assert kept.get(0x0112, 1) == 1
    assert kept[0x010F] == "A camera"


@pytest.mark.parametrize(
    "packet",
    [
        b'<rdf:Description tiff:Orientation="6" xmp:Rating="5"/>',
        b"<rdf:Description><tiff:Orientation>6</tiff:Orientation></rdf:Description>",
    ],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_in_xmp_is_reset_and_used_where_exif_is_silent(
    tmp_path, name, packet
):
    path = tmp_path / "a"
    options = {"xmp": packet}
    if name == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        options = {"pnginfo": info}
    elif name == "TIFF":
        options = {"tiffinfo": {700: packet}}
    Image.new("RGB", (9, 4)).save(path, name, **options)
    photograph = read_photograph(path)
    assert photograph.metadata.xmp == packet.replace(b"6", b"1")
    assert photograph.pixels.shape == (9, 4, 3)
    assert (open_picture(path).height, open_picture(path).width) == (9, 4)
    exif = Image.Exif()
    exif[0x0112] = 1
    if name != "TIFF":
        Image.new("RGB", (9, 4)).save(path, name, exif=exif, **options)
        assert read_photograph(path).pixels.shape == (4, 9, 3)


def camera_exif(order):
    """An EXIF block as cameras make them: sizes, a maker's note, GPS and a thumbnail."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112], exif[0x010F], exif[0x0100], exif[0x0101] = 6, "Maker", 640, 480
    exif.get_ifd(0x8769).update(
        {0xA002: 640, 0xA003: 480, 0x927C: b"note" * 9, 0x829A: 0.01}
    )
    exif.get_ifd(0x8769)[0xA005] = {1: "R98", 0x1001: 640, 0x1002: 480}
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 30.0, 0.0)})
    block = bytearray(exif.tobytes()[6:])
    start = struct.unpack_from(order + "I", block, 4)[0]
    entries = struct.unpack_from(order + "H", block, start)[0]
    stream = io.BytesIO()
    Image.new("RGB", (16, 12)).save(stream, "JPEG")
    thumbnail = stream.getvalue()
    directory = len(block)
    struct.pack_into(order + "I", block, start + 2 + 12 * entries, directory)
    block += struct.pack(order + "H", 2)
    block += struct.pack(order + "HHII", 0x0201, 4, 1, directory + 30)
    block += struct.pack(order + "HHII", 0x0202, 4, 1, len(thumbnail))
    return b"Exif\0\0" + bytes(block) + struct.pack(order + "I", 0) + thumbnail


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_loses_its_thumbnail_and_sizes_and_nothing_else(tmp_path, order):
    block = camera_exif(order)
    assert b"\xff\xd8" in block
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=block)
    kept = read_photograph(tmp_path / "a.jpg").metadata.exif
    assert kept is not None
    assert b"\xff\xd8" not in kept
    exif = Image.Exif()
    exif.load(kept)
    assert exif[0x0112] == 1
    assert exif[0x010F] == "Maker"
    assert not {0x0100, 0x0101} & set(exif)
    details = exif.get_ifd(0x8769)
    assert not {0xA002, 0xA003} & set(details)
    assert details[0x927C] == b"note" * 9
    assert details[0x829A] == pytest.approx(0.01)
    assert exif.get_ifd(0xA005) == {1: "R98"}
    assert exif.get_ifd(0x8825)[2] == (48.0, 30.0, 0.0)
    assert not exif.get_ifd(0x0001)
    # a maker's note stays at its place, as it points at itself by offset
    assert kept.index(b"notenote") == block.index(b"notenote")


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_where_exif_should_have_the_offset_of_the_next_directory_stay(
    tmp_path, order
):
    block = struct.pack(order + "HI", 42, 8) + struct.pack(
        order + "3H2I", 1, 0x8769, 4, 1, 22
    )
    block += struct.pack(order + "3H4I", 1, 0x829A, 5, 1, 36, 1, 640)
    exif = b"Exif\0\0" + (b"II" if order == "<" else b"MM") + block
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    kept = Image.Exif()
    kept.load(read_photograph(tmp_path / "a.jpg").metadata.exif or b"")
    assert kept.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 640)


def test_damaged_exif_is_left_out_and_said(tmp_path):
    Image.new("RGB", (6, 4)).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\0"
    )
    photograph = read_photograph(tmp_path / "a.jpg")
    assert photograph.pixels.shape == (4, 6, 3)
    assert photograph.metadata.exif is None
    assert "damaged EXIF left out" in photograph.warnings


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
@pytest.mark.parametrize("wrong", [(4, 1, 2**16), (2, 4, 8 << 24)])
def test_a_pointer_to_nowhere_costs_exif_neither_orientation_nor_camera(
    tmp_path, name, wrong
):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    head, tag, tail = exif.tobytes().partition(b"\x88\x25")
    block = head + tag + struct.pack(">HII", *wrong) + tail[10:]
    Image.new("RGB", (6, 4)).save(tmp_path / name, exif=block)
    photograph = read_photograph(tmp_path / name)
    assert photograph.pixels.shape == (6, 4, 3)
    kept = Image.Exif()
    kept.load(photograph.metadata.exif or b"")
    assert dict(kept) == {0x0112: 1, 0x010F: "A camera"}
    assert "damaged part of EXIF left out" in photograph.warnings


def test_tiff_resolution_in_centimetres(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        DEEP[:, :, 0],
        resolution=(100, 50),
        resolutionunit=3,
        metadata=None,
    )
    assert read_photograph(tmp_path / "a.tif").metadata.dpi == pytest.approx((254, 127))


def test_a_profile_of_another_kind_is_left_out_and_said(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "a.png", icc_profile=SRGB)
    photograph = read_photograph(tmp_path / "a.png")
    assert photograph.metadata.icc is None
    assert "profile" in photograph.warnings[0]


# --- Colours
# -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_converted_as_pillow_does(tmp_path, name):
    ink = np.kron(noise((3, 3, 4)), np.ones((8, 8, 1), dtype=np.uint8))
    image = Image.fromarray(ink, "CMYK")
    image.save(tmp_path / "a", name, quality=100)
    photograph = read_photograph(tmp_path / "a")
    assert (
        np.abs(photograph.pixels.astype(int) - np.asarray(image.convert("RGB"))).max()
        <= 12
    )
    assert "CMYK converted to RGB" in photograph.warnings
    assert open_picture(tmp_path / "a").channels == 3


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile_which_is_dropped_afterwards(tmp_path, name):
    ink = pyvips.Image.profile_load("cmyk")
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    image.save(tmp_path / "a", name, icc_profile=ink)
    photograph = read_photograph(tmp_path / "a")
    shown = ImageCms.profileToProfile(
        image, io.BytesIO(ink), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert shown is not None
    assert np.abs(photograph.pixels.astype(int) - np.asarray(shown)).max() <= 12
    assert (
        np.abs(np.asarray(shown).astype(int) - np.asarray(image.convert("RGB"))).max()
        > 50
    )
    assert photograph.metadata.icc is None
    write_photograph(tmp_path / "b.jpg", photograph, fmt="jpg")
    with Image.open(tmp_path / "b.jpg") as again:
        assert again.mode == "RGB"
        assert "icc_profile" not in again.info


def test_a_broken_cmyk_profile_does_not_end_in_the_file(tmp_path):
    broken = bytearray(SRGB)
    broken[16:20] = b"CMYK"
    image = Image.new("CMYK", (8, 8), (10, 20, 30, 40))
    image.save(tmp_path / "a.tif", icc_profile=bytes(broken))
    photograph = read_photograph(tmp_path / "a.tif")
    assert photograph.metadata.icc is None
    assert (
        photograph.pixels[0, 0].tolist()
        == np.asarray(image.convert("RGB"))[0, 0].tolist()
    )


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_lab_tiff_goes_through_colour_management(tmp_path, astronaut, planes):
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(
        Image.fromarray(astronaut), rgb, lab, outputMode="LAB"
    )
    assert image is not None
    image.save(tmp_path / "a.tif")
    if planes == "separate":
        stored = np.moveaxis(tifffile.imread(tmp_path / "a.tif"), 2, 0)
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric="cielab", planarconfig=planes
        )
    photograph = read_photograph(tmp_path / "a.tif")
    assert np.abs(photograph.pixels.astype(int) - astronaut).mean() < 2
    assert "LAB converted to RGB" in photograph.warnings


@pytest.mark.parametrize("kind", ["plain", "planes", "jpeg"])
def test_ycbcr_tiff(tmp_path, astronaut, kind):
    image = Image.fromarray(astronaut).convert("YCbCr")
    if kind == "planes":
        stored = np.moveaxis(np.asarray(image), 2, 0)
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric="ycbcr", subsampling=(1, 1)
        )
    else:
        compression = None if kind == "plain" else kind
        image.save(tmp_path / "a.tif", compression=compression, quality=100)
    pixels = read_photograph(tmp_path / "a.tif").pixels
    assert np.abs(pixels.astype(int) - astronaut).mean() < 2


# --- Several pictures, damage, threads
# ----------------------------------------------------------


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_of_several_pictures_is_used_and_said(tmp_path, name):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / "a"
    frames[0].save(path, name, save_all=True, append_images=frames[1:])
    photograph, picture = read_photograph(path), open_picture(path)
    assert (picture.frames, picture.format == "jpg") == (3, name == "MPO")
    assert "holds 3 pictures: only the first is used" in photograph.warnings
    assert np.abs(photograph.pixels.astype(int) - [255, 0, 0]).max() <= 3


def test_transparent_gif(tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((2, 2, 5, 5), fill=(255, 0, 0, 255))
    image.save(tmp_path / "a.gif")
    photograph = read_photograph(tmp_path / "a.gif")
    assert photograph.alpha is not None
    assert np.count_nonzero(photograph.alpha) == 16
    assert photograph.pixels[3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "module"),
    [("heic", "pillow_heif.as_plugin"), ("jxl", "pillow_jxl.JpegXLImagePlugin")],
)
def test_formats_of_further_libraries_are_read_upright(
    tmp_path, monkeypatch, name, module
):
    library = pytest.importorskip(module)
    image = Image.new("RGB", (64, 32), "red")
    image.paste("blue", (0, 0, 32, 32))
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "Camera"
    path = tmp_path / f"a.{name}"
    if name == "heic":
        library.register_heif_opener()
    image.save(path, exif=tags.tobytes())
    photograph = read_photograph(path)
    # JPEG XL states the orientation elsewhere, and EXIF does not turn it
    assert photograph.pixels.shape == ((64, 32, 3) if name == "heic" else (32, 64, 3))
    assert photograph.pixels[0, 0, 2] > 200
    assert b"Camera" in (photograph.metadata.exif or b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PictureError, match=rf"a\.{name}: .*pip install pillow-"):
        read_photograph(path)


SAVED: dict[str, dict[str, Any]] = {
    "png": {},
    "jpeg": {},
    "jpeg progressive": {"progressive": True},
    "webp": {},
    "webp lossless": {"lossless": True},
    "bmp": {},
    "gif": {},
    "tiff": {},
    "tiff lzw": {"compression": "tiff_lzw"},
    "tiff jpeg": {"compression": "jpeg"},
}


@pytest.mark.parametrize("part", [0.02, 0.6, 0.999])
@pytest.mark.parametrize("kind", [*SAVED, "png uint16", "tif uint16", "tif float32"])
def test_cut_files_are_never_half_a_picture(tmp_path, astronaut, kind, part):
    path, (name, *depth) = tmp_path / "cut picture", kind.split()
    if kind in SAVED:
        Image.fromarray(astronaut).save(path, name.upper(), **SAVED[kind])
    else:
        pixels = (astronaut * 7.7).astype(*depth)
        write_photograph(
            path, Photograph(pixels=pixels, alpha=None, metadata=Metadata()), fmt=name
        )
    content = path.read_bytes()
    assert read_photograph(path).pixels.shape == (128, 160, 3)
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(PictureError, match="cut picture"):
        read_photograph(path)


def test_large_pictures_pass_pillows_limit_and_leave_it_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 1000
    )  # over twice as many raise an error
    Image.new("1", (160, 120)).save(tmp_path / "a.tif", compression="group4")
    assert open_picture(tmp_path / "a.tif").width == 160
    assert read_photograph(tmp_path / "a.tif").pixels.shape == (120, 160, 1)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_many_threads_read_the_same(tmp_path):
    for kind in ("PNG", "TIFF", "JPEG", "GIF"):
        Image.fromarray(noise((60, 50, 3))).save(tmp_path / kind, kind)
    tifffile.imwrite(
        tmp_path / "deep.tif", DEEP[:, :, :3], photometric="rgb", metadata=None
    )
    paths = [*tmp_path.iterdir()] * 6
    alone = [read_photograph(path).pixels for path in paths]
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as threads:
        found = [one.pixels for one in threads.map(read_photograph, paths)]
    assert all(map(np.array_equal, found, alone))
    assert warnings.filters == filters
    assert limit == Image.MAX_IMAGE_PIXELS


def test_upscale_opens_a_file_at_most_three_times(srx, tmp_path):
    image = Image.new("RGB", (17, 12), "gray")
    for name in ("a.png", "b.tif", "c.webp"):
        image.save(tmp_path / name)
    deep = np.full((12, 17, 3), 99, np.uint16)
    tifffile.imwrite(tmp_path / "d.tif", deep, photometric="rgb", metadata=None)
    names = sorted(map(str, tmp_path.iterdir()))
    opened = dict.fromkeys(names, 0)

    def look(event, arguments):  # a hook stays as long as the process
        if event == "open" and arguments[0] in opened:
            opened[arguments[0]] += 1

    sys.addaudithook(look)
    srx("upscale", *names, tmp_path / "out", "-m", "bicubic", "-s", 2, code=0)
    # The third time it looks whether it has changed; GDAL's own opening Python does not
    # see.
    assert opened == dict.fromkeys(names, 3)


def test_damaged_exif_costs_a_tiff_nothing_else(tmp_path):
    path = tmp_path / "a.tif"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = 0.5
    photograph = Photograph(
        pixels=np.full((5, 6, 1), 9, np.uint8),
        alpha=None,
        metadata=Metadata(exif=exif.tobytes()),
    )
    write_photograph(path, photograph, fmt="tif")
    content = path.read_bytes()
    at = content.index(struct.pack("<HHI", 0x8769, 4, 1)) + 8
    path.write_bytes(content[:at] + struct.pack("<I", 10**6) + content[at + 4 :])
    photograph = read_photograph(path)
    assert photograph.pixels.max() == 9
    assert photograph.metadata.exif is None
    assert "damaged part of EXIF left out" in photograph.warnings


# --- Headers and bad files
# ----------------------------------------------------------------------


def test_the_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (3, 2)).save(path, "JPEG")
    assert open_picture(path).format == "jpg"


def test_overviews_and_masks_in_a_tiff_are_no_frames(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise((16, 16, 3)), photometric="rgb", metadata=None)
        writer.write(noise((8, 8, 3)), photometric="rgb", subfiletype=1, metadata=None)
    assert open_picture(path).frames == 1


def test_no_pixel_is_decoded(tmp_path):
    path = tmp_path / "large.png"
    head = struct.pack(">IIBBBBB", 3000, 3000, 16, 6, 0, 0, 0)
    path.write_bytes(png_of((b"IHDR", head), (b"IDAT", b"no pixels at all" * 5000)))
    seen = open_picture(path)
    assert (seen.height, seen.width, seen.bits, seen.has_alpha) == (
        3000,
        3000,
        16,
        True,
    )


@pytest.mark.parametrize("reader", [open_picture, read_photograph])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "empty"),
        (
            "text.png",
            b"just some words, no picture",
            r"not a picture that srx reads \(avif, bmp",
        ),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0", "damaged or cut short"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\0", "damaged or cut short"),
        ("cut.tif", b"II*\0\xff\0\0\0", "damaged or cut short"),
        ("cut.webp", b"RIFF\xff\0\0\0WEBPVP8 ", "damaged or cut short"),
        ("none.png", None, "no such file"),
        (".", None, "is a folder"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, reader, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError, match=message) as caught:
        reader(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_permission_is_told_as_such(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(b"unread")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(PictureError, match=r"secret\.png: no permission"):
        open_picture(path)
