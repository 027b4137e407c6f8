"""What items of STAC say of place, time and bands, and what is kept of the item that led there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform

from srcli.imaging.rasters.transforms import coordinates
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

RUN = "-m bicubic -s 2 --stac"
MEDIA_TYPE = "image/tiff; application=geotiff"


PLACES = {
    "UTM zone 1": ("EPSG:32601", from_origin(250000, 5300000, 1000, 1000), 2),
    "Fiji": ("EPSG:3460", from_origin(1500000, 4500000, 10000, 10000), 2),
    "web": ("EPSG:3857", from_origin(19900000, -5000000, 3000, 3000), 2),
    "0 to 360": ("EPSG:4326", from_origin(0, 90, 3.75, 1.875), 1),
    "170 to 190": ("EPSG:4326", from_origin(170, 10, 20 / 96, 0.1), 2),
    "190 to 200": ("EPSG:4326", from_origin(190, 10, 10 / 96, 0.1), 1),
    "Germany": ("EPSG:32632", from_origin(500000, 5300000, 10, 10), 1),
    "North Pole": ("EPSG:3413", from_origin(-1e6, 1.2e6, 25000, 25000), 1),
    "South Pole": ("EPSG:3031", from_origin(-1e6, 1.2e6, 25000, 25000), 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_footprint_is_cut_at_180_degrees_and_holds_the_raster(item_of, place):
    crs, affine, count = PLACES[place]
    write_by_gdal("a.tif", noise((96, 96)), crs=crs, transform=affine)
    item = item_of("a.tif")
    geometry = shapely.from_geojson(json.dumps(item["geometry"]))
    assert geometry.is_valid
    assert shapely.get_num_geometries(geometry) == count
    west, south, east, north = item["bbox"]
    bounds = geometry.bounds
    assert min(bounds[0], -bounds[2]) >= -180
    assert (west > east) == (count == 2)
    rng = np.random.default_rng(0)
    columns, rows = rng.uniform(1, 95, (2, 50))
    x, y = coordinates(affine, columns, rows)
    longitudes, latitudes = transform(crs, "OGC:CRS84", x, y)
    longitudes = (np.array(longitudes) + 180) % 360 - 180
    inside = shapely.contains_xy(geometry.buffer(0.3), longitudes, latitudes)
    assert inside.all()
    latitudes = np.array(latitudes)
    assert ((latitudes >= south) & (latitudes <= north)).all()
    in_box = (longitudes >= west) & (longitudes <= east)
    if west > east:
        in_box = (longitudes >= west) | (longitudes <= east)
    assert in_box.all()


def write_scene(href="B04.tif", **asset):
    write_by_gdal("B04.tif", noise((24, 32)), **PLACE)
    assets = {
        "red": {"href": href, "type": MEDIA_TYPE, "roles": ["data"], **asset},
        "index": {"href": "index.html", "type": "text/html"},
    }
    properties = {
        "datetime": "2021-06-03T10:15:00Z", "platform": "sentinel-2a", "gsd": 10,
        "eo:cloud_cover": 3, "proj:epsg": 32632, "proj:shape": [24, 32],
    }  # fmt: skip
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "S2A_1", "geometry": None,
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "properties": properties, "links": [], "assets": assets,
    }  # fmt: skip
    Path("item.json").write_text(json.dumps(item))
    return item


def test_an_item_that_led_to_a_raster_gives_id_time_and_properties(item_of):
    given = write_scene()
    item = item_of("item.json")
    assert item["id"] == "S2A_1"
    for name in ("datetime", "platform", "gsd", "eo:cloud_cover"):
        assert item["properties"][name] == given["properties"][name]
    assert item["properties"]["proj:shape"] == [48, 64]
    assert "proj:epsg" not in item["properties"]
    assert given["stac_extensions"][0] in item["stac_extensions"]
    assert item["links"][0]["rel"] == "derived_from"
    assert item["geometry"]["type"] == "Polygon"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("properties", "none"),
        ("properties", [1]),
        ("properties", {"datetime": "yesterday"}),
        ("stac_extensions", 5),
        ("stac_extensions", [None, {"a": 1}]),
        ("id", {"a": 1}),
    ],
)
def test_what_is_wrong_in_an_item_is_passed_over(item_of, key, value):
    given = write_scene()
    Path("item.json").write_text(json.dumps({**given, key: value}))
    changed = 1591179300  # 2020-06-03 10:15:00
    os.utime("B04.tif", (changed, changed))
    item = item_of("item.json")
    assert item["id"] == ("item" if key == "id" else "S2A_1")
    is_timed = key != "properties"
    year = "2021" if is_timed else "2020"
    assert item["properties"]["datetime"] == f"{year}-06-03T10:15:00Z"
    assert all(isinstance(name, str) for name in item["stac_extensions"])


def test_a_raster_on_a_server_has_the_time_of_the_item_alone(item_of, srx, web):
    write_scene(f"{web.url}/B04.tif")
    shutil.move("B04.tif", web.folder / "B04.tif")
    item = item_of("item.json", "--allow-remote")
    assert item["properties"]["datetime"] == "2021-06-03T10:15:00Z"
    words = ["upscale", f"{web.url}/B04.tif", "b.tif", "-s", "2", "-m", "bicubic"]
    result = srx(*words, "--stac", "--allow-remote", code=2)
    assert "nothing tells when it was taken" in result.err


TIMES = {
    "EXIF_DateTimeOriginal": ("2020:01:02 03:04:05", "2020-01-02T03:04:05Z"),
    "NITF_IDATIM": ("20100401120000", "2010-04-01T12:00:00Z"),
    "NC_GLOBAL#time_coverage_start": (
        "2019-05-06T01:30:00+0200", "2019-05-05T23:30:00Z",
    ),
    "DATATAKE_1_DATATAKE_SENSING_START": (
        "2021-06-03T10:15:59.024Z", "2021-06-03T10:15:59Z",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
def test_tags_tell_when_a_raster_was_taken(item_of, name):
    stated, expected = TIMES[name]
    tags = {name: stated, "TIFFTAG_DATETIME": "2024:01:01 00:00:00"}
    then = lambda file: file.update_tags(**tags)  # noqa: E731
    write_by_gdal("a.tif", noise((24, 32)), then=then, **PLACE)
    assert item_of("a.tif")["properties"]["datetime"] == expected


def test_a_satellite_says_when_it_took_a_raster(item_of):
    write_by_gdal("a.tif", noise((24, 32)), **PLACE)
    group = 'satId = "WV02";\nfirstLineTime = 2010-04-01T12:00:00.000000Z;\n'
    Path("a.IMD").write_text(
        f"numRows = 24;\nBEGIN_GROUP = IMAGE_1\n{group}END_GROUP = IMAGE_1\nEND;\n"
    )
    assert item_of("a.tif")["properties"]["datetime"] == "2010-04-01T12:00:00Z"


def test_bands_have_scale_offset_and_unit(item_of):
    def describe(file):
        file.scales = (0.0001,)
        file.offsets = (-0.1,)
        file.units = ("K",)

    write_by_gdal("a.tif", noise((24, 32), "uint16"), then=describe, **PLACE)
    (band,) = item_of("a.tif")["assets"]["data"]["raster:bands"]
    assert (band["scale"], band["offset"], band["unit"]) == (0.0001, -0.1, "K")


def test_without_any_roles_rasters_are_told_by_media_type_and_name(srx):
    item = write_scene()
    del item["assets"]["red"]["roles"]
    item["assets"]["thumbnail"] = {"href": "missing.tif", "type": MEDIA_TYPE}
    Path("item.json").write_text(json.dumps(item))
    assert "1 done" in srx("upscale item.json out", RUN, code=0).out
    item["assets"] = {"index": item["assets"]["index"]}
    Path("item.json").write_text(json.dumps(item))
    result = srx("upscale item.json out", RUN, code=2)
    assert "item.json: is a STAC item without rasters of the role data" in result.err


SITE = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
MOON = """GEOGCRS["Moon",DATUM["Moon",ELLIPSOID["Moon",1737400,0]],
CS[ellipsoidal,2],AXIS["lat",north],AXIS["lon",east],ANGLEUNIT["degree",0.0174532925]]"""


@pytest.mark.parametrize("crs", [SITE, MOON], ids=["building site", "moon"])
def test_a_system_without_a_place_on_the_globe_gives_no_footprint(item_of, crs):
    write_by_gdal("a.tif", noise((24, 32)), crs=crs, transform=from_origin(10, 9, 1, 1))
    item = item_of("a.tif")
    assert item["geometry"] is None
    assert "bbox" not in item
    properties = item["properties"]
    assert properties["proj:code"] is None
    assert properties["proj:wkt2"].startswith(("ENGCRS", "GEOGCRS"))
    assert properties["proj:transform"][:6] == [0.5, 0, 10, 0, -0.5, 9]
