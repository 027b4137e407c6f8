from __future__ import annotations

import numpy as np
import pytest
import rasterio

from srcli.imaging.rasters import look as module
from srcli.imaging.rasters.headers import info_of
from srcli.imaging.rasters.look import look_at
from srcli.imaging.rasters.opening import keep_open
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.imaging.rasters.value_range import choose_value_range


def find(path, spec="auto", srcwin=None, bands=None):
    with keep_open(path) as opened:
        info = info_of(opened)
        window, _ = choose_window(info, srcwin=srcwin)
        look = look_at(info, window, bands)
        return choose_value_range(look, choose_layout(info, bands=bands), spec)


def find_one(*arguments, **options):
    values, words = find(*arguments, **options)
    (ends,) = values.ranges
    return *ends, words


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("uint16", 0, 65535),
        ("int16", -32768, 32767),
        ("uint32", 0, 4294967295),
        ("float32", 0, 1),
        ("float64", 0, 1),
    ],
)
def test_what_the_dtype_holds(save, noise, dtype, low, high):
    values, words = find(save("a.tif", noise((6, 7), dtype)), "dtype")
    assert (values.dtype, values.ranges, words) == (np.dtype(dtype), ((low, high),), "")


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_between_0_and_1_keep_their_meaning(save, dtype, scale):
    pixels = (np.random.default_rng(0).random((40, 50, 2)) * scale).astype(dtype)
    pixels[3, 3] = np.nan
    low, high, words = find_one(save("a.tif", pixels))
    assert (low, high) == (0, 1)
    assert "0 as black and 1 as white" in words


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
def test_outliers_and_nodata_do_not_stretch_the_range(save, dtype):
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 100, (200, 300)).astype(dtype)
    pixels[:50] = 30000  # nodata
    pixels[60, :10] = 20000
    low, high, words = find_one(save("a.tif", pixels, nodata=30000))
    assert 500 < low < 720
    assert 1280 < high < 1500
    assert f"{low:.6g} as black and {high:.6g} as white" in words
    assert "--range" in words


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 7), ("float32", None)])
def test_empty_files_say_so(save, dtype, nodata):
    empty = 7 if nodata else np.nan
    low, high, words = find_one(
        save("a.tif", np.full((30, 20), empty, dtype), nodata=nodata)
    )
    assert (low, high) == (0, 65535 if nodata else 1)
    assert "no valid pixel" in words


def test_the_largest_floats_stay_finite(save):
    limits = np.finfo(np.float64)
    pixels = np.linspace(-1, 1, 600).reshape(20, 30) * float(limits.max)
    low, high, _ = find_one(save("a.tif", pixels))
    assert np.isfinite(high - low)
    assert low < 0 < high


def test_the_chosen_bands_count_and_the_whole_file_for_a_part_of_it(save):
    pixels = np.zeros((40, 50, 2), np.uint16)
    pixels[:, :, 1] = 5000
    pixels[10:20, 10:20, 0] = np.arange(100).reshape(10, 10) + 200
    path = save("a.tif", pixels)
    low, high, _ = find_one(path, srcwin=(10, 10, 10, 10), bands=(1,))
    assert (low, high) == find_one(path, bands=(1,))[:2] == (0, 299)


def test_masks_and_alpha_hide_pixels(save):
    pixels = np.full((40, 50), 9000, np.uint16)
    pixels[:20] = np.arange(50) + 100
    masked = save("a.tif", pixels, then=lambda file: file.write_mask(pixels < 9000))
    assert find_one(masked)[1] <= 149
    alpha = np.stack(
        [pixels, np.where(pixels < 9000, 65535, 0).astype(np.uint16)], axis=2
    )
    assert find_one(save("b.tif", alpha, alpha="yes"))[1] <= 149


@pytest.mark.parametrize("way", ["plain", "overviews", "mask"])
def test_large_files_are_sampled(save, monkeypatch, way):
    rng = np.random.default_rng(0)
    pixels = (
        rng.normal(0, 30, (600, 700, 3)) + np.linspace(500, 3000, 700)[:, None]
    ).astype(np.uint16)
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    mark = None
    if way == "mask":
        mark = lambda file: file.write_mask(np.ones((600, 700), bool))  # noqa: E731
    path = save("a.tif", pixels, then=mark, **tiles)
    if way == "overviews":
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4, 8])
    exact = find_one(path)
    monkeypatch.setattr(module, "MOST_SAMPLES", 60_000)
    monkeypatch.setattr(module, "_SMALLEST_SIDE", 16)
    sampled = find_one(path)
    assert sampled == find_one(path)
    assert sampled != exact
    assert sampled[:2] == pytest.approx(exact[:2], abs=100)


def test_a_large_file_with_little_data_is_looked_at_twice(save, monkeypatch):
    pixels = np.zeros((800, 900), np.uint16)
    rng = np.random.default_rng(0)
    pixels[137:157, 211:231] = rng.integers(1000, 2000, (20, 20))
    path = save("a.tif", pixels, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    monkeypatch.setattr(module, "MOST_SAMPLES", 10_000)
    monkeypatch.setattr(module, "_SMALLEST_SIDE", 8)
    low, high, words = find_one(path)
    assert "(measured)" in words
    assert low == pytest.approx(1000, abs=20)
    assert high == pytest.approx(2000, abs=20)


def test_bands_that_go_alone_have_ranges_of_their_own(save):
    rng = np.random.default_rng(0)
    height = rng.uniform(30, 2970, (60, 70))
    index = rng.uniform(-0.98, 0.98, (60, 70))
    path = save("a.tif", np.stack([height, index], axis=2).astype(np.float32))
    values, words = find(path)
    assert values.ranges[0] == pytest.approx((30, 2970), abs=5)
    assert values.ranges[1] == pytest.approx((-0.98, 0.98), abs=0.01)
    assert "black to white, of bands 1: 3" in words
    assert "; 2: -0.9" in words
    turned, _ = find(path, bands=(2, 1))
    assert turned.ranges == values.ranges[::-1]
    assert find(path, (-1.0, 3000.0))[0].ranges == ((-1, 3000),)


def test_colours_share_their_range_beside_others(save):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, [[[300, 800, 500, 9000]]], (60, 70, 4)).astype(np.uint16)
    values, words = find(save("a.tif", pixels))
    assert values.ranges[0] == values.ranges[1] == values.ranges[2]
    assert values.ranges[0][1] == pytest.approx(799, abs=5)
    assert values.ranges[3][1] == pytest.approx(8990, abs=20)
    assert "1,2,3: 0 to " in words


@pytest.mark.parametrize("most", [2e-4, 0.2])
def test_small_fractions_have_their_own_range(save, most):
    pixels = (np.random.default_rng(0).random((40, 50)) * most).astype(np.float32)
    _, high, words = find_one(save("a.tif", pixels))
    assert high == pytest.approx(most, rel=0.01)
    assert "(measured)" in words


@pytest.mark.parametrize(
    ("dtype", "value", "width"),
    [
        ("uint16", 30000, 1),
        ("uint16", 65535, 1),
        ("float32", 2000.0, 2e-3),
        ("float64", 0, 1),
    ],
)
def test_the_range_of_an_even_picture_is_narrow(save, dtype, value, width):
    low, high, _ = find_one(save("a.tif", np.full((30, 20), value, dtype)))
    assert low == value
    assert high - low == pytest.approx(width)
