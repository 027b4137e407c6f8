"""Files whose names are no UTF-8 are read and written like others, and outputs keep the bytes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
import tifffile
from PIL import Image

from tests.fixtures.files import json_lines
from tests.fixtures.photographs import PLACE, noise, read_by_gdal, write_by_gdal

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="names are text elsewhere"
)
WORDS = "-m bicubic -s 2"
LATIN = "umlaut-\udcfc"


@pytest.fixture
def folder(tmp_path):
    """A folder with such a name."""
    folder = tmp_path / "in-\udce4"
    folder.mkdir()
    return folder


def enlarge(srx, tmp_path, path, *options):
    """Enlarge a file and its twin of an ordinary name; return both outputs."""
    plain = tmp_path / f"plain{path.suffix}"
    plain.write_bytes(path.read_bytes())
    srx("upscale", plain, "twin", WORDS, *options, code=0)
    srx(f"upscale {path}", "out-\udcf6", WORDS, *options, code=0)
    (enlarged,) = (tmp_path / "out-\udcf6").glob("*.*[!ml]")
    (twin,) = (tmp_path / "twin").glob("*.*[!ml]")
    return enlarged, twin


def pixels_of(path):
    """Read an output by another name."""
    copy = path.parent.parent / f"copy{path.suffix}"
    copy.write_bytes(path.read_bytes())
    return read_by_gdal(copy)


@pytest.mark.parametrize("driver", ["photograph", "GTiff", "JP2OpenJPEG"])
def test_pixels_and_names_are_those_of_the_input(srx, tmp_path, folder, driver):
    path = folder / f"{LATIN}.{'jp2' if driver.startswith('JP2') else 'tif'}"
    source = tmp_path / "source"
    if driver == "photograph":
        tifffile.imwrite(source, noise((24, 32, 3)), photometric="rgb")
    else:
        write_by_gdal("a.tif", noise((24, 32, 3)), photometric="rgb", **PLACE)
        rasterio.shutil.copy("a.tif", source, driver=driver)
    path.write_bytes(source.read_bytes())
    enlarged, twin = enlarge(srx, tmp_path, path)
    assert os.fsencode(enlarged.name) == b"umlaut-\xfc.tif"
    assert np.array_equal(pixels_of(enlarged), pixels_of(twin))


def test_files_beside_such_a_raster_are_found(srx, folder):
    Image.fromarray(noise((24, 32, 3))).save(folder / f"{LATIN}.png")
    (folder / f"{LATIN}.pgw").write_text("0.5\n0\n0\n-0.5\n500000.25\n5199999.75\n")
    srx("upscale", folder / f"{LATIN}.png", "out", WORDS, code=0)
    world = Path(f"out/{LATIN}.pgw").read_text().split()
    assert list(map(float, world)) == [0.25, 0, 0, -0.25, 500000.125, 5199999.875]


def test_a_cog_with_such_a_name(srx, tmp_path, folder):
    write_by_gdal("a.tif", noise((24, 32, 3)), **PLACE)
    (folder / f"{LATIN}.tif").write_bytes(Path("a.tif").read_bytes())
    enlarged, twin = enlarge(srx, tmp_path, folder / f"{LATIN}.tif", "--cog")
    assert np.array_equal(pixels_of(enlarged), pixels_of(twin))


def test_a_folder_of_such_files_and_its_report(srx, folder):
    for name in (f"{LATIN}.tif", "gr\udcfcn.tif"):
        write_by_gdal("a.tif", noise((24, 32)), **PLACE)
        (folder / name).write_bytes(Path("a.tif").read_bytes())
    srx(f"upscale {folder} out {WORDS} -v --report report.jsonl", code=0)
    lines = json_lines("report.jsonl")
    assert [line["source"] for line in lines] == [
        str(folder / "gr\udcfcn.tif"),
        str(folder / f"{LATIN}.tif"),
    ]
    assert "0 done, 2 skipped" in srx(f"upscale {folder} out {WORDS}", code=0).out


def test_an_interrupted_raster_goes_on(srx, folder, monkeypatch):
    """Its work is known by its own name, not by that of a link, which differs in each run."""
    from srcli.pipelines.upscale import rasters

    write_by_gdal("a.tif", noise((24, 32)), **PLACE)
    path = folder / f"{LATIN}.tif"
    path.write_bytes(Path("a.tif").read_bytes())
    before = []
    monkeypatch.setattr(
        rasters, "publish", lambda parts, _: before.append(parts.found())
    )
    srx(f"upscale {path} out {WORDS}")
    plan = json.loads((next(Path("out").glob(".*")) / "plan.json").read_text())
    assert [file[0] for file in plan["input"]] == [str(path)]
