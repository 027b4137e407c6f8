from __future__ import annotations

import numpy as np
import pytest
import rasterio

from srcli.imaging.rasters.nodata import find_valid, is_nodata, nearest_other_value

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
