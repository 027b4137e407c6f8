"""Files of weather and climate models, of Landsat and Pleiades, as they are delivered."""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.rpc import RPC
from rasterio.transform import from_origin
from scipy.io import netcdf_file

from srcli.imaging.rasters.gdal_access import open_quietly
from tests.fixtures.files import names_in
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

RUN = "-s 2 -m bicubic"
Y, X = np.mgrid[:40, :48]
FIELDS = np.stack([np.sin(X / 9) * 9 + 270, Y / 5.0, X / 7.0])


def time_of(name):
    return json.loads(Path(name).read_text())["properties"]["datetime"]


def grib():
    place = from_origin(-0.125, 12, 0.25, 0.25)
    write_by_gdal("e.tif", np.moveaxis(FIELDS, 0, 2), crs="EPSG:4326", transform=place)
    wind = "0 0 0 0 1 0 103 0 10 255 0 0"
    rasterio.shutil.copy(
        "e.tif",
        "e.grb2",
        driver="GRIB",
        IDS="CENTER=98 REF_TIME=2021-06-03T12:00:00Z",
        BAND_1_PDS_PDTN=0,
        BAND_1_PDS_TEMPLATE_ASSEMBLED_VALUES=f"0 0 2 0 {wind}",
        BAND_2_PDS_TEMPLATE_ASSEMBLED_VALUES=f"2 2 2 0 {wind}",
        BAND_3_PDS_TEMPLATE_ASSEMBLED_VALUES=f"2 3 2 0 {wind}",
    )
    return "e.grb2", "2021-06-03T12:01:00Z"  # a forecast for a minute later


def netcdf():
    with netcdf_file("t.nc", "w") as file:
        for name, size in (("time", 3), ("lat", 40), ("lon", 48)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "d", (name,))
            axis[:] = np.arange(size) + 5
        units = ("hours since 2021-06-03 06:00", "degrees_north", "degrees_east")
        for name, unit in zip(("time", "lat", "lon"), units, strict=True):
            file.variables[name].units = unit
        file.createVariable("t2m", "f", ("time", "lat", "lon"))[:] = FIELDS
    return "t.nc", "2021-06-03T11:00:00Z"


@pytest.mark.parametrize(
    ("parameter", "pixels", "options", "line"),
    [
        ("2 0", X * 5.0, "", '(called "winddirection"): taken for angles'),
        ("1 8", X * 0.1, "", '(its unit is "kg/(m^2)"): each value is repeated'),
        ("6 1", X * 1.7 + Y / 100, "", "is never below 0 or above 100: kept so"),
        ("0 0", X + 270.0, "--divide", '(its unit is "c") has no totals'),
    ],
    ids=["angles", "amounts", "shares", "temperatures"],
)
def test_grib_says_what_a_field_is(srx, parameter, pixels, options, line):
    place = from_origin(5, 60, 0.25, 0.25)
    write_by_gdal("a.tif", pixels, crs="EPSG:4326", transform=place)
    template = f"{parameter} 2 0 0 0 0 0 1 0 103 0 10 255 0 0"
    rasterio.shutil.copy(
        "a.tif",
        "a.grb2",
        driver="GRIB",
        PDS_PDTN=0,
        PDS_TEMPLATE_ASSEMBLED_VALUES=template,
    )
    result = srx(f"upscale a.grb2 b.tif -s 2 -m bicubic {options}", code=0)
    assert line in " ".join(result.err.split())


@pytest.mark.parametrize("write", [grib, netcdf])
def test_steps_and_quantities_are_no_colours_and_tell_the_time(srx, write):
    name, expected = write()
    result = srx(f"upscale {name} out.tif --stac", RUN, code=0)
    assert "red, green, blue" not in result.err
    assert time_of("out.stac.json") == expected
    with rasterio.open("out.tif") as out:
        assert "red" not in {colour.name for colour in out.colorinterp}
        assert out.count == 3


MTL = """GROUP = L1_METADATA_FILE
  GROUP = PRODUCT_METADATA
    SPACECRAFT_ID = "LANDSAT_8"
    DATE_ACQUIRED = 2021-06-03
    SCENE_CENTER_TIME = "10:15:16.1230000Z"
    REFLECTIVE_LINES = 40
  END_GROUP = PRODUCT_METADATA
END_GROUP = L1_METADATA_FILE
END
"""


