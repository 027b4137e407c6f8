"""Bands are what they hold: near infrared called alpha is data, names say what is red."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from rasterio.enums import ColorInterp
from scipy.ndimage import gaussian_filter

from tests.fixtures.pictures import read_pixels, repeated

IS_DATA = "is called alpha, but has the values of data"
SIDE = 64


@pytest.fixture
def colours(astronaut):
    return astronaut[:SIDE, :SIDE]


@pytest.fixture
def infrared(astronaut):
    """A band as a camera sees it, with water in it."""
    band = astronaut[SIDE:, SIDE : 2 * SIDE, 0].copy()
    band[20:40, 20:40] = 0
    return band


def named(names):
    """Give the bands of an open file their names."""

    def describe(file):
        for band, name in enumerate(names, 1):
            file.set_band_description(band, name)

    return describe


def test_a_fourth_band_of_many_values_is_data(enlarge, colours, infrared):
    printed, out = enlarge(np.dstack([colours, infrared]))
    assert f"band 4 {IS_DATA}" in printed
    assert not np.array_equal(out.read(4), repeated(infrared))
    with enlarge(colours)[1] as alone:
        assert np.array_equal(out.read([1, 2, 3]), alone.read())
    assert ColorInterp.alpha not in out.colorinterp


def test_the_user_says_what_the_fourth_band_is(enlarge, colours, infrared):
    pixels = np.dstack([colours, infrared])
    printed, out = enlarge(pixels, "--alpha yes")
    assert IS_DATA not in printed
    assert out.colorinterp[3] == ColorInterp.alpha
    pixels[:, :, 3] = 255
    printed, out = enlarge(pixels, "--alpha no")
    assert out.colorinterp[3] == ColorInterp.undefined
    assert (out.read(4) == 255).all()


def soft(shape):
    """Alpha that is opaque in the middle, or fades all the way."""
    if shape == "fading":
        return np.broadcast_to(np.linspace(0, 250, SIDE).astype("uint8"), (SIDE, SIDE))
    disc = np.zeros((SIDE, SIDE))
    disc[12:52, 12:52] = 255
    return np.rint(gaussian_filter(disc, 3)).astype("uint8")


@pytest.mark.parametrize("shape", ["feathered", "fading"])
def test_soft_alpha_becomes_that_of_the_photograph(srx, enlarge, colours, shape):
    pixels = np.dstack([colours, soft(shape)])
    printed, out = enlarge(pixels)
    assert IS_DATA not in printed
    Image.fromarray(pixels).save("b.png")
    srx("upscale b.png b2.png -s 2 -m bicubic", code=0)
    photograph = read_pixels("b2.png")
    assert np.array_equal(out.read(4), photograph[:, :, 3])
    seen = out.read(4) > 0
    assert (out.read([1, 2, 3])[:, seen].max(axis=0) > 0).mean() > 0.9


def test_parts_of_soft_alpha_fit_each_other(monkeypatch, enlarge, colours):
    pixels = np.dstack([colours, soft("feathered")])
    low = "-co BLOCKXSIZE=16 -co BLOCKYSIZE=16"
    at_once = enlarge(pixels, low)[1].read()
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 16)
    assert np.array_equal(enlarge(pixels, low)[1].read(), at_once)


def test_floats_under_alpha_stay_finite(enlarge, colours):
    alpha = np.full((SIDE, SIDE), 255, "float32")
    alpha[:, :20] = 0
    pixels = np.dstack([colours.astype("float32"), alpha])
    _, out = enlarge(pixels, photometric="RGB", alpha="yes")
    assert out.colorinterp[3] == ColorInterp.alpha
    assert np.isfinite(out.read()).all()
    assert np.array_equal(out.read(4), repeated(alpha))


def test_names_of_bands_say_what_is_red(enlarge, colours, infrared):
    with enlarge(colours, "-m rrlfn")[1] as alone:
        expected = alone.read()
    pixels = np.dstack([colours[:, :, ::-1], infrared])
    for names in (
        ("blue", "green", "red", "nir"),
        ("B02", "B03", "B04", "B08"),
        ("Blue (B2)", "Green (B3)", "Red (B4)", "Red edge (B5)"),
    ):
        printed, out = enlarge(
            pixels, "-m rrlfn", then=named(names), photometric="MINISBLACK"
        )
        assert "are taken for red" not in printed
        assert out.descriptions == names
        assert np.array_equal(out.read([3, 2, 1]), expected)


def test_many_bands_are_grouped_by_their_names(enlarge, colours, infrared):
    pixels = np.dstack([infrared, colours, infrared])
    names = ("coastal", "red", "green", "blue", "swir")
    printed, _ = enlarge(pixels, then=named(names), photometric="MINISBLACK")
    assert "each enlarged alone" not in printed


def test_the_order_of_bands_stays_and_pillow_reads_them(enlarge, colours, infrared):
    opaque = np.full((SIDE, SIDE), 255, "uint8")
    pixels = np.dstack([colours, opaque, infrared])
    _, out = enlarge(pixels, photometric="RGB", alpha="yes")
    assert out.colorinterp[:4] == (
        ColorInterp.red,
        ColorInterp.green,
        ColorInterp.blue,
        ColorInterp.alpha,
    )
    assert (out.read(4) == 255).all()
    with Image.open(out.name) as image:
        assert image.mode == "RGBA"
        assert np.array_equal(
            np.asarray(image)[:, :, :3], np.moveaxis(out.read([1, 2, 3]), 0, 2)
        )
