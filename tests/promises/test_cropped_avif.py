"""What an AVIF file crops away (its clean aperture) stays away."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

import srcli


def cropped_avif(path, pixels, area):
    """Write an AVIF whose properties crop it to (left, top, width, height)."""
    Image.fromarray(pixels).save(path, quality=100, subsampling="4:4:4")
    left, top, width, height = area
    right = 2 * left + width - pixels.shape[1]
    below = 2 * top + height - pixels.shape[0]
    clap = struct.pack(
        ">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, right, 2, below, 2
    )
    data = bytearray(path.read_bytes())
    count = number_of_properties(data)
    insert(data, data.index(b"ipco") - 4, clap)
    table = data.index(b"ipma") - 4
    associations = table + 18  # box, version, count and number of the item before
    data[associations] += 1
    insert(data, table, bytes([0x80 | (count + 1)]))
    for name in (b"meta", b"iprp"):
        at = data.index(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 41)
    at = data.index(b"mdat") + 4
    extent = data.index(struct.pack(">I", at - 41), data.index(b"iloc"))
    struct.pack_into(">I", data, extent, at)
    path.write_bytes(data)


def number_of_properties(data):
    """Count the boxes in the list of properties."""
    start = data.index(b"ipco") - 4
    end = start + struct.unpack_from(">I", data, start)[0]
    at, count = start + 8, 0
    while at < end:
        at += struct.unpack_from(">I", data, at)[0]
        count += 1
    return count


def insert(data, at, more):
    """Put bytes at the end of the box at a place."""
    length = struct.unpack_from(">I", data, at)[0]
    data[at + length : at + length] = more
    struct.pack_into(">I", data, at, length + len(more))


@pytest.mark.parametrize("area", [(10, 6, 50, 40), (0, 0, 63, 47)])
def test_what_an_avif_crops_away_stays_away(tmp_path, srx, area):
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.dstack([x * 4, y * 5, x + y]).astype(np.uint8)
    cropped_avif(tmp_path / "a.avif", pixels, area)
    whole = np.asarray(Image.open(tmp_path / "a.avif"))
    assert whole.shape == (48, 64, 3)
    srx(
        "upscale",
        tmp_path / "a.avif",
        tmp_path / "a.png",
        "-m",
        "bicubic",
        "-s",
        2,
        code=0,
    )
    left, top, width, height = area
    part = np.ascontiguousarray(whole[top : top + height, left : left + width])
    with Image.open(tmp_path / "a.png") as found:
        np.testing.assert_array_equal(
            np.asarray(found), srcli.upscale(part, "bicubic", 2)
        )
