"""`srcli.upscale` takes open datasets and DataArrays, and makes of them what the command makes."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rioxarray
import xarray
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

import srcli
from srcli.errors import UsageError
from tests.fixtures.mosaics import SIMPLE, tiff, vrt
from tests.fixtures.photographs import PLACE, write_by_gdal

HOLE = np.s_[:12, 5:20]


def doubled(raster: Any, model: str = "bicubic", **options: Any) -> Any:
    return srcli.upscale(raster, model, 2, **options)


def open_array(file: Any) -> Any:
    return rioxarray.open_rasterio(file)


@pytest.fixture
def enlarge(srx):
    """Open the result of the command line at x2, the reference of this file."""

    def run(path, *options, model="bicubic"):
        command = f"upscale {path} by_srx.tif -s 2 -m {model} --overwrite"
        srx(command, *options, code=0)
        return rasterio.open("by_srx.tif")

    return run


def assert_equal_datasets(result, expected):
    assert result.profile == expected.profile
    assert result.colorinterp == expected.colorinterp
    assert result.mask_flag_enums == expected.mask_flag_enums
    np.testing.assert_array_equal(result.read(), expected.read())
    np.testing.assert_array_equal(result.read_masks(), expected.read_masks())


def with_hole(pixels, dtype, value):
    pixels = pixels[:40, :48].astype(dtype)
    pixels[HOLE] = value
    return pixels


def with_mask(sink):
    mask = np.full(sink.shape, 255, np.uint8)
    mask[HOLE] = 0
    sink.write_mask(mask)


def described(sink):
    sink.descriptions = ("blue", "green", "red")


RASTERS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "int16": ("int16", -9999, {"nodata": -9999, "then": described}),
    "uint16": ("uint16", 0, {"nodata": 0}),
    "float32": ("float32", np.nan, {}),
    "mask": ("uint8", 7, {"then": with_mask, "photometric": "RGB"}),
}


@pytest.fixture(params=RASTERS)
def raster(request, astronaut):
    """Write a raster of a type with a hole, marked by nodata, NaN or a mask."""
    dtype, value, profile = RASTERS[request.param]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        return write_by_gdal(
            "a.tif", with_hole(astronaut, dtype, value), **PLACE, **profile
        )


def test_a_dataset_becomes_what_the_command_makes_of_its_file(raster, enlarge):
    with rasterio.open(raster) as dataset:
        result = doubled(dataset)
        assert dataset.read().shape == (3, 40, 48)
    with result, enlarge(raster) as expected:
        assert result.tags() == expected.tags()
        assert_equal_datasets(result, expected)


def test_red_green_and_blue_go_through_the_network_together(astronaut, enlarge):
    pixels = with_hole(astronaut, "int16", -9999)
    path = write_by_gdal("a.tif", pixels, nodata=-9999, then=described, **PLACE)
    with enlarge(path, model="rrlfn") as expected:
        with rasterio.open(path) as dataset:
            assert_equal_datasets(doubled(dataset, "rrlfn"), expected)
        with open_array(path) as data:
            result = doubled(data, "rrlfn")
        np.testing.assert_array_equal(result, expected.read())


def test_a_window_is_the_one_of_srcwin(raster, enlarge):
    window = Window(8, 4, 20, 30)
    with rasterio.open(raster) as dataset:
        result = doubled(dataset, window=window)
    with result, enlarge(raster, "-srcwin 8 4 20 30") as expected:
        assert_equal_datasets(result, expected)


def test_a_warped_dataset_becomes_what_its_copy_on_disk_becomes(astronaut, enlarge):
    pixels = with_hole(astronaut, "int16", -9999)
    path = write_by_gdal("a.tif", pixels, nodata=-9999, **PLACE)
    with rasterio.open(path) as dataset, WarpedVRT(dataset, crs="EPSG:3857") as warped:
        rasterio.shutil.copy(warped, "copy.tif", driver="GTiff")
        result = doubled(warped)
    with result, enlarge("copy.tif") as expected:
        assert_equal_datasets(result, expected)


def test_an_open_dataset_may_read_the_network_as_its_user_has_decided(web):
    tiff(web.folder / "a.tif")
    head = "<GeoTransform>0,2,0,0,0,-2</GeoTransform>"
    vrt("m.vrt", SIMPLE, name=f"/vsicurl/{web.url}/a.tif", head=head)
    with rasterio.open("m.vrt") as dataset, doubled(dataset) as result:
        assert (result.read() == dataset.read(1).max()).all()


def test_an_overview_of_a_sparse_file_is_enlarged_by_itself(enlarge):
    pixels = np.zeros((256, 256), np.uint8)
    pixels[:96, :96] = np.arange(96)
    path = write_by_gdal(
        "a.tif",
        pixels,
        sparse_ok=True,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        **PLACE,
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    with rasterio.open(path, overview_level=0) as dataset:
        rasterio.shutil.copy(dataset, "copy.tif", driver="GTiff")
        result = doubled(dataset)
    with result, enlarge("copy.tif") as expected:
        np.testing.assert_array_equal(result.read(), expected.read())


def test_a_data_array_becomes_what_the_command_makes_of_its_file(raster, enlarge):
    with open_array(raster) as data:
        result = doubled(data)
    with enlarge(raster) as file, open_array(file) as expected:
        if file.dtypes[0] != "uint8":  # whose mask no DataArray holds
            np.testing.assert_array_equal(result, expected)
        xarray.testing.assert_allclose(result.x, expected.x)
        xarray.testing.assert_allclose(result.y, expected.y)
        assert result.dtype == expected.dtype
        assert result.attrs == data.attrs
        assert result.rio.crs == expected.rio.crs
        assert result.rio.transform() == expected.rio.transform()
        np.testing.assert_equal(result.rio.nodata, expected.rio.nodata)


def data_array(*dims, dtype="float32", **options):
    sizes = {"band": 3, "y": 8, "x": 9, "time": 2}
    values = np.random.default_rng(0).random([sizes.get(dim, 9) for dim in dims])
    return xarray.DataArray((values * 99).astype(dtype), dims=dims, **options)


def test_a_plain_data_array_keeps_name_and_scalar_coordinates_and_gets_no_place():
    data = data_array("y", "x", name="height", coords={"time": 7}, attrs={"units": "m"})
    result = doubled(data)
    assert result.sizes == {"y": 16, "x": 18}
    assert result.name == "height"
    assert result.attrs == {"units": "m"}
    assert set(result.coords) == {"time"}


def test_degrees_and_dimensions_of_other_names_stay():
    data = data_array("band", "lat", "lon").isel(lat=slice(4), lon=slice(5))
    data = data.assign_coords(lat=[47.5, 47, 46.5, 46], lon=[8.0, 9, 10, 11, 12])
    data = data.rio.set_spatial_dims("lon", "lat").rio.write_crs(4326)
    result = doubled(data)
    assert result.rio.bounds() == data.rio.bounds() == (7.5, 45.75, 12.5, 47.75)
    np.testing.assert_allclose(result.lat[:3], [47.625, 47.375, 47.125])
    np.testing.assert_allclose(result.lon[:3], [7.75, 8.25, 8.75])


def test_words_of_the_band_coordinate_tell_colours():
    data = data_array("band", "y", "x")
    named = data.assign_coords(band=["B02", "B03", "B04"])
    result = doubled(named, "rrlfn")
    # of bands that are not called colours none becomes negative
    turned = doubled(data[::-1], "rrlfn", rgb=[1, 2, 3])
    np.testing.assert_array_equal(result, turned[::-1])
    assert list(result.band.values) == ["B02", "B03", "B04"]


def test_what_the_function_of_progress_raises_ends_the_call():
    with pytest.raises(ZeroDivisionError):
        doubled(data_array("y", "x"), progress=lambda _: 1 / 0)


def test_a_coarser_array_has_the_place_of_its_coordinates():
    data = data_array("y", "x", coords={"y": np.arange(8, 0, -1.0), "x": np.arange(9)})
    data = data.rio.write_crs(32632).rio.write_transform()
    result = doubled(data[::2, ::2])
    np.testing.assert_allclose(result.x[:3], [-0.5, 0.5, 1.5])
    np.testing.assert_allclose(result.y[:3], [8.5, 7.5, 6.5])
    assert result.rio.resolution() == (1, -1)


@pytest.mark.parametrize("form", [Affine, tuple, list])
def test_coordinates_that_are_corners_become_centres(form):
    """As stackstac gives them, with the transform and the grid among the attributes."""
    transform = Affine(10, 0, 600_005, 0, -10, 5_200_015)
    coords = {
        "y": 5_200_015 - 10.0 * np.arange(8), "x": 600_005 + 10.0 * np.arange(9),
        "proj:shape": "(8, 9)", "platform": "sentinel-2a",
    }  # fmt: skip
    data = data_array("y", "x", coords=coords)
    data.attrs["transform"] = transform if form is Affine else form(transform)
    data.attrs["crs"] = "epsg:32632"
    data.attrs["spec"] = SimpleNamespace(resolutions_xy=(10, 10))
    result = doubled(data)
    assert result.rio.transform() == Affine(5, 0, 600_005, 0, -5, 5_200_015)
    np.testing.assert_array_equal(result.x, 600_007.5 + 5 * np.arange(18))
    np.testing.assert_array_equal(result.y, 5_200_012.5 - 5 * np.arange(16))
    assert result.rio.crs.to_epsg() == 32632
    assert "spec" not in result.attrs
    assert "proj:shape" not in result.coords
    assert result.platform == "sentinel-2a"
    part = doubled(data[2:, 3:])
    assert part.rio.transform() == Affine(5, 0, 600_035, 0, -5, 5_199_995)


@pytest.mark.parametrize("prefix", ["spatial:", "proj:"])
def test_attributes_of_a_grid_are_those_of_the_enlarged_one(prefix):
    """GeoZarr's conventions, STAC's projection extension, GDAL's grid mapping."""
    transform = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0)
    coords = {
        "y": 5_299_995 - 10.0 * np.arange(8), "x": 500_005 + 10.0 * np.arange(9),
        "crs": ((), 0, {"GeoTransform": "500000 10 0 5300000 0 -10"}),
    }  # fmt: skip
    scene = data_array("y", "x", coords=coords)
    scene.attrs |= {
        prefix + "transform": [*transform, 0.0, 0.0, 1.0],
        prefix + "shape": [8, 9],
        prefix + "bbox": [500_000.0, 5_299_920.0, 500_090.0, 5_300_000.0],
        "proj:code": "EPSG:32632",
        "multiscales": {"layout": [{"asset": "0"}]},
        "stac": {"proj": {"shape": [8, 9]}, "platform": "sentinel-2a"},
        "item": {"properties": {prefix + "shape": [8, 9], "gsd": 10}},
    }
    result = doubled(scene[2:, 1:])
    assert result.attrs == {
        prefix + "transform": [5, 0, 500_010, 0, -5, 5_299_980, 0, 0, 1],
        prefix + "shape": [12, 16],
        prefix + "bbox": [500_010, 5_299_920, 500_090, 5_299_980],
        "proj:code": "EPSG:32632",
        "stac": {"proj": {}, "platform": "sentinel-2a"},
        "item": {"properties": {"gsd": 10}},
    }
    numbers = [float(word) for word in result.crs.attrs["GeoTransform"].split()]
    assert numbers == [500_010, 5, 0, 5_299_980, 0, -5]
    assert scene.attrs[prefix + "shape"] == [8, 9]


