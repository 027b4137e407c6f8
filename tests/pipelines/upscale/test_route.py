"""Files go the way that suits them: by windows where they must, in memory where they may."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rasterio
from PIL import Image

from srcli.errors import PictureError, UsageError
from srcli.imaging.fitting import Box
from srcli.pipelines.upscale import route
from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.route import open_photograph

OPTIONS = UpscaleOptions(model="bicubic", scale=2)


def is_raster(item, options):
    return open_photograph(item, options) is None


def item(path):
    return Item(source=path, target=path.with_suffix(".out"), format="tif")


@pytest.fixture
def picture(tmp_path, astronaut):
    path = tmp_path / "a.png"
    Image.fromarray(astronaut).save(path)
    return path


def test_georeferenced_files_go_by_windows(srx_data):
    for path in (srx_data / "geotiff").glob("*.tif"):
        assert is_raster(item(path), OPTIONS)


def test_plain_pictures_do_not_unless_asked(picture, astronaut):
    tiff = picture.with_suffix(".tif")
    Image.fromarray(astronaut).save(tiff)
    for path in (picture, tiff):
        assert not is_raster(item(path), OPTIONS)
        part = replace(OPTIONS, raster=RasterOptions(srcwin=(0, 0, 5, 5)))
        assert is_raster(item(path), part)
        bounded = replace(OPTIONS, raster=RasterOptions(max_memory=1 << 30, resume=False))
        assert not is_raster(item(path), bounded)


def test_pictures_that_are_too_large_do(picture, monkeypatch):
    pixels = 128 * 160 * 4
    monkeypatch.setattr(route, "LARGEST_PHOTOGRAPH", pixels)
    assert not is_raster(item(picture), OPTIONS)
    monkeypatch.setattr(route, "LARGEST_PHOTOGRAPH", pixels - 1)
    assert is_raster(item(picture), OPTIONS)


def test_what_exif_turns_stays_a_photograph(tmp_path, astronaut, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(astronaut).save(path, exif=exif)
    monkeypatch.setattr(route, "LARGEST_PHOTOGRAPH", 10)
    assert not is_raster(item(path), OPTIONS)


def test_a_plain_tiff_too_large_to_be_a_photograph_does(tmp_path):
    path = tmp_path / "huge.tif"
    profile = {
        "driver": "GTiff",
        "width": 100_000,
        "height": 60_000,
        "count": 1,
        "dtype": "uint8",
        "tiled": True,
        "sparse_ok": True,
        "compress": "deflate",
        "bigtiff": "yes",
    }
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path, "w", **profile):
        pass
    assert is_raster(item(path), OPTIONS)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"II*\0"])
def test_what_is_no_picture_is_left_to_the_way_of_photographs(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"a\.tif: "):
        open_photograph(item(path), OPTIONS)
    asked = replace(OPTIONS, raster=RasterOptions(nodata=0))
    assert is_raster(item(path), asked)  # GDAL says the reason


def test_options_of_rasters_leave_the_photographs_of_a_folder_alone(picture, astronaut):
    asked = replace(OPTIONS, raster=RasterOptions(nodata=0))
    assert is_raster(item(picture), asked)
    assert not is_raster(replace(item(picture), from_folder=True), asked)
    tiff = picture.with_suffix(".tif")
    Image.fromarray(astronaut).save(tiff)
    assert is_raster(replace(item(tiff), from_folder=True), asked)
    picture.with_suffix(".pgw").write_text("1\n0\n0\n-1\n0\n0\n")
    assert is_raster(replace(item(picture), from_folder=True), asked)


def test_a_turned_photograph_of_a_folder_stays_one(tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("turned.jpg", "turned.tif"):
        path = tmp_path / name
        Image.fromarray(astronaut).save(path, exif=exif)
        asked = replace(OPTIONS, raster=RasterOptions(overviews=True))
        assert not is_raster(replace(item(path), from_folder=True), asked)


def test_what_exif_turns_cannot_have_options_of_rasters(tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(astronaut).save(path, exif=exif)
    asked = replace(OPTIONS, raster=RasterOptions(overviews=True))
    with pytest.raises(PictureError, match=r"turned\.jpg: EXIF rotates this photograph"):
        is_raster(item(path), asked)


def test_what_is_read_by_windows_cannot_be_made_to_fit(srx_data, picture, monkeypatch):
    fitting = replace(OPTIONS, fit=Box(width=100))
    assert not is_raster(item(picture), fitting)
    placed = srx_data / "geotiff" / "landsat_rgb_uint8_nodata_utm18.tif"
    with pytest.raises(PictureError, match=r"landsat.*is a raster \(.+\), and --fit"):
        is_raster(item(placed), fitting)
    monkeypatch.setattr(route, "LARGEST_PHOTOGRAPH", 1000)
    with pytest.raises(PictureError, match=r"a\.png.*too large for --fit.*smaller --scale"):
        is_raster(item(picture), fitting)
    with pytest.raises(UsageError, match="--fit is for photographs and --srcwin for rasters"):
        replace(fitting, raster=RasterOptions(srcwin=(0, 0, 5, 5)))
