"""Sizes of panoramas follow the pixels; measurements that a result cannot hold are told of."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.pictures import turned_exif

GPANO = 'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:FullPano{}Pixels="80"'


def write(path, properties, **options):
    """Write a picture of 48x32 pixels with XMP."""
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {properties}/></rdf:RDF></x:xmpmeta>'
    )
    pixels = np.full((32, 48, 3), 90, np.uint8)
    Image.fromarray(pixels).save(path, xmp=packet.encode(), **options)


@pytest.fixture
def upscale(srx):
    """Return the properties in the XMP of an enlargement, and what was told."""

    def run(source, target, *options):
        told = srx(f"upscale {source} {target} -m bicubic", *options, code=0).err
        with Image.open(target) as image:
            packet = image.info.get("xmp", b"").decode()
        return dict(re.findall(r'([\w-]+:\w+)="([^"]*)"', packet)), told

    return run


@pytest.mark.parametrize("side", ["Width", "Height"])
def test_one_size_of_a_panorama_follows_without_the_other(upscale, side):
    write("a.jpg", GPANO.format(side))
    xmp, _ = upscale("a.jpg", "b.jpg", "-s 2")
    assert xmp[f"GPano:FullPano{side}Pixels"] == "160"


def test_one_size_of_a_panorama_that_is_turned_goes(upscale):
    exif = turned_exif(8)
    write("a.jpg", GPANO.format("Width"), exif=exif)
    xmp, _ = upscale("a.jpg", "b.jpg", "-s 2")
    assert "GPano:FullPanoWidthPixels" not in xmp


@pytest.mark.parametrize(
    ("marker", "content", "words"),
    [
        (0xE1, b"FLIR\0\1\0\0", "thermal measurements (FLIR) left out"),
        (0xE3, bytes(64), "data of the camera's maker left out (APP3)"),
        (0xE4, b"DJI", "data of the camera's maker left out (APP4)"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_segments_that_are_lost_are_told_of(srx, marker, content, words, options):
    write("a.jpg", GPANO.format("Width"))
    data = Path("a.jpg").read_bytes()
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    Path("a.jpg").write_bytes(data[:2] + segment + data[2:])
    result = srx("upscale a.jpg b.jpg -m bicubic", *options, code=0)
    assert words in result.out + result.err


def test_an_ordinary_photograph_loses_nothing(upscale):
    write("a.jpg", GPANO.format("Width"), dpi=(72, 72), comment=b"seen")
    assert "left out" not in upscale("a.jpg", "b.jpg")[1]


def test_a_video_behind_a_jpeg_is_told_of(upscale):
    write("a.jpg", GPANO.format("Width"))
    with Path("a.jpg").open("ab") as stream:
        stream.write(b"\0\0\0\x18ftypmp42" + bytes(500))
    assert "video of the motion photo left out" in upscale("a.jpg", "b.jpg")[1]