def test_a_transform_among_the_attributes_moves_no_centres():
    coords = {"y": 7.5 - np.arange(8), "x": 0.5 + np.arange(9)}
    data = data_array("y", "x", coords=coords)
    data.attrs["transform"] = (1, 0, 0, 0, -1, 8)
    result = doubled(data)
    np.testing.assert_allclose(result.x[:2], [0.25, 0.75])
    assert result.rio.transform() == Affine(0.5, 0, 0, 0, -0.5, 8)


def test_ground_control_points_of_an_array_move_to_its_pixels():
    points = [GroundControlPoint(4, 9, 8.5, 47.5), GroundControlPoint(0, 0, 8, 48)]
    data = data_array("y", "x").rio.write_gcps(points, "EPSG:4326")
    enlarged = doubled(data).rio.get_gcps()
    places = [(point.row, point.col, point.x, point.y) for point in enlarged]
    assert places == [(8, 18, 8.5, 47.5), (0, 0, 8, 48)]


def test_a_fill_value_of_an_encoding_marks_empty_whole_numbers():
    data = data_array("y", "x", dtype="int16")
    data[:4, :4] = -1
    data.encoding["_FillValue"] = -1
    result = doubled(data)
    np.testing.assert_array_equal(result == -1, np.kron(data == -1, np.ones((2, 2))))
    data.encoding.clear()
    data.attrs["_FillValue"] = -99_999  # which the type does not hold
    assert doubled(data).attrs == data.attrs


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (data_array("y", "x", "band"), "give the dimensions .y, x. or .band, y, x."),
        (data_array("time", "band", "y", "x"), r"data\.isel\(time=0\)"),
        (data_array("time", "y", "x"), r"times are no bands.*data\.isel\(time=0\)"),
        (
            data_array("step", "y", "x", coords={"step": np.arange(9).astype("M8[D]")}),
            r"data\.isel\(step=0\)",
        ),
        (
            data_array("y", "x", coords={"x": np.arange(9) ** 2, "y": np.arange(8)}),
            "not evenly spaced",
        ),
        (data_array("y", "x", coords={"y": np.arange(8)})[:1], "of one pixel"),
        (data_array("y", "x").variable, "xarray Variable: give a DataArray"),
        (data_array("y", "x", dtype="complex64"), r"data\.astype\('float32'\)"),
        (data_array("rows", "columns"), "rows"),
        (data_array("y", "x").to_dataset(name="a"), r"dataset\.to_dataarray\('band'\)"),
    ],
)
def test_what_is_no_raster_is_refused_with_advice(data, message):
    with pytest.raises(UsageError, match=message):
        doubled(data)


