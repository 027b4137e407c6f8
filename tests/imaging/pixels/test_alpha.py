from __future__ import annotations

import numpy as np
import pytest

from srcli.imaging.pixels.alpha import fill_transparent


def test_visible_pixels_stay_and_garbage_goes(astronaut):
    alpha = np.full(astronaut.shape[:2], 255, np.uint8)
    alpha[30:70, 40:90] = 0
    alpha[80:90, :] = 128
    alpha[100:, :] = 7
    spoiled = astronaut.copy()
    spoiled[30:70, 40:90] = (255, 0, 255)
    before = spoiled.copy()
    filled = fill_transparent(spoiled, alpha)
    assert np.array_equal(spoiled, before)
    # a faint pixel changes only within 4 pixels of one that is seen far more
    kept = (alpha >= 128) | (np.arange(len(alpha)) >= 104)[:, None]
    assert np.array_equal(filled[kept], astronaut[kept])
    assert not np.any(np.all(filled[30:70, 40:90] == (255, 0, 255), axis=2))


def test_a_hole_takes_the_colours_beside_it():
    pixels = np.full((64, 64, 3), 10, np.uint8)
    pixels[:, 32:] = 200
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[10:20, 5:20] = 0
    alpha[40:50, 44:60] = 0
    filled = fill_transparent(pixels * (alpha > 0)[:, :, None], alpha)
    assert np.array_equal(filled, pixels)


each_dtype = pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])


@each_dtype
def test_faint_pixels_count_by_their_alpha(dtype):
    peak = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = np.zeros((9, 600, 1), dtype)  # more columns than rows are computed at once
    pixels[:, :300] = peak
    alpha = np.full(pixels.shape[:2], peak / 100, dtype)
    alpha[:, :300] = peak
    filled = fill_transparent(pixels, alpha)
    turned = fill_transparent(pixels.swapaxes(0, 1), alpha.T)
    for row in (filled[4], turned[:, 4]):
        assert np.all(row[:300] == peak)
        assert np.all(row[300:304] >= 0.75 * peak)
        assert np.all(row[304:] == 0)


def test_a_picture_that_is_faint_everywhere_stays(astronaut):
    alpha = np.full(astronaut.shape[:2], 3, np.uint8)
    alpha[:, 80:] = 2
    assert np.array_equal(fill_transparent(astronaut, alpha), astronaut)


@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 1), (17, 31)])
def test_all_sizes_and_dtypes(shape, dtype):
    pixels = np.full((*shape, 3), 5, dtype)
    alpha = np.ones(shape, dtype)
    alpha[-1, -1] = 0
    pixels[-1, -1] = 99
    filled = fill_transparent(pixels, alpha)
    assert filled.dtype == dtype
    if shape == (1, 1):
        assert np.all(filled == 99)
    else:
        assert np.all(filled == 5)


def test_visible_nan_is_kept_and_not_spread():
    pixels = np.full((8, 8, 1), 0.5, np.float32)
    pixels[0, 0] = np.nan
    alpha = np.ones((8, 8), np.float32)
    alpha[0, 1] = 0
    filled = fill_transparent(pixels, alpha)
    assert np.isnan(filled[0, 0, 0])
    assert filled[0, 1, 0] == 0.5
