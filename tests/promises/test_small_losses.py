"""What stands outside EXIF, XMP and profiles, and in further pictures, is kept or told."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.reading import read_photograph
from tests.fixtures.pictures import read_pixels

SMALL = "-m bicubic -s 2"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def jpeg():
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(stream, "JPEG")
    return bytearray(stream.getvalue())


def resource(number, content):
    """A resource of Photoshop, of even length."""
    head = b"8BIM" + struct.pack(">H", number) + b"\0\0"
    return head + struct.pack(">I", len(content)) + content


def test_clipping_paths_are_told(srx):
    data = jpeg()
    resources = b"Photoshop 3.0\0" + resource(2000, bytes(26))
    resources += resource(2999, b"\5path ")[:-1] + b"\0"
    length = struct.pack(">H", len(resources) + 2)
    Path("a.jpg").write_bytes(data[:20] + b"\xff\xed" + length + resources + data[20:])
    told = srx("upscale a.jpg out.jpg", SMALL, code=0).err
    assert "clipping paths of Photoshop left out" in told


@pytest.mark.parametrize(("density", "is_told"), [((2, 1), True), ((1, 1), False)])
def test_pixels_that_are_not_square_are_told(srx, density, is_told):
    data = jpeg()
    data[13] = 0  # no unit
    data[14:18] = struct.pack(">HH", *density)
    Path("a.jpg").write_bytes(data)
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(stream, "PNG")
    content = b"pHYs" + struct.pack(">IIB", *density, 0)
    chunk = struct.pack(">I", 9) + content + struct.pack(">I", zlib.crc32(content))
    png = stream.getvalue()
    Path("b.png").write_bytes(png[:33] + chunk + png[33:])
    for name in ("a.jpg", "b.png"):
        told = srx(f"upscale {name} out_{name}", SMALL, code=0).err
        assert ("its pixels are not square (density 2:1)" in told) == is_told


def test_pixels_of_avif_that_are_not_square_are_told(srx, astronaut):
    shape = struct.pack(">I4sII", 16, b"pasp", 4, 3)
    write_avif("a.avif", astronaut[:24, :32], shape)
    told = srx("upscale a.avif out.png", SMALL, code=0).err
    assert "its pixels are not square (density 3:4)" in told


def test_a_gain_map_is_no_further_picture(srx):
    """As phones write Ultra HDR: the map behind the picture, with ISO 21496-1's mark."""
    picture = jpeg()
    mark = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(20)
    segment = b"\xff\xe2" + struct.pack(">H", len(mark) + 2) + mark
    further = picture[:2] + segment + picture[2:]
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(
        stream, "MPO", save_all=True, append_images=[Image.new("L", (16, 12))]
    )
    both = stream.getvalue()
    # the index of pictures tells the length of the second
    start = both.rindex(b"\xff\xd8\xff")
    length = struct.pack("<I", len(both) - start)
    assert both.count(length, 0, start) == 1
    both = both.replace(length, struct.pack("<I", len(further)), 1)
    Path("a.jpg").write_bytes(both[:start] + further)
    told = srx("upscale a.jpg out.jpg", SMALL, code=0).err
    assert "HDR gain map left out" in told
    assert "pictures" not in told
    assert b"21496" not in Path("out.jpg").read_bytes()


def test_the_trailer_of_insta360_is_told(srx):
    magic = b"8db42d694ccc418790edff439fe026bf"
    Path("a.insp").write_bytes(jpeg() + bytes(99) + magic)
    Path("b.insp").write_bytes(jpeg() + magic + b".")
    told = srx("upscale a.insp b.insp out/", SMALL, code=0).err
    assert told.count("data of Insta360 on lenses and motion left out") == 1


@pytest.mark.parametrize("frames", [1, 2])
def test_xmp_of_gif_is_kept(srx, frames):
    pictures = [Image.new("RGB", (16, 12), name) for name in ("red", "blue")][:frames]
    stream = io.BytesIO()
    pictures[0].save(
        stream, "GIF", save_all=True, append_images=pictures[1:], duration=100
    )
    data = stream.getvalue()
    end = 13 + 3 * 2 ** ((data[10] & 7) + 1) * (data[10] >> 7)
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    block = b"!\xff\x0bXMP DataXMP" + XMP + trailer
    Path("a.gif").write_bytes(data[:end] + block + data[end:])
    srx("upscale a.gif out.webp", SMALL, code=0)
    with Image.open("out.webp") as image:
        assert getattr(image, "n_frames", 1) == frames
        assert image.info["xmp"] == XMP
    if frames == 1:
        srx("upscale a.gif out.png", SMALL, code=0)
        with Image.open("out.png") as image:
            assert image.info["xmp"] == XMP


def cropped_avif(path, pixels, area):
    """Write an AVIF whose properties crop it to (left, top, width, height)."""
    column, row, width, height = area
    right = 2 * column + width - pixels.shape[1]
    below = 2 * row + height - pixels.shape[0]
    clap = struct.pack(
        ">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, right, 2, below, 2
    )
    write_avif(path, pixels, clap)


