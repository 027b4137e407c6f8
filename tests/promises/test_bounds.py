"""What nature bounds stays within its bounds, and amounts keep their sums."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from scipy.ndimage import gaussian_filter

import srcli
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal

SUMS = "kept so, and so are the sums of its pixels"


def field(seed, width=1.5):
    """Rough values around 0, of spread 1."""
    noise = np.random.default_rng(seed).normal(size=(48, 60))
    smooth = gaussian_filter(noise, width)
    return smooth / smooth.std()


RAIN = np.maximum(0, 6 * field(1) - 2).astype("float32")
PEOPLE = np.where(field(4) > 0.3, np.exp(1.5 * field(5) + 1), 0).astype("int32")
SHARE = 1 / (1 + np.exp(-5 * field(6)))
INDEX = np.rint(9000 * np.tanh(2 * field(7)) - 500).clip(-2000, 9999)


def packed_as(scale, offset):
    def describe(file):
        file.scales = [scale]
        file.offsets = [offset]

    return describe


def sums_of(pixels, scale):
    """Sums of blocks that single pixels have become."""
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    blocks = pixels.astype("float64").reshape(height, scale, width, scale)
    return blocks.sum(axis=(1, 3))


@pytest.mark.parametrize(
    ("name", "pixels", "limits"),
    [
        ("a.tif -m bicubic", RAIN, (0, np.inf)),
        ("a.tif -m fast", RAIN, (0, np.inf)),
        ("a.tif -m bicubic", np.rint(100 * SHARE).astype("uint8"), (0, 100)),
        ("a.tif", np.minimum(0, 40 * field(2) + 10).astype("float32"), (-np.inf, 0)),
        ("a.tif", np.rint(100 * SHARE).astype("uint8"), (0, 100)),
        ("tree_cover_pct.tif -m quick", (80 * SHARE).astype("uint8"), (0, 100)),
        ("water_probability.tif -m quick", SHARE.astype("float32"), (0, 1)),
        ("S2_NDVI.tif -m quick", INDEX.astype("int16"), (-10000, 10000)),
        (
            "a.tif -m quick",
            (300 + 5 * field(3)).clip(298, 304).astype("float32"),
            (298, 304),
        ),
    ],
)
def test_nothing_leaves_the_bounds_of_its_kind(enlarge_raster, name, pixels, limits):
    name, *options = name.split(maxsplit=1)
    printed, out = enlarge_raster(pixels, *options, name=name)
    larger = out.read(1)
    assert larger.min() >= limits[0]
    assert larger.max() <= limits[1]
    assert "kept so" in printed or limits[1] == 10000


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a.tif", (12 + 9 * field(1)).astype("float32")),
        ("bathymetry.tif", (-200 + 300 * field(2)).astype("float32")),
        ("dem.tif", np.rint(300 + 40 * field(3)).astype("int16")),
        ("a.tif", (250 + field(8)).astype("float32")),
    ],
    ids=["degrees Celsius", "above and below the sea", "whole metres", "kelvin"],
)
def test_temperatures_and_heights_are_interpolated_as_ever(enlarge, name, pixels):
    printed, out = enlarge(pixels, name=name)
    assert "sums" not in printed
    assert "kept so" not in printed
    # GDAL's cubic interpolation away from the edges
    with rasterio.open(name) as source:
        cubic = source.read(
            1, out_shape=out.shape, resampling=rasterio.enums.Resampling.cubic
        )
    off = np.abs(out.read(1) - cubic.astype("float64"))[8:-8, 8:-8]
    assert off.max() <= 1e-4 * np.ptp(pixels) + (pixels.dtype.kind == "i")


def test_the_sea_in_an_elevation_model_is_its_bound_and_no_amount(enlarge_raster):
    heights = np.maximum(0, 80 * field(9, 3)).astype("float32")
    printed, out = enlarge_raster(heights, "-m quick", name="dem.tif")
    assert "band 1 is never below 0: kept so" in printed
    assert "sums" not in printed
    assert out.read(1).min() == 0


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
    ("pixels", "profile"),
    [
        (RAIN, {}),
        (np.where(field(8) > 1, -9999, RAIN).astype("float32"), {"nodata": -9999}),
        (PEOPLE, {}),
        (np.rint(RAIN * 10 - 3).astype("int16"), {"then": packed_as(0.1, 0.3)}),
        (np.rint(RAIN * -10).astype("int16"), {"then": packed_as(-0.1, 0)}),
    ],
    ids=["floats", "nodata", "whole numbers", "an offset", "a negative scale"],
)
def test_amounts_keep_their_sums(enlarge_raster, pixels, profile, scale):
    printed, out = enlarge_raster(pixels, f"-m quick -s {scale}", **profile)
    assert f"band 1 is never below 0: {SUMS}" in printed
    sums = sums_of(out.read(1), scale)
    expected = scale**2 * pixels.astype("float64")
    assert np.allclose(sums, expected, rtol=1e-6, atol=0)
    assert len(np.unique(out.read(1))) > 100  # and are no repeated pixels
    zero = -out.offsets[0] / out.scales[0]
    dry = np.isclose(pixels, zero).repeat(scale, axis=0).repeat(scale, axis=1)
    assert dry.any()
    assert np.allclose(out.read(1)[dry], zero)


@pytest.mark.parametrize("pixels", [RAIN, PEOPLE], ids=["floats", "whole numbers"])
def test_sums_are_those_of_the_whole_in_parts_and_windows(
    enlarge_raster, monkeypatch, pixels
):
    whole = enlarge_raster(pixels, "-m quick -s 3")[1].read(1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 16)
    blocks = "-co BLOCKYSIZE=16 -co BLOCKXSIZE=16"
    parts = enlarge_raster(pixels, f"-m quick -s 3 {blocks}")[1]
    assert np.array_equal(parts.read(1), whole)
    window = enlarge_raster(pixels, "-m quick -s 3 -srcwin 11 7 30 25")[1].read(1)
    assert np.array_equal(window, whole[21:96, 33:123])


def test_amounts_are_told_by_names_and_units(enlarge_raster):
    bytes_of_rain = RAIN.astype("uint8")
    printed, out = enlarge_raster(bytes_of_rain, "-m quick", name="rainfall.tif")
    assert SUMS in printed
    assert np.array_equal(sums_of(out.read(1), 2), 4.0 * bytes_of_rain)

    def in_persons(file):
        file.units = ["persons"]

    printed, _ = enlarge_raster(RAIN, "-m quick", then=in_persons)
    assert (
        'band 1 (its unit is "persons"): each value is repeated for 2x2 pixels: totals are '
        "4 times as large; --divide divides it" in printed
    )
    printed, _ = enlarge_raster(bytes_of_rain, "-m quick", name="b.tif")
    assert "sums" not in printed  # which may be a picture


def test_few_whole_numbers_of_persons_are_amounts_and_no_classes(enlarge_raster):
    random = np.random.default_rng(1)
    people = np.rint(random.gamma(0.4, 8, (48, 40))).astype("uint16")
    assert len(np.unique(people)) < 64

    def in_persons(file):
        file.units = ["persons"]

    printed, out = enlarge_raster(people, "--divide -m quick", then=in_persons)
    assert "classes, enlarged" not in printed
    assert np.array_equal(sums_of(out.read(1), 2), people)


def test_degrees_have_no_sums_though_many_are_exactly_0(enlarge_raster):
    def in_degrees(file):
        file.units = ["degC"]

    printed, out = enlarge_raster(RAIN, "-m quick", then=in_degrees)
    assert "band 1 is never below 0: kept so" in printed
    assert "sums" not in printed
    assert out.read(1).min() == 0


def test_the_highest_byte_of_an_index_is_a_bound(enlarge_raster):
    bytes_of_index = np.clip(120 + 80 * field(8), 0, 250).astype("uint8")
    assert np.sum(bytes_of_index == 250) > 16
    printed, out = enlarge_raster(bytes_of_index, "-m quick", name="ndvi.tif")
    assert "above 250: kept so" in printed
    assert out.read(1).max() == 250


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(
    "pixels",
    [RAIN, PEOPLE, PEOPLE.astype("uint8"), (5 * field(3)).astype("float32")],
    ids=["floats", "whole numbers", "bytes", "of both signs"],
)
def test_divided_values_have_the_totals_of_the_input(enlarge_raster, pixels, scale):
    options = f"--divide -m quick -s {scale}"
    printed, out = enlarge_raster(pixels, options, name="count.tif")
    assert f"each value is divided among {scale}x{scale} pixels" in printed
    assert "--divide" not in printed
    assert np.allclose(sums_of(out.read(1), scale), pixels, rtol=1e-6, atol=1e-5)
    with rasterio.open("count.tif") as source:
        opened = srcli.upscale(source, scale=scale, model="quick", divide=True)
    assert np.array_equal(opened.read(1), out.read(1))


def test_whole_numbers_beside_a_nodata_of_0_are_not_divided_into_it(srx):
    write_by_gdal("a.tif", PEOPLE, nodata=0, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 --divide", code=2)
    assert "a.tif: 0 is no data" in result.err
    srx("upscale a.tif b.tif -s 2 --divide -ot Float32", code=0)
    assert np.isclose(read_by_gdal("b.tif").sum(dtype="float64"), PEOPLE.sum())


def test_a_bound_that_samples_show_gives_way_to_pixels_beyond_it(enlarge, monkeypatch):
    """Of a large raster samples are looked at, and a pit may lie between them."""
    monkeypatch.setattr("srcli.imaging.rasters.look.MOST_SAMPLES", 2**10)
    monkeypatch.setattr("srcli.imaging.rasters.look._SMALLEST_SIDE", 8)
    pixels = RAIN.copy()
    pixels[26:34, 26:34] = -40
    printed, out = enlarge(pixels)
    assert "never below 0" in printed
    pit = out.read(1)[52:68, 52:68]
    assert np.allclose(pit[4:-4, 4:-4], -40, atol=0.5)
    assert pit.max() < -20


def test_colours_have_no_bounds_but_those_of_their_type(enlarge):
    pixels = np.dstack([RAIN, RAIN[::-1], RAIN[:, ::-1]])

    def call_them_colours(file):
        file.colorinterp = [
            rasterio.enums.ColorInterp[name] for name in ("red", "green", "blue")
        ]

    printed, out = enlarge(pixels, then=call_them_colours)
    assert "kept so" not in printed
    assert out.read().min() < 0
    printed, out = enlarge(pixels)  # three bands of what may be rain
    assert "of bands 1,2,3 each is never below 0: kept so" in printed
    assert out.read().min() == 0


@pytest.mark.parametrize(
    ("name", "unit", "shown"),
    [
        ("a.tif", "degC", 'its unit is "degc"'),
        ("dem.tif", "", 'called "dem"'),
        ("a.tif", "m", 'its unit is "m"'),
        ("S2_ndvi.tif", "", 'called "ndvi"'),
        ("sst_2020.tif", "", 'called "sst"'),
        ("pop_temp.tif", "persons", ""),
    ],
)
def test_what_is_no_amount_is_not_divided_in_silence(enlarge, name, unit, shown):
    def set_unit(file):
        if unit:
            file.set_band_unit(1, unit)

    pixels = (12 + field(3)).astype("float32")
    printed, _ = enlarge(pixels, "--divide", name=name, then=set_unit)
    line = f"band 1 ({shown}) has no totals: without --divide it stays what it is"
    assert (line in printed) == bool(shown)
    assert ("has no totals" in printed) == bool(shown)


def test_what_has_no_totals_is_not_divided(srx):
    classes = np.where(RAIN > 0, 4, 7).astype("uint8")
    write_by_gdal("landcover.tif", classes, **PLACE)
    result = srx("upscale landcover.tif b.tif -s 2 --divide", code=2)
    assert "landcover.tif: --divide is for counts and amounts" in result.err
