"""Tiles cover every pixel, have one size, and share what they must."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given

from srcli.errors import UsageError
from srcli.inference.tiling import Tiling, balanced, columns_of, split_axis
from tests.fixtures.tilings import tiled_lengths

LENGTHS = [1, 2, 5, 15, 16, 17, 30, 31, 32, 33, 47, 48, 97, 1001]


def test_small_images_are_one_tile_whatever_their_shape():
    tiling = Tiling(tile=32, overlap=8, whole=3000)
    for size in ((50, 60), (10, 300)):
        grid = tiling.grid(*size)
        assert grid.count == 1
        assert (grid.tile_height, grid.tile_width) == size
    assert tiling.grid(50, 61) == Tiling(tile=32, overlap=8).grid(50, 61)


@pytest.mark.parametrize(
    ("tile", "overlap"), [(16, 0), (16, 4), (16, 7), (17, 3), (1, 0)]
)
def test_balanced_tiles_are_no_more_and_hardly_overlap_more(tile, overlap):
    for length in LENGTHS:
        size = balanced(length, tile=tile, overlap=overlap)
        starts = split_axis(length, tile=size, overlap=overlap)
        usual = split_axis(length, tile=tile, overlap=overlap)
        computed = len(starts) * size
        assert size <= tile, length
        assert len(starts) == len(usual), length
        most = (len(starts) - 1) * overlap + len(starts)
        assert computed - length < most, length


@pytest.mark.parametrize(("tile", "overlap"), [(192, 16), (64, 16), (48, 8), (29, 0)])
def test_tiles_begin_on_multiples_of_a_step_and_are_hardly_more(tile, overlap):
    lengths = (1, 20, 192, 193, 250, 400, 608, 1001, 4096, 50_003)
    for length, step in product(lengths, (2, 6, 7)):
        case = f"length {length}, step {step}"
        plain = Tiling(tile=tile, overlap=overlap).grid(9, length)
        grid = Tiling(tile=tile, overlap=overlap, step=step).grid(9, length)
        starts = grid.lefts
        assert not np.mod(starts, step).any(), case
        assert starts[-1] + grid.tile_width == length, case
        assert grid.tile_width <= tile, case
        for before, after in pairwise(starts):
            assert 0 < after - before <= grid.tile_width - overlap, case
        # a tile may lose up to two steps: by its length, and by what it moves on
        shorter = Tiling(tile=tile - 2 * step, overlap=overlap).grid(9, length)
        assert len(plain.lefts) <= len(starts) <= len(shorter.lefts), case
        end = grid.position(0, len(starts) - 1)
        assert end == (0, starts[-1], 9, length), case


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (16, -1), (16, 8), (16, 20)])
def test_impossible_tilings_are_refused(tile, overlap):
    with pytest.raises(UsageError, match=r"--tile|--overlap"):
        Tiling(tile=tile, overlap=overlap).grid(100, 100)


CUTS = [
    (1, 0),
    (5, 0),
    (5, 2),
    (9, 0),
    (9, 1),
    (9, 4),
    (16, 0),
    (16, 3),
    (16, 7),
    (17, 8),
]
"""Tile and overlap."""
SCALE = 3


@pytest.mark.parametrize(("tile", "overlap"), CUTS)
def test_every_tile_has_a_core_of_weight_one_between_ramps_that_two_tiles_share(
    tile, overlap
):
    for length, step in product(range(1, 61, 2), (1, 6)):
        grid = Tiling(tile=tile, overlap=overlap, step=step).grid(1, length)
        axis = columns_of(grid, SCALE)
        total = np.zeros(length * SCALE)
        rise = (0, 0)
        for index, column in enumerate(grid.lefts):
            fall = axis.ramp(index)
            start = column * SCALE
            end = start + grid.tile_width * SCALE
            weights = np.zeros(length * SCALE)
            weights[start:end] = axis.weights(index)
            # Ramps are in order, apart, inside the tile; nothing lies beyond them.
            assert start <= rise[0] <= rise[1] <= fall[0] <= fall[1] <= end
            assert (weights[rise[1] : fall[0]] == 1).all()
            for start, stop in (rise, fall):
                shared = weights[start:stop]
                assert ((shared > 0) & (shared < 1)).all()
            assert not weights[: rise[0]].any()
            assert not weights[fall[1] :].any()
            total += weights
            rise = fall
        assert rise == (length * SCALE, length * SCALE)
        np.testing.assert_allclose(total, 1.0, atol=1e-6)


@given(tiled_lengths())
def test_any_tiles_have_one_size_lie_inside_the_image_and_cover_it(tiled):
    tiling, height, width = tiled
    grid = tiling.grid(height, width)
    covered = np.zeros((height, width), np.bool_)
    for _, _, window in grid.windows():
        bottom = window.top + window.height
        right = window.left + window.width
        assert (window.height, window.width) == (grid.tile_height, grid.tile_width)
        assert 0 <= window.top < bottom <= height
        assert 0 <= window.left < right <= width
        covered[window.top : bottom, window.left : right] = True
    assert covered.all()
    assert grid.tile_height <= tiling.tile
    assert grid.tile_width <= tiling.tile
