"""What stands outside EXIF, XMP and profiles is kept, or told."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.promises.test_cropped_avif import write_avif

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
