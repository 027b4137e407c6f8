"""Rows of pixels as compressed blocks: the same bytes that GDAL puts into a whole file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from srcli.imaging.ifd import numbers
from srcli.imaging.rasters import blocks
from srcli.imaging.rasters.blocks import BlockEncoder, BlockGrid, make_block_grid, writer_memory
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.template import make_template, read_directories
from srcli.ports.image import Window

SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}


def open_encoder(path, threads=2, **creation):
    info = read_info(path)
    whole = Window(top=0, left=0, height=info.height, width=info.width)
    out = make_output(info, choose_layout(info), whole, 1, OutputOptions(creation=creation))
    template = make_template(Path("out.tif"), out)
    grid = make_block_grid(out, template)
    return out, grid, BlockEncoder(out, template, grid, threads)


@pytest.mark.parametrize(
    ("height", "chunks", "last", "down"),
    [(1, 1, 1, 1), (256, 1, 256, 16), (257, 2, 1, 17), (700, 3, 188, 44)],
)
def test_chunks_are_whole_rows_of_blocks(height, chunks, last, down):
    grid = BlockGrid(
        height=height, width=100, block_height=16, block_width=32, planes=(3, 1), chunk_blocks=16
    )
    assert (grid.chunks, grid.rows_of(chunks - 1), grid.down) == (chunks, last, down)
    assert grid.across == 4
    assert sum(shape[1] for c in range(chunks) for shape in grid.shapes(c)[:1]) == down
    assert [shape[0] for shape in grid.shapes(0)] == [3, 1]


@pytest.mark.parametrize(
    ("block_height", "chunk_height"), [(512, 512), (16, 256), (48, 288), (2000, 2000)]
)
def test_a_chunk_has_256_rows_or_a_row_of_blocks(save, block_height, chunk_height):
    path = save("a.tif", np.zeros((3000, 5, 1), np.uint8))
    _, grid, encoder = open_encoder(path, TILED="NO", BLOCKYSIZE=str(block_height))
    encoder.close()
    assert grid.chunk_height == chunk_height


@pytest.mark.parametrize(
    "creation",
    [
        {},
        {"COMPRESS": "LZW", "INTERLEAVE": "BAND"},
        {"COMPRESS": "NONE"},
        {"COMPRESS": "ZSTD", "ENDIANNESS": "BIG"},
        {"COMPRESS": "JPEG"},
        {"COMPRESS": "JPEG", "PHOTOMETRIC": "RGB", "JPEG_QUALITY": "60"},
        {"TILED": "NO", "BLOCKYSIZE": "16"},
    ],
    ids=str,
)
@pytest.mark.parametrize("part_bytes", [1, 2**24])
def test_blocks_are_those_of_a_file_that_gdal_writes_at_once(
    save, tmp_path, astronaut, creation, part_bytes, monkeypatch
):
    monkeypatch.setattr(blocks, "_PART_BYTES", part_bytes)
    pixels = astronaut[:90, :140]
    mask = pixels[:, :, 0] > 60
    path = save("a.tif", pixels, photometric="RGB", then=lambda file: file.write_mask(mask))
    out, grid, encoder = open_encoder(path, **{**SMALL, **creation})
    parts = list(encoder.encode(pixels, mask))
    encoder.close()
    assert len(parts) == (1 if "TILED" in creation else 5 if part_bytes == 1 else len(parts))

    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "b.tif", "w", driver="GTiff", height=90, width=140, count=3,
            dtype="uint8", transform=out.transform, **out.creation,
        ) as file,
    ):  # fmt: skip
        file.write(np.moveaxis(pixels, 2, 0))
        file.write_mask(mask)
    data = (tmp_path / "b.tif").read_bytes()
    layout, found = read_directories(data)
    for place, directory in enumerate(found):
        tags = {entry.tag: entry for entry in directory}
        offsets, sizes = (
            np.array(numbers(tags[tag], layout), int).reshape(grid.shapes(0)[place])
            for tag in encoder.tags
        )
        for part in parts:
            table = part.tables[place]
            for at in np.ndindex(table.sizes.shape):
                there = (at[0], at[1], at[2] + part.column)
                wanted = data[offsets[there] : offsets[there] + sizes[there]]
                start = table.offsets[at]
                assert part.data[start : start + table.sizes[at]] == wanted


def test_empty_blocks_have_no_bytes_where_the_user_wants_that(save):
    pixels = np.zeros((32, 64, 1), np.uint8)
    pixels[20, 40] = 9
    _, _, encoder = open_encoder(save("a.tif", pixels), **SMALL, SPARSE_OK="TRUE")
    parts = sorted(encoder.encode(pixels, None), key=lambda part: part.column)
    encoder.close()
    filled = np.concatenate([part.tables[0].sizes for part in parts], axis=2)[0] > 0
    assert filled.tolist() == [[False, False], [False, True]]


def test_one_thread_gives_the_same_as_many(save, astronaut):
    results = []
    for threads in (1, 4):
        _, _, encoder = open_encoder(save("a.tif", astronaut), threads, **SMALL)
        parts = encoder.encode(astronaut, None)
        # parts differ in width, the compressed blocks do not
        results.append(
            [
                part.data[offset : offset + size]
                for part in parts
                for column in range(part.tables[0].sizes.shape[2])
                for offset, size in zip(
                    part.tables[0].offsets[0, :, column],
                    part.tables[0].sizes[0, :, column],
                    strict=True,
                )
            ]
        )
        encoder.close()
    assert results[0] == results[1]
    assert len(results[0]) == 40


def test_memory_depends_on_the_width_and_not_on_the_height(save):
    out, _, encoder = open_encoder(save("a.tif", np.zeros((600, 50, 3), np.uint16)))
    encoder.close()
    needed = [
        writer_memory(replace(out, width=width, height=height), 2)
        for width, height in ((20_000, 9000), (20_000, 900_000), (40_000, 9000))
    ]
    row_of_blocks = 512 * 20_000 * 6
    assert needed[0] == needed[1]
    assert row_of_blocks < needed[0] < 2 * row_of_blocks
    assert needed[2] == needed[0] + row_of_blocks
