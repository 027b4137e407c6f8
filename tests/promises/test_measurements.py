"""Measurements go through a network only where its error does not show in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from srcli.imaging.rasters.heights import smooth_steps
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal

LINE = (
    "band 1: smooth measurements: a network's error (0.02% of the range) would exceed "
    "their detail"
)
Y, X = np.mgrid[:96, :160]
PLAIN = np.s_[8:-8, 8:180]


def furrows(x):
    """Furrows of 0.2 m on a plain beside a mountain of 2,500 m."""
    return 100 + 0.2 * np.sin(x / 1.5) + 2500 * np.clip((x - 100) / 60, 0, 1) ** 2


def texture(seed=0):
    """Reflectance from 0 to 10,000 with detail everywhere."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(0, 1, X.shape), 1.2)
    return np.rint(5000 + 1400 * field / field.std()).clip(0, 10000)


def test_furrows_beside_a_mountain_come_out_as_they_are(enlarge_raster):
    printed, out = enlarge_raster(furrows(X).astype("float32"))
    exact = furrows((np.arange(320) + 0.5) / 2 - 0.5)
    off = (out.read(1) - exact)[PLAIN]
    assert f"{LINE}, so they are interpolated; -m g-idrn takes the network" in printed
    assert abs(off.mean()) < 0.002
    assert off.std() < 0.02


def test_a_network_that_is_named_is_taken_for_measurements(enlarge_raster):
    """By any network, with a warning."""
    for model in ("g-idrn", "rrlfn"):
        printed, out = enlarge_raster(furrows(X).astype("float32"), f"-m {model}")
        assert f"{LINE}; -m bicubic interpolates them" in printed
        assert "warning: " in printed
        assert out.tags()["SRX_MODEL"] == model


def test_reflectance_with_detail_goes_through_the_network(enlarge_raster):
    results = []
    for dtype in ("int16", "float32"):
        printed, out = enlarge_raster(texture().astype(dtype))
        assert LINE not in printed
        assert out.tags()["SRX_MODEL"] == "g-idrn"
        results.append(out.read(1).astype("float64"))
    assert np.abs(np.subtract(*results)).max() < 0.501  # rounding alone


def test_elevation_beside_reflectance_is_interpolated_alone(enlarge_raster):
    pixels = np.dstack([texture(), furrows(X)]).astype("float32")
    printed, out = enlarge_raster(pixels)
    assert "band 2: smooth measurements" in printed
    with enlarge_raster(pixels[:, :, 1], "-m bicubic")[1] as alone:
        np.testing.assert_allclose(out.read(2), alone.read(1), atol=1e-4)
    with enlarge_raster(pixels[:, :, 0])[1] as alone:
        np.testing.assert_allclose(out.read(1), alone.read(1), atol=1e-2)


def test_steps_that_hide_the_error_go_through_the_network(enlarge_raster):
    pixels = np.rint(200 + 100 * np.sin(X / 9) * np.cos(Y / 7)).astype("int16")
    assert enlarge_raster(pixels)[1].tags()["SRX_MODEL"] == "g-idrn"


GENTLE = 200 + 9 * np.sin(X / 90) + 7 * np.cos(Y / 70)


@pytest.mark.parametrize(
    "sign",
    [
        "unit",
        "band",
        "file",
        "SRTM",
        "folder",
        "slope",
        "nodata",
        "",
        "uint8",
        "picture",
    ],
)
def test_signs_of_elevation_in_whole_metres(enlarge_raster, sign):
    """A plain of some 20 values, which a network would sharpen to terraces."""

    def name(file):
        if sign == "unit":
            file.units = ["metre"]
        if sign in ("band", "picture", "uint8"):
            word = "reflectance" if sign == "picture" else "Elevation"
            file.set_band_description(1, word)

    heights = np.rint(GENTLE).astype("uint8" if sign == "uint8" else "int16")
    assert len(np.unique(heights)) <= 64
    files = {
        "file": "site_dtm.tif",
        "SRTM": "SRTM_38_03.tif",
        "folder": "DTM/1.tif",
        "slope": "DTM/slope.tif",
    }
    file = files.get(sign, "a.tif")
    Path("DTM").mkdir()
    profile = {"nodata": -9999} if sign == "nodata" else {}
    printed, out = enlarge_raster(heights, name=file, then=name, **profile)
    is_elevation = sign not in ("", "uint8", "picture", "slope")
    assert ("taken for elevation" in printed) == is_elevation
    assert ("taken for a picture" in printed) != is_elevation
    model = out.tags()["SRX_MODEL"]
    assert model == ("bicubic" if is_elevation else "g-idrn")


