"""The band against a plain weighted sum of all tiles in float64, for grids of every kind."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from srcli.inference import band as module
from srcli.inference.band import PixelEncoder, TorchBand
from srcli.inference.tiling import Tiling, axis_weights
from srcli.ports.image import Values

CPU = torch.device("cpu")
GRIDS = [
    pytest.param((9, 12, 16, 4, 0), id="one tile"),
    pytest.param((40, 61, 16, 0, 0), id="no overlap"),
    pytest.param((40, 61, 16, 7, 0), id="balanced"),
    pytest.param((41, 23, 16, 5, 0), id="odd overlap"),
    pytest.param((17, 100, 16, 4, 0), id="one row and a bit"),
    pytest.param((100, 5, 16, 4, 0), id="one column"),
    pytest.param((70, 66, 16, 4, 7), id="offset"),
    pytest.param((18, 19, 16, 7, 8), id="squeezed by an offset"),
]


def make(numbers):
    height, width, tile, overlap, offset = numbers
    return Tiling(tile=tile, overlap=overlap).grid(height, width, offset=offset)


def make_tiles(grid, scale, channels=3, seed=0):
    """Random tiles that disagree wherever they overlap."""
    random = np.random.default_rng(seed)
    shape = (channels, grid.tile_height * scale, grid.tile_width * scale)
    return {place[:2]: random.uniform(-0.2, 1.2, shape).astype("f4") for place in grid.windows()}


def blended(grid, tiles, scale):
    """Weighted sum of all tiles, (H, W, C) in float64."""
    channels = next(iter(tiles.values())).shape[0]
    total = np.zeros((channels, grid.height * scale, grid.width * scale))
    for row, column, window in grid.windows():
        own = {"overlap": grid.overlap, "scale": scale}
        down = axis_weights(grid.tops, row, tile=grid.tile_height, **own)
        across = axis_weights(grid.lefts, column, tile=grid.tile_width, **own)
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
    return tops[0], np.concatenate(pieces)


def make_band(grid, scale, channels=3, dtype="uint8", values=None):
    encoder = PixelEncoder(np.dtype(dtype), values)
    return TorchBand(grid, scale=scale, channels=channels, encoder=encoder, device=CPU)


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


@pytest.mark.parametrize("numbers", GRIDS)
def test_floats_and_sixteen_bits_are_those_of_the_sum(numbers):
    grid = make(numbers)
    tiles = make_tiles(grid, 2)
    expected = blended(grid, tiles, 2)
    _, floats = run(make_band(grid, 2, dtype="float32"), tiles)
    np.testing.assert_allclose(floats, expected, atol=3e-7)
    _, deep = run(make_band(grid, 2, dtype="uint16"), tiles)
    assert np.abs(deep - expected.clip(0, 1) * 65535).max() <= 0.51


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "uint32", "int32", "float32", "f8"])
def test_rows_come_in_the_values_of_the_file(dtype):
    grid = make((40, 61, 16, 4, 0))
    tiles = make_tiles(grid, 2, channels=2)
    values = Values(dtype=np.dtype(dtype), low=-20.0, high=90.0)
    _, got = run(make_band(grid, 2, channels=2, dtype=dtype, values=values), tiles)
    expected = blended(grid, tiles, 2) * 110 - 20
    if got.dtype.kind == "u":
        expected = expected.clip(0)
    assert got.dtype == dtype
    assert np.abs(got - expected).max() <= (0.501 if got.dtype.kind in "ui" else 1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_any_number_of_channels(channels):
    grid = make((40, 61, 16, 4, 0))
    tiles = make_tiles(grid, 2, channels)
    _, got = run(make_band(grid, 2, channels), tiles)
    assert np.abs(got - blended(grid, tiles, 2).clip(0, 1) * 255).max() <= 0.5001


def test_one_channel_of_three_is_luma():
    grid = make((40, 61, 16, 4, 0))
    tiles = make_tiles(grid, 2)
    _, got = run(make_band(grid, 2, channels=1), tiles)
    luma = blended(grid, tiles, 2) @ [0.299, 0.587, 0.114]
    assert np.abs(got[:, :, 0] - luma.clip(0, 1) * 255).max() <= 0.5001


@pytest.mark.parametrize("numbers", GRIDS)
def test_a_band_may_begin_at_any_row_of_tiles(numbers):
    grid = make(numbers)
    tiles = make_tiles(grid, 3)
    _, whole = run(make_band(grid, 3), tiles)
    for first in range(len(grid.tops)):
        top, got = run(make_band(grid, 3), tiles, first)
        assert top == 0 if first == 0 else grid.tops[first] * 3 <= top < grid.tops[first] * 3 + 24
        np.testing.assert_array_equal(got, whole[top:])


@pytest.mark.parametrize("first_row", [0, 1, 2])
@pytest.mark.parametrize(
    "empty",
    ["x... .xx. x... ....", "xxxx ...x xxxx .x..", "..x. xxxx xxxx ...x", "xxxx xxxx xxxx xxxx"],
)
def test_no_tile_stands_for_zeros(empty, first_row):
    grid = make((52, 52, 16, 4, 0))
    tiles = make_tiles(grid, 2)
    holes = {
        (row, column)
        for row, line in enumerate(empty.split())
        for column, sign in enumerate(line)
        if sign == "x"
    }
    assert holes < tiles.keys() or len(holes) == len(tiles) == 16
    with_none = {place: None if place in holes else tile for place, tile in tiles.items()}
    with_zeros = {place: tile * (place not in holes) for place, tile in tiles.items()}
    values = Values(dtype=np.dtype("int16"), low=-20.0, high=90.0)
    expected = run(make_band(grid, 2, dtype="int16", values=values), with_zeros, first_row)
    got = run(make_band(grid, 2, dtype="int16", values=values), with_none, first_row)
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[1], expected[1])


def test_rows_of_empty_tiles_alone_are_not_computed():
    grid = make((52, 52, 16, 4, 0))
    band = make_band(grid, 2)
    done = [
        rows
        for row, column, _ in grid.windows()
        for _, rows in band.add(
            torch.ones(3, 32, 32) if (row, column) == (1, 2) else None, row=row, column=column
        )
    ]
    assert [any(rows.strides[:2]) for rows in done] == [False, True, True, False]


def test_tiles_are_left_as_they_are():
    grid = make((40, 61, 16, 7, 0))
    tiles = make_tiles(grid, 2)
    before = {place: tile.copy() for place, tile in tiles.items()}
    run(make_band(grid, 2), tiles)
    for place, tile in tiles.items():
        np.testing.assert_array_equal(tile, before[place])


def test_rows_belong_to_the_caller():
    grid = make((40, 61, 16, 4, 0))
    tiles = make_tiles(grid, 2)
    _, expected = run(make_band(grid, 2), tiles)
    band, kept = make_band(grid, 2), []
    for (row, column), tile in tiles.items():
        for _, rows in band.add(torch.from_numpy(tile), row=row, column=column):
            kept.append(rows.copy())
            rows[:] = 77
    np.testing.assert_array_equal(np.concatenate(kept), expected)


@pytest.mark.parametrize("place", [(0, 1), (1, 1), (2, 0)])
def test_tiles_out_of_order_are_refused(place):
    grid = make((40, 61, 16, 4, 0))
    tiles = make_tiles(grid, 1)
    band = make_band(grid, 1)
    if place != (0, 1):
        band.add(torch.from_numpy(tiles[0, 0]), row=0, column=0)
    with pytest.raises(ValueError, match="expected tile"):
        band.add(torch.from_numpy(tiles[place]), row=place[0], column=place[1])


def test_tiles_of_another_shape_are_refused():
    band = make_band(make((40, 61, 16, 4, 0)), 2, channels=4)
    with pytest.raises(ValueError, match="expected a tile of"):
        band.add(torch.zeros(3, 32, 32), row=0, column=0)


def held_bytes(known):
    """Memory of all tensors but the known ones."""
    storages = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in gc.get_objects()
        if issubclass(type(each), torch.Tensor) and id(each) not in known
    }
    return sum(storages.values())


def test_memory_is_one_row_of_tiles_in_pixels_and_one_ramp_in_floats():
    known = {id(each) for each in gc.get_objects() if issubclass(type(each), torch.Tensor)}
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


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "f8"])
def test_the_gpu_blends_as_the_cpu_does(dtype):
    grid = make((40, 61, 16, 7, 0))
    tiles = make_tiles(grid, 3)
    encoder = PixelEncoder(np.dtype(dtype), Values(dtype=np.dtype(dtype), low=3.0, high=200.0))
    got = []
    for device in ("cpu", "cuda"):
        band = TorchBand(grid, scale=3, channels=3, encoder=encoder, device=torch.device(device))
        rows = []
        for (row, column), tile in tiles.items():
            done = band.add(torch.from_numpy(tile).to(device), row=row, column=column)
            rows += [piece for _, piece in done]
        rows += [piece for _, piece in band.finish()]
        got.append(np.concatenate(rows).astype(float))
    assert np.abs(got[0] - got[1]).max() <= (1 if np.dtype(dtype).kind in "ui" else 1e-3)
    assert (got[0] != got[1]).mean() < 0.01
