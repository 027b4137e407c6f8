"""What an AVIF file crops away (its clean aperture) stays away."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from tests.fixtures.pictures import read_pixels


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
