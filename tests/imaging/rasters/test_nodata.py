from __future__ import annotations

import numpy as np
import pytest
import rasterio

from srcli.imaging.rasters.nodata import fill_nearest, find_valid, is_nodata, nearest_other_value

FLOATS = [-9999.0, 0.0, 5.0, 1e20, -3.4028234663852886e38]


def steps(dtype, start, count=12):
    """A value and its neighbours, one step of the dtype at a time."""
    values = [np.dtype(dtype).type(start)]
    towards = np.dtype(dtype).type(-np.inf if start > 0 else np.inf)
    for _ in range(count):
        values.append(np.nextafter(values[-1], towards))
    return np.array(values)


@pytest.mark.parametrize("nodata", [-9999.0, 0.0, 5.0, 1e20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_nodata_where_gdal_says_so(save, dtype, nodata):
    values = steps(dtype, nodata)
    with rasterio.open(save("a.tif", values[None], nodata=nodata)) as file:
        there = file.read_masks(1)[0] > 0
    found = is_nodata(values, nodata)
    assert found[0]
    # one step of tolerance where GDAL's own rounding decides
    assert abs(int(found.sum()) - int((~there).sum())) <= 1


@pytest.mark.parametrize("nodata", [*FLOATS[:4], float("nan")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_value_beside_is_valid_for_gdal_too(save, dtype, nodata):
    if np.isnan(nodata):
        assert is_nodata(np.array([np.nan, 1], dtype), nodata).tolist() == [True, False]
        return
    moved = np.array([[nearest_other_value(np.dtype(dtype), nodata), nodata]], dtype)
    assert not is_nodata(moved, nodata)[0, 0]
    assert moved[0, 0] == pytest.approx(nodata, rel=1e-6, abs=1e-30)
    with rasterio.open(save("a.tif", moved, nodata=nodata)) as file:
        assert (file.read_masks(1) > 0).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("dtype", "nodata", "value"),
    [
        ("uint8", 0, 1), ("uint8", 255, 254), ("uint8", 100, 101), ("uint8", 200, 199),
        ("int8", -128, -127), ("int16", -9999, -9998), ("int16", 32767, 32766),
        ("int16", -32768, -32767), ("uint16", 65535, 65534), ("int32", -2147483648, -2147483647),
        ("uint32", 4294967295, 4294967294), ("uint32", 0, 1), ("int8", 0, 1), ("int16", 0, 1),
    ],
)  # fmt: skip
def test_whole_numbers_move_one_step_inwards(dtype, nodata, value):
    assert nearest_other_value(np.dtype(dtype), nodata) == value
    assert is_nodata(np.array([nodata, value], dtype), nodata).tolist() == [True, False]


def test_bands_are_known_each_by_its_own_value():
    pixels = np.array([[[1, 2, 3], [2, 1, 3]]], np.int16)
    assert find_valid(pixels, (None, None, None)) is None
    assert find_valid(pixels, (9, 9, 9)) is None
    for nodata, wanted in [
        ((1, 1, 1), [[[False, True, True], [True, False, True]]]),
        ((1, 2, None), [[[False, False, True], [True, True, True]]]),
        ((None, None, 3), [[[True, True, False], [True, True, False]]]),
    ]:
        found = find_valid(pixels, nodata)
        assert found is not None
        assert found.tolist() == wanted


def test_floats_without_a_number_are_never_known():
    pixels = np.array([[[1.0], [np.nan], [np.inf], [-np.inf], [-9999.0]]], np.float32)
    for nodata, wanted in [
        (None, [True, False, False, False, True]),
        (-9999.0, [True, False, False, False, False]),
        (float("nan"), [True, False, False, False, True]),
    ]:
        found = find_valid(pixels, (nodata,))
        assert found is not None
        assert found[0, :, 0].tolist() == wanted


@pytest.mark.parametrize("nodata", FLOATS)
def test_extreme_values_give_no_warnings(nodata):
    limits = np.finfo(np.float32)
    pixels = np.array([limits.min, limits.max, 0, limits.tiny], np.float32)
    assert is_nodata(pixels, nodata).sum() == (nodata in (0.0, float(limits.min)))


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
