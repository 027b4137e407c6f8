"""Blending against a plain weighted sum of all tiles; values of files to numbers and back."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from srcli.inference import blending as module
from srcli.inference.blending import GPU_TILES, Blender
from srcli.inference.tiling import Tiling, columns_of, rows_of
from srcli.inference.values import PixelEncoder, is_full_range, normalise
from tests.fixtures.engines import CPU, random_levels, values_of

GRIDS = [
    pytest.param((9, 12, 16, 4), id="one tile"),
    pytest.param((40, 61, 16, 0), id="no overlap"),
    pytest.param((40, 61, 16, 7), id="balanced"),
    pytest.param((41, 23, 16, 5), id="odd overlap"),
    pytest.param((17, 100, 16, 4), id="one row and a bit"),
    pytest.param((100, 5, 16, 4), id="one column"),
]


def make_grid(height, width, tile, overlap):
    return Tiling(tile=tile, overlap=overlap).grid(height, width)


def make_tiles(grid, scale):
    """Random tiles that disagree wherever they overlap."""
    random = np.random.default_rng(0)
    shape = (3, grid.tile_height * scale, grid.tile_width * scale)
    tiles = {}
    for row, column, _ in grid.windows():
        tiles[row, column] = random.uniform(-0.2, 1.2, shape).astype("f4")
    return tiles


def weighted_sum(grid, tiles, scale):
    """Weighted sum of all tiles, (H, W, C) in float64."""
    total = np.zeros((3, grid.height * scale, grid.width * scale))
    for row, column, window in grid.windows():
        down = rows_of(grid, scale).weights(row).astype(float)
        across = columns_of(grid, scale).weights(column).astype(float)
        tile = tiles[row, column].astype(float)
        corner = total[:, window.top * scale :, window.left * scale :]
        corner[:, : len(down), : len(across)] += tile * (down[:, None] * across)
    return total.transpose(1, 2, 0)


def blend(blender, tiles, first_row=0):
    """All rows that come out, and where they begin."""
    pieces = []
    for (row, column), tile in tiles.items():
        if row < first_row:
            continue
        if tile is not None:
            tile = torch.from_numpy(tile)
        pieces += blender.add(tile, row=row, column=column)
    pieces += blender.finish()  # of a GPU
    end = pieces[0][0]
    for top, rows in pieces:
        assert top == end
        end += len(rows)
    return pieces[0][0], np.concatenate([rows for _, rows in pieces])


def make_blender(grid, scale, dtype="uint8", values=None):
    encoder = PixelEncoder(np.dtype(dtype), values, CPU)
    return Blender(grid, scale=scale, channels=3, encoder=encoder)


@pytest.mark.parametrize("numbers", GRIDS)
@pytest.mark.parametrize("scale", [1, 3, 4])
@pytest.mark.parametrize("piece", [1, 2000, 1 << 30])
def test_blending_is_a_weighted_sum_of_all_tiles(numbers, scale, piece, monkeypatch):
    monkeypatch.setattr(module, "PIECE_BYTES", piece)
    grid = make_grid(*numbers)
    tiles = make_tiles(grid, scale)
    expected = weighted_sum(grid, tiles, scale)
    top, rows = blend(make_blender(grid, scale), tiles)
    assert top == 0
    assert rows.shape == expected.shape
    assert np.abs(rows - expected.clip(0, 1) * 255).max() <= 0.5001
    for count in (2, 16):  # as on GPUs
        blender = make_blender(grid, scale)
        blender._tiles_at_once = count
        assert_array_equal(blend(blender, tiles)[1], rows)


@pytest.mark.parametrize("first_row", [0, 1, 2])
@pytest.mark.parametrize("tiles_at_once", [1, 3])
@pytest.mark.parametrize(
    "empty",
    [
        "x... .xx. x... ....",
        "xxxx ...x xxxx .x..",
        "..x. xxxx xxxx ...x",
        "xxxx xxxx xxxx xxxx",
    ],
)
def test_no_tile_stands_for_zeros(empty, tiles_at_once, first_row):
    grid = make_grid(52, 52, 16, 4)
    signs = empty.split()
    with_none = {}
    with_zeros = {}
    for (row, column), tile in make_tiles(grid, 2).items():
        with_none[row, column] = tile
        with_zeros[row, column] = tile
        if signs[row][column] == "x":
            with_none[row, column] = None
            with_zeros[row, column] = np.zeros_like(tile)
    assert len(with_none) == 16
    values = values_of("int16", -20.0, 90.0)
    results = []
    for tiles in (with_none, with_zeros):
        blender = make_blender(grid, 2, dtype="int16", values=values)
        blender._tiles_at_once = tiles_at_once
        results.append(blend(blender, tiles, first_row))
    assert results[0][0] == results[1][0]
    assert_array_equal(results[0][1], results[1][1])


def tensors():
    """All tensors that are alive."""
    return [item for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]


def bytes_beside(identities):
    """Memory of all tensors but some."""
    sizes = {}
    for tensor in tensors():
        if id(tensor) not in identities:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def test_memory_is_one_row_of_tiles_in_pixels_and_one_ramp_in_floats():
    before = set(map(id, tensors()))
    grid = Tiling(tile=64, overlap=8).grid(64 * 3, 64 * 20)
    tile = torch.rand(3, grid.tile_height * 4, grid.tile_width * 4)
    before.add(id(tile))
    blender = make_blender(grid, 4)
    most = 0
    for row, column, _ in grid.windows():
        blender.add(tile, row=row, column=column)
        if column == len(grid.lefts) - 2:
            most = max(most, bytes_beside(before))
    across = 3 * grid.width * 4
    pixels = across * (grid.tile_height - 8) * 4
    ramp = across * 4 * (8 // 2 * 4 + 1)
    # The first row of tiles is a ramp taller; weights, and the ramp beside, are small.
    assert pixels < most < 1.15 * (pixels + ramp)


def test_rows_of_a_gpu_come_back_with_the_next_ones(monkeypatch):
    grid = make_grid(40, 61, 16, 0)
    tiles = make_tiles(grid, 2)
    blender = make_blender(grid, 2)
    expected = blend(make_blender(grid, 2), tiles)[1]
    blender._tiles_at_once = GPU_TILES
    waits: list[int] = []

    class Copy:
        def __init__(self, piece):
            self.piece = piece

        def wait(self):
            waits.append(len(self.piece))
            return self.piece.numpy()

    monkeypatch.setattr(module, "HostCopy", Copy)
    pieces = []
    for (row, column), tile in tiles.items():
        pieces += blender.add(torch.from_numpy(tile), row=row, column=column)
        assert len(waits) <= row  # never of the row that was copied just now
    pieces += blender.finish()
    assert len(pieces) == len(grid.tops) == len(waits)
    rows = np.concatenate([rows for _, rows in pieces])
    assert_array_equal(rows, expected)


DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def decode(values, block):
    encoder = PixelEncoder(values.dtype, values, CPU)
    pixels = torch.empty(block.shape, dtype=encoder.storage)
    return pixels.copy_(encoder.encode(torch.as_tensor(block))).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_levels_survive_the_way_there_and_back(dtype):
    info = np.iinfo(dtype if "int" in dtype else np.int32)
    step = max(1, (int(info.max) - int(info.min)) // 70000)
    levels = np.arange(info.min, int(info.max) + 1, step, dtype=np.int64)
    levels = levels.astype(dtype)
    low = levels[7]
    high = levels[len(levels) // 3]
    values = values_of(dtype, float(low), float(high))
    units, excess = normalise(levels, values)
    assert units.dtype == np.float32
    assert (units.min(), units.max()) == (0, 1)
    assert excess is not None
    assert_array_equal(excess != 0, (levels < low) | (levels > high))
    back = decode(values, units + excess)
    # Inside the range a network's fp32 has 24 bits; outside, nothing is lost.
    exact = 0.0
    if values.dtype.itemsize > 2:
        exact = (float(high) - float(low)) * 6e-8
        assert_allclose(back, levels, rtol=1e-6, atol=exact)
    else:
        assert_array_equal(back, levels)


def test_close_floats_far_from_zero_keep_their_differences():
    heights = 1e6 + np.linspace(0, 1, 9, dtype=np.float64)
    values = values_of("float64", 1e6, 1e6 + 1)
    units, excess = normalise(heights, values)
    assert excess is None
    assert_allclose(units, np.linspace(0, 1, 9), atol=1e-7)
    assert_allclose(decode(values, units), heights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("high", [255.0, 254.7, 254.99999999])
def test_nothing_counts_as_outside_by_rounding(high):
    pixels = np.array([0.1, 33.3, high])
    assert normalise(pixels, values_of("float64", 0.1, high))[1] is None
    pixels = np.array([124, 3000], np.uint16)
    assert normalise(pixels, values_of("uint16", 123.4, 3000.0))[1] is None


def test_what_is_not_finite_becomes_the_end_of_the_range():
    pixels = np.array([np.nan, np.inf, -np.inf, 5.0], np.float32)
    units, excess = normalise(pixels, values_of("float32", 0, 10))
    assert_array_equal(units, [0, 1, 0, 0.5])
    assert excess is None


@pytest.mark.parametrize(
    ("dtype", "values", "device"),
    [
        ("uint8", None, "mps"),
        ("uint16", None, "cpu"),
        ("float32", None, "mps"),
        ("float32", values_of("float32", 0, 1), "cpu"),
    ],
)
def test_what_needs_float64_is_not_computed_on_metal(dtype, values, device):
    encoder = PixelEncoder(np.dtype(dtype), values, torch.device("mps"))
    assert encoder.device.type == device


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_each_band_has_its_own_range(dtype):
    pixels = random_levels(2, 4, 5, 3, least=10, most=900, dtype=dtype)
    values = values_of(dtype, (0.0, 50.5, 100.0), (1000.0, 60.5, 5000.0))
    units, excess = normalise(pixels, values)
    assert excess is not None
    assert not excess[..., 0].any()
    for band, (low, high) in enumerate(values.ranges):
        alone, over = normalise(pixels[..., band], values_of(dtype, low, high))
        assert_allclose(units[..., band], alone, rtol=0, atol=1e-7)
        if over is None:
            over = np.zeros_like(alone)
        assert_allclose(excess[..., band], over, rtol=1e-6, atol=1e-7)
    block = (units + excess)[0].transpose(2, 0, 1)
    expected = pixels[0].transpose(2, 0, 1)
    assert_allclose(decode(values, block), expected, rtol=1e-6)


def test_ranges_of_bands_are_no_full_range_and_never_empty():
    assert not is_full_range(values_of("uint16", (0, 1), (65535, 5)))
    with pytest.raises(ValueError, match="finite low below high"):
        values_of("uint16", (0.0, 5.0), (1.0, 5.0))