def test_six_codes_of_soils_along_a_slope_stay_six(enlarge_raster):
    codes = np.array([14, 22, 61, 103, 340, 1405], "int16")
    share = (GENTLE - GENTLE.min()) / (GENTLE.max() - GENTLE.min())
    classes = codes[(share * 6).astype(int).clip(0, 5)]
    printed, out = enlarge_raster(classes, nodata=-9999)
    assert "holds only 6 different values: taken for classes" in printed
    np.testing.assert_array_equal(out.read(1), classes.repeat(2, 0).repeat(2, 1))
    assert out.tags()["SRX_MODEL"] == "nearest"
    assert "SRX_WEIGHTS" not in out.tags()


def gentle(y, x):
    return 200 + 9 * np.sin(x / 90) + 7 * np.cos(y / 70)


def test_floats_of_whole_metres_are_the_surface_that_was_rounded(srx):
    """A part is the whole's, and rock beside the plain is not smoothed."""
    y, x = np.mgrid[:150, :250]
    heights = np.rint(gentle(y, x))
    rng = np.random.default_rng(0)
    heights[:, 200:] += rng.integers(-40, 40, (150, 50))
    heights[90:100, 80:95] = -9999
    write_by_gdal("a.tif", heights.astype("int16"), nodata=-9999, **PLACE)
    words = ["upscale", "a.tif", "-s", "2", "-ot", "Float32", "-m", "rrlfn"]
    srx(*words, "whole.tif", "-t", "96", code=0)
    larger = read_by_gdal("whole.tif").squeeze()
    srx(*words, "part.tif", "-t", "96", "-srcwin", "60", "70", "90", "50", code=0)
    np.testing.assert_array_equal(
        read_by_gdal("part.tif").squeeze(), larger[140:240, 120:300]
    )
    rows, columns = (np.mgrid[:300, :340] + 0.5) / 2 - 0.5
    valid = larger[:, :340] != -9999
    off = (larger[:, :340] - gentle(rows, columns))[valid]
    assert np.sqrt(np.mean(off**2)) < 0.15  # 0.29 of whole metres
    assert np.abs(off).max() < 0.75
    plain = larger[:, :340][valid]
    assert 0.15 < np.mean(np.abs(plain - np.rint(plain)) < 0.1) < 0.25


def test_a_pixel_moves_by_half_a_unit_at_most():
    y, x = np.mgrid[:150, :150]
    valid = (y // 40 + x // 40) % 3 > 0
    for slope in (0.01, 0.05, 0.3, 2):
        heights = np.rint(slope * x + 3 * np.sin(y / 20)).astype("int16")
        smooth = smooth_steps(heights, valid)
        assert np.abs(smooth - heights)[valid].max() <= 0.5
    plateau = np.full((50, 50), 3_000_000_001)
    np.testing.assert_array_equal(smooth_steps(plateau, plateau > 0), plateau)


def hills(range_of_heights=800, lowest=0):
    """Whole metres of rough ground."""
    noise = np.random.default_rng(5).normal(size=(128, 128))
    rough = gaussian_filter(noise, 3) + 0.05 * gaussian_filter(noise, 0.7)
    share = (rough - rough.min()) / np.ptp(rough)
    return np.rint(lowest + range_of_heights * share).astype("int16")


def test_a_line_says_why_elevation_goes_through_the_network(enlarge_raster, srx):
    low_hills = hills(range_of_heights=400)
    printed, out = enlarge_raster(low_hills, name="dem.tif")
    assert (
        'band 1 (elevation, called "dem"): g-idrn, because a network\'s error disappears in '
        "rounding; -m bicubic interpolates" in printed
    )
    assert out.tags()["SRX_MODEL"] == "g-idrn"
    foreseen = srx("upscale dem.tif later.tif -s 2 --dry-run -v", code=0).out
    assert "dem.tif -> later.tif (256x256 tif, g-idrn)" in foreseen
    assert "disappears in rounding" in " ".join(foreseen.split())


def test_a_window_cut_out_of_elevation_is_judged_as_the_whole(enlarge_raster):
    """Its own range is so small that a network's error would disappear in rounding."""
    heights = hills(range_of_heights=1500)
    heights = np.rint(gaussian_filter(heights.astype("float32"), 4)).astype("int16")
    models = []
    for pixels in (1000 + heights, 1000 + heights[20:80, 30:100]):
        printed, out = enlarge_raster(pixels.astype("int16"), name="dtm.tif")
        models.append(out.tags()["SRX_MODEL"])
        assert '(elevation, called "dtm")' in printed
    assert models == ["bicubic", "bicubic"]
    printed, out = enlarge_raster(1000 + heights[20:80, 30:100], name="a.tif")
    assert out.tags()["SRX_MODEL"] == "g-idrn"  # nothing calls it so
