"""Codes and numbers of things are told from measurements by their values, not by names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from tests.fixtures.engines import doubled

LINE = "taken for classes, enlarged by nearest neighbour"
Y, X = np.mgrid[:120, :160]


@pytest.fixture
def enlarge(enlarge):
    """Enlarge a raster of these values; return what was printed and the result's bands."""

    def run(pixels, *options, **profile):
        printed, out = enlarge(pixels, *options, **profile)
        return printed, np.moveaxis(out.read(), 0, 2).squeeze()

    return run


def belts():
    """Belts around a place, by codes with gaps of 5 to 38 and in the order of codes."""
    gaps = [0, 5, 3, 31, 31, 44, 18, 11, 25, 12, 29, 34, 7, 38, 1723]
    return (7011 + np.cumsum(gaps))[(np.hypot(X - 70, Y - 55) // 7).astype(int) % 15]


def parcels(pattern):
    """Numbers of parcels: by rows of a grid, or anyhow in cells of any form."""
    if pattern == "rows":
        return (Y // 4) * 40 + X // 4 + 100000
    rng = np.random.default_rng(0)
    seeds = KDTree(rng.random((200, 2)) * [120, 160])
    nearest = seeds.query(np.stack([Y, X], axis=-1))[1]
    return rng.permutation(90_000)[nearest] + 5


CODES = {
    "belts": belts(),
    "parcels in rows": parcels("rows"),
    "parcels": parcels("cells"),
}


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_codes_come_out_as_they_are(enlarge, name, dtype):
    pixels = CODES[name].astype(dtype)
    printed, out = enlarge(pixels)
    assert LINE in printed
    assert np.array_equal(out, doubled(pixels))


def test_numbers_of_things_are_told_and_may_be_interpolated(enlarge):
    pixels = CODES["parcels"].astype("int32")
    assert "band 1 looks like numbers of things" in enlarge(pixels)[0]
    printed, out = enlarge(pixels, "--classes no")
    assert LINE not in printed
    assert len(np.unique(out)) > 2 * len(np.unique(pixels))


def terrain(height, seed=1, smooth=12):
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(0, 1, X.shape), smooth)
    return 400 + height * (field - field.min()) / np.ptp(field)


def with_lake_and_cliff():
    """Terrain of 90 m with a lake and a step of 40 m."""
    heights = terrain(90)
    heights = np.maximum(heights, 430)
    return np.where(X > 100, heights + 40, heights)


def town():
    """Flat roofs on a slope, as surface models have them."""
    heights = 100 + X / 12 + Y / 20
    for number in range(60):
        top = number * 37 % 110
        column = number * 53 % 148
        heights[top : top + 7, column : column + 9] += 6 + number % 5
    return heights


MEASUREMENTS = {
    "plain": terrain(8),
    "hills": terrain(60),
    "mountains": terrain(900),
    "lake and cliff": with_lake_and_cliff(),
    "town": town(),
    "steps of 10 m": 10 * np.rint(terrain(300) / 10),
    "feet": 3.28084 * np.rint(terrain(40)),
    "ramp": X // 3 + 20,
    "coarse temperature": terrain(3000, smooth=20)[::4, ::4].repeat(4, 0).repeat(4, 1),
}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_elevation_in_whole_metres_is_no_map_of_classes(enlarge, name):
    printed, _ = enlarge(np.rint(MEASUREMENTS[name]).astype("int16"))
    assert LINE not in printed


def three_years(low):
    """Land cover of three years, a fifth of which changes from year to year."""
    rng = np.random.default_rng(4)
    cells = rng.choice(np.array([11, 21, 31, 41, 52, 71, 82, 90, 95]) // low, (20, 27))
    years = []
    for _ in range(3):
        changed = rng.random(cells.shape) < 0.2
        cells = np.where(
            changed, rng.permutation(cells.ravel()).reshape(cells.shape), cells
        )
        years.append(cells.repeat(6, 0).repeat(6, 1)[:120, :160])
    return np.dstack(years).astype("uint8")


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_three_bands_of_classes_are_no_colours(enlarge, photometric):
    pixels = three_years(1)
    printed, out = enlarge(pixels, photometric=photometric)
    assert LINE in printed
    assert np.array_equal(out, doubled(pixels))


def test_a_fourth_band_of_classes_is_no_alpha(enlarge):
    pixels = np.stack(
        [((X // (9 + b)) * 3 + (Y // (7 + b)) * 5) % 11 + 1 for b in range(4)], axis=-1
    ).astype("uint8")
    printed, out = enlarge(pixels)
    assert LINE in printed
    assert np.array_equal(out, doubled(pixels))


def drawn(drawing):
    """A flat drawing in RGB: of any colours, in colours of the web, or in grays."""
    rng = np.random.default_rng(6)
    palette = rng.integers(0, 256, (9, 3))
    if drawing == "web":
        palette = rng.integers(0, 6, (20, 3)) * 51
    if drawing == "gray":
        palette = rng.permutation(np.arange(0, 256, 17))[:12, None].repeat(3, axis=1)
    cells = rng.integers(0, len(palette), (20, 27)).repeat(6, 0).repeat(6, 1)
    return palette[cells[:120, :160]].astype("uint8")


@pytest.mark.parametrize("drawing", ["any", "web", "gray"])
def test_flat_drawings_in_colours_are_pictures(enlarge, drawing):
    printed, out = enlarge(drawn(drawing), photometric="rgb")
    assert LINE not in printed
    assert not np.array_equal(out, doubled(drawn(drawing)))


def uncertainty(clouds):
    """ST_QA of Landsat: kelvin / 100, equal in places, the more so under clouds."""
    values = np.rint(300 + 2 * terrain(60, seed=3))
    values[terrain(100, seed=7) < 400 + clouds] = 612
    return values.astype("int16")


@pytest.mark.parametrize("clouds", [0, 30, 60])
def test_scenes_of_one_product_are_treated_alike(enlarge, clouds):
    printed, _ = enlarge(uncertainty(clouds), name="LC08_L2SP_044034_ST_QA.tif")
    assert LINE not in printed


def test_flags_of_many_values_are_known_by_the_name_of_their_file(enlarge):
    rng = np.random.default_rng(2)
    flags = rng.choice(rng.permutation(60_000)[:400], (120, 160)).astype("uint16")
    printed, out = enlarge(flags, name="scene_QA_PIXEL.tif")
    assert LINE in printed
    assert np.array_equal(out, doubled(flags))
