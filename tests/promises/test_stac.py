"""STAC items: what of one goes in, and what a new one says of place, time and bands."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform, transform_bounds

from srcli.imaging.rasters.transforms import coordinates
from tests.fixtures.files import names_in
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

WORDS = "-m bicubic -s 2"


@pytest.fixture
def item():
    """Write an item with two rasters of data, one elsewhere, and files of other roles."""
    Path("scene/bands").mkdir(parents=True)
    write_by_gdal("scene/bands/B04.tif", noise((24, 32)), nodata=0, **PLACE)
    write_by_gdal("scene/bands/B08.tif", noise((24, 32)), nodata=0, **PLACE)
    write_by_gdal("scene/small.tif", noise((6, 8)), **PLACE)
    media_type = "image/tiff; application=geotiff"
    assets = {
        "red": {"href": "bands/B04.tif", "roles": ["data"], "type": media_type},
        "nir": {"href": "./bands/B08.tif", "roles": ["reflectance", "data"]},
        "table": {"href": "a.csv", "roles": ["data"], "type": "text/csv"},
        "preview": {"href": "small.tif", "roles": ["thumbnail"], "type": media_type},
    }
    document = {"type": "Feature", "stac_version": "1.0.0", "assets": assets}
    path = Path("scene/item.json")
    path.write_text(json.dumps(document))
    return path


def change(item, name, **values):
    document = json.loads(item.read_text())
    document["assets"][name] |= values
    item.write_text(json.dumps(document))


def test_the_rasters_of_an_item_are_upscaled(srx, item):
    assert "2 done" in srx("upscale", item, "out", WORDS, code=0).out
    assert names_in("out") == ["B04.tif", "B08.tif"]
    srx("upscale scene/bands/B04.tif alone.tif", WORDS, code=0)
    with rasterio.open("out/B04.tif") as first, rasterio.open("alone.tif") as second:
        np.testing.assert_array_equal(first.read(), second.read())
    assert "2 skipped" in srx("upscale", item, "out", WORDS, code=0).out


def test_two_rasters_are_no_single_file_and_those_elsewhere_need_leave(srx, item):
    assert "names a file" in srx("upscale", item, "one.tif", WORDS, code=2).err
    change(item, "nir", href="https://example.org/B08.tif")
    result = srx("upscale", item, "out", WORDS, code=1)
    assert "https://example.org/B08.tif: " in result.err
    assert "--allow-remote" in result.err
    assert names_in("out") == ["B04.tif"]


def test_what_holds_no_data_is_refused_in_a_line(srx, item):
    for name in ("red", "nir"):
        change(item, name, roles=["overview"])
    result = srx("upscale", item, "out", WORDS, code=2)
    assert f"{item}: is a STAC item without rasters of the role data" in result.err
    item.write_text('{"type": "FeatureCollection", "features": []}')
    assert "not a picture that srx reads" in srx("upscale", item, "out", code=2).err


def test_an_item_describes_a_result(srx, item_of):
    pixels = noise((24, 32, 3)).astype(np.uint16)
    tags = {"TIFFTAG_DATETIME": "2024:05:06 07:08:09"}
    write_by_gdal(
        "a.tif", pixels, then=lambda file: file.update_tags(**tags), nodata=9, **PLACE
    )
    item = item_of("a.tif")
    assert names_in("out") == ["a.stac.json", "a.tif"]
    with rasterio.open("out/a.tif") as result:
        box = transform_bounds(result.crs, "OGC:CRS84", *result.bounds)
        assert item["properties"]["proj:transform"] == list(result.transform)
        assert item["properties"]["proj:shape"] == [48, 64]
    assert item["properties"]["proj:code"] == "EPSG:32632"
    assert item["properties"]["datetime"] == "2024-05-06T07:08:09Z"
    np.testing.assert_allclose(item["bbox"], box, atol=1e-6)
    band = {"data_type": "uint16", "spatial_resolution": 0.25, "nodata": 9}
    assert item["assets"]["data"]["raster:bands"] == [band] * 3
    assert (Path("out") / item["assets"]["data"]["href"]).samefile("out/a.tif")
    again = srx("upscale out/a.stac.json larger", WORDS, code=0)
    assert "1 done" in again.out


def test_a_result_without_place_has_no_geometry(item_of):
    write_by_gdal("a.tif", noise((24, 32)).astype(np.float32), nodata=np.nan)
    item = item_of("a.tif")
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["assets"]["data"]["raster:bands"][0]["nodata"] == "nan"


def test_a_footprint_is_turned_and_resolutions_are_in_metres(item_of):
    turned = rasterio.Affine(0.1, 0.2, 5, 0.2, -0.1, 40)  # degrees
    write_by_gdal("a.tif", noise((24, 32)), crs="EPSG:4326", transform=turned)
    item = item_of("a.tif")
    np.testing.assert_allclose(item["geometry"]["coordinates"][0][2], (8.2, 46.4))
    assert "spatial_resolution" not in str(item)


MEDIA_TYPE = "image/tiff; application=geotiff"
SPECTRUM: list[dict[str, Any]] = [
    {"name": "B02", "common_name": "blue", "center_wavelength": 0.49},
    {"name": "B04", "common_name": "red"},
    {"name": "B08", "common_name": "nir"},
]
EO = "https://stac-extensions.github.io/eo/"


@pytest.fixture
def spectral_item():
    """Write an item whose only raster has three bands, described in this form."""

    def write(version):
        write_by_gdal("a.tif", noise((24, 32, 3)).astype(np.uint16), **PLACE)
        asset: dict[str, Any] = {"href": "a.tif", "type": MEDIA_TYPE, "roles": ["data"]}
        extension = f"{EO}v1.1.0/schema.json"
        if version == "1.0.0":
            asset["eo:bands"] = SPECTRUM
        else:
            extension = f"{EO}v2.0.0/schema.json"
            renamed = []
            for band in SPECTRUM:
                named = {f"eo:{key}": value for key, value in band.items()}
                named["name"] = named.pop("eo:name")
                renamed.append({**named, "data_type": "uint16"})
            asset["bands"] = renamed
        item = {
            "type": "Feature", "stac_version": version, "id": "S2", "geometry": None,
            "stac_extensions": [extension], "links": [], "assets": {"all": asset},
            "properties": {"datetime": "2021-06-03T10:15:00Z"},
        }  # fmt: skip
        Path("item.json").write_text(json.dumps(item))

    return write


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ["B02", "B04", "B08"]),
        ("-b 3,2", ["B08", "B04"]),
        ("-b 2", ["B04"]),
    ],
)
def test_an_item_names_the_bands_that_were_upscaled(
    item_of, spectral_item, version, options, expected
):
    spectral_item(version)
    item = item_of("item.json", *options.split())
    asset = item["assets"]["data"]
    by_name = {band["name"]: band for band in SPECTRUM}
    assert asset["eo:bands"] == [by_name[name] for name in expected]
    assert len(asset["raster:bands"]) == len(expected)
    assert [name for name in item["stac_extensions"] if name.startswith(EO)] == [
        f"{EO}v1.1.0/schema.json"
    ]


def test_bands_of_another_number_are_not_taken_over(item_of, spectral_item):
    spectral_item("1.0.0")
    write_by_gdal("a.tif", noise((24, 32, 4)).astype(np.uint16), **PLACE)
    assert "eo:bands" not in item_of("item.json")["assets"]["data"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B02", "B04"), [{"name": "B02"}, {"name": "B04"}]),
        (("B02", None), None),
        (("B02", "B02"), None),
    ],
)
def test_names_of_bands_in_the_file_are_in_the_item(item_of, names, expected):
    def describe(file):
        file.descriptions = names

    pixels = noise((24, 32, 2)).astype(np.uint16)
    write_by_gdal("a.tif", pixels, then=describe, **PLACE)
    item = item_of("a.tif")
    assert item["assets"]["data"].get("eo:bands") == expected
    assert (f"{EO}v1.1.0/schema.json" in item["stac_extensions"]) == bool(expected)


RUN = "-m bicubic -s 2 --stac"


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
