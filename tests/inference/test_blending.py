"""Blending weights sum to one and keep away from tile borders."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.inference.blending import axis_weights
from srcli.inference.tiling import split_axis


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
