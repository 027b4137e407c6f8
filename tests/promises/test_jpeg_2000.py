"""JPEG 2000 and JPEG XL keep colours and metadata, as other photographs do."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

import srcli
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs import jxl
from srcli.imaging.photographs.reading import read_photograph
from tests.fixtures.photographs import PLACE, write_by_gdal

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF_BOX = b"JpgTiffExif->JP2"
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_colours(data, colr):
    """Replace the box ``colr`` of a file."""
    start = data.index(b"jp2h") - 4
    end = start + int.from_bytes(data[start : start + 4])
    header = b""
    at = start + 8
    while at < end:
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + length]
        header += box(kind, colr if kind == b"colr" else content)
        at += length
    return data[:start] + box(b"jp2h", header) + data[end:]


@pytest.fixture
def picture(astronaut):
    return np.ascontiguousarray(astronaut[20:68, 30:94])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_profile_is_kept_and_pixels_are_rgb(srx, picture, dtype):
    if dtype == "uint8":
        Image.fromarray(picture).save("a.jp2")
    else:
        picture = picture.astype(dtype) * 200
        write_by_gdal("a.jp2", picture, "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    data = with_colours(Path("a.jp2").read_bytes(), b"\2\0\0" + PROFILE)
    Path("a.jp2").write_bytes(data)
    srx("upscale a.jp2 out.tif -m bicubic -s 2", code=0)
    with tifffile.TiffFile("out.tif") as file:
        page = file.pages.first
        assert page.photometric == tifffile.PHOTOMETRIC.RGB
        assert not page.extrasamples
        assert page.tags[34675].value == PROFILE
        expected = srcli.upscale(picture, "bicubic", 2)
        np.testing.assert_array_equal(page.asarray(), expected)


def test_sycc_is_converted(picture):
    Image.fromarray(picture).convert("YCbCr").save("a.jp2")
    pixels = read_photograph(Path("a.jp2")).pixels
    assert np.abs(pixels.astype(int) - picture).max() <= 3  # YCbCr of 8 bits


def test_exif_and_xmp_are_kept(srx, picture):
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    Image.fromarray(picture).save("a.jp2")
    with Path("a.jp2").open("ab") as file:
        file.write(box(b"uuid", EXIF_BOX + exif.tobytes()))
        file.write(box(b"uuid", XMP_BOX + xmp))
    srx("upscale a.jp2 out.png -m bicubic -s 2", code=0)
    with Image.open("out.png") as image:
        assert image.getexif()[0x010F] == "Canon"
        assert image.info["xmp"] == xmp


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept(picture, mode):
    image = Image.fromarray(picture).convert(mode)
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    image.putalpha(Image.fromarray(ramp))
    image.save("a.jp2")
    photograph = read_photograph(Path("a.jp2"))
    assert photograph.alpha is not None
    np.testing.assert_array_equal(photograph.alpha, ramp)
    colours = np.asarray(image).astype(int)[:, :, :-1]
    np.testing.assert_array_equal(photograph.pixels, colours)


def test_what_has_a_place_or_more_bands_is_a_raster(picture):
    write_by_gdal("placed.jp2", picture, "JP2OpenJPEG", **PLACE)
    five = np.dstack([picture, picture[:, :, :2]])
    write_by_gdal("five.jp2", five, "JP2OpenJPEG")
    write_by_gdal("nir.jp2", np.dstack([picture, picture[:, :, :1]]), "JP2OpenJPEG")
    Image.fromarray(picture).save("world.jp2")
    Path("world.j2w").write_text("2\n0\n0\n-2\n500000\n5000000\n")
    for name in ("placed.jp2", "five.jp2", "nir.jp2", "world.jp2"):
        assert open_picture(Path(name)).raster, name
    Image.fromarray(picture).save("plain.jp2")
    assert open_picture(Path("plain.jp2")).raster is None


def test_a_file_that_is_cut_short_fails_with_a_line(srx, picture):
    Image.fromarray(picture).save("a.jp2")
    data = Path("a.jp2").read_bytes()
    for length in (40, 90, len(data) // 2):
        Path("b.jp2").write_bytes(data[:length])
        result = srx("upscale b.jp2 out.png -m bicubic -s 2")
        assert result.code in (1, 2)
        assert "b.jp2" in result.err
        assert "Traceback" not in result.err
        assert not Path("out.png").exists()


@pytest.mark.parametrize(("mode", "claimed"), [("I;16", 12), ("L", 16)])
def test_a_depth_that_pixels_do_not_have_is_told(srx, mode, claimed):
    values = np.linspace(0, 255 if mode == "L" else 65535, 48 * 60).reshape(48, 60)
    image = Image.fromarray(values.astype(np.uint8 if mode == "L" else np.uint16))
    image.save("a.jp2", quality_layers=[0])
    content = bytearray(Path("a.jp2").read_bytes())
    content[content.index(b"ihdr") + 14] = claimed - 1
    Path("a.jp2").write_bytes(content)
    told = srx("upscale a.jp2 out.png -m bicubic -s 2", code=2).err
    assert f"a.jp2: its header says {claimed} bits" in " ".join(told.split())
    assert not Path("out.png").exists()


pytest.importorskip("pillow_jxl")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5" xmp:Label="Red"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


def test_xmp_of_the_container_is_kept(srx, astronaut):
    picture = Image.fromarray(astronaut[:32, :40])
    picture.save("a.jxl", lossless=True, xmp=XMP, use_container=True)
    assert b'xmp:Rating="5"' in Path("a.jxl").read_bytes()
    told = srx("upscale a.jxl out.png -m bicubic -s 2", code=0).err
    assert "over 8 bits" not in told
    with Image.open("out.png") as image:
        assert 'xmp:Rating="5"' in image.info["xmp"].decode()


def test_compressed_xmp_is_told(srx, astronaut):
    picture = Image.fromarray(astronaut[:32, :40])
    picture.save("a.jxl", lossless=True, xmp=XMP, use_container=True)
    data = Path("a.jxl").read_bytes()
    plain = struct.pack(">I4s", len(XMP) + 8, b"xml ") + XMP
    assert plain in data
    content = b"xml " + b"\x0b\x02\x80abcde\x03"  # Brotli's for "abcde", RFC 7932
    compressed = struct.pack(">I4s", len(content) + 8, b"brob") + content
    Path("a.jxl").write_bytes(data.replace(plain, compressed))
    told = srx("upscale a.jxl out.png -m bicubic -s 2", code=0).err
    assert "XMP left out: it is compressed by Brotli" in told


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_gain_map_is_told(srx, astronaut, is_compressed):
    picture = Image.fromarray(astronaut[:32, :40])
    picture.save("a.jxl", lossless=True, use_container=True)
    kind = b"jhgm" + bytes(24)
    if is_compressed:
        kind = b"brob" + kind
    with Path("a.jxl").open("ab") as stream:
        stream.write(struct.pack(">I", len(kind) + 4) + kind)
    told = srx("upscale a.jxl out.png -m bicubic -s 2", code=0).err
    assert "HDR gain map left out" in told


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (np.full((24, 30, 3), 90, np.uint8), 8),
        (np.full((24, 30), 9000, np.uint16), 16),
        (np.full((24, 30), 0.5, np.float32), 32),
    ],
)
def test_the_depth_is_read_from_the_codestream(tmp_path, values, bits):
    for container in (False, True):
        file = tmp_path / f"{container}.jxl"
        Image.fromarray(values).save(file, lossless=True, use_container=container)
        assert jxl.bits_per_sample(file.read_bytes()) == bits


def test_a_file_that_is_cut_short_is_told_without_advice_on_building_libraries(
    srx, astronaut
):
    Image.fromarray(astronaut[:32, :40]).save("a.jxl")
    data = Path("a.jxl").read_bytes()
    Path("a.jxl").write_bytes(data[: len(data) // 2])
    told = srx("upscale a.jxl out.png -m bicubic -s 2", code=2).err
    assert "a.jxl: the file is damaged or cut short" in told
    assert "libjxl" not in told
