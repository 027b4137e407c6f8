from __future__ import annotations

import numpy as np
import pytest

from srcli.imaging.rasters.filling import fill_nearest


def distance_to_source(valid, pixels, filled):
    """For each hole: squared distances to the valid pixels, and where its value stands."""
    rows, columns = np.nonzero(valid)
    for row, column in np.argwhere(~valid):
        far = (rows - row) ** 2 + (columns - column) ** 2
        same = pixels[rows, columns] == filled[row, column]
        yield far.min(), far[same].min(initial=10**9)


@pytest.mark.parametrize("holes", ["many", "few", "few and large", "corners"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "float32", "float64"])
def test_holes_take_the_value_of_a_nearest_pixel(dtype, holes):
    rng = np.random.default_rng(1)
    pixels = rng.permutation(40 * 30).reshape(40, 30, 1)
    pixels = (pixels % 120 if dtype in ("uint8", "int8") else pixels).astype(dtype)
    valid = rng.random((40, 30, 1)) > (0.7 if holes == "many" else 0.02)
    if holes == "few and large":
        valid[20:25, 3:9] = False
    if holes == "corners":
        valid[:2, :2] = valid[-3:, -3:] = valid[0, -1] = valid[-1, 0] = False
    filled = fill_nearest(pixels, valid)
    assert filled.dtype == pixels.dtype
    np.testing.assert_array_equal(filled[valid], pixels[valid])
    for nearest, taken in distance_to_source(valid[..., 0], pixels[..., 0], filled[..., 0]):
        assert taken == nearest


def test_each_band_is_filled_for_itself(noise):
    pixels = noise((25, 31, 3), np.uint16)
    valid = np.random.default_rng(2).random((25, 31, 3)) > 0.4
    filled = fill_nearest(pixels, valid)
    for band in range(3):
        alone = fill_nearest(pixels[:, :, [band]], valid[:, :, [band]])
        np.testing.assert_array_equal(filled[:, :, [band]], alone)
    assert not np.array_equal(filled[:, :, [0]], fill_nearest(pixels[:, :, [0]], valid[:, :, [1]]))


def test_one_mask_serves_all_bands(noise):
    pixels, valid = noise((25, 31, 3)), noise((25, 31, 1), seed=4) > 200
    together = fill_nearest(pixels, valid)
    apart = fill_nearest(pixels, np.repeat(valid, 3, axis=2))
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(together[:, :, [1]], fill_nearest(pixels[:, :, [1]], valid))


def test_nothing_to_fill_is_the_same_array(noise):
    pixels = noise((5, 6, 2))
    assert fill_nearest(pixels, np.ones((5, 6, 2), bool)) is pixels
    assert fill_nearest(pixels, np.ones((5, 6, 1), bool)) is pixels


def test_the_input_is_left_alone(noise):
    pixels = noise((5, 6, 2))
    before = pixels.copy()
    fill_nearest(pixels, noise((5, 6, 2), seed=1) > 100)
    np.testing.assert_array_equal(pixels, before)


def test_a_band_without_any_pixel_takes_over_its_neighbour(noise):
    pixels = noise((8, 9, 4))
    valid = noise((8, 9, 4), seed=3) > 50
    valid[:, :, [0, 3]] = False
    filled = fill_nearest(pixels, valid)
    np.testing.assert_array_equal(filled[:, :, 0], filled[:, :, 1])
    np.testing.assert_array_equal(filled[:, :, 3], filled[:, :, 2])


def test_nothing_at_all_becomes_zero():
    pixels = np.full((3, 4, 2), np.nan, np.float32)
    assert not fill_nearest(pixels, np.zeros((3, 4, 2), bool)).any()
    assert not fill_nearest(pixels, np.zeros((3, 4, 1), bool)).any()


def test_not_a_number_never_stays():
    pixels = np.full((9, 9, 1), np.nan, np.float32)
    pixels[4, 4] = 2
    np.testing.assert_array_equal(fill_nearest(pixels, np.isfinite(pixels)), np.full((9, 9, 1), 2))


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (6, 5, 1)])
def test_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="expected"):
        fill_nearest(np.ones((5, 6, 2)), np.ones(shape, bool))
