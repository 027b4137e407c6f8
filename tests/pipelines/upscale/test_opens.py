"""An input is opened once for all that is done with it, beside a look before and one after."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.io
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.rasters.opening import keep_open
from tests.fixtures.photographs import PLACE, write_by_gdal

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
OPENS: Counter[str] = Counter()
"""Opens of files by their names without folders."""


def note_open(event, arguments):
    """Count files that Python opens, in whatever module."""
    if event == "open":
        OPENS[Path(str(arguments[0])).name] += 1


@pytest.fixture(scope="module", autouse=True)
def _watched_python():
    sys.addaudithook(note_open)


def watched(open_file):
    """Count files that a function of rasterio opens."""

    def open_watched(name, *modes, **options):
        OPENS[Path(name).name] += 1
        return open_file(name, *modes, **options)

    return open_watched


@pytest.fixture(autouse=True)
def _watched_gdal(monkeypatch):
    for module, name in ((rasterio, "open"), (rasterio.io, "DatasetReader")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))


@pytest.mark.parametrize(
    ("name", "profile"),
    [("a.tif", PLACE), ("b.tif", {}), ("a.png", {}), ("a.jpg", {}), ("a.webp", {})],
)
def test_an_input_is_opened_a_few_times(srx, tmp_path, name, profile):
    source = tmp_path / name
    if profile:
        write_by_gdal(source, PIXELS, **profile)
    else:
        Image.fromarray(PIXELS).save(source)
    OPENS.clear()
    srx("upscale", source, tmp_path / "b.png", code=0)
    most = 4 if name == "b.tif" else 3
    assert 0 < OPENS[name] <= most


@pytest.mark.posix  # elsewhere open files stay as they are
def test_a_change_of_an_open_raster_is_seen_though_its_size_stays(tmp_path):
    path = write_by_gdal(tmp_path / "a.tif", PIXELS, **PLACE)
    with keep_open(path) as opened:
        opened.check_unchanged()
        write_by_gdal(path, PIXELS[::-1], **PLACE)
        with pytest.raises(PictureError, match="has changed while it was enlarged"):
            opened.check_unchanged()


@pytest.mark.posix
def test_an_open_raster_that_was_replaced_is_compared_with_its_successor(tmp_path):
    path = write_by_gdal(tmp_path / "a.tif", PIXELS, **PLACE)
    flipped = write_by_gdal(tmp_path / "other.tif", PIXELS[::-1], **PLACE)
    same = tmp_path / "same.tif"
    same.write_bytes(path.read_bytes())
    with keep_open(path) as opened:
        same.replace(path)
        opened.check_unchanged()
        flipped.replace(path)
        with pytest.raises(PictureError, match="has changed while it was enlarged"):
            opened.check_unchanged()
