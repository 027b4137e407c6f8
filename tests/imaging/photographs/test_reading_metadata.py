"""Orientation, EXIF and profiles are read; what is damaged in them is left out and told."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from srcli.errors import PictureError
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.writing import write_photograph
from tests.fixtures.photographs import SRGB, noise, read_fitted
from tests.fixtures.pictures import turned_exif


@pytest.fixture
def path(tmp_path):
    """Where files are written, by a name that says no format."""
    return tmp_path / "a"


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
def test_orientation_is_applied_once_and_reset(path, name, orientation):
    blocks = np.kron(noise((3, 5, 3)), np.ones((8, 8, 1), dtype=np.uint8))
    exif = turned_exif(orientation)
    exif[0x010F] = "A camera"
    options = (
        {"lossless": True} if name == "WEBP" else {"quality": 100, "subsampling": 0}
    )
    if name == "deep TIFF":
        blocks = blocks.astype(np.uint16) * 257
        tags = [(274, 3, 1, orientation, True), (271, 2, 9, "A camera", True)]
        tifffile.imwrite(path, blocks, photometric="rgb", metadata=None, extratags=tags)
    else:
        Image.fromarray(blocks).save(path, name, exif=exif, **options)
    photograph = read_fitted(path)
    expected = turned(blocks, orientation)
    picture = open_picture(path)
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
def test_orientation_in_xmp_is_reset_and_used_where_exif_is_silent(path, name, packet):
    options = {"xmp": packet}
    if name == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        options = {"pnginfo": info}
    elif name == "TIFF":
        options = {"tiffinfo": {700: packet}}
    Image.new("RGB", (9, 4)).save(path, name, **options)
    photograph = read_fitted(path)
    assert photograph.metadata.xmp == packet.replace(b"6", b"1")
    assert photograph.pixels.shape == (9, 4, 3)
    assert (open_picture(path).height, open_picture(path).width) == (9, 4)
    exif = turned_exif(1)
    if name != "TIFF":
        Image.new("RGB", (9, 4)).save(path, name, exif=exif, **options)
        assert read_fitted(path).pixels.shape == (4, 9, 3)


def camera_exif(order):
    """An EXIF block as cameras make them: sizes, a maker's note, GPS and a thumbnail."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif[0x0100] = 640
    exif[0x0101] = 480
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
    kept = read_fitted(tmp_path / "a.jpg").metadata.exif
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
    kept.load(read_fitted(tmp_path / "a.jpg").metadata.exif or b"")
    assert kept.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 640)


def test_damaged_exif_is_left_out_and_said(tmp_path):
    Image.new("RGB", (6, 4)).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\0"
    )
    photograph = read_fitted(tmp_path / "a.jpg")
    assert photograph.pixels.shape == (4, 6, 3)
    assert photograph.metadata.exif is None
    assert "damaged EXIF left out" in photograph.warnings


def test_damaged_exif_of_an_avif_does_not_cost_its_picture(tmp_path):
    exif = Image.Exif()
    exif[271] = "Maker"
    path = tmp_path / "a.avif"
    Image.new("RGB", (32, 24), "orange").save(path, exif=exif)
    whole = read_fitted(path)
    assert whole.warnings == ()
    data = path.read_bytes()
    assert whole.metadata.exif is not None
    block = whole.metadata.exif.removeprefix(b"Exif\0\0")
    assert data.count(block) == 1
    path.write_bytes(data.replace(block, bytes(len(block))))
    photograph = read_fitted(path)
    assert photograph.warnings == ("damaged EXIF left out",)
    assert photograph.metadata.exif is None
    np.testing.assert_array_equal(photograph.pixels, whole.pixels)
    path.write_bytes(data[:-50])
    with pytest.raises(PictureError, match="damaged or cut short"):
        read_fitted(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
@pytest.mark.parametrize("wrong", [(4, 1, 2**16), (2, 4, 8 << 24)])
def test_a_pointer_to_nowhere_costs_exif_neither_orientation_nor_camera(
    tmp_path, name, wrong
):
    exif = turned_exif(6)
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    head, tag, tail = exif.tobytes().partition(b"\x88\x25")
    block = head + tag + struct.pack(">HII", *wrong) + tail[10:]
    Image.new("RGB", (6, 4)).save(tmp_path / name, exif=block)
    photograph = read_fitted(tmp_path / name)
    assert photograph.pixels.shape == (6, 4, 3)
    kept = Image.Exif()
    kept.load(photograph.metadata.exif or b"")
    assert dict(kept) == {0x0112: 1, 0x010F: "A camera"}
    assert "damaged part of EXIF left out" in photograph.warnings


def test_a_profile_of_another_kind_is_left_out_and_said(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "a.png", icc_profile=SRGB)
    photograph = read_fitted(tmp_path / "a.png")
    assert photograph.metadata.icc is None
    assert "profile" in photograph.warnings[0]


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_converted_as_pillow_does(path, name):
    ink = np.kron(noise((3, 3, 4)), np.ones((8, 8, 1), dtype=np.uint8))
    image = Image.fromarray(ink, "CMYK")
    image.save(path, name, quality=100)
    photograph = read_fitted(path)
    assert (
        np.abs(photograph.pixels.astype(int) - np.asarray(image.convert("RGB"))).max()
        <= 12
    )
    assert "CMYK converted to RGB" in photograph.warnings
    assert open_picture(path).channels == 3


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile_which_is_dropped_afterwards(
    tmp_path, path, name
):
    ink = pyvips.Image.profile_load("cmyk")
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    image.save(path, name, icc_profile=ink)
    photograph = read_fitted(path)
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
    photograph = read_fitted(tmp_path / "a.tif")
    assert photograph.metadata.icc is None
    assert (
        photograph.pixels[0, 0].tolist()
        == np.asarray(image.convert("RGB"))[0, 0].tolist()
    )
