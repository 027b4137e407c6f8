"""Enlarged values stay within what is stated beside them: valid ranges, and packed types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401 - adds .rio
import xarray

import srcli

Y, X = np.mgrid[:40, :48]
STRIPES = ((X // 4 + Y // 5) % 2).astype("float64")
"""Stripes, over whose edges bicubic interpolation shoots by a tenth."""


def array(values, encoding=(), **attributes):
    y = 50 - np.arange(values.shape[0]) * 0.01
    x = 10 + np.arange(values.shape[1]) * 0.01
    coordinates = {"y": y, "x": x}
    data = xarray.DataArray(
        values, dims=("y", "x"), coords=coordinates, attrs=attributes
    )
    data.encoding = dict(encoding)
    return data


def doubled(data):
    return srcli.upscale(data, "bicubic", 2)


def packed_as_xarray_does(data):
    """Pack by xarray itself; whole numbers as NetCDF stores them."""
    variable = xarray.conventions.encode_cf_variable(data.variable, name="a")
    return np.asarray(variable.values)


KINDS: dict[str, dict[str, Any]] = {
    "int16": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -32768},
    "uint8": {"dtype": "uint8", "scale_factor": 0.5, "_FillValue": 255},
    "fill of 0": {
        "dtype": "uint16", "scale_factor": 0.001, "add_offset": 200.0, "_FillValue": 0,
    },
    "negative scale": {"dtype": "int8", "scale_factor": -2.0, "_FillValue": 127},
    "two codes": {"dtype": "uint8", "_FillValue": 255, "missing_value": 254},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoded_array_can_be_packed_again(kind):
    encoding = KINDS[kind]
    limits = np.iinfo(encoding["dtype"])
    codes = {encoding["_FillValue"], encoding.get("missing_value")}
    usable = [n for n in range(limits.min, limits.max + 1) if n not in codes]
    low, high = usable[0], usable[-1]
    scale = encoding.get("scale_factor", 1)
    values = (low + STRIPES * (high - low)) * scale + encoding.get("add_offset", 0)
    result = doubled(array(values.astype("float32"), encoding))
    # xarray cannot write two codes
    result.encoding.pop("missing_value", None)
    packed = packed_as_xarray_does(result).astype(int)
    assert codes.isdisjoint(packed.ravel().tolist())
    expected = np.kron(low + STRIPES * (high - low), np.ones((2, 2)))
    assert np.abs(packed - expected).max() < 0.6 * (high - low)


def test_a_stated_range_is_kept_in_measurements_and_in_packed_numbers():
    encoding = {"dtype": "int16", "scale_factor": 0.0001, "_FillValue": -3000}
    whole = {"valid_range": np.array([-2000, 10000], "int16")}
    measured = {"valid_min": np.float32(-0.2), "valid_max": np.float32(1)}
    floats = {"valid_range": np.array([-2000.0, 10000.0])}  # as rioxarray has them
    for attributes in (whole, measured, floats):
        result = doubled(array(-0.2 + 1.2 * STRIPES, encoding, **attributes))
        assert result.min() >= -0.2 - 1e-9
        assert result.max() <= 1 + 1e-9
        assert result.attrs.keys() == attributes.keys()


def test_a_range_of_floats_is_kept_to_the_last_digit():
    high = np.float64(0.1)  # below the 32-bit float that stands for it
    values = (STRIPES * 0.0999).astype("float32")
    result = doubled(array(values, valid_range=np.array([0.0, high])))
    assert result.values.astype("float64").max() <= high
    assert result.values.min() >= 0


def test_what_lies_beyond_the_range_already_stays():
    values = STRIPES.copy() * 100
    values[:, 24:] = 250
    result = doubled(array(values, valid_min=0, valid_max=100))
    assert result.values[:, :44].max() <= 100
    assert (result.values[:, 54:] == 250).all()


RANGES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "numbers as stored": ({"valid_range": "{0,10000}"}, {}),
    "as HDF4 spells them": ({"valid_range": "0, 10000"}, {}),
    "two tags": ({"valid_min": "0", "valid_max": "10000"}, {}),
    "measurements": ({"valid_range": "0.0,1.0"}, {"scale": 0.0001, "offset": 0.0}),
    "one end is nodata": ({"valid_range": "0,10001"}, {"nodata": 10001}),
}


@pytest.mark.parametrize("kind", RANGES)
def test_tags_of_a_band_state_a_range(enlarge, kind):
    tags, stated = RANGES[kind]
    profile = {name: stated[name] for name in stated if name == "nodata"}
    # many values, so that they are no mask
    heights = np.where(STRIPES, 10000 - (X % 7) * 10, (Y % 8) * 10)

    def then(file):
        file.update_tags(1, **tags)
        if "scale" in stated:
            file.scales = (stated["scale"],)
            file.offsets = (stated["offset"],)

    _, out = enlarge(heights.astype("int16"), then=then, **profile)
    values = out.read(1)
    assert (values.min(), values.max()) == (0, 10000)
    assert out.tags(1)[next(iter(tags))] == next(iter(tags.values()))
