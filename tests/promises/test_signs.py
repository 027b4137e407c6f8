"""Signs of what values mean, one test or more each; right values by independent arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.enums import ColorInterp

from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.selection import choose_layout
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal

Y, X = np.mgrid[:96, :96]
WAVES = (np.sin(X / 7) + np.cos(Y / 9) + 2) / 4
GEOTIFF_KEYS = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0, 0, 0, 500_000.0, 5_300_000.0, 0), True),
    (
        34735,
        "H",
        16,
        (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632),
        True,
    ),
]
"""Place on the map, as programs write it that know nothing of GDAL."""


def repeated(pixels, scale=2):
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def page_of(path) -> tuple[Any, np.ndarray]:
    """The only page of a TIFF by a reader that shares no code with GDAL, and its pixels."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return page, page.asarray()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_gray_whose_lowest_value_is_white_is_a_picture(srx, dtype):
    pixels = (WAVES * np.iinfo(dtype).max).astype(dtype)
    tifffile.imwrite(
        "a.tif", pixels, photometric="miniswhite", extratags=GEOTIFF_KEYS, metadata=None
    )
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "classes" not in result.err
    page, larger = page_of("b.tif")
    assert (page.photometric.name, page.colormap) == ("MINISWHITE", None)
    assert not np.array_equal(larger, repeated(pixels))
    # by a mean of 2x2 a bicubic enlargement gives back what it was made from
    means = larger.astype(float).reshape(96, 2, 96, 2).mean(axis=(1, 3))
    assert np.abs(means - pixels)[4:-4, 4:-4].max() < 0.01 * np.iinfo(dtype).max


@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535)])
def test_colours_that_were_multiplied_by_alpha_are_divided(srx, dtype, white):
    alpha = np.clip((X + Y) * 2 / 255, 0, 1)
    colour = np.array([0.8, 0.4, 0.2])
    stored = np.dstack([colour * alpha[:, :, None], alpha]) * white
    tifffile.imwrite(
        "a.tif", stored.round().astype(dtype), photometric="rgb",
        extrasamples=["assocalpha"], extratags=GEOTIFF_KEYS, metadata=None,
    )  # fmt: skip
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    page, larger = page_of("b.tif")
    assert [one.name for one in page.extrasamples] == ["UNASSALPHA"]
    visible = larger[60:130, 60:130, :3] / white
    assert visible.shape == (70, 70, 3)
    assert np.abs(visible - colour).max() < 0.02


def bands_called(names):
    def describe(file):
        file.descriptions = names
        file.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (
            len(names) - 1
        )

    return write_by_gdal(
        "a.tif",
        np.ones((4, 5, len(names)), "uint16"),
        then=describe,
        photometric="minisblack",
    )


PLANETSCOPE = (
    "coastal_blue",
    "blue",
    "green_i",
    "green",
    "yellow",
    "red",
    "rededge",
    "nir",
)


@pytest.mark.parametrize(
    ("names", "rgb"),
    [
        (PLANETSCOPE, (6, 4, 2)),
        (("Blue", "Green", "Red", "Near Infra-Red"), (3, 2, 1)),
        (("Near Infra-Red", "Red", "Green", "Blue", "Short Wave"), (2, 3, 4)),
        (
            ("Blue (490 nm)", "Green (560 nm)", "Red (665 nm)", "Red Edge", "NIR"),
            (3, 2, 1),
        ),
    ],
)
def test_an_exact_name_of_a_colour_wins(names, rgb):
    layout = choose_layout(read_info(bands_called(names)))
    (composite,) = [group for group in layout.groups if len(group) == 3]
    assert tuple(layout.bands[index] for index in layout.indices(composite)) == rgb


@pytest.mark.parametrize("model", ["-m bicubic", ""])
def test_heights_in_whole_metres_become_smooth_as_floats(srx, model):
    plane = X * 20.3 + 300
    write_by_gdal("a.tif", np.rint(plane).astype("int16"), nodata=-9999, **PLACE)
    for dtype in ("Float32", "Float64"):
        srx(f"upscale a.tif b.tif -s 2 -ot {dtype} --overwrite", *model.split(), code=0)
        with rasterio.open("b.tif") as larger:
            assert larger.dtypes == (dtype.lower(),)
            assert larger.nodata == -9999
            assert larger.tags()["SRX_MODEL"] == "bicubic"
            assert len(np.unique(larger.read(1))) > 60


def test_a_type_of_floats_is_for_measurements(srx):
    pixels = (np.dstack([WAVES] * 4) * 250).astype("uint8")
    write_by_gdal("a.tif", pixels, photometric="RGB", alpha="YES", **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -ot Float32", code=2)
    assert "-ot float32 is for measurements" in result.err


def test_another_type_makes_an_output_again(srx):
    write_by_gdal("a.tif", (WAVES * 900).astype("int16"), **PLACE)
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic -ot Float32", code=0)
    assert "made again: was made with other options" in result.err
    assert read_by_gdal("b.tif").dtype == np.float32
