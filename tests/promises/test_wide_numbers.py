"""Numbers of more than 24 bits, infinite ones and those of odd bits stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import tifffile

Y, X = np.mgrid[:60, :80]
WAVES = np.sin(X / 17) * np.cos(Y / 13)
PLATEAU = np.s_[20:40, 30:60]
INSIDE = np.s_[46:74, 66:114]


@pytest.mark.parametrize("options", [(), ("-m", "bicubic")])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint32", 3000000001), ("int32", -1999999999), ("float64", 3000000001.25)],
)
def test_a_plateau_of_wide_numbers_stays_to_the_last_digit(
    enlarge_raster, options, dtype, value
):
    pixels = (abs(value) * (0.7 + 0.25 * WAVES) * np.sign(value)).astype(dtype)
    pixels[PLATEAU] = value
    _, out = enlarge_raster(pixels, *options)
    assert (out.read(1)[INSIDE] == np.dtype(dtype).type(value)).all()


def test_what_a_network_would_lose_of_wide_numbers_is_told(enlarge_raster):
    pixels = (2e9 + 1e9 * WAVES).astype("uint32")
    printed, out = enlarge_raster(pixels)
    assert (
        "bicubic interpolation, which keeps all digits; -m g-idrn takes the network"
        in printed
    )
    assert out.tags()["SRX_MODEL"] == "bicubic"
    printed, out = enlarge_raster(pixels, "-m g-idrn")
    assert "a network keeps 24 bits of them, -m bicubic all" in printed
    assert out.tags()["SRX_MODEL"] == "g-idrn"


@pytest.mark.parametrize("nodata", [None, -9.0])
def test_infinite_values_stay_infinite(enlarge_raster, nodata):
    pixels = (5 + WAVES).astype("float32")
    pixels[7, 9] = np.inf
    pixels[30, 30] = -np.inf
    pixels[40, 40] = np.nan
    values = enlarge_raster(pixels, "-m bicubic", nodata=nodata)[1].read(1)
    assert (values[14:16, 18:20] == np.inf).all()
    assert (values[60:62, 60:62] == -np.inf).all()
    assert np.isfinite(values).sum() == values.size - (8 if nodata else 12)


@pytest.mark.parametrize(
    ("bits", "dtype"), [(4, "uint8"), (12, "uint16"), (24, "uint32")]
)
def test_values_of_fewer_bits_keep_these_and_their_limit(enlarge_raster, bits, dtype):
    most = 2**bits - 1
    pixels = np.where((X // 8 + Y // 8) % 2, most, 0).astype(dtype)
    pixels[:8] = X[:8] % (most + 1)
    _, out = enlarge_raster(pixels, "-m bicubic --classes no", nbits=bits)
    assert out.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == str(bits)
    assert out.read(1).max() == most


def test_colours_of_24_bits_keep_their_limit_through_a_network(enlarge_raster):
    pixels = np.where((X // 8 + Y // 8) % 2, 16777215, 0).astype("uint32")
    _, out = enlarge_raster(np.dstack([pixels] * 3), nbits=24, photometric="RGB")
    assert out.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "24"
    assert out.read().max() == 16777215


@pytest.mark.parametrize("model", ["bicubic", "auto"])
def test_numbers_near_the_largest_float_give_no_warnings(enlarge_raster, model):
    pixels = WAVES / np.abs(WAVES).max() * 1e308
    pixels[PLATEAU] = 1e308
    _, out = enlarge_raster(pixels, f"-m {model}")  # warnings of NumPy are errors here
    values = out.read(1)
    assert np.isfinite(values).all()
    assert (values[INSIDE] >= 0.99e308).all()


def read_photograph(path):
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        dataset = rasterio.open(path)
    return np.moveaxis(dataset.read(), 0, 2)


@pytest.mark.parametrize(("scale", "pixels_each"), [("2", 4), ("3", 9)])
def test_infinite_values_of_photographs_stay_infinite(srx, scale, pixels_each):
    pixels = np.dstack([0.5 + WAVES / 4, 0.5 - WAVES / 4, 0.5 + WAVES / 8])
    pixels[8, 12, 0] = np.inf
    pixels[30, 30, 1] = -np.inf
    pixels[40, 40] = np.nan
    tifffile.imwrite("a.tif", pixels.astype("float32"), photometric="rgb")
    srx(f"upscale a.tif b.tif -s {scale} -m bicubic", code=0)
    larger = read_photograph("b.tif")
    expected = pixels.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    np.testing.assert_array_equal(
        larger[~np.isfinite(expected)], expected[~np.isfinite(expected)]
    )
    assert (~np.isfinite(larger)).sum() == 5 * pixels_each
    # beside the lightest there is nothing dark
    beside = np.s_[8 * int(scale), 14 * int(scale), 0]
    assert abs(larger[beside] - expected[beside]) < 0.1


def test_infinite_values_stay_where_a_photograph_gets_another_size(srx):
    pixels = np.full((60, 80, 3), 0.5, "float32")  # of equal channels but for one value
    pixels[1::2, ::3] = 0.25
    pixels[20, 20, 0] = np.inf
    tifffile.imwrite("a.tif", pixels, photometric="rgb")
    srx("upscale a.tif b.tif -s 1.5 -m bicubic", code=0)
    larger = read_photograph("b.tif")
    assert (larger[30, 30] == [np.inf, larger[30, 30, 1], larger[30, 30, 1]]).all()
    assert np.isfinite(larger[:, :, 1:]).all()
    assert np.isinf(larger[:, :, 0]).sum() == 4


def test_floats_of_photographs_may_be_as_large_as_any(srx):
    pixels = np.dstack([WAVES, WAVES, WAVES / 2]) / np.abs(WAVES).max() * 3.4e38
    tifffile.imwrite("a.tif", pixels.astype("float32"), photometric="rgb")
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    larger = read_photograph("b.tif").astype("float64")
    means = larger.reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
    assert np.abs(means - pixels)[2:-2, 2:-2].max() < 0.01 * 3.4e38
