"""Options of rasters are understood in the words of GDAL and rasterio; wrong ones are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from srcli.cli.gdal_words import GdalCommand
from srcli.cli.raster_options import raster_options, raster_settings
from srcli.errors import UsageError

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import RasterOptions


def parse(*words: str) -> RasterOptions:
    """What a command line means."""
    found: list[RasterOptions] = []

    @click.command(cls=GdalCommand)
    @raster_options
    def command(**given: object) -> None:
        found.append(raster_settings(given))

    command.main(list(words), standalone_mode=False)
    return found[0]


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--bidx", "4,3,2"], "bands", (4, 3, 2)),
        (["--bidx", "4 3"], "bands", (4, 3)),
        (["-b", "4", "-b", "3,2", "--bidx", "1"], "bands", (4, 3, 2, 1)),
        (["--rgb", "3,2,1"], "rgb", (3, 2, 1)),
        (["--range", "0,3000"], "values", "0.0,3000.0"),
        (["--range", "-1e3,1.5"], "values", "-1000.0,1.5"),
        (["--range", "dtype"], "values", "dtype"),
        (["--nodata", "-9999"], "nodata", -9999.0),
        (["--nodata", "none"], "nodata", "none"),
        (["--srcwin", "10", "20", "300", "400"], "srcwin", (10, 20, 300, 400)),
        (["-srcwin", "10", "20", "300", "400"], "srcwin", (10, 20, 300, 400)),
        (["--srcwin=10 20 300 400"], "srcwin", (10, 20, 300, 400)),
        (["--bounds", "1", "-2", "3", "4.5"], "bounds", (1.0, -2.0, 3.0, 4.5)),
        (["-te", "-1", "2", "3", "4.5"], "bounds", (-1.0, 2.0, 3.0, 4.5)),
        (["-projwin", "-1", "4.5", "3", "2"], "bounds", (-1.0, 2.0, 3.0, 4.5)),
        (["--bounds", "1 2 3 4.5"], "bounds", (1.0, 2.0, 3.0, 4.5)),
        (["--bounds", "[-1, 2,3, 4]"], "bounds", (-1.0, 2.0, 3.0, 4.0)),
        (
            ["--co", "compress=ZSTD", "--co", "ZSTD_LEVEL=9"],
            "creation",
            {"COMPRESS": "ZSTD", "ZSTD_LEVEL": "9"},
        ),
        (["-co", "PREDICTOR=2", "-co=TILED=YES"], "creation", {"PREDICTOR": "2", "TILED": "YES"}),
        (["--max-memory", "2G"], "max_memory", 2 << 30),
        (["--max-memory", "1.5gb"], "max_memory", 3 << 29),
        (["--max-memory", "800MiB"], "max_memory", 800 << 20),
        (["--no-resume"], "resume", False),
        (["--cog"], "cog", True),
        (["--overviews"], "overviews", True),
    ],
)
def test_options_mean_what_users_of_gdal_expect(words, field, value):
    settings = parse(*words)
    assert getattr(settings, field) == value
    changed = [name for name in vars(settings) if getattr(settings, name) != getattr(parse(), name)]
    assert changed == [field]


def test_nan_can_be_nodata():
    nodata = parse("--nodata", "nan").nodata
    assert nodata != nodata


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bidx", "0,1"], "no list of different bands from 1"),
        (["--bidx", "1,1"], "no list of different bands"),
        (["--bidx", "red"], "no list of different bands"),
        (["--rgb", "1,2"], "give 3 bands"),
        (["--range", "5,5"], "LO below HI"),
        (["--range", "5"], "is not auto, dtype or LO,HI"),
        (["--range", "nan,1"], "is not auto"),
        (["--range", "0,inf"], "is not auto"),
        (["--nodata", "black"], "neither a number nor 'none'"),
        (["--srcwin", "1", "2", "3", "many"], "not a valid int"),
        (["--bounds", "1 2 3"], "requires 4 arguments"),
        (["--bounds", "1", "2", "3", "out/"], "'out/' is not a valid float"),
        (["-b", "mask"], "no list of different bands"),
        (["--co", "COMPRESS"], "is not KEY=VALUE"),
        (["--co", "=5"], "is not KEY=VALUE"),
        (["--max-memory", "lots"], "no amount of memory"),
        (["--max-memory", "0"], "no amount of memory"),
        (["--max-memory", "-2G"], "no amount of memory"),
    ],
)
def test_nonsense_is_refused_in_words(words, message):
    with pytest.raises(click.UsageError) as caught:
        parse(*words)
    assert message in caught.value.format_message()


@pytest.mark.parametrize("other", ["--srcwin", "-projwin"])
def test_two_ways_to_name_a_part_contradict_each_other(other):
    with pytest.raises(UsageError, match=f"{other}.* name a window; give one of them"):
        parse(other, "0", "0", "5", "5", "-te", "0", "0", "1", "1")


@pytest.mark.parametrize("corners", [(1, 2, 3, 4), (3, 4, 1, 2), (1, 4, 3, "nan")])
def test_the_corners_of_projwin_in_the_order_of_te_are_refused(corners):
    with pytest.raises(UsageError, match=f"-projwin {corners[0]} .*: give the upper left corner"):
        parse("-projwin", *map(str, corners))
