"""Blending weights sum to one and keep away from tile borders."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.inference.blending import axis_weights, joints, ramp
from srcli.inference.tiling import make_grid, split_axis


@pytest.mark.parametrize("length", [16, 17, 25, 31, 40, 41, 100, 131])
@pytest.mark.parametrize("overlap", [0, 1, 4, 7])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("offset", [0, 3])
def test_weights_sum_to_one_everywhere(length, overlap, scale, offset):
    starts = split_axis(length, tile=16, overlap=overlap, offset=offset)
    total = np.zeros(length * scale)
    for index, start in enumerate(starts):
        weights = axis_weights(starts, index, tile=16, overlap=overlap, scale=scale)
        assert weights.min() >= 0
        total[start * scale : (start + 16) * scale] += weights
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_pixels_next_to_an_inner_tile_border_have_no_weight():
    starts = split_axis(100, tile=32, overlap=16)
    weights = axis_weights(starts, 1, tile=32, overlap=16, scale=2)
    assert not weights[:8].any()
    assert not weights[-8:].any()
    assert weights[32] == 1.0


def test_the_outer_border_of_the_image_keeps_full_weight():
    starts = split_axis(100, tile=32, overlap=16)
    assert axis_weights(starts, 0, tile=32, overlap=16, scale=2)[0] == 1.0
    assert axis_weights(starts, len(starts) - 1, tile=32, overlap=16, scale=2)[-1] == 1.0


GRIDS = [
    (length, tile, overlap, offset, step)
    for tile, overlaps in [(1, [0]), (5, [0, 2]), (9, [0, 1, 4]), (16, [0, 3, 7]), (17, [8])]
    for overlap in overlaps
    for length in range(1, 61)
    for offset in (0, 1, tile // 2, tile - overlap - 1)
    for step in (1, 6)
]


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_every_tile_has_a_core_of_weight_one_between_ramps_that_two_tiles_share(scale):
    for length, tile, overlap, offset, step in GRIDS:
        grid = make_grid(1, length, tile=tile, overlap=overlap, offset=offset, step=step)
        starts, own = grid.lefts, {"tile": grid.tile_width, "overlap": overlap, "scale": scale}
        total, before = np.zeros(length * scale), (0, 0)
        for index, start in enumerate(starts):
            last = index + 1 == len(starts)
            after = (length * scale,) * 2 if last else ramp(starts, index, **own)
            weights = np.zeros(length * scale)
            end = (start + grid.tile_width) * scale
            weights[start * scale : end] = axis_weights(starts, index, **own)
            # Ramps are in order, apart, inside the tile; nothing lies beyond them.
            assert start * scale <= before[0] <= before[1] <= after[0] <= after[1] <= end
            assert (weights[before[1] : after[0]] == 1).all()
            shared = np.r_[weights[slice(*before)], weights[slice(*after)]]
            assert ((shared > 0) & (shared < 1)).all()
            assert not weights[: before[0]].any()
            assert not weights[after[1] :].any()
            total += weights
            before = after
        np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_only_an_offset_makes_joints_narrower_than_half_the_overlap():
    narrow = set()
    for length, tile, overlap, offset, step in GRIDS:
        grid = make_grid(1, length, tile=tile, overlap=overlap, offset=offset, step=step)
        places = joints(grid.lefts, tile=grid.tile_width, overlap=overlap)
        if any(last - first < overlap / 2 for first, last in places):
            narrow.add(offset)
    assert narrow
    assert 0 not in narrow
