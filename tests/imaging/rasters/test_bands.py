from __future__ import annotations

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.bands import choose_layout
from srcli.imaging.rasters.info import read_info


@pytest.fixture
def info_of(save):
    """The info of a file whose bands are called so: ``info_of("red", "green")``."""

    def make(*names, dtype=np.uint16, **profile):
        def name(file):
            file.colorinterp = [ColorInterp[one] for one in names]

        pixels = np.ones((4, 5, len(names)), dtype)
        return read_info(save("a.tif", pixels, then=name, photometric="minisblack", **profile))

    return make


@pytest.mark.parametrize(
    ("names", "bands", "groups"),
    [
        (("gray",), (1,), ((0,),)),
        (("gray", "undefined"), (1, 2), ((0,), (1,))),
        (("red", "green", "blue"), (1, 2, 3), ((0, 1, 2),)),
        (("blue", "green", "red", "nir"), (1, 2, 3, 4), ((2, 1, 0), (3,))),
        (("nir", "blue", "green", "red"), (1, 2, 3, 4), ((0,), (3, 2, 1))),
        (("gray", *["undefined"] * 7), tuple(range(1, 9)), tuple((k,) for k in range(8))),
    ],
)
def test_bands_that_files_call_red_green_and_blue_go_together(info_of, names, bands, groups):
    layout = choose_layout(info_of(*names))
    assert (layout.bands, layout.groups) == (bands, groups)
    assert layout.interpretations == names
    assert (layout.alpha, layout.palette, layout.has_alpha) == (None, False, False)
    assert layout.channels == len(names)
    assert layout.dtype == "uint16"


@pytest.mark.parametrize("count", [3, 4])
def test_the_first_three_of_three_or_four_are_guessed_and_told(info_of, count):
    layout = choose_layout(info_of("gray", *["undefined"] * (count - 1)))
    assert layout.groups[0] == (0, 1, 2)
    assert len(layout.notes) == 1
    assert "--rgb" in layout.notes[0]


def test_many_bands_of_no_known_colour_are_told(info_of):
    (note,) = choose_layout(info_of("gray", *["undefined"] * 4)).notes
    assert "5 bands" in note
    assert "--rgb" in note


def test_alpha_is_apart_and_keeps_its_place_out_of_the_groups(info_of):
    layout = choose_layout(info_of("alpha", "red", "green", "blue"))
    assert (layout.bands, layout.groups, layout.alpha) == ((2, 3, 4), ((0, 1, 2),), 1)
    assert layout.has_alpha
    assert layout.interpretations == ("red", "green", "blue")
    assert layout.notes == ()


def test_chosen_bands_keep_the_order_given(info_of):
    info = info_of("red", "green", "blue", "nir", "alpha")
    layout = choose_layout(info, bands=(4, 3, 1, 2))
    assert layout.bands == (4, 3, 1, 2)
    assert layout.groups == ((0,), (2, 3, 1))
    assert layout.interpretations == ("nir", "blue", "red", "green")
    assert layout.alpha is None
    assert choose_layout(info, bands=(5, 4)).alpha == 5
    assert choose_layout(info, bands=(5, 4)).bands == (4,)


def test_a_composite_that_the_user_chose_is_called_red_green_blue(info_of):
    info = info_of("blue", "green", "red", "undefined")
    layout = choose_layout(info, bands=(4, 3, 2))
    assert layout.groups == ((0, 1, 2),)
    assert layout.interpretations == ("red", "green", "blue")
    assert "bands 4,3,2 are taken for red, green, blue" in layout.notes[0]
    further = choose_layout(info, bands=(4, 3, 2, 1))  # has all three colours: they are meant
    assert further.groups == ((0,), (1, 2, 3))
    assert further.interpretations == ("undefined", "red", "green", "blue")


