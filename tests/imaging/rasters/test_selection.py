from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters import headers
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.look import look_at
from srcli.imaging.rasters.meanings import Reasons, choose_layout_by_signs
from srcli.imaging.rasters.opening import keep_open
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.ports import Window
from tests.fixtures.mosaics import SIMPLE


@pytest.fixture
def info_of(save):
    """The info of a file whose bands are called so: ``info_of("red", "green")``."""

    def make(*names, dtype=np.uint16, **profile):
        def name(file):
            file.colorinterp = [ColorInterp[one] for one in names]

        pixels = np.ones((4, 5, len(names)), dtype)
        return read_info(
            save("a.tif", pixels, then=name, photometric="minisblack", **profile)
        )

    return make


def called(layout):
    return tuple(band.interpretation for band in layout.outputs[: layout.channels])


@pytest.mark.parametrize(
    ("names", "bands", "groups"),
    [
        (("gray",), (1,), ((0,),)),
        (("gray", "undefined"), (1, 2), ((0,), (1,))),
        (("red", "green", "blue"), (1, 2, 3), ((0, 1, 2),)),
        (("blue", "green", "red", "nir"), (1, 2, 3, 4), ((2, 1, 0), (3,))),
        (("nir", "blue", "green", "red"), (1, 2, 3, 4), ((0,), (3, 2, 1))),
        (
            ("gray", *["undefined"] * 7),
            tuple(range(1, 9)),
            tuple((k,) for k in range(8)),
        ),
    ],
)
def test_bands_that_files_call_red_green_and_blue_go_together(
    info_of, names, bands, groups
):
    layout = choose_layout(info_of(*names))
    assert (layout.bands, layout.groups) == (bands, groups)
    assert called(layout) == names
    assert (layout.alpha, layout.palette) == (None, None)
    assert layout.channels == len(names)
    assert layout.dtype == "uint16"


@pytest.mark.parametrize("count", [3, 4])
def test_the_first_three_of_three_or_four_are_guessed_and_told(info_of, count):
    layout = choose_layout(info_of("gray", *["undefined"] * (count - 1)))
    assert layout.groups[0] == (0, 1, 2)
    assert "--rgb" in layout.note


def test_many_bands_of_no_known_colour_are_told(info_of):
    note = choose_layout(info_of("gray", *["undefined"] * 4)).note
    assert "5 bands" in note
    assert "--rgb" in note


def test_alpha_is_apart_and_keeps_its_place_out_of_the_groups(info_of):
    layout = choose_layout(info_of("alpha", "red", "green", "blue"))
    assert (layout.bands, layout.groups, layout.alpha) == ((2, 3, 4), ((0, 1, 2),), 1)
    assert called(layout) == ("red", "green", "blue")
    assert not layout.note


def test_of_two_bands_of_alpha_the_second_is_a_band_as_any(info_of):
    path = info_of("alpha", "red", "green", "blue", "alpha").path
    window = Window(top=0, left=0, height=4, width=5)
    with keep_open(path) as opened:
        look = look_at(headers.info_of(opened), window)
        layout = choose_layout_by_signs(look, "auto", Reasons())
    assert layout.bands == (2, 3, 4, 5)


def test_a_composite_that_the_user_chose_is_called_red_green_blue(info_of):
    info = info_of("blue", "green", "red", "undefined")
    layout = choose_layout(info, bands=(4, 3, 2))
    assert layout.groups == ((0, 1, 2),)
    assert called(layout) == ("red", "green", "blue")
    assert not layout.note
    # has all three colours: they are meant
    further = choose_layout(info, bands=(4, 3, 2, 1))
    assert further.groups == ((0,), (1, 2, 3))
    assert called(further) == ("undefined", "red", "green", "blue")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bands": (1, 9)}, PictureError, r"a\.tif: has 4 band\(s\).*--bidx 1,9"),
        ({"bands": (4,)}, PictureError, "only an alpha band"),
        ({"rgb": (1, 2, 7)}, PictureError, "--rgb 1,2,7"),
        ({"rgb": (1, 2, 4)}, UsageError, "alpha"),
        ({"bands": (1, 2), "rgb": (1, 2, 3)}, UsageError, "kept"),
    ],
)
def test_wrong_choices_are_refused(info_of, options, error, words):
    info = info_of("red", "green", "blue", "alpha")
    with pytest.raises(error, match=words):
        choose_layout(info, **options)


def test_bands_of_several_kinds_are_refused_together_and_taken_apart(
    save, save_vrt, noise
):
    save("a.tif", noise((4, 5)))
    source = SIMPLE.format(name="a.tif", relative=1)
    info = read_info(save_vrt("a.vrt", 5, 4, [("Byte", source), ("Float32", source)]))
    with pytest.raises(PictureError, match=r"float32, uint8.*--bidx"):
        choose_layout(info)
    assert choose_layout(info, bands=(2,)).dtype == "float32"


