"""JPEG XL keeps its XMP, and tells what is rounded."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.photographs import jxl

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
