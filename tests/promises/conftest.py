"""Promises are tried in a folder of each test's own, where commands need short names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import rasterio

from tests.fixtures.photographs import PLACE, write_by_gdal


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Work in the test's own folder, with this package for processes that are started."""
    monkeypatch.chdir(tmp_path)
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root, prepend=os.pathsep)


@pytest.fixture
def enlarge_raster(srx):
    """Enlarge a raster of these bands by two; return what was printed and the open result."""

    def run(pixels, *options, name="a.tif", then=None, **profile):
        path = write_by_gdal(name, pixels, then=then, **PLACE, **profile)
        result = srx(f"upscale {path} out.tif -s 2 --overwrite", *options, code=0)
        return " ".join(result.err.split()), rasterio.open("out.tif")

    return run


@pytest.fixture
def enlarge(enlarge_raster):
    """Do so by bicubic interpolation, unless an option says otherwise."""

    def run(pixels, *options, **profile):
        return enlarge_raster(pixels, "-m bicubic", *options, **profile)

    return run


@pytest.fixture
def item_of(srx):
    """Enlarge a raster into ``out``, and return its new item of STAC."""

    def run(source, *options):
        srx(f"upscale {source} out -m bicubic -s 2 --stac", *options, code=0)
        (path,) = Path("out").glob("*.json")
        return json.loads(path.read_text())

    return run