def test_windows_and_datasets_that_do_not_fit_are_refused(astronaut):
    path = write_by_gdal("a.tif", astronaut[:9, :9], photometric="RGB", **PLACE)
    dataset = rasterio.open(path)
    for window in (Window(0.5, 0, 4, 4), Window(0, 0, np.nan, 4), (0, 0, 4, 4)):
        with pytest.raises(UsageError, match="Window of whole pixels"):
            doubled(dataset, window=window)
    with pytest.raises(
        UsageError, match="bicubic' enlarges rasters by 2 or 3 or 4, not"
    ):
        srcli.upscale(dataset, "bicubic", 8)
    with pytest.raises(UsageError, match="cut the array"):
        doubled(astronaut, window=Window(0, 0, 4, 4))
    dataset.close()
    with (
        MemoryFile(path.read_bytes()) as memory,
        pytest.raises(UsageError, match="is open"),
    ):
        doubled(memory)
    with pytest.raises(UsageError, match=r"a\.tif: give a dataset that is open"):
        doubled(dataset)


def test_a_data_array_without_rioxarray_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    with pytest.raises(UsageError, match=r"pip install 'srcli\[xarray\]'"):
        doubled(data_array("y", "x"))


def test_a_mask_beside_many_bands_prints_nothing(forking_python, monkeypatch):
    """GDAL prints errors of its own where a mask is written after five bands."""

    def mark(file):
        file.write_mask(np.tile(np.arange(600) < 300, (600, 1)))

    pixels = np.random.default_rng(0).integers(0, 255, (600, 600, 5), dtype="uint8")
    write_by_gdal("a.tif", pixels, then=mark, **PLACE)
    code = "import rasterio, srcli; srcli.upscale(rasterio.open('a.tif'), 'bicubic', 2)"
    monkeypatch.delenv("CPL_LOG", raising=False)
    result = forking_python.run(code)
    assert result.returncode == 0
    assert "ERROR" not in result.stderr
