"""Options of rasters are understood in the words of GDAL and rasterio; wrong ones are refused."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields

import click
import numpy as np
import pytest
import rasterio
from PIL import Image

from srcli.errors import UsageError
from srcli.imaging.rasters.transforms import coordinates
from tests.fixtures.commands import settled_by
from tests.fixtures.geotiffs import FOUR_BANDS


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--bidx 4,3,2", "bands", (4, 3, 2)),
        ("-b 4 -b 3,2 --bidx 1", "bands", (4, 3, 2, 1)),
        ("--rgb 3,2,1", "rgb", (3, 2, 1)),
        ("--range 0,3000", "values", (0.0, 3000.0)),
        ("--range -1e3,1.5", "values", (-1000.0, 1.5)),
        ("--range dtype", "values", "dtype"),
        ("--nodata -9999", "nodata", -9999.0),
        ("--nodata none", "nodata", "none"),
        ("-srcwin 10 20 300 400", "srcwin", (10, 20, 300, 400)),
        ("'--srcwin=10 20 300 400'", "srcwin", (10, 20, 300, 400)),
        ("--bounds 1 -2 3 4.5", "bounds", (1.0, -2.0, 3.0, 4.5)),
        ("-te -1 2 3 4.5", "bounds", (-1.0, 2.0, 3.0, 4.5)),
        ("-projwin -1 4.5 3 2", "bounds", (-1.0, 2.0, 3.0, 4.5)),
        ("--bounds '1 2 3 4.5'", "bounds", (1.0, 2.0, 3.0, 4.5)),
        ("--bounds '[-1, 2,3, 4]'", "bounds", (-1.0, 2.0, 3.0, 4.0)),
        (
            "-co PREDICTOR=2 -co=TILED=YES",
            "creation",
            {"PREDICTOR": "2", "TILED": "YES"},
        ),
        ("--no-resume", "resume", False),
        ("--cog", "cog", True),
        ("--overviews", "overviews", True),
    ],
)
def test_options_mean_what_users_of_gdal_expect(words, field, value):
    settings = settled_by(*shlex.split(words))
    assert getattr(settings, field) == value
    names = [known.name for known in fields(settings)]
    default = settled_by()
    changed = [
        name for name in names if getattr(settings, name) != getattr(default, name)
    ]
    assert changed == [field]


def test_nan_can_be_nodata():
    nodata = settled_by("--nodata", "nan").nodata
    assert nodata != nodata


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--bidx 0,1", "no list of different bands from 1"),
        ("--bidx red", "no list of different bands"),
        ("--rgb 1,2", "give 3 bands"),
        ("--range 5,5", "LO below HI"),
        ("--range 1,2,3", "is not auto"),
        ("--range nan,1", "is not auto"),
        ("--range 0,inf", "is not auto"),
        ("--nodata black", "neither a number nor 'none'"),
        ("--srcwin 1 2 3 many", "not a valid int"),
        ("--bounds '1 2 3'", "requires 4 arguments"),
        ("--bounds 1 2 3 out/", "'out/' is not a valid float"),
        ("--co COMPRESS", "is not KEY=VALUE"),
    ],
)
def test_nonsense_is_refused_in_words(words, message):
    with pytest.raises(click.UsageError) as caught:
        settled_by(*shlex.split(words))
    assert message in caught.value.format_message()


@pytest.mark.parametrize("option", ["--srcwin", "-projwin"])
def test_two_ways_to_name_a_part_contradict_each_other(option):
    with pytest.raises(UsageError, match=f"{option}.* name a window; give one of them"):
        settled_by(option, "0", "0", "5", "5", "-te", "0", "0", "1", "1")


def test_a_command_line_of_gdal_translate_means_the_same(srx, geotiffs, tmp_path):
    source = geotiffs / FOUR_BANDS
    with rasterio.open(source) as file:
        west, north = coordinates(file.transform, 40, 30)
        east, south = coordinates(file.transform, 88, 62)
        inside = (west + 0.3 * file.res[0], south + 0.3, east, north)
    window = ("-srcwin", 40, 30, 48, 32)
    corners = (west, north, east, south)
    asked = ("upscale", source, "-m", "bicubic", "-s", 2)
    ours = srx(
        *asked, tmp_path / "ours.tif", "--srcwin", *window[1:], "--bidx 4,1,2 --cog"
    )
    assert ours.code == 0, ours.err
    assert "are taken for red, green, blue" not in ours.err
    bands = ("-b", 4, "-b", 1, "-b", 2, "-of", "COG", "-co", "COMPRESS=ZSTD", "-q")
    for name, window_words in {
        "srcwin": window,
        "projwin": ("-projwin", *corners),
        "te": ("-te", west, south, east, north),
        "inside": ("-te", *inside),
    }.items():
        srx(*asked, tmp_path / f"{name}.tif", *window_words, *bands, code=0)
        with (
            rasterio.open(tmp_path / "ours.tif") as ours,
            rasterio.open(tmp_path / f"{name}.tif") as second,
        ):
            assert np.array_equal(ours.read(), second.read())
            assert second.transform.almost_equals(ours.transform, 1e-6)
            assert second.bounds == pytest.approx((west, south, east, north))
            assert second.compression.name == "zstd"
            assert second.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    snapped = srx(*asked, tmp_path / "again.tif", "-te", *inside)
    told = f"--bounds snapped outwards to whole pixels: {west:.12g},{south:.12g},"
    assert told in snapped.err
    exact = srx(*asked, tmp_path / "exact.tif", "-te", west, south, east, north)
    assert "snapped" not in exact.err


@pytest.mark.parametrize(
    ("words", "suffix"),
    [
        (["-of", "GTiff"], "tif"),
        (["-of", "PNG"], "png"),
        (["-f", "JPEG"], "jpg"),
        (["-ftif"], "tif"),
    ],
)
def test_formats_by_the_names_of_gdal(srx, tmp_path, astronaut, words, suffix):
    Image.fromarray(astronaut[:9, :8]).save(tmp_path / "a.bmp")
    srx("upscale", tmp_path / "a.bmp", tmp_path, "-mbicubic -s2 -vr", *words, code=0)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert image.size == (16, 18)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-ofCOG"], "-ofCOG: write '-o fCOG', or another option"),
        (["-overwrite"], "-overwrite: write '-o verwrite', or another option"),
        (["-te_srs", "EPSG:4326"], "-te_srs: windows are in the file's coordinates"),
        (["-te1", "2", "3", "4"], "'e1'"),
        (["-b", "auto"], "no list of different bands"),
    ],
)
def test_words_with_two_meanings_are_refused(srx, tmp_path, astronaut, words, message):
    Image.fromarray(astronaut[:9, :8]).save(tmp_path / "a.png")
    result = srx(
        "upscale",
        tmp_path / "a.png",
        tmp_path / "out.png",
        "-m bicubic",
        *words,
        code=2,
    )
    (line,) = re.findall("^Error: .*", result.err, re.MULTILINE)
    assert message in line
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_short_options_and_names_behind_two_dashes_stay(
    srx, tmp_path, monkeypatch, astronaut
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut[:9, :8]).save("-ot.png")
    srx("upscale -mbicubic -s2 -o out -t32 -vrq -- -ot.png", code=0)
    assert (tmp_path / "out" / "-ot.png").is_file()
