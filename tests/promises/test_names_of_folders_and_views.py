"""Rasters that are folders, changed views, and files that only have the suffix of a raster."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from scipy.io import netcdf_file

from srcli.errors import PictureError
from srcli.imaging.rasters.dataset_names import as_input
from srcli.imaging.rasters.gdal_access import reading_errors
from tests.fixtures.files import names_in
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

RUN = "-s 2 -m bicubic"


def printed(result):
    return " ".join((result.out + result.err).split())


def test_a_zarr_store_is_a_raster_although_it_is_a_folder(srx):
    write_by_gdal("a.tif", noise((24, 32), "int16"), **PLACE)
    Path("in").mkdir()
    rasterio.shutil.copy("a.tif", "in/a.zarr", driver="Zarr")
    srx("upscale in/a.zarr out", RUN, code=0)
    srx("upscale a.tif out.tif", RUN, code=0)
    with rasterio.open("out/a.tif") as out, rasterio.open("out.tif") as expected:
        np.testing.assert_array_equal(out.read(), expected.read())
    write_by_gdal("in/b.tif", noise((24, 32)), **PLACE)
    result = srx("upscale in all -r", RUN, code=0)
    assert "in/a.zarr: a raster that is a folder, left out; name it itself" in printed(
        result
    )
    assert names_in("all") == ["b.tif"]


def test_a_damaged_zarr_store_does_not_send_its_user_in_circles(srx):
    Path("a.zarr").mkdir()
    Path("a.zarr/.zarray").write_text("{")
    result = srx("upscale a.zarr out", RUN, code=2)
    assert 'ZARR:"a.zarr": GDAL cannot open it' in printed(result)
    assert "copy or export it again" in printed(result)
    assert "itself to see" not in printed(result)


def zarr_array(folder, values, names):
    """Write an array of Zarr 3 as one chunk, with the codec that GDAL 3.10 and newer know."""
    folder.mkdir(parents=True)
    sides = list(values.shape)
    header = {
        "zarr_format": 3, "node_type": "array", "shape": sides, "fill_value": 0,
        "data_type": values.dtype.name, "dimension_names": names, "attributes": {},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": sides}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "endian", "configuration": {"endian": "little"}}],
    }  # fmt: skip
    (folder / "zarr.json").write_text(json.dumps(header))
    chunk = folder.joinpath("c", *["0"] * len(sides))
    chunk.parent.mkdir(parents=True, exist_ok=True)
    chunk.write_bytes(values.tobytes())


def test_coordinates_in_a_zarr_store_are_no_pictures(srx):
    store = Path("a.zarr")
    pixels = noise((24, 32), "int16")
    zarr_array(store / "data", pixels, ["y", "x"])
    zarr_array(store / "x", 500_005 + 10.0 * np.arange(32), ["x"])
    zarr_array(store / "y", 5e6 - 10.0 * np.arange(24), ["y"])
    zarr_array(store / "spatial_ref", np.array(0), [])
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    (store / "zarr.json").write_text(json.dumps(group))
    try:
        rasterio.open('ZARR:"a.zarr"').close()
    except rasterio.errors.RasterioIOError as error:  # an older form than its own
        pytest.skip(f"this GDAL reads no such store: {error}")
    result = srx("upscale a.zarr out.tif", RUN, code=0)
    assert "holds" not in result.err
    with rasterio.open("out.tif") as larger:
        assert larger.shape == (48, 64)
    zarr_array(store / "other", pixels, ["y", "x"])
    refused = srx("upscale a.zarr out2.tif", RUN, code=2)
    assert "holds 2 rasters" in refused.err
    assert "spatial_ref" not in refused.err


def test_an_esri_grid_is_named_by_its_folder():
    Path("grid").mkdir()
    Path("grid/hdr.adf").write_bytes(b"GRID1.2\0")
    name = as_input("grid")
    assert str(name) == str(Path("grid/hdr.adf"))
    assert name.stem == "grid"


def test_a_view_is_what_gdal_makes_of_it(srx):
    pixels = noise((24, 32, 3))
    write_by_gdal("a.tif", pixels, photometric="RGB", **PLACE)
    write_by_gdal("b.tif", pixels[:, :, ::-1], photometric="MINISBLACK", **PLACE)
    srx("upscale", "vrt://a.tif?bands=3,2,1", "out", RUN, code=0)
    srx("upscale b.tif out", RUN, code=0)
    with rasterio.open("out/a.tif") as out, rasterio.open("out/b.tif") as expected:
        np.testing.assert_array_equal(out.read(), expected.read())
    assert "no such file" in srx("upscale", "vrt://c.tif?bands=1", "out", code=2).err
    remote = "vrt://https://example.org/a.tif?bands=1"
    assert "--allow-remote" in srx("upscale", remote, "out", RUN, code=2).err


def test_declared_nodata_beside_a_mask_is_not_called_undeclared(srx):
    values = noise((48, 64), "int16") // 9 + 4000
    values[30:40, 30:40] = -9999

    def mask(file):
        file.write_mask(np.arange(64)[None].repeat(48, 0) < 50)

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_by_gdal("m.tif", values, then=mask, nodata=-9999, **PLACE)
    result = srx("upscale m.tif out", RUN, code=0)
    assert "which the file does not say" not in printed(result)


def test_a_climate_model_file_says_which_variable_is_used(srx):
    with netcdf_file("cmip.nc", "w") as file:
        for name, size in (("lat", 24), ("lon", 32), ("bnds", 2)):
            file.createDimension(name, size)
        for name, values in (("lat", np.arange(24)), ("lon", np.arange(32))):
            axis = file.createVariable(name, "d", (name,))
            axis[:] = values
            axis.units = "degrees_north" if name == "lat" else "degrees_east"
            if name == "lat":
                axis.bounds = "lat_bnds"
        for name, dims, shape in (
            ("lat_bnds", ("lat", "bnds"), (24, 2)),
            ("tas", ("lat", "lon"), (24, 32)),
        ):
            file.createVariable(name, "f", dims)[:] = noise(shape, "float32")
    result = srx("upscale cmip.nc out.tif", RUN, code=0)
    assert "only the first is used" not in printed(result)
    with rasterio.open("out.tif") as out:
        assert out.shape == (48, 64)


def test_unsigned_bytes_of_netcdf_are_not_called_damaged():
    text = (
        "netCDF chunk fetch failed: #-60 (NetCDF: Numeric conversion not representable)"
    )
    hint = r'give HDF5:"goes.nc"://DQF'
    with (
        pytest.raises(PictureError, match=hint) as caught,
        reading_errors(Path("goes.nc"), "rows cannot be read", variable="DQF"),
    ):
        raise OSError(text)
    assert "damaged" not in str(caught.value)


OTHERS = {
    "README.rst": b"My pictures\n===========\n",
    "disk.img": bytes(510) + b"\x55\xaa" + bytes(4096),
    "run.bag": b"#ROSBAG V2.0\n" + bytes(4096),
    "model.flt": bytes(4096),
    "sprites.pix": bytes(4096),
    "lines.ntf": b"01ORDNANCE SURVEY",
}


def test_files_of_other_programs_are_counted_and_rasters_are_read(srx):
    Path("in").mkdir()
    for name, content in OTHERS.items():
        Path("in", name).write_bytes(content)
    source = write_by_gdal("in/a.tif", noise((24, 32)), **PLACE)
    for name, driver in {
        "h.img": "HFA", "n.ntf": "NITF", "p.pix": "PCIDSK", "i.rst": "RST",
        "e.img": "ENVI", "f.flt": "EHdr",
    }.items():  # fmt: skip
        options = {"CREATE_OVR": "NO"} if driver == "NITF" else {}
        rasterio.shutil.copy(source, f"in/{name}", driver=driver, **options)
    result = srx("upscale in out", RUN, code=0)
    assert "7 done" in result.out
    counts = "files that srx does not read: "
    for suffix in (".rst", ".img", ".bag", ".flt", ".pix", ".ntf"):
        assert f"1 {suffix}" in printed(result).partition(counts)[2]
