"""STAC items: the rasters of one go in, and one describes each result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

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
