"""What srx guesses of a raster can be corrected from Python, in the words of Python."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import tifffile
import torch
import xarray
from rasterio import Affine

import srcli
from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.gdal_access import open_quietly
from tests.fixtures.photographs import PLACE, noise, write_by_gdal
from tests.fixtures.pictures import repeated

Y, X = np.mgrid[:24, :32]
ZONES = (X // 8 + Y // 12) * 10  # in their order


def array(values, **coordinates):
    y = 50 - np.arange(values.shape[-2]) * 0.01
    x = 10 + np.arange(values.shape[-1]) * 0.01
    dims = ("band", "y", "x")[-values.ndim :]
    coordinates = {"y": y, "x": x, **coordinates}
    return xarray.DataArray(values, dims=dims, coords=coordinates)


def open_array(file: Any) -> Any:
    return rioxarray.open_rasterio(file)


def doubled(raster: Any, **options: Any) -> Any:
    return srcli.upscale(raster, "bicubic", 2, **options)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16"])
def test_classes_in_their_order_are_named(dtype):
    values = ZONES.astype(dtype)
    result = doubled(array(values), classes="yes")
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, repeated(values))


def test_masks_of_booleans_are_repeated():
    mask = np.cos(X / 3) + np.sin(Y / 4) > 0
    for values in (mask, np.stack([mask, ~mask])):
        result = doubled(array(values))
        assert result.dtype == bool
        np.testing.assert_array_equal(result, repeated(values))
    result = doubled(mask)
    assert result.dtype == bool
    np.testing.assert_array_equal(result, repeated(mask))


def test_half_floats_stay_half_floats():
    values = (np.sin(X / 5) * 300 + Y).astype("float16")
    result = doubled(array(values))
    assert result.dtype == np.float16
    wide = doubled(array(values.astype("float32")))
    np.testing.assert_array_equal(result, wide.astype("float16"))


def test_nodata_range_bands_and_colours_are_those_of_the_command(srx):
    pixels = noise((24, 32, 4), "uint16")
    pixels[:6, :6] = 7
    path = write_by_gdal("a.tif", pixels, photometric="MINISBLACK", **PLACE)
    options = "--nodata 7 --range 0,40000 --bidx 4,3,1 --rgb 4,3,1"
    srx("upscale a.tif out.tif -s 2 -m rrlfn", options, code=0)
    python: dict[str, Any] = {
        "nodata": 7,
        "range": (0, 40000),
        "bidx": (4, 3, 1),
        "rgb": [4, 3, 1],
    }
    with rasterio.open(path) as dataset, rasterio.open("out.tif") as expected:
        result: Any = srcli.upscale(dataset, "rrlfn", 2, **python)
        np.testing.assert_array_equal(result.read(), expected.read())
        assert result.nodata == 7
    with open_array(path) as data:
        python |= {"rgb": [1, 2, 3]}  # of the bands that are kept
        result = srcli.upscale(data, "rrlfn", 2, **python)
    with rasterio.open("out.tif") as expected:
        np.testing.assert_array_equal(result, expected.read())
    assert result.band.values.tolist() == [4, 3, 1]


def test_messages_name_what_python_has(caplog):
    caplog.set_level(logging.INFO)
    doubled(array(noise((3, 24, 32), "float32")))
    assert "rgb= names others" in caplog.text
    srcli.upscale(array(noise((24, 32), "uint16")), "rrlfn", 2)
    assert "range=(LO, HI) changes this" in caplog.text
    assert "--" not in caplog.text
    with pytest.raises(PictureError, match=r"classes='yes'") as caught:
        doubled(array(np.arange(24 * 32).reshape(24, 32)))
    assert "--" not in str(caught.value)


def test_members_of_an_ensemble_are_no_colours_where_that_is_said(srx, caplog):
    caplog.set_level(logging.INFO)
    members = noise((3, 24, 32), "float32")
    result = srcli.upscale(array(members), "rrlfn", 2, rgb="none")
    assert "red, green, blue" not in caplog.text
    alone = srcli.upscale(array(members[1]), "rrlfn", 2)
    np.testing.assert_allclose(result[1], alone, atol=1e-4)
    write_by_gdal("a.tif", np.moveaxis(members, 0, 2), photometric="MINISBLACK")
    srx("upscale a.tif out.tif -s 2 -m rrlfn", code=0)
    again = srx("upscale a.tif out.tif -s 2 -m rrlfn --rgb none", code=0)
    assert "made with other options" in again.err
    with open_quietly("out.tif") as out:
        np.testing.assert_allclose(out.read(), result, atol=1e-4)


WRONG = [
    ({"classes": "maybe"}, "classes='maybe': give 'auto', 'yes' or 'no'"),
    ({"rgb": (1, 2)}, "give 3 bands"),
    ({"rgb": (1, 2, 0)}, "numbers of different bands"),
    ({"bidx": (9,)}, "does not fit"),
    ({"range": (3, 1)}, "LO below HI"),
    ({"nodata": "nothing"}, "give a number"),
    ({"alpha": True}, "alpha=True: give"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_options_are_refused_with_what_to_give(options, words):
    with pytest.raises(UsageError, match=words):
        doubled(array(noise((3, 24, 32))), **options)


WORDS_OF_THE_COMMAND = [
    ({"tile": 16, "overlap": 8}, "overlap= must be below half of tile=16"),
    ({"denoise": 0.5, "back_project": True}, "back_project= gives back all noise; drop denoise="),
    ({"device": "gpu"}, "device='gpu': give auto"),
    ({"precision": "fp16"}, "precision='fp16' needs a GPU"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "words"), WORDS_OF_THE_COMMAND)
def test_errors_about_any_option_name_the_argument(options, words):
    if options.get("precision") and torch.cuda.is_available():
        pytest.skip("a GPU takes this precision")
    with pytest.raises(UsageError) as refused:
        srcli.upscale(noise((24, 32)), "rrlfn", 2, **options)
    assert words in str(refused.value)
    assert "--" not in str(refused.value)


def test_options_of_rasters_are_not_for_arrays():
    with pytest.raises(UsageError, match="classes= is for rasters"):
        doubled(noise((24, 32)), classes="yes")


ROTATED = Affine(9.4, 3.4, 500000, 3.4, -9.4, 5300000)


def test_a_rotated_grid_keeps_numbers_of_pixels_as_coordinates():
    values = noise((24, 32), "float32")
    y = ("y", np.arange(24) + 0.5, {"units": "pixel"})
    x = ("x", np.arange(32) + 0.5, {"units": "pixel"})
    data = xarray.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x})
    data = data.rio.write_crs(32632).rio.write_transform(ROTATED)
    result = doubled(data)
    np.testing.assert_array_equal(result.x, np.arange(64) + 0.5)
    np.testing.assert_array_equal(result.y, np.arange(48) + 0.5)
    expected = Affine(4.7, 1.7, 500000, 1.7, -4.7, 5300000)
    assert result.rio.transform().almost_equals(expected)


def test_places_of_each_pixel_follow_the_rotated_grid():
    write_by_gdal("r.tif", noise((24, 32)), crs="EPSG:32632", transform=ROTATED)
    with open_array("r.tif") as data:
        result = doubled(data)
    columns, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    transform = result.rio.transform()
    x = transform.a * columns + transform.b * rows + transform.c
    y = transform.d * columns + transform.e * rows + transform.f
    np.testing.assert_allclose(result.xc, x, rtol=1e-12)
    np.testing.assert_allclose(result.yc, y, rtol=1e-12)


def test_coordinates_of_a_swath_are_enlarged_across_180_degrees():
    longitudes = 178 + X * 0.1 + Y * 0.05
    data = array(
        noise((24, 32)),
        lon=(("y", "x"), (longitudes + 180) % 360 - 180, {"units": "degrees_east"}),
        lat=(("y", "x"), 40 - Y * 0.1),
        scan=("y", np.arange(24)),
        quality=(("y", "x"), (X > 9).astype("int8")),
    )
    result = doubled(data)
    rows, columns = np.mgrid[:48, :64] / 2 - 0.25
    expected = 178 + columns * 0.1 + rows * 0.05
    np.testing.assert_allclose((result.lon.values - expected + 180) % 360, 180)
    assert result.lon.attrs == {"units": "degrees_east"}
    np.testing.assert_allclose(result.lat, 40 - rows * 0.1)
    np.testing.assert_array_equal(result.scan, np.arange(24).repeat(2))
    np.testing.assert_array_equal(result.quality, repeated(data.quality.values))


def test_half_floats_of_newer_gdal_stay_so_and_older_ones_read_their_fill(srx):
    heights = (np.sin(np.arange(40) / 5) * 300 + np.arange(32)[:, None]).astype("f2")
    heights[4:12, 4:12] = -9999  # which a half float holds as -10000
    tifffile.imwrite("half.tif", heights)
    for options in ("-co COMPRESS=LZW", "--cog"):
        srx("upscale half.tif out.tif -s 2 -m bicubic --overwrite", options, code=0)
        with open_quietly("half.tif") as source, open_quietly("out.tif") as out:
            assert out.dtypes == source.dtypes
            data = out.read(1, masked=True)
        assert data.mask.sum() == 256
        assert -310 < data.min() < data.max() < 340


def test_nodata_that_half_floats_cannot_hold_is_found(srx):
    heights = (np.sin(X / 5) * 300 + Y).astype("float32")
    heights[4:12, 4:12] = -9999  # -9992 by GDAL
    write_by_gdal("half.tif", heights, NBITS=16, nodata=-9999, **PLACE)
    srx("upscale half.tif out.tif -s 2 -m bicubic", code=0)
    with rasterio.open("out.tif") as out:
        data = out.read(1, masked=True)
    assert data.mask.sum() == 256
    assert -310 < data.min() < data.max() < 340
