"""Directories that GDAL makes for an output, and what it says of wrong options."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.template import TILE_TAGS, make_template, read_directories
from srcli.ports.image import Window

TARGET = Path("out.tif")
PIXELS = np.zeros((40, 50, 3), np.uint8)


@pytest.fixture
def plan(save):
    """A template: ``plan(pixels, scale=1, creation=..., mask=...)``."""

    def make(pixels=PIXELS, scale=1, *, then=None, profile=None, **options):
        info = read_info(save("in.tif", pixels, then=then, **(profile or {})))
        whole = Window(top=0, left=0, height=info.height, width=info.width)
        out = make_output(info, choose_layout(info), whole, scale, OutputOptions(**options))
        return make_template(TARGET, out)

    return make


def test_blocks_of_tiles_and_strips(plan):
    tiles = plan(scale=100)
    assert (tiles.tiled, tiles.block_height, tiles.block_width) == (True, 512, 512)
    strips = plan(scale=100, creation={"TILED": "NO", "BLOCKYSIZE": "48"})
    assert (strips.tiled, strips.block_height, strips.block_width) == (False, 48, 5000)


def test_a_mask_is_a_second_directory_in_one_plane(plan):
    def mask(file):
        file.write_mask(np.eye(40, 50, dtype=bool))

    template = plan(then=mask, creation={"INTERLEAVE": "BAND"})
    assert len(template.directories) == 2
    assert template.planes == (3, 1)


def test_nothing_in_it_depends_on_the_size_but_the_blocks(plan):
    directory = plan(scale=400).directories[0]
    assert not {entry.tag for entry in directory} & {256, 257, 322, 323, *TILE_TAGS}


def test_the_digest_changes_with_any_tag(plan):
    first = plan()
    assert plan().digest == first.digest
    assert plan(then=lambda file: file.update_tags(A="b")).digest != first.digest
    assert plan(creation={"PREDICTOR": "1"}).digest != first.digest


def test_the_byte_order_of_the_option_is_kept(plan):
    assert plan(creation={"ENDIANNESS": "BIG"}).order == ">"


def test_what_tiff_cannot_hold_goes_beside_it(plan):
    turned = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39 +lon_0=18 +to_meter=0.01745"
    assert b"ob_tran" in plan(profile={"crs": turned}).sidecars[".aux.xml"]
    assert list(plan(creation={"TFW": "YES"}).sidecars) == ["*.tfw"]
    assert plan().sidecars == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"creation": {"FOO": "1"}}, "FOO"),
        ({"creation": {"COMPRESS": "FOO"}}, "'FOO' is an unexpected value for COMPRESS"),
        ({"creation": {"ZLEVEL": "99"}}, "ZLEVEL=99"),
        ({"creation": {"FOO": "1"}, "cog": True}, "driver COG"),
        ({"creation": {"FOO": "1"}, "format": "png"}, "driver PNG"),
    ],
)
def test_unknown_options_are_wrong_usage(plan, options, words, caplog):
    caplog.set_level(logging.WARNING)
    with pytest.raises(UsageError, match=words) as error:
        plan(**options)
    assert str(error.value).partition(": ")[2].startswith("--co: ")
    assert "gdal.org/drivers/raster/" in str(error.value)
    assert "\n" not in str(error.value)
    assert not caplog.records  # GDAL's own words stay off the screen


@pytest.mark.parametrize(
    ("pixels", "options", "words"),
    [
        (PIXELS.astype(np.float32), {"creation": {"COMPRESS": "JPEG"}}, "GeoTIFF .*JPEG"),
        (PIXELS, {"creation": {"PREDICTOR": "3"}}, "PREDICTOR=3 is only supported with Float32"),
        (PIXELS, {"creation": {"BLOCKXSIZE": "100"}}, "multiples of 16"),
        (PIXELS, {"creation": {"TARGET_SRS": "EPSG:4326"}, "cog": True}, "TARGET_SRS=EPSG:4326"),
        (PIXELS, {"creation": {"ZLEVEL": "20"}, "format": "png"}, "PNG .*ZLEVEL"),
    ],
)
def test_options_that_do_not_fit_this_raster_name_it(plan, pixels, options, words):
    with pytest.raises(PictureError, match=f"^out.tif: .*{words}") as error:
        plan(pixels, **options)
    assert "\n" not in str(error.value)


def test_directories_are_read_to_the_last(save):
    path = save("a.tif", PIXELS, then=lambda file: file.build_overviews([2, 4]), nodata=3)
    layout, found = read_directories(path.read_bytes())
    assert layout.order == "<"
    assert len(found) == 3
