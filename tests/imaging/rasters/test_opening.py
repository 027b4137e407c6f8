from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.env import get_gdal_config
from rasterio.errors import RasterioIOError

from srcli.errors import PictureError
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.opening import BLOCK_CACHE, dataset_files, open_raster, reading_errors


@pytest.mark.parametrize("name", ["a.tif", "a?b.tif", "a#b.tif", "zip:a!b.tif", "ü ö%20.tif"])
def test_any_name_is_a_file_and_no_address(save, noise, name):
    path = save(name, noise((6, 7)), crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as file:
            assert file.shape == (6, 7)


def test_handles_are_not_shared(save, noise):
    path = save("a.tif", noise((6, 7)))
    one, other = open_raster(path), open_raster(path)
    one.close()
    assert other.read(1).shape == (6, 7)
    other.close()


def test_the_block_cache_is_bounded(tmp_path):
    with reading_errors(tmp_path, "nothing"):
        assert get_gdal_config("GDAL_CACHEMAX") == BLOCK_CACHE


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RasterioIOError("Read failed.\nSee\n  there"), r"\(Read failed. See there\); .*copy"),
        (ValueError(""), r"\(ValueError\)"),
        (OSError("x" * 900), r"\(x{200}\)"),
        (MemoryError(), "does not fit into memory"),
        (PictureError("told already"), "^told already$"),
    ],
)
def test_failures_are_told_in_one_line(tmp_path, error, words):
    with (
        pytest.raises(PictureError, match=words) as caught,
        reading_errors(tmp_path / "a.tif", "no luck"),
    ):
        raise error
    if not isinstance(error, PictureError):
        assert str(caught.value).startswith(f"{tmp_path / 'a.tif'}: no luck (")
    assert "\n" not in str(caught.value)


def test_what_gdal_says_is_told(save, noise):
    path = save("a.tif", noise((60, 70)))
    path.write_bytes(path.read_bytes()[:2000])
    with open_raster(path) as file, pytest.raises(PictureError, match="a.tif.*scanline|Block"):  # noqa: SIM117, RUF043
        with reading_errors(path, "rows cannot be read"):
            file.read()


def test_mistakes_in_the_program_are_not_hidden(tmp_path):
    with pytest.raises(KeyError), reading_errors(tmp_path, "no luck"):
        raise KeyError("a bug")


@pytest.mark.parametrize(("kind", "words"), [("missing", "no such file"), ("folder", "a folder")])
def test_what_is_not_there(tmp_path, kind, words):
    path = tmp_path / "a.tif"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(PictureError, match=words):
        open_raster(path)


def test_without_rasterio_it_is_asked_for(save, noise):
    path = save("a.tif", noise((6, 7)))
    code = (
        "import sys, pathlib\n"
        "sys.modules['rasterio'] = None\n"
        "from srcli.errors import PictureError\n"
        "from srcli.imaging.rasters import detection, info\n"
        "from srcli.imaging.rasters import masking, reading, selection, values\n"
        "try:\n"
        f"    info.read_info(pathlib.Path({str(path)!r}))\n"
        "except PictureError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "rasters need rasterio; install it" in done.stdout


def test_nothing_is_printed_by_gdal(tmp_path, capfd, save, noise):
    path = save("a.tif", noise((60, 70)), compress="deflate")
    path.write_bytes(path.read_bytes()[:2000])
    with open_raster(path) as file, pytest.raises(PictureError), reading_errors(path, "no luck"):
        file.read()
    assert capfd.readouterr() == ("", "")
    assert rasterio.__gdal_version__


SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource>"
)


@pytest.fixture
def mosaic(save, save_vrt):
    """A mosaic of a mosaic of a picture."""
    save("leaf.tif", np.zeros((4, 5), np.uint8))
    save_vrt("mid.vrt", 5, 4, [("Byte", SOURCE.format(name="leaf.tif"))])
    return save_vrt("top.vrt", 5, 4, [("Byte", SOURCE.format(name="mid.vrt"))])


def names(files):
    return [os.path.basename(name) for name in files]  # noqa: PTH119 - texts, as GDAL gives them


def test_a_mosaic_of_a_mosaic_names_the_picture(mosaic):
    assert names(read_info(mosaic).files) == ["top.vrt", "mid.vrt", "leaf.tif"]


def test_a_circle_ends(tmp_path, save_vrt):
    first = save_vrt("a.vrt", 5, 4, [("Byte", SOURCE.format(name="b.vrt"))])
    second = save_vrt("b.vrt", 5, 4, [("Byte", SOURCE.format(name="a.vrt"))])
    assert names(dataset_files([str(first), str(second)])) == ["a.vrt", "b.vrt"]


def test_what_is_gone_or_damaged_is_named_all_the_same(tmp_path):
    (tmp_path / "bad.vrt").write_text("<VRTDataset")
    named = [str(tmp_path / "a.vrt"), str(tmp_path / "bad.vrt"), "/vsicurl/x/none.vrt"]
    assert dataset_files(named) == tuple(named)
    assert dataset_files([]) == ()
