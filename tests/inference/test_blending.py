"""Bands against a plain weighted sum of all tiles; values of files to numbers and back."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from srcli.inference import blending as module
from srcli.inference.blending import GPU_TILES, Blender
from srcli.inference.tiling import Tiling, columns_of, rows_of
from srcli.inference.values import PixelEncoder, is_full_range, normalise
from srcli.ports.image import Values

CPU = torch.device("cpu")
GRIDS = [
    pytest.param((9, 12, 16, 4), id="one tile"),
    pytest.param((40, 61, 16, 0), id="no overlap"),
    pytest.param((40, 61, 16, 7), id="balanced"),
    pytest.param((41, 23, 16, 5), id="odd overlap"),
    pytest.param((17, 100, 16, 4), id="one row and a bit"),
    pytest.param((100, 5, 16, 4), id="one column"),
]


def make(numbers):
    height, width, tile, overlap = numbers
    return Tiling(tile=tile, overlap=overlap).grid(height, width)


def make_tiles(grid, scale, channels=3, seed=0):
    """Random tiles that disagree wherever they overlap."""
    random = np.random.default_rng(seed)
    shape = (channels, grid.tile_height * scale, grid.tile_width * scale)
    return {
        place[:2]: random.uniform(-0.2, 1.2, shape).astype("f4")
        for place in grid.windows()
    }


def blended(grid, tiles, scale):
    """Weighted sum of all tiles, (H, W, C) in float64."""
    channels = next(iter(tiles.values())).shape[0]
    total = np.zeros((channels, grid.height * scale, grid.width * scale))
    for row, column, window in grid.windows():
        down = rows_of(grid, scale).weights(row)
        across = columns_of(grid, scale).weights(column)
        top, left = window.top * scale, window.left * scale
        tile = tiles[row, column]
        target = total[:, top : top + tile.shape[1], left : left + tile.shape[2]]
        target += tile.astype(float) * (down.astype(float)[:, None] * across)
    return total.transpose(1, 2, 0)


def run(band, tiles, first_row=0):
    """All rows that come out, and where they begin."""
    pieces, tops, end = [], [], None
    for (row, column), tile in tiles.items():
        if row < first_row:
            continue
        for top, rows in band.add(
            None if tile is None else torch.from_numpy(tile), row=row, column=column
        ):
            assert end is None or top == end
            end = top + len(rows)
            tops.append(top)
            pieces.append(rows)
    pieces += [rows for _, rows in band.finish()]  # of a GPU
    return (tops or [0])[0], np.concatenate(pieces)


def make_band(grid, scale, channels=3, dtype="uint8", values=None):
    encoder = PixelEncoder(np.dtype(dtype), values, CPU)
    return Blender(grid, scale=scale, channels=channels, encoder=encoder)


@pytest.mark.parametrize("numbers", GRIDS)
@pytest.mark.parametrize("scale", [1, 3, 4])
@pytest.mark.parametrize("piece", [1, 2000, 1 << 30])
def test_blending_is_a_weighted_sum_of_all_tiles(numbers, scale, piece, monkeypatch):
    monkeypatch.setattr(module, "PIECE_BYTES", piece)
    grid = make(numbers)
    tiles = make_tiles(grid, scale)
    expected = blended(grid, tiles, scale)
    top, got = run(make_band(grid, scale), tiles)
    assert top == 0
    assert got.shape == expected.shape
    assert np.abs(got - expected.clip(0, 1) * 255).max() <= 0.5001
    for together in (2, 16):  # as on GPUs
        band = make_band(grid, scale)
        band._tiles_at_once = together
        np.testing.assert_array_equal(run(band, tiles)[1], got)


@pytest.mark.parametrize("first_row", [0, 1, 2])
@pytest.mark.parametrize(
    "empty",
    [
        "x... .xx. x... ....",
        "xxxx ...x xxxx .x..",
        "..x. xxxx xxxx ...x",
        "xxxx xxxx xxxx xxxx",
    ],
)
def test_no_tile_stands_for_zeros(empty, first_row):
    grid = make((52, 52, 16, 4))
    tiles = make_tiles(grid, 2)
    holes = {
        (row, column)
        for row, line in enumerate(empty.split())
        for column, sign in enumerate(line)
        if sign == "x"
    }
    assert holes < tiles.keys() or len(holes) == len(tiles) == 16
    with_none = {
        place: None if place in holes else tile for place, tile in tiles.items()
    }
    with_zeros = {place: tile * (place not in holes) for place, tile in tiles.items()}
    values = Values(dtype=np.dtype("int16"), ranges=((-20.0, 90.0),))
    expected = run(
        make_band(grid, 2, dtype="int16", values=values), with_zeros, first_row
    )
    got = run(make_band(grid, 2, dtype="int16", values=values), with_none, first_row)
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[1], expected[1])


def held_bytes(known):
    """Memory of all tensors but the known ones."""
    storages = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in gc.get_objects()
        if issubclass(type(each), torch.Tensor) and id(each) not in known
    }
    return sum(storages.values())


def test_memory_is_one_row_of_tiles_in_pixels_and_one_ramp_in_floats():
    known = {
        id(each) for each in gc.get_objects() if issubclass(type(each), torch.Tensor)
    }
    grid = Tiling(tile=64, overlap=8).grid(64 * 3, 64 * 40)
    tile = torch.rand(3, grid.tile_height * 4, grid.tile_width * 4)
    known.add(id(tile))
    band, most = make_band(grid, 4), 0
    for row, column, _ in grid.windows():
        band.add(tile, row=row, column=column)
        if column == len(grid.lefts) - 2:
            most = max(most, held_bytes(known))
    across = 3 * grid.width * 4
    pixels, ramp = across * (grid.tile_height - 8) * 4, across * 4 * (8 // 2 * 4 + 1)
    # The first row of tiles is a ramp taller; weights, and the ramp beside, are small.
    assert pixels < most < 1.15 * (pixels + ramp)


def test_rows_of_a_gpu_come_back_with_the_next_ones(monkeypatch):
    grid = make((40, 61, 16, 0))
    tiles, band = make_tiles(grid, 2), make_band(grid, 2)
    expected = run(make_band(grid, 2), tiles)[1]
    band._tiles_at_once = GPU_TILES
    waits: list[int] = []

    class Copy:
        def __init__(self, piece):
            self.piece = piece

        def wait(self):
            waits.append(len(self.piece))
            return self.piece.numpy()

    monkeypatch.setattr(module, "HostCopy", Copy)
    per_row = []
    for (row, column), tile in tiles.items():
        per_row.append(band.add(torch.from_numpy(tile), row=row, column=column))
        assert len(waits) <= row  # never of the row that was copied just now
    rows = [each for done in (*per_row, band.finish()) for _, each in done]
    assert len(rows) == len(grid.tops) == len(waits)
    np.testing.assert_array_equal(np.concatenate(rows), expected)


DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def values_of(dtype, low, high):
    return Values(
        dtype=np.dtype(dtype),
        ranges=tuple(zip(np.ravel(low), np.ravel(high), strict=True)),
    )


def decode(dtype, values, block):
    encoder = PixelEncoder(np.dtype(dtype), values, CPU)
    pixels = torch.empty(block.shape, dtype=encoder.storage)
    return pixels.copy_(encoder.encode(torch.as_tensor(block))).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_levels_survive_the_way_there_and_back(dtype):
    info = np.iinfo(dtype) if dtype.find("int") >= 0 else np.iinfo(np.int32)
    step = max(1, (int(info.max) - int(info.min)) // 70000)
    levels = np.arange(info.min, int(info.max) + 1, step, dtype=np.int64).astype(dtype)
    low, high = float(levels[7]), float(levels[len(levels) // 3])
    values = values_of(dtype, low, high)
    units, excess = normalise(levels, values)
    assert units.dtype == np.float32
    assert (units.min(), units.max()) == (0, 1)
    assert excess is not None
    outside = (levels < levels[7]) | (levels > levels[len(levels) // 3])
    np.testing.assert_array_equal(excess != 0, outside)
    back = decode(dtype, values, units + excess)
    # Inside the range a network's fp32 has 24 bits; outside, nothing is lost.
    wide = np.dtype(dtype).itemsize > 2
    np.testing.assert_allclose(back, levels, rtol=1e-6, atol=(high - low) * 6e-8 * wide)
    if not wide:
        np.testing.assert_array_equal(back, levels)


def test_close_floats_far_from_zero_keep_their_differences():
    heights = 1e6 + np.linspace(0, 1, 9, dtype=np.float64)
    units, excess = normalise(heights, values_of("float64", 1e6, 1e6 + 1))
    assert excess is None
    np.testing.assert_allclose(units, np.linspace(0, 1, 9), atol=1e-7)
    back = decode("float64", values_of("float64", 1e6, 1e6 + 1), units)
    np.testing.assert_allclose(back, heights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("high", [255.0, 254.7, 254.99999999])
def test_nothing_counts_as_outside_by_rounding(high):
    assert (
        normalise(np.array([0.1, 33.3, high]), values_of("float64", 0.1, high))[1]
        is None
    )
    low = values_of("uint16", 123.4, 3000.0)
    assert normalise(np.array([124, 3000], np.uint16), low)[1] is None


def test_what_is_not_finite_becomes_the_end_of_the_range():
    pixels = np.array([np.nan, np.inf, -np.inf, 5.0], np.float32)
    units, excess = normalise(pixels, values_of("float32", 0, 10))
    np.testing.assert_array_equal(units, [0, 1, 0, 0.5])
    assert excess is None


def test_what_needs_float64_is_not_computed_on_metal():
    own = values_of("float32", 0, 1)
    for dtype, values, device in (
        ("uint8", None, "mps"), ("uint16", None, "cpu"), ("float32", None, "mps"),
        ("float32", own, "cpu"),
    ):  # fmt: skip
        assert (
            PixelEncoder(np.dtype(dtype), values, torch.device("mps")).device.type
            == device
        )


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_each_band_has_its_own_range(dtype):
    pixels = np.random.default_rng(0).integers(10, 900, (2, 4, 5, 3)).astype(dtype)
    values = values_of(dtype, (0.0, 50.5, 100.0), (1000.0, 60.5, 5000.0))
    units, excess = normalise(pixels, values)
    assert excess is not None
    assert not excess[..., 0].any()
    for band, (low, high) in enumerate(values.ranges):
        alone, over = normalise(pixels[..., band], values_of(dtype, low, high))
        np.testing.assert_allclose(units[..., band], alone, rtol=0, atol=1e-7)
        expected = np.zeros_like(alone) if over is None else over
        np.testing.assert_allclose(excess[..., band], expected, rtol=1e-6, atol=1e-7)
    whole = (units + excess)[0].transpose(2, 0, 1)
    np.testing.assert_allclose(
        decode(dtype, values, whole), pixels[0].transpose(2, 0, 1), rtol=1e-6
    )
    assert not is_full_range(values)
    with pytest.raises(ValueError, match="finite low below high"):
        values_of(dtype, (0.0, 5.0), (1.0, 5.0))
