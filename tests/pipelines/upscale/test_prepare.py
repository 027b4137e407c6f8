"""Between photographs and networks: float ranges, holes, alpha."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.resize import Box
from srcli.pipelines.upscale.prepare import enlarge_alpha, finish, prepare


def photograph(pixels, alpha=None):
    return Photograph(pixels=pixels, alpha=alpha, metadata=Metadata())


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.7), (-50.0, 3000.0), (7.0, 7.0)])
def test_float_values_come_back_in_their_own_range(low, high):
    values = np.linspace(low, high, 48, dtype=np.float32).reshape(4, 4, 3)
    prepared, warnings = prepare(photograph(values))
    assert prepared.pixels.min() >= 0
    assert prepared.pixels.max() <= 1
    assert bool(warnings) == (low < 0 or high > 1)
    back = finish(prepared, prepared.pixels.repeat(2, 0).repeat(2, 1), 2).pixels
    np.testing.assert_allclose(back[::2, ::2], values, rtol=1e-5, atol=1e-3 * max(high - low, 1e-6))


def test_values_in_the_unit_range_are_not_stretched():
    values = np.full((2, 2, 1), 0.25, np.float32)
    prepared, warnings = prepare(photograph(values))
    np.testing.assert_array_equal(prepared.pixels, values)
    assert warnings == ()


def test_holes_are_filled_for_the_network_and_come_back():
    values = np.ones((3, 4, 1), np.float32)
    values[1, 2] = np.nan
    values[0, 0] = np.inf
    prepared, warnings = prepare(photograph(values))
    assert np.isfinite(prepared.pixels).all()
    assert any("not finite" in w for w in warnings)
    back = finish(prepared, np.ones((9, 12, 1), np.float32), 3).pixels
    assert np.isnan(back[3:6, 6:9]).all()
    assert np.isnan(back[:3, :3]).all()
    assert np.isnan(back).sum() == 18


def test_a_picture_without_finite_values_stays_empty():
    prepared, _ = prepare(photograph(np.full((2, 2, 3), np.nan, np.float32)))
    assert np.isfinite(prepared.pixels).all()
    assert np.isnan(finish(prepared, prepared.pixels, 1).pixels).all()


def test_alpha_never_leaves_its_range_and_stays_constant_where_it_is():
    alpha = np.zeros((9, 9), np.uint8)
    alpha[3:6, 3:6] = 200
    big = enlarge_alpha(alpha, 3)
    assert big.shape == (27, 27)
    assert (big.min(), big.max()) == (0, 200)
    assert (enlarge_alpha(np.full((2, 3), 65535, np.uint16), 2) == 65535).all()


def test_what_is_to_fit_is_made_smaller_with_its_alpha_and_its_holes():
    values = np.full((10, 12, 1), 30.0, np.float32)
    values[:, 6:] = 70
    values[2, 3] = np.nan
    alpha = np.ones((10, 12), np.float32)
    alpha[5:] = 0
    prepared, _ = prepare(photograph(values, alpha))
    enlarged = prepared.pixels.repeat(4, 0).repeat(4, 1)
    done = finish(prepared, enlarged, 4, Box(width=24))
    assert done.pixels.shape == (20, 24, 1)
    assert np.argwhere(np.isnan(done.pixels[:, :, 0])).tolist() == [[4, 6], [4, 7], [5, 6], [5, 7]]
    assert np.nanmin(done.pixels) == pytest.approx(30, abs=1e-3)
    assert np.nanmax(done.pixels) == pytest.approx(70, abs=1e-3)
    assert done.alpha is not None
    assert done.alpha.shape == (20, 24)
    assert (done.alpha[:8] == 1).all()
    assert (done.alpha[12:] == 0).all()
