"""Rasters are cut out by polygons: cropped to them and empty outside, as by gdalwarp."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.features import geometry_mask
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from tests.fixtures.photographs import PLACE, noise, write_by_gdal

CORNERS = [(503.3, 196.2), (512.1, 191.0), (506.4, 183.7), (503.3, 196.2)]
TRIANGLE = {
    "type": "Polygon",
    "coordinates": [[(499_500 + x, 5_199_800 + y) for x, y in CORNERS]],
}
"""Rows 7 to 32 and columns 7 to 25 of a raster of 40x30 pixels at ``PLACE``."""


def write_geojson(path, geometry, crs=None):
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": [feature]}
    if crs:
        collection["crs"] = {"type": "name", "properties": {"name": crs}}
    Path(path).write_text(json.dumps(collection), encoding="utf-8")
    return path


@pytest.fixture
def cut(srx):
    """Upscale a raster by x2 within the triangle, in longitude and latitude; open the result."""
    in_degrees = transform_geom(PLACE["crs"], "EPSG:4326", TRIANGLE)
    write_geojson("triangle.geojson", in_degrees)

    def run(path, *options, target="out.tif", cutline="triangle.geojson"):
        command = f"upscale {path} {target} -s 2 -m bicubic --overwrite"
        srx(command, "--cutline", cutline, *options, code=0)
        return rasterio.open(target)

    return run


def outside(dataset):
    return geometry_mask([TRIANGLE], dataset.shape, dataset.transform)


KINDS = {
    "nodata": ("int16", 1, {"nodata": -5}, "-q"),
    "mask": ("uint8", 3, {"photometric": "RGB"}, "-q"),
    "alpha": ("uint8", 4, {"photometric": "RGB", "alpha": "YES"}, "--alpha yes"),
    "nan": ("float32", 1, {}, "-q"),
    "classes": ("uint8", 1, {}, "--classes yes"),
    "classes with nodata": ("uint8", 1, {"nodata": 0}, "--classes yes"),
}


@pytest.mark.parametrize(
    ("dtype", "bands", "profile", "options"), KINDS.values(), ids=KINDS
)
def test_what_lies_outside_is_empty(cut, dtype, bands, profile, options):
    pixels = noise((40, 30, bands)).astype(dtype) // 2 + 1
    path = write_by_gdal("a.tif", pixels, **profile, **PLACE)
    with cut(path, options) as result:
        assert result.shape == (2 * 26, 2 * 19)
        assert result.bounds == (500_003, 5_199_983.5, 500_012.5, 5_199_996.5)
        np.testing.assert_array_equal(result.dataset_mask() == 0, outside(result))
        values = result.read(1)[outside(result)]
        empty = -5 if "nodata" in profile and dtype == "int16" else 0
        np.testing.assert_array_equal(values, np.nan if dtype == "float32" else empty)


def test_what_lies_inside_is_that_of_the_window(srx, cut):
    path = write_by_gdal("a.tif", noise((40, 30, 3)), photometric="RGB", **PLACE)
    tiles = "-t 16 --overlap 4"  # of which some lie outside
    srx("upscale a.tif window.tif -s 2 -m bicubic -srcwin 6 7 19 26", tiles, code=0)
    with cut(path, tiles) as result, rasterio.open("window.tif") as window:
        assert result.transform == window.transform
        expected = np.where(outside(result), 0, window.read())
        np.testing.assert_array_equal(result.read(), expected)


def test_the_coordinate_system_may_be_named(cut):
    path = write_by_gdal("a.tif", noise((40, 30)), **PLACE)
    named = write_geojson("named.json", TRIANGLE, "urn:ogc:def:crs:EPSG::32632")
    with cut(path) as result:
        expected = result.read(masked=True)
    with cut(path, cutline=named) as result:
        np.testing.assert_array_equal(result.read(masked=True), expected)


def test_a_window_has_no_pixels_by_rounding(cut):
    path = write_by_gdal("a.tif", noise((40, 30)), **PLACE)
    corners = [(502, 196), (512, 196), (512, 185), (502, 185), (502, 196)]
    ring = [(499_500 + x, 5_199_800 + y) for x, y in corners]
    square = {"type": "Polygon", "coordinates": [ring]}
    write_geojson("square.json", transform_geom("EPSG:32632", "EPSG:4326", square))
    with cut(path, cutline="square.json") as result:
        assert result.bounds == (500_002, 5_199_985, 500_012, 5_199_996)
        assert result.dataset_mask().all()


def test_long_edges_are_as_curved_as_they_are_on_the_map(cut):
    place = {"crs": PLACE["crs"], "transform": from_origin(300_000, 5.3e6, 3000, 3000)}
    path = write_by_gdal("a.tif", noise((100, 120)), **place)
    ring = [(7, 45.5), (10, 45.5), (10, 47.5), (7, 47.5), (7, 45.5)]
    write_geojson("long.json", {"type": "Polygon", "coordinates": [ring]})
    sides = pairwise(map(np.array, ring))
    fine = np.concatenate([np.linspace(start, end, 2048) for start, end in sides])
    curved = {"type": "Polygon", "coordinates": [fine.tolist()]}
    curved = transform_geom("EPSG:4326", PLACE["crs"], curved)
    with cut(path, cutline="long.json") as result:
        expected = geometry_mask([curved], result.shape, result.transform)
        np.testing.assert_array_equal(result.dataset_mask() == 0, expected)


def test_polygons_beyond_the_map_of_a_raster_are_told(srx):
    write_by_gdal(
        "a.tif",
        noise((9, 9)),
        crs="+proj=gnom +lat_0=47 +lon_0=8",
        transform=PLACE["transform"],
    )
    ring = [[-180, -90], [180, -90], [180, 90], [-180, -90]]
    write_geojson("world.json", {"type": "Polygon", "coordinates": [ring]})
    result = srx("upscale a.tif out.tif -s 2 --cutline world.json", code=2)
    assert "a.tif: world.json cannot be turned into its coordinates" in result.err


def test_other_formats_are_read_by_pyogrio(cut):
    path = write_by_gdal("a.tif", noise((40, 30)), **PLACE)
    with cut(path) as result:
        expected = result.read(masked=True)
    pyogrio = pytest.importorskip("pyogrio")
    shapely = pytest.importorskip("shapely")
    shape = shapely.to_wkb(shapely.geometry.shape(TRIANGLE))
    for name in ("polygons.gpkg", "polygons.shp"):
        pyogrio.raw.write(
            name,
            np.array([shape]),
            field_data=[],
            fields=[],
            geometry_type="Polygon",
            crs=PLACE["crs"],
        )
        with cut(path, cutline=name) as result:
            np.testing.assert_array_equal(result.read(masked=True), expected)


def test_other_polygons_make_the_output_again(srx, cut):
    write_by_gdal("a.tif", noise((40, 30)), **PLACE)
    cut("a.tif").close()
    command = "upscale a.tif out.tif -s 2 -m bicubic --cutline"
    assert "1 skipped" in srx(command, "triangle.geojson", code=0).out
    corners = [(500_003, 5_199_990), (500_009, 5_199_990), (500_009, 5_199_995)]
    smaller = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    write_geojson("triangle.geojson", smaller, "EPSG:32632")
    assert "1 done" in srx(command, "triangle.geojson", code=0).out
    with rasterio.open("out.tif") as result:
        assert result.bounds == (500_003, 5_199_990, 500_009, 5_199_995)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.geojson", None, "a.geojson: cannot be read (No such file"),
        ("a.geojson", "no JSON", "a.geojson: is no GeoJSON"),
        ("a.geojson", '{"type": "Point", "coordinates": [0, 0]}', "holds no polygons"),
        ("a.geojson", '{"features": 1}', "a.geojson: is no GeoJSON"),
        ("a.geojson", '{"type": "Polygon", "coordinates": [[]]}', "holds no polygons"),
        ("a.geojson", '{"type": "Polygon", "coordinates": 5}', "is no GeoJSON"),
        (
            "a.geojson",
            '{"type": "Polygon", "coordinates": [[[0, 1]]]}',
            "at least four points",
        ),
        (
            "a.geojson",
            '{"type": "Polygon", "coordinates": [[[0, 1], [1, 1], [1, NaN], [0, 1]]]}',
            "of finite numbers",
        ),
        ("a.gpkg", "x", "pip install 'srcli[cutline]' to read it, or give GeoJSON"),
    ],
)
def test_files_without_polygons_are_told(srx, monkeypatch, name, content, message):
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    write_by_gdal("a.tif", noise((40, 30)), **PLACE)
    if content is not None:
        Path(name).write_text(content, encoding="utf-8")
    result = srx("upscale a.tif out.tif --cutline", name, code=2)
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_polygons_and_rasters_that_do_not_meet_are_told(srx, cut):
    options = "-s 2 -m bicubic --cutline triangle.geojson"
    write_by_gdal("nowhere.tif", noise((40, 30)))
    write_by_gdal("a.tif", noise((5, 5)), **PLACE)
    result = srx("upscale nowhere.tif a.tif out", options, code=2)
    assert "nowhere.tif: has no place on the map, or no coordinate system" in result.err
    assert "a.tif: --cutline lies outside the file" in result.err
    result = srx("upscale a.tif out -srcwin 0 0 2 2", options, code=2)
    assert "--srcwin and --cutline each name a window" in result.err


def test_no_value_of_floats_is_said_to_move(srx):
    path = write_by_gdal("a.tif", noise((40, 30)).astype(np.float32), **PLACE)
    cutline = write_geojson("a.json", TRIANGLE, "urn:ogc:def:crs:EPSG::32632")
    told = srx(f"upscale {path} out -s 2 -m bicubic --cutline {cutline}", code=0).err
    assert "one nodata value" not in told