def test_the_user_names_the_three(info_of):
    info = info_of("red", "green", "blue", "nir", "undefined")
    layout = choose_layout(info, rgb=(4, 1, 2))
    assert layout.groups == ((3, 0, 1), (2,), (4,))
    assert layout.interpretations == ("green", "blue", "undefined", "red", "undefined")
    assert layout.notes == ()
    chosen = choose_layout(info, bands=(2, 4, 1), rgb=(4, 1, 2))
    assert (chosen.bands, chosen.groups) == ((2, 4, 1), ((1, 2, 0),))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bands": ()}, UsageError, "--bidx"),
        ({"bands": (0, 1)}, UsageError, "--bidx 0,1"),
        ({"bands": (1, 1)}, UsageError, "each once"),
        ({"bands": (1, 9)}, PictureError, r"a\.tif: has 4 band\(s\).*--bidx 1,9"),
        ({"bands": (4,)}, PictureError, "only an alpha band"),
        ({"rgb": (1, 2)}, UsageError, "--rgb 1,2"),
        ({"rgb": (1, 2, 2)}, UsageError, "--rgb 1,2,2"),
        ({"rgb": (1, 2, 7)}, PictureError, "--rgb 1,2,7"),
        ({"rgb": (1, 2, 4)}, UsageError, "alpha"),
        ({"bands": (1, 2), "rgb": (1, 2, 3)}, UsageError, "kept"),
    ],
)
def test_wrong_choices_are_refused(info_of, options, error, words):
    info = info_of("red", "green", "blue", "alpha")
    with pytest.raises(error, match=words):
        choose_layout(info, **options)


@pytest.mark.parametrize(
    ("colours", "nodata", "alpha"),
    [({0: (1, 2, 3, 255)}, None, False), ({0: (1, 2, 3, 255)}, 5, True)],
)
def test_palettes_become_rgb(save, colours, nodata, alpha):
    path = save(
        "a.tif",
        np.zeros((4, 5), np.uint8),
        then=lambda file: file.write_colormap(1, colours),
        photometric="palette",
        nodata=nodata,
    )
    layout = choose_layout(read_info(path))
    assert layout.palette
    assert (layout.bands, layout.groups, layout.channels) == ((1,), ((0, 1, 2),), 3)
    assert layout.interpretations == ("red", "green", "blue")
    assert (layout.alpha, layout.has_alpha, layout.nodata) == (None, alpha, None)
    assert "palette" in layout.notes[0]


def test_a_palette_of_grays_becomes_one_band(save):
    pixels = np.zeros((4, 5), np.uint8)
    layout = choose_layout(read_info(save("a.tif", pixels, nbits=1, photometric="MINISWHITE")))
    assert layout.palette
    assert (layout.groups, layout.channels, layout.interpretations) == (((0,),), 1, ("gray",))
    assert not layout.has_alpha
    assert "gray" in layout.notes[0]


def test_bands_of_several_kinds_are_refused_together_and_taken_apart(save, save_vrt, noise):
    save("a.tif", noise((4, 5)))
    source = '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
    info = read_info(save_vrt("a.vrt", 5, 4, [("Byte", source), ("Float32", source)]))
    with pytest.raises(PictureError, match=r"float32, uint8.*--bidx"):
        choose_layout(info)
    assert choose_layout(info, bands=(2,)).dtype == "float32"


def test_nodata_of_the_output_is_that_of_the_bands_chosen(save, save_vrt, noise):
    save("a.tif", noise((4, 5)))
    source = '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
    bands = [("Byte", f"<NoDataValue>{value}</NoDataValue>{source}") for value in (7, 9)]
    info = read_info(save_vrt("a.vrt", 5, 4, [("Byte", source), *bands]))
    assert [band.nodata for band in info.bands] == [None, 7.0, 9.0]
    assert choose_layout(info).nodata == 7
    assert choose_layout(info, bands=(3, 2)).nodata == 9
    assert choose_layout(info, bands=(1,)).nodata is None