def test_landsat_has_its_time_and_no_file_of_maxar(srx):
    scene = "LC08_L1TP_194026_20210603_20210608_01_T1"
    Path("in").mkdir()
    write_by_gdal(f"in/{scene}_B4.TIF", noise((40, 48), "uint16"), nodata=0, **PLACE)
    Path(f"in/{scene}_MTL.txt").write_text(MTL)
    srx("upscale in out --stac", RUN, code=0)
    assert names_in("out") == [f"{scene}_B4.TIF", f"{scene}_B4.stac.json"]
    assert time_of(f"out/{scene}_B4.stac.json") == "2021-06-03T10:15:16Z"
    with rasterio.open(f"out/{scene}_B4.TIF") as out:
        assert out.tags(ns="IMAGERY")["SATELLITEID"] == "LANDSAT_8"
        assert "1970" not in str(out.tags(ns="IMAGERY"))


NAMES = {
    "LC08_L2SP_194026_20210603_20210608_02_T1_SR_B4.TIF": "2021-06-03T10:15:16Z",
    "LC09_L2SP_194026_20220704_20220708_02_T1_ST_B10.TIF": "2022-07-04T00:00:00Z",
    "T32TNT_20210603T101559_B04_10m.tif": "2021-06-03T10:15:59Z",
    "S1A_IW_GRDH_1SDV_20200102T053000_20200102T053025_0.tif": "2020-01-02T05:30:00Z",
    "flight_20200102T053000.tif": "2001-09-09T01:46:40Z",  # that of the file
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_scenes_tell_when_they_were_taken(srx, name):
    write_by_gdal(name, noise((16, 16), "uint16"), nodata=0, **PLACE)
    os.utime(name, (1e9, 1e9))
    mtl = MTL.replace("L1_METADATA_FILE", "LANDSAT_METADATA_FILE")
    Path("LC08_L2SP_194026_20210603_20210608_02_T1_MTL.txt").write_text(mtl)
    srx("upscale", name, "out", "--stac", RUN, code=0)
    (item,) = Path("out").glob("*.json")
    assert time_of(item) == NAMES[name]


DIMAP = """<Dimap_Document>
<Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT>
</Metadata_Identification><Raster_Data><Data_Access><Data_Files>
<Data_File tile_R="1" tile_C="1"><DATA_FILE_PATH href="IMG_A.TIF"/></Data_File>
</Data_Files></Data_Access><Raster_Dimensions><NROWS>40</NROWS><NCOLS>48</NCOLS>
<NBANDS>1</NBANDS><Tile_Set><NTILES>1</NTILES></Tile_Set></Raster_Dimensions>
<Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN>
</Raster_Encoding></Raster_Data><Dataset_Sources><Source_Identification><Strip_Source>
<IMAGING_DATE>2013-05-06</IMAGING_DATE><IMAGING_TIME>10:11:12.0Z</IMAGING_TIME>
</Strip_Source></Source_Identification></Dataset_Sources></Dimap_Document>
"""


def test_a_scene_of_pleiades_knows_its_file_and_time(srx):
    write_by_gdal("IMG_A.TIF", noise((40, 48), "uint16"), **PLACE)
    Path("DIM_A.XML").write_text(f'<?xml version="1.0"?>{DIMAP}')
    srx("upscale DIM_A.XML out.tif --stac", RUN, code=0)
    assert time_of("out.stac.json") == "2013-05-06T10:11:12Z"
    with rasterio.open("out.tif") as out:
        assert "xml:dimap" not in out.tag_namespaces()
    again = srx("upscale DIM_A.XML IMG_A.TIF --overwrite", RUN, code=2)
    assert "is a part of it and would be overwritten" in again.err


def test_nitf_keeps_its_model_and_words_and_no_old_header(srx):
    zeros = [0] * 18
    model = RPC(
        height_off=500, height_scale=500, lat_off=47.8, lat_scale=0.01, line_off=20,
        line_scale=20, long_off=9, long_scale=0.01, samp_off=23, samp_scale=24,
        line_num_coeff=[0, 0, -1, *zeros[1:]], line_den_coeff=[1, 0, *zeros],
        samp_num_coeff=[0, 1, *zeros], samp_den_coeff=[1, 0, *zeros],
        err_bias=1, err_rand=1,
    )  # fmt: skip
    write_by_gdal("a.tif", noise((40, 48), "uint16") >> 5, rpcs=model)
    options = {"RPC00B": "YES", "FTITLE": "HELLO", "ABPP": "11"}
    rasterio.shutil.copy("a.tif", "a.ntf", driver="NITF", **options)
    srx("upscale a.ntf out.tif", RUN, code=0)
    with rasterio.open("out.tif") as out:
        assert (out.rpcs.line_off, out.rpcs.line_scale) == (40.5, 40)
        assert out.tags()["NITF_FTITLE"] == "HELLO"
        assert out.read().max() < 2048
        namespaces = set(out.tag_namespaces())
    assert namespaces.isdisjoint({"TRE", "xml:TRE", "NITF_METADATA", "CGM"})


@pytest.mark.parametrize("coordinates", ["none", "of each pixel", "uneven"])
def test_rows_of_netcdf_without_a_place_are_those_that_it_stores(srx, coordinates):
    with netcdf_file("a.nc", "w") as file:
        file.createDimension("downtrack", 40)
        file.createDimension("crosstrack", 48)
        axes = ("downtrack", "crosstrack")
        variable = file.createVariable("v", "f", axes)
        variable[:] = FIELDS[1]
        if coordinates == "of each pixel":
            variable.coordinates = "lon lat"
            for name, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
                swath = file.createVariable(name, "d", axes)
                swath[:] = FIELDS[1] + X / 50
                swath.units = units
        if coordinates == "uneven":
            for axis, units in zip(
                axes, ("degrees_north", "degrees_east"), strict=True
            ):
                values = file.createVariable(axis, "d", (axis,))
                values[:] = np.arange(values.shape[0]) ** 1.5
                values.units = units
    name = "a.nc" if coordinates == "none" else 'NETCDF:"a.nc":v'
    srx("upscale", name, "out.tif", RUN, code=0)
    with open_quietly("out.tif") as file:
        pixels = file.read(1)
    rows = pixels.reshape(40, 2, 48, 2).mean((1, 3))
    np.testing.assert_allclose(rows, FIELDS[1], atol=0.1)


CUBE_OF_HDF5 = (
    "c-rgqaB<`1lHy|K;9!7(|4^`>5yCfsipN|0`{M8662!z%!6byN5C*uI7=T*Xco={bW7%eyc^(W@18pU0cf"
    "d{nTEJ++z`(@J$Y=wV<AKtgP#TvwGY<o!0FY(^^8^@Jfv#re;sE-HnGxob1x8TCGZ+RfV2nIG0|38hFW&"
)
"""60x12x9 zeros by h5py 3.16.0: ``create_dataset("v", (60, 12, 9), "u2")``, zlib, base 85."""


@pytest.mark.parametrize(
    ("axes", "is_refused"),
    [
        ("y wavelength x", True),
        ("row column band", False),  # GDAL knows these names, and takes 9 bands
        ("wavelength y x", False),
        ("a b c", False),
        ("HDF5", True),  # which names no axes
    ],
)
def test_no_cube_is_enlarged_along_its_spectrum(srx, axes, is_refused):
    if axes == "HDF5":
        Path("a.h5").write_bytes(zlib.decompress(base64.b85decode(CUBE_OF_HDF5)))
    else:
        with netcdf_file("a.h5", "w") as file:
            for axis, length in zip(axes.split(), (60, 12, 9), strict=True):
                file.createDimension(axis, length)
            file.createVariable("v", "f", axes.split())[:] = noise((60, 12, 9))
    words = ["upscale", "a.h5", "-s", "2", "-m", "bicubic", "out.tif"]
    result = srx(*words, code=2 if is_refused else 0)
    line = "the first axis of the cube, 60 long, seems to be one of the map"
    assert (line in result.err) == is_refused
    if is_refused:
        srx(*words, "--bidx", "1,3", code=0)
