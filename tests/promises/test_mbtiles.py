"""MBTiles become MBTiles, of a zoom level more, with true bounds and metadata."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin
from skimage import data

from tests.fixtures.photographs import write_by_gdal


def write_map(name, pixels, right=0, up=0, **options):
    """Write the pixels of a raster of zoom level 12, beginning beside a corner of tiles."""
    resolution = 2 * 20037508.342789244 / 256 / 2**12
    corner = (resolution * (256 * 100 + right), resolution * (256 * 200 + up))
    place = from_origin(*corner, *2 * [resolution])
    return write_by_gdal(name, pixels, crs="EPSG:3857", transform=place, **options)


@pytest.fixture
def web_map():
    """A map of zoom level 12, whose pixels are those of no whole tile, and its tiles."""
    pixels = np.zeros((300, 270, 3), np.uint8)
    pixels[20:, 10:] = data.astronaut()[:280, :260]
    write_map("map.tif", pixels, right=37, up=-11)
    rasterio.shutil.copy("map.tif", "map.mbtiles", driver="MBTiles", TILE_FORMAT="PNG")
    with closing(sqlite3.connect("map.mbtiles")) as tiles, tiles:
        tiles.execute("UPDATE metadata SET value = 'My Map' WHERE name = 'name'")
        tiles.execute("INSERT INTO metadata VALUES ('attribution', 'by Me')")
        tiles.execute("INSERT INTO metadata VALUES ('center', '8.8,17.2,12')")


def levels_of(file):
    with closing(sqlite3.connect(file)) as tiles:
        rows = tiles.execute("SELECT zoom_level, count(*) FROM tiles GROUP BY 1")
        return dict(rows.fetchall()), dict(tiles.execute("SELECT * FROM metadata"))


def test_mbtiles_become_the_next_zoom_level(srx, web_map):
    srx("upscale map.mbtiles larger.tif -m bicubic -s 2", code=0)
    srx("upscale map.mbtiles out/ -m bicubic -s 2", code=0)
    with (
        rasterio.open("map.mbtiles") as before,
        rasterio.open("larger.tif") as enlarged,
        rasterio.open("out/map.mbtiles") as tiles,
    ):
        assert tiles.tags()["ZOOM_LEVEL"] == "13"
        np.testing.assert_array_equal(tiles.read(), enlarged.read())
        np.testing.assert_allclose(tiles.bounds, before.bounds, atol=1e-6)
    levels, told = levels_of("out/map.mbtiles")
    assert list(levels) == [11, 12, 13]  # the whole in one tile or two, as in the input
    assert (told["minzoom"], told["maxzoom"]) == ("11", "13")
    assert (told["name"], told["attribution"]) == ("My Map", "by Me")
    assert told["type"] == "overlay"
    assert "center" not in told
    assert told["SRX_MODEL"] == "bicubic"
    again = srx("upscale map.mbtiles out/ -m bicubic -s 2", code=0)
    assert "1 skipped" in again.out


def test_rasters_on_the_grid_of_a_zoom_level_become_mbtiles(srx, web_map):
    srx("upscale map.tif b.mbtiles -m bicubic -s 4 --no-overviews", code=0)
    levels, _ = levels_of("b.mbtiles")
    assert list(levels) == [14]
    srx("upscale map.tif c.mbtiles -m bicubic -s 2 --quality 90", code=0)
    assert levels_of("c.mbtiles")[1]["format"] == "jpg"
    refused = srx("upscale map.tif d.mbtiles -m bicubic -s 3", code=2)
    assert "map.tif: its enlargement is of no zoom level of a web map" in refused.err
    write_by_gdal("plain.png", data.astronaut()[:20, :30])
    photograph_of_nowhere = srx("upscale plain.png -of MBTiles out/", code=2)
    assert "plain.png: has no place on the map" in photograph_of_nowhere.err
    assert not Path("d.mbtiles").exists()


def test_map_tiles_are_foreseen_and_have_items_of_stac(srx, web_map):
    command = "upscale map.tif tiles.mbtiles -m bicubic -s 2 --stac -srcwin 0 0 60 50"
    foreseen = srx(f"{command} --dry-run", code=0)
    assert "map.tif -> tiles.mbtiles (120x100 mbtiles, bicubic)" in foreseen.out
    assert "0 problems" in foreseen.out
    srx(command, code=0)
    item = json.loads(Path("tiles.stac.json").read_text())
    assert item["assets"]["data"]["href"] == "./tiles.mbtiles"
    assert item["assets"]["data"]["type"] == "application/vnd.sqlite3"
    srx("upscale tiles.stac.json out/ -m bicubic -s 2", code=0)
    assert list(levels_of("out/tiles.mbtiles")[0])[-1] == 14


@pytest.mark.parametrize("kind", ["gray", "colours", "gray with alpha"])
def test_nodata_of_any_bands_becomes_transparent(srx, web_map, kind):
    with rasterio.open("map.tif") as colours:
        place = {"crs": "EPSG:3857", "transform": colours.transform}
        pixels = np.moveaxis(colours.read()[:, 40:140, 30:100], 0, 2)
    pixels[pixels[:, :, 0] < 90] = 0
    if kind != "colours":
        pixels = pixels[:, :, :1]
    if kind == "gray with alpha":
        opaque = np.full_like(pixels, 255)
        opaque[:, :20] = 0
        pixels = np.dstack([pixels, opaque])
        place |= {"alpha": "yes"}
    write_by_gdal("a.tif", pixels, **place, nodata=0)
    srx("upscale a.tif larger.tif -m bicubic -s 2", code=0)
    srx("upscale a.tif a.mbtiles -m bicubic -s 2", code=0)
    with rasterio.open("larger.tif") as enlarged, rasterio.open("a.mbtiles") as tiles:
        valid = (enlarged.read(1) > 0) & (enlarged.dataset_mask() > 0)
        assert 0.1 < valid.mean() < 0.9
        np.testing.assert_array_equal(tiles.read(4) > 0, valid)
        for number in (1, 2, 3):
            source = number if kind == "colours" else 1
            values = enlarged.read(source)[valid]
            np.testing.assert_array_equal(tiles.read(number)[valid], values)


def test_nodata_is_seen_in_tiles_of_jpeg_with_a_line(srx):
    pixels = np.repeat(data.camera()[:80, :90, None] | 1, 3, axis=2)
    pixels[20:50, 30:70] = 9
    write_map("map.tif", pixels, nodata=9)
    opaque = srx("upscale map.tif opaque.mbtiles -m bicubic -s 2 --quality 90", code=0)
    assert "tiles of JPEG have no transparency" in opaque.err


def test_gray_and_classes_become_tiles(srx):
    gray = data.camera()[:80, :90]
    write_map("gray.tif", gray)
    colours = {number: (number * 40, 200 - number * 30, 7, 255) for number in range(5)}
    write_map(
        "classes.tif",
        gray // 60,
        photometric="palette",
        then=lambda file: file.write_colormap(1, colours),
    )
    srx("upscale gray.tif classes.tif out -m bicubic -s 2 -of MBTILES", code=0)
    srx("upscale gray.tif larger.tif -m bicubic -s 2", code=0)
    with (
        rasterio.open("out/gray.mbtiles") as tiles,
        rasterio.open("larger.tif") as enlarged,
        rasterio.open("out/classes.mbtiles") as map_of_classes,
    ):
        expected = np.repeat(enlarged.read(), 3, axis=0)
        np.testing.assert_array_equal(tiles.read()[:3], expected)
        looked_up = np.array([colours[number] for number in range(5)], np.uint8)
        repeated = (gray // 60).repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(
            map_of_classes.read(), np.moveaxis(looked_up[repeated], 2, 0)
        )
    refused = srx("upscale classes.tif no.mbtiles -m bicubic -s 2 --nodata 0", code=2)
    assert "mbtiles holds no palette beside pixels without data" in refused.err


def test_black_tiles_stay_opaque(srx):
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:, 140:] = data.astronaut()[:256, :116]
    write_map("map.tif", pixels, photometric="RGB")
    srx("upscale map.tif map.mbtiles -m bicubic -s 2", code=0)
    with rasterio.open("map.mbtiles") as tiles:
        assert (tiles.read(4) == 255).all()
        assert (tiles.read([1, 2, 3])[:, :, :240] == 0).all()