def test_nodata_of_the_output_is_that_of_the_bands_chosen(save, save_vrt, noise):
    save("a.tif", noise((4, 5)))
    source = SIMPLE.format(name="a.tif", relative=1)
    bands = [
        ("Byte", f"<NoDataValue>{value}</NoDataValue>{source}") for value in (7, 9)
    ]
    info = read_info(save_vrt("a.vrt", 5, 4, [("Byte", source), *bands]))
    assert [band.nodata for band in info.bands] == [None, 7.0, 9.0]
    assert choose_layout(info).nodata == 7
    assert choose_layout(info, bands=(3, 2)).nodata == 9
    assert choose_layout(info, bands=(1,)).nodata is None


@pytest.fixture
def info(save):
    """A north-up file of 40x30 pixels of 2 m, upper left corner at 100, 500."""
    return read_info(
        save("a.tif", np.ones((30, 40)), transform=Affine(2, 0, 100, 0, -2, 500))
    )


@pytest.mark.parametrize(
    ("srcwin", "window", "words"),
    [
        ((3, 4, 10, 5), Window(top=4, left=3, height=5, width=10), None),
        ((0, 0, 40, 30), Window(top=0, left=0, height=30, width=40), None),
        ((-3, 4, 10, 5), Window(top=4, left=0, height=5, width=7), "7x5"),
        ((35, 25, 10, 50), Window(top=25, left=35, height=5, width=5), "5x5"),
        ((-5, -5, 100, 100), Window(top=0, left=0, height=30, width=40), "40x30"),
    ],
)
def test_what_reaches_beyond_is_cut_and_told(info, srcwin, window, words):
    found, notes = choose_window(info, srcwin=srcwin)
    assert found == window
    assert len(notes) == (words is not None)
    assert words is None or words in notes[0]


def test_rounded_coordinates_take_no_pixel_more(info):
    exact = choose_window(info, bounds=(110, 450, 130, 480))
    for shift in (-1e-5, 1e-5):
        bounds = (110 + shift, 450 + shift, 130 + shift, 480 + shift)
        assert choose_window(info, bounds=bounds) == exact


@pytest.mark.parametrize(
    "transform",
    [
        Affine(2, 0, 100, 0, 2, 500),  # south up
        Affine(-2, 0, 100, 0, -3, 500),  # mirrored
        Affine(3**0.5, 1, 100, 1, -(3**0.5), 500),  # pixels of 2, turned by 30 degrees
    ],
)
def test_bounds_enclose_however_the_raster_is_turned(save, transform):
    info = read_info(save("a.tif", np.ones((30, 40)), transform=transform))
    centres = np.stack(np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5), axis=-1)
    x = transform.a * centres[..., 0] + transform.b * centres[..., 1] + transform.c
    y = transform.d * centres[..., 0] + transform.e * centres[..., 1] + transform.f
    middle = x.mean(), y.mean()
    bounds = (middle[0] - 12, middle[1] - 7, middle[0] + 12, middle[1] + 7)
    window, notes = choose_window(info, bounds=bounds)
    inside = (abs(x - middle[0]) < 12) & (abs(y - middle[1]) < 7)
    rows, columns = np.nonzero(inside)
    assert ["snapped outwards" in note for note in notes] == [True]
    assert window.top <= rows.min() <= window.top + 1
    assert window.left <= columns.min() <= window.left + 1
    assert rows.max() < window.top + window.height <= rows.max() + 3
    assert columns.max() < window.left + window.width <= columns.max() + 3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"srcwin": (0, 0, 5, -5)}, UsageError, "at least 1"),
        (
            {"srcwin": (40, 0, 5, 5)},
            PictureError,
            r"a\.tif: --srcwin lies outside.*40x30",
        ),
        ({"bounds": (180, 440, 200, 500)}, PictureError, "outside"),
        ({"bounds": (130, 450, 110, 480)}, UsageError, "left < right"),
        ({"bounds": (110, 480, 130, 450)}, UsageError, "bottom < top"),
    ],
)
def test_wrong_windows_are_refused(info, options, error, words):
    with pytest.raises(error, match=words):
        choose_window(info, **options)


def test_bounds_need_a_place_on_the_map(info):
    nowhere = dataclasses.replace(
        info, georeference={**info.georeference, "transform": None}
    )
    with pytest.raises(PictureError, match=r"no place on the map.*--srcwin"):
        choose_window(nowhere, bounds=(1, 2, 3, 4))
    georeference = {
        **nowhere.georeference,
        "gcps": [GroundControlPoint(row=0, col=0, x=1, y=2)],
    }
    points = dataclasses.replace(info, georeference=georeference)
    with pytest.raises(PictureError, match=r"control points only.*--srcwin"):
        choose_window(points, bounds=(1, 2, 3, 4))
    assert choose_window(points, srcwin=(1, 2, 3, 4))[0].left == 1
    with pytest.raises(
        PictureError, match=r"outside the file, which has 40x30 pixels$"
    ):
        choose_window(nowhere, srcwin=(99, 2, 3, 4))
