"""Creation options tried by GDAL before hours of work, and its complaints in words."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.merging import check_shape, try_creation_options

TARGET = Path("out.tif")
PIXELS = np.zeros((40, 50, 3), np.uint8)
ONE = np.zeros((4, 5, 1), np.uint8)


@pytest.fixture
def check(save, plan):
    """Try the options of an output: ``check(pixels, creation=...)``."""

    def run(pixels=PIXELS, **options):
        try_creation_options(TARGET, plan(save("in.tif", pixels), **options))

    return run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"creation": {"FOO": "1"}}, "FOO"),
        ({"creation": {"COMPRESS": "FOO"}}, "'FOO' is an unexpected value for COMPRESS"),
        ({"creation": {"BIGTIFF": "maybe"}}, "unexpected value for BIGTIFF"),
        ({"creation": {"ZLEVEL": "99"}}, "ZLEVEL=99|'99' .*ZLEVEL"),
        ({"creation": {"FOO": "1"}, "cog": True}, "driver COG"),
        ({"creation": {"FOO": "1"}, "format": "png"}, "driver PNG"),
    ],
)
def test_unknown_options_are_wrong_usage(check, options, words, caplog):
    caplog.set_level(logging.WARNING)
    with pytest.raises(UsageError, match=words) as error:
        check(**options)
    assert str(error.value).partition(": ")[2].startswith("--co: ")
    assert "gdal.org/drivers/raster/" in str(error.value)
    assert "\n" not in str(error.value)
    assert not caplog.records  # GDAL's own words stay off the screen


def test_a_cloud_optimized_jpeg_may_turn_alpha_into_a_mask(save, plan, write, tmp_path, noise):
    def rgba(file):
        names = ("red", "green", "blue", "alpha")
        file.colorinterp = [ColorInterp[name] for name in names]

    pixels = noise((40, 50, 4))
    pixels[:20, :, 3], pixels[20:, :, 3] = 0, 255
    out = plan(save("a.tif", pixels, then=rgba), cog=True, creation={"COMPRESS": "JPEG"})
    try_creation_options(TARGET, out)
    write(tmp_path / "b.tif", out, pixels[:, :, :3], alpha=pixels[:, :, 3])
    with rasterio.open(tmp_path / "b.tif") as file:
        assert file.count == 3
        np.testing.assert_array_equal(file.dataset_mask(), pixels[:, :, 3])


def test_a_file_with_fewer_bands_is_refused(save, plan, tmp_path, noise):
    out = plan(save("a.tif", noise((4, 5, 3)), photometric="rgb"))
    other = save("b.tif", noise((4, 5, 2)))
    with pytest.raises(PictureError, match=r"2 band\(s\) of 5x4 pixels instead of 3 of 5x4"):
        check_shape(other, tmp_path / "c.tif", out)


def test_tags_that_rasterio_cannot_set_do_no_harm(save, plan, write, tmp_path):
    tags = {"": {"ns": "x", "bidx": "y", "A": "b"}, "xml:X": {"xml:X": "<a/>"}}
    write(tmp_path / "b.tif", replace(plan(save("a.tif", ONE)), tags=tags), ONE)
    assert read_info(tmp_path / "b.tif").tags == {"": {"A": "b", "AREA_OR_POINT": "Area"}}