def write_avif(path, pixels, added):
    """Write an AVIF with a further property, a whole box."""
    path = Path(path)
    Image.fromarray(pixels).save(path, quality=100, subsampling="4:4:4")
    grown = len(added) + 1
    data = bytearray(path.read_bytes())
    count = number_of_properties(data)
    insert(data, data.index(b"ipco") - 4, added)
    table = data.index(b"ipma") - 4
    associations = table + 18  # box, version, count and number of the item before
    data[associations] += 1
    insert(data, table, bytes([0x80 | (count + 1)]))
    for name in (b"meta", b"iprp"):
        at = data.index(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + grown)
    at = data.index(b"mdat") + 4
    extent = data.index(struct.pack(">I", at - grown), data.index(b"iloc"))
    struct.pack_into(">I", data, extent, at)
    path.write_bytes(data)


def number_of_properties(data):
    """Count the boxes in the list of properties."""
    start = data.index(b"ipco") - 4
    end = start + struct.unpack_from(">I", data, start)[0]
    at = start + 8
    count = 0
    while at < end:
        at += struct.unpack_from(">I", data, at)[0]
        count += 1
    return count


def insert(data, at, content):
    """Put bytes at the end of the box at a place."""
    length = struct.unpack_from(">I", data, at)[0]
    data[at + length : at + length] = content
    struct.pack_into(">I", data, at, length + len(content))


def test_what_an_avif_crops_away_is_told(srx):
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.dstack([x * 4, y * 5, x + y]).astype(np.uint8)
    cropped_avif("a.avif", pixels, (10, 6, 50, 40))
    told = srx("upscale a.avif a.png -m bicubic -s 2", code=0).err
    assert "its crop (clean aperture) is not applied" in told
    assert read_pixels("a.png").shape == (96, 128, 3)
    plain = Path("plain.avif")
    Image.fromarray(pixels).save(plain)
    assert "crop" not in srx(f"upscale {plain} b.png -m bicubic -s 2", code=0).err


LINE = "content credentials (C2PA) left out: they hold for the original's pixels"


def box(kind, content):
    return struct.pack(">I4s", len(content) + 8, kind) + content


MANIFEST = box(
    b"jumb",
    box(b"jumd", b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"),
)
"""An empty store of manifests, by the specification C2PA 2.1, 11.1.4."""
POINTER = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dcterms="http://purl.org/dc/terms/" '
    b'dcterms:provenance="https://example.com/manifest.c2pa"/></rdf:RDF></x:xmpmeta>'
)


def insert_manifest(name, data, manifest):
    """Put a manifest where each format has it."""
    if name.endswith(".jpg"):
        content = b"JP\0\1\0\0\0\1" + manifest
        segment = b"\xff\xeb" + struct.pack(">H", len(content) + 2) + content
        return data[:20] + segment + data[20:]
    if name.endswith(".png"):
        checksum = struct.pack(">I", zlib.crc32(b"caBX" + manifest))
        chunk = struct.pack(">I", len(manifest)) + b"caBX" + manifest + checksum
        return data[:33] + chunk + data[33:]
    padded = manifest + b"\0" * (len(manifest) % 2)
    data += b"C2PA" + struct.pack("<I", len(manifest)) + padded
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_credentials_are_told_of_and_left_out(srx, astronaut, name):
    Image.fromarray(astronaut[:32, :40]).save(name, lossless=True)
    Path(name).write_bytes(insert_manifest(name, Path(name).read_bytes(), MANIFEST))
    told = srx(f"upscale {name} out -m bicubic -s 2", code=0).err
    assert LINE in told
    assert "camera's maker" not in told
    assert b"c2pa" not in Path("out", name).read_bytes()


def test_a_pointer_to_credentials_elsewhere_does_not_stay(srx, astronaut):
    Image.fromarray(astronaut[:32, :40]).save("a.jpg", xmp=POINTER)
    told = srx("upscale a.jpg out -m bicubic -s 2", code=0).err
    assert LINE in told
    assert b"manifest.c2pa" not in Path("out/a.jpg").read_bytes()


def test_previews_of_cameras_are_no_further_pictures(tmp_path):
    path = tmp_path / "a.jpg"
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "red", "blue")]
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    assert open_picture(path).frames == 3
    # attributes of the second entry behind the tag of entries: a large thumbnail
    index = data.index(b"MPF\0") + 4
    order = "<" if data[index : index + 2] == b"II" else ">"
    tag = data.index(struct.pack(order + "HH", 0xB002, 7), index)
    (at,) = struct.unpack_from(order + "I", data, tag + 8)
    struct.pack_into(order + "I", data, index + at + 16, 0x010002)
    path.write_bytes(data)
    assert open_picture(path).frames == 2
    struct.pack_into(order + "I", data, index + at + 32, 0x010001)
    path.write_bytes(data)
    assert open_picture(path).frames == 1
    assert not read_photograph(path).warnings


def test_the_main_picture_of_heic_may_be_any_of_them(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    pictures = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    pictures.add_from_pillow(Image.new("RGB", (64, 64), "blue"))
    pictures.save(path, primary_index=1, quality=90)
    photograph = read_photograph(path)
    assert photograph.pixels[32, 32, 2] > 200
    assert "holds 2 pictures: only the main one is used" in photograph.warnings
