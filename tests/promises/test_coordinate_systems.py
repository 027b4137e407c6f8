"""Coordinate systems are kept as GDAL reads them, and the host's GDAL stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin

from tests.fixtures.photographs import noise, write_by_gdal

SITE = (
    'DERIVEDPROJCRS["Site",BASEPROJCRS["WGS 84 / UTM zone 32N",BASEGEOGCRS["WGS 84",'
    'DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563]]],'
    'CONVERSION["UTM zone 32N",METHOD["Transverse Mercator",ID["EPSG",9807]],'
    'PARAMETER["Latitude of natural origin",0],'
    'PARAMETER["Longitude of natural origin",9],'
    'PARAMETER["Scale factor at natural origin",0.9996],'
    'PARAMETER["False easting",500000],PARAMETER["False northing",0]]],'
    'DERIVINGCONVERSION["Turned",METHOD["Affine parametric transformation",'
    'ID["EPSG",9624]],PARAMETER["A0",10,LENGTHUNIT["metre",1]],'
    'PARAMETER["A1",0.9],PARAMETER["A2",0.1],'
    'PARAMETER["B0",20,LENGTHUNIT["metre",1]],PARAMETER["B1",-0.1],'
    'PARAMETER["B2",0.9]],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)
"""A grid of a building site, turned in that of its country; written for this test."""
SYSTEMS = [
    "EPSG:8857",  # Equal Earth, the others of methods that WKT 1 lacks, too
    "EPSG:6249",
    "EPSG:9549",
    "EPSG:5514",
    "EPSG:3855",  # heights
    "EPSG:3901",  # a map and heights
    "EPSG:9518",
    "EPSG:4979",
    "EPSG:32632",
    SITE,
]


@pytest.fixture(autouse=True)
def _printed(monkeypatch):
    """Let GDAL of other processes print what it has to say."""
    monkeypatch.delenv("CPL_LOG", raising=False)


@pytest.mark.parametrize("words", ["-of tif", "-of COG", "-of png"])
def test_coordinate_systems_are_kept(forking_python, words):
    Path("in").mkdir()
    origin = from_origin(1000, 2000, 10, 10)
    for number, system in enumerate(SYSTEMS):
        tiff = f"in/{number}.tif"
        write_by_gdal(tiff, noise((12, 14, 3)), crs=system, transform=origin)
    rasterio.shutil.copy("in/0.tif", "in/v.vrt", driver="VRT")
    rasterio.shutil.copy("in/0.tif", "in/p.png", driver="PNG")
    inputs = sorted(map(str, Path("in").glob("*.[tvp][inr][fgt]")))
    assert len(inputs) == len(SYSTEMS) + 2
    options = ["-m", "bicubic", "-s", "2", *words.split()]
    run = forking_python.run_srx("upscale", *inputs, "out/", *options, PROJ_DEBUG="0")
    assert run.returncode == 0, run.stderr
    assert "error" not in run.stderr.lower()
    suffix = ".png" if words == "-of png" else ".tif"
    for name in inputs:
        with rasterio.open(name) as before:
            assert before.crs is not None
        with rasterio.open(Path("out", Path(name).stem + suffix)) as after:
            assert after.crs == before.crs


def test_python_of_the_host_stays_as_it_was(forking_python):
    write_by_gdal("a.tif", noise((12, 14, 3)), crs="EPSG:8857")
    code = """
import os, numpy, srcli
srcli.upscale(numpy.zeros((8, 8, 3), "uint8"), scale=2, model="bicubic")
import rasterio
with rasterio.open("a.tif") as file:
    print(file.crs, "PROJ_DEBUG" in os.environ, "CPL_LOG" in os.environ)
"""
    assert forking_python.run(code).stdout.split() == ["EPSG:8857", "False", "False"]
