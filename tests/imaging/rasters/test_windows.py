from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import rasterio
import rasterio.windows
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.windows import choose_window
from srcli.ports.image import Window


@pytest.fixture
def info(save):
    """A north-up file of 40x30 pixels of 2 m, upper left corner at 100, 500."""
    return read_info(save("a.tif", np.ones((30, 40)), transform=Affine(2, 0, 100, 0, -2, 500)))


def test_everything_by_default(info):
    assert choose_window(info) == (Window(top=0, left=0, height=30, width=40), ())


@pytest.mark.parametrize(
    ("srcwin", "window"),
    [
        ((3, 4, 10, 5), Window(top=4, left=3, height=5, width=10)),
        ((0, 0, 40, 30), Window(top=0, left=0, height=30, width=40)),
        ((39, 29, 1, 1), Window(top=29, left=39, height=1, width=1)),
    ],
)
def test_pixels(info, srcwin, window):
    assert choose_window(info, srcwin=srcwin) == (window, ())


@pytest.mark.parametrize(
    ("srcwin", "window"),
    [
        ((-3, 4, 10, 5), Window(top=4, left=0, height=5, width=7)),
        ((35, 25, 10, 50), Window(top=25, left=35, height=5, width=5)),
        ((-5, -5, 100, 100), Window(top=0, left=0, height=30, width=40)),
    ],
)
def test_what_reaches_beyond_is_cut_and_told(info, srcwin, window):
    found, notes = choose_window(info, srcwin=srcwin)
    assert found == window
    assert len(notes) == 1
    assert f"{window.width}x{window.height}" in notes[0]


@pytest.mark.parametrize("bounds", [(110, 450, 130, 480), (110.3, 450.1, 129.9, 479.5)])
def test_bounds_on_a_north_up_file_are_rasterios_window(info, bounds):
    found, notes = choose_window(info, bounds=bounds)
    with rasterio.open(info.path) as file:
        wanted = rasterio.windows.from_bounds(*bounds, file.transform)
    assert (found.left, found.top) == (np.floor(wanted.col_off), np.floor(wanted.row_off))
    assert found.left + found.width == np.ceil(wanted.col_off + wanted.width)
    assert found.top + found.height == np.ceil(wanted.row_off + wanted.height)
    assert notes == ()


def test_rounded_coordinates_take_no_pixel_more(info):
    exact, _ = choose_window(info, bounds=(110, 450, 130, 480))
    for shift in (-1e-5, 1e-5):
        bounds = (110 + shift, 450 + shift, 130 + shift, 480 + shift)
        assert choose_window(info, bounds=bounds)[0] == exact


def test_bounds_within_one_pixel_are_that_pixel(info):
    found, _ = choose_window(info, bounds=(104.5, 495.2, 104.6, 495.3))
    assert found == Window(top=2, left=2, height=1, width=1)
    found, _ = choose_window(info, bounds=(104, 494, 104 + 1e-9, 494 + 1e-9))
    assert (found.height, found.width) == (1, 1)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(2, 0, 100, 0, 2, 500),  # south up
        Affine(-2, 0, 100, 0, -3, 500),  # mirrored
        Affine.translation(100, 500) @ Affine.rotation(30) @ Affine.scale(2, -2),
    ],
)
def test_bounds_enclose_however_the_raster_is_turned(save, transform):
    info = read_info(save("a.tif", np.ones((30, 40)), transform=transform))
    centres = np.stack(np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5), axis=-1)
    x = transform.a * centres[..., 0] + transform.b * centres[..., 1] + transform.c
    y = transform.d * centres[..., 0] + transform.e * centres[..., 1] + transform.f
    middle = x.mean(), y.mean()
    bounds = (middle[0] - 12, middle[1] - 7, middle[0] + 12, middle[1] + 7)
    found, notes = choose_window(info, bounds=bounds)
    inside = (abs(x - middle[0]) < 12) & (abs(y - middle[1]) < 7)
    rows, columns = np.nonzero(inside)
    assert notes == ()
    assert found.top <= rows.min() <= found.top + 1
    assert found.left <= columns.min() <= found.left + 1
    assert rows.max() < found.top + found.height <= rows.max() + 3
    assert columns.max() < found.left + found.width <= columns.max() + 3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"srcwin": (0, 0, 5, 5), "bounds": (1, 2, 3, 4)}, UsageError, "only one"),
        ({"srcwin": (0, 0, 0, 5)}, UsageError, "at least 1"),
        ({"srcwin": (0, 0, 5, -5)}, UsageError, "at least 1"),
        ({"srcwin": (0, 0, 5)}, UsageError, "--srcwin 0,0,5"),
        ({"srcwin": (40, 0, 5, 5)}, PictureError, r"a\.tif: --srcwin lies outside.*40x30"),
        ({"srcwin": (-9, 0, 5, 5)}, PictureError, "outside"),
        ({"bounds": (1, 2, 3, 4)}, PictureError, "from 100,440 to 180,500"),
        ({"bounds": (180, 440, 200, 500)}, PictureError, "outside"),
        ({"bounds": (130, 450, 110, 480)}, UsageError, "left < right"),
        ({"bounds": (110, 480, 130, 450)}, UsageError, "bottom < top"),
        ({"bounds": (110, 450, 130, float("nan"))}, UsageError, "--bounds"),
    ],
)
def test_wrong_windows_are_refused(info, options, error, words):
    with pytest.raises(error, match=words):
        choose_window(info, **options)


def test_bounds_need_a_place_on_the_map(info):
    nowhere = dataclasses.replace(info, transform=Affine.identity(), has_transform=False)
    with pytest.raises(PictureError, match=r"no place on the map.*--srcwin"):
        choose_window(nowhere, bounds=(1, 2, 3, 4))
    points = dataclasses.replace(nowhere, gcps=(GroundControlPoint(row=0, col=0, x=1, y=2),))
    with pytest.raises(PictureError, match=r"control points only.*--srcwin"):
        choose_window(points, bounds=(1, 2, 3, 4))
    assert choose_window(points, srcwin=(1, 2, 3, 4))[0].left == 1
    with pytest.raises(PictureError, match=r"outside the file, which has 40x30 pixels$"):
        choose_window(nowhere, srcwin=(99, 2, 3, 4))
