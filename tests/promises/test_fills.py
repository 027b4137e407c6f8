"""Values that stand for no data are no data, also where the file does not say so."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

import srcli
from tests.fixtures.photographs import PLACE, write_by_gdal

LINE = ", which the file does not say: taken as no data; --nodata none keeps it"
Y, X = np.mgrid[:60, :80]
TERRAIN = 850 + 40 * np.sin(X / 17) * np.cos(Y / 13)
HOLE = np.s_[20:40, 30:60]


@pytest.fixture
def enlarge(enlarge):
    """Enlarge a raster of these values; return what was printed and the result's values."""

    def run(pixels, *options, **profile):
        printed, out = enlarge(pixels, *options, **profile)
        return printed, out.read(1, masked=True)

    return run


def with_hole(value, dtype, terrain=TERRAIN):
    pixels = terrain.astype(dtype)
    pixels[HOLE] = value
    return pixels


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("float32", -9999),
        ("float32", -3.4028234663852886e38),
        ("float32", 3.4e38),
        ("float32", 1e20),
        ("float64", -1.7976931348623157e308),
        ("float64", -99999),
        ("int16", -9999),
        ("int16", -32768),
        ("int16", -32767),
        ("int32", -2147483648),
        ("uint16", 65535),
        ("int16", 32767),
    ],
)
def test_a_known_fill_far_from_all_else_is_no_data(enlarge, dtype, fill):
    printed, out = enlarge(with_hole(fill, dtype))
    assert LINE in printed
    assert np.ma.getmaskarray(out).sum() == 4 * 20 * 30
    assert 809 <= out.min() <= out.max() <= 891


def test_a_fill_in_the_midst_of_values_ends_in_cliffs(enlarge):
    printed, out = enlarge(with_hole(-9999, "int16", 200 * (TERRAIN - 850)))
    assert LINE in printed
    assert np.ma.getmaskarray(out).sum() == 4 * 20 * 30


@pytest.mark.parametrize("fill", [-3000, -9999])
@pytest.mark.parametrize("name", ["S2_NDVI.tif", "MOD13Q1_250m_EVI.tif", "x.tif"])
def test_a_fill_below_an_index_is_no_data_however_rough(enlarge_raster, name, fill):
    rough = np.random.default_rng(0).normal(4000, 3000, X.shape)
    pixels = with_hole(fill, "int16", rough.clip(-2000, 10000))
    printed, out = enlarge_raster(pixels, "-m bicubic", name=name)
    is_index = name != "x.tif"
    assert (LINE in printed) == is_index
    assert np.ma.is_masked(out.read(1, masked=True)) == is_index


def steep(seed):
    """Values from -20,000 to 20,000 in which -9999 occurs as any other."""
    if seed == "smooth":
        return np.rint(-9999 + 300 * (X - 40) + 7 * Y).astype("int16")
    values = np.random.default_rng(0).integers(-20000, 20000, X.shape).astype("int16")
    values[::7, ::5] = -9999
    return values


@pytest.mark.parametrize("seed", ["smooth", "rough"])
def test_a_fill_among_values_like_it_is_a_value(enlarge, seed):
    pixels = steep(seed)
    printed, out = enlarge(pixels)
    assert (pixels == -9999).any()
    assert LINE not in printed
    assert not np.ma.is_masked(out)


def test_the_user_says_that_a_fill_is_a_value(enlarge):
    printed, out = enlarge(with_hole(-9999, "float32"), "--nodata none")
    assert LINE not in printed
    assert not np.ma.is_masked(out)
    assert out[60, 90] == -9999


def test_a_fill_beside_declared_nodata_becomes_that(enlarge):
    pixels = with_hole(-3.4028234663852886e38, "float32")
    pixels[:5] = -9999
    printed, out = enlarge(pixels, nodata=-9999)
    assert LINE in printed
    assert (out.data[40:80, 60:120] == -9999).all()
    assert 809 <= out.min() <= out.max() <= 891


def test_black_and_white_in_16_bits_hold_no_fill(enlarge):
    printed, out = enlarge(np.where((X // 8 + Y // 8) % 2, 65535, 0).astype("uint16"))
    assert LINE not in printed
    assert not np.ma.is_masked(out)


def test_python_and_the_command_agree_on_no_data(enlarge):
    _, out = enlarge(with_hole(-5, "float32"), nodata=-5)
    image = srcli.upscale("a.tif", "bicubic", 2)
    assert image.info["nodata"] == -5
    assert np.array_equal(np.asarray(image), out.data)


def test_bands_that_are_left_out_are_not_spoken_of(enlarge):
    pixels = np.dstack([TERRAIN, with_hole(-9999, "float32")]).astype("float32")
    printed, out = enlarge(pixels, "--bidx 1")
    assert LINE not in printed
    assert not np.ma.is_masked(out)


def test_a_mask_and_a_fill_both_count(enlarge):
    pixels = with_hole(-9999, "float32")
    mask = np.ones(pixels.shape, bool)
    mask[:5] = False
    printed, out = enlarge(pixels, then=lambda file: file.write_mask(mask))
    assert LINE in printed
    assert 809 <= out[10:].min() <= out[10:].max() <= 891


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_one_band_of_floats_without_a_place_is_measurements(srx):
    """Its fill is no data, where a photograph would take it for black."""
    path = write_by_gdal("a.tif", with_hole(-9999, "float32"))
    printed = srx(f"upscale {path} out.tif -s 2", code=0).err
    assert LINE in printed
    with rasterio.open("out.tif") as file:
        out = file.read(1, masked=True)
    assert np.ma.getmaskarray(out).sum() == 4 * 20 * 30
    assert 809 <= out.min() <= out.max() <= 891


def test_a_nodata_value_that_is_declared_beside_a_mask_is_not_said_to_be_undeclared(
    srx,
):
    values = (np.mgrid[:96, :96][0] * 20).astype("int16")
    values[50:70, 50:70] = -9999
    mask = np.tile(np.arange(96) < 80, (96, 1))

    def mark(file):
        file.write_mask(mask)

    write_by_gdal("a.tif", values, then=mark, nodata=-9999, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "which the file does not say" not in result.err
    assert "-9999, as the file declares it beside a mask: taken as no" in result.err
