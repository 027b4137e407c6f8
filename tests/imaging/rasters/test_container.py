"""Directories behind the blocks: files that GDAL reads as if it had written them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from srcli.imaging.rasters.blocks import BlockGrid, BlockTable
from srcli.imaging.rasters.container import (
    LARGEST_CLASSIC,
    START,
    needs_bigtiff,
    write_directories,
    write_placeholder,
)
from srcli.imaging.rasters.template import TiffTemplate, read_directories

GRID = BlockGrid(height=2, width=3, block_height=2, block_width=3, planes=(1,), chunk_blocks=1)
PIXELS = bytes(range(1, 7))


def made(order):
    """The directory of a gray picture in one uncompressed strip."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=2, width=3, count=1, dtype="uint8", transform=Affine.scale(2, 3),
            ENDIANNESS="LITTLE" if order == "<" else "BIG",
        ) as file:  # fmt: skip
            file.write(np.zeros((1, 2, 3), np.uint8))
        _, found = read_directories(memory.getbuffer())
    kept = tuple(entry for entry in found[0] if entry.tag not in (256, 257, 273, 278, 279))
    return TiffTemplate(
        order=order, directories=(kept,), tiled=False, block_height=2, block_width=3,
        planes=(1,), sidecars={},
    )  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_gdal_reads_the_file(order, big):
    stream = io.BytesIO()
    write_placeholder(stream)
    assert stream.getvalue() == bytes(START)  # nothing that a program could take for a picture
    stream.write(PIXELS)
    table = BlockTable(offsets=np.array([[[START]]]), sizes=np.array([[[6]]]))
    write_directories(stream, made(order), GRID, [table], big=big)
    first = stream.getvalue()
    assert struct.unpack(order + "H", first[2:4])[0] == (43 if big else 42)
    with MemoryFile(first) as memory, memory.open() as file:
        assert file.read(1).tobytes() == PIXELS
        assert file.transform == Affine.scale(2, 3)

    stream.truncate(START + len(PIXELS))  # as after a crash
    write_directories(stream, made(order), GRID, [table], big=big)
    assert stream.getvalue() == first


@pytest.mark.parametrize(
    ("option", "end", "overviews", "big"),
    [
        ("IF_SAFER", LARGEST_CLASSIC, False, False),
        ("IF_SAFER", LARGEST_CLASSIC + 1, False, True),
        ("IF_NEEDED", LARGEST_CLASSIC // 2 + 1, True, True),
        ("yes", 10, False, True),
        ("NO", LARGEST_CLASSIC + 1, False, False),
    ],
)
def test_big_only_where_needed_or_wanted(option, end, overviews, big):
    assert needs_bigtiff(option, end, overviews=overviews) is big
