"""Inputs by GDAL's names: in containers, archives, Sentinel products, on the network."""

from __future__ import annotations

import gzip
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from scipy.io import netcdf_file

from srcli.cli.main import run
from tests.fixtures.files import names_in
from tests.fixtures.mosaics import RAW, SIMPLE, tiff, vrt
from tests.fixtures.photographs import read_by_gdal, write_by_gdal
from tests.fixtures.pictures import turned_exif

PRODUCT = "S2A_MSIL1C_20170102T111442_N0204_R137_T32TQR_20170102T111441"
GRANULE = "GRANULE/L1C_T32TQR_A007999_20170102T111441"
USER_PRODUCT = (
    '<n1:Level-1C_User_Product xmlns:n1="https://x/User_Product_Level-1C.xsd"><n1:General_Info>'
    "<Product_Info><Query_Options><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>"
    "<Product_Organisation><Granule_List><Granule><IMAGE_FILE>{image}B02</IMAGE_FILE></Granule>"
    "</Granule_List></Product_Organisation></Product_Info><Product_Image_Characteristics>"
    "<QUANTIFICATION_VALUE>10000</QUANTIFICATION_VALUE><Radiometric_Offset_List>{offsets}"
    "</Radiometric_Offset_List></Product_Image_Characteristics></n1:General_Info>"
    "</n1:Level-1C_User_Product>"
)
TILE = (
    '<n1:Level-1C_Tile_ID xmlns:n1="x"><n1:Geometric_Info><Tile_Geocoding>'
    "<HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>{sizes}"
    "</Tile_Geocoding></n1:Geometric_Info></n1:Level-1C_Tile_ID>"
)
SIZE = (
    '<Size resolution="{0}"><NROWS>{1}</NROWS><NCOLS>{1}</NCOLS></Size><Geoposition '
    'resolution="{0}"><ULX>600000</ULX><ULY>5100000</ULY></Geoposition>'
)


@pytest.fixture
def upscale(srx):
    return lambda *words, **code: srx("upscale", *words, "-m bicubic -s 2", **code)


def pixels(path):
    return np.moveaxis(read_by_gdal(path), 2, 0)


def netcdf(path, **variables):
    """Write a classic NetCDF file of 8x8 pixels for each variable, all of one value."""
    with netcdf_file(path, "w") as file:
        file.createDimension("y", 8)
        file.createDimension("x", 8)
        for name, value in variables.items():
            file.createVariable(name, "i2", ("y", "x"))[:] = np.full((8, 8), value)


def zipped(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            archive.write(file, name.replace("__", "/").replace("_", "."))


def product(folder, empty=0):
    """Write a Sentinel-2 product of 24x24 pixels at 10 m: blue 1000, green 2000, red 3000 ...

    Its bands of 20 m have 12x12 pixels of 5000 to 10000. All are to be shifted by -1000.
    The first columns of the bands lie beside the swath and are ``empty``.
    """
    image = f"{GRANULE}/IMG_DATA/T32TQR_20170102T111442_"
    (folder / image).parent.mkdir(parents=True)
    offsets = ""
    for index in range(13):
        offsets += f'<RADIO_ADD_OFFSET band_id="{index}">-1000</RADIO_ADD_OFFSET>'
    header = USER_PRODUCT.format(image=image, offsets=offsets)
    (folder / "MTD_MSIL1C.xml").write_text(header)
    sizes = "".join(SIZE.format(metres, 240 // metres) for metres in (10, 20, 60))
    (folder / GRANULE / "MTD_TL.xml").write_text(TILE.format(sizes=sizes))
    bands = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")
    for index, band in enumerate(bands):
        metres = 10 if index < 4 else 20
        pixels = np.full((240 // metres, 240 // metres), 1000 * (index + 1), np.uint16)
        pixels[:, :empty] = 0
        transform = rasterio.Affine(metres, 0, 600000, 0, -metres, 5100000)
        write_by_gdal(
            folder / f"{image}{band}.jp2",
            pixels,
            "JP2OpenJPEG",
            crs="EPSG:32632",
            transform=transform,
            QUALITY="100",
            REVERSIBLE="YES",
        )


def listed(result):
    """Names that a message lists, as a shell reads them."""
    return shlex.split(result.err.partition("instead: ")[2].partition("\n")[0])


def test_a_container_of_several_rasters_lists_them_and_leaves_the_others_alone(
    tmp_path, upscale
):
    netcdf("a.nc", band=5, other=7)
    for name in ("good1.tif", "good2.tif"):
        tiff(tmp_path / name)
    result = upscale("good1.tif", "a.nc", "good2.tif", "out", code=1)
    assert listed(result) == ['NETCDF:"a.nc":band', 'NETCDF:"a.nc":other']
    assert names_in("out") == ["good1.tif", "good2.tif"]
    result = upscale(*listed(result), "out", code=0)  # as pasted
    assert (pixels("out/a_band.tif") == 5).all()
    assert (pixels("out/a_other.tif") == 7).all()


def test_hdf5_is_a_container_as_well(upscale):
    netcdf("a.nc", one=5)
    rasterio.shutil.copy("a.nc", "two.nc", driver="netCDF", FORMAT="NC4")
    Path("two.nc").rename("a.h5")
    upscale('HDF5:"a.h5"://one', "out", code=0)
    assert (pixels("out/a_one.tif") == 5).all()


@pytest.mark.parametrize(
    ("name", "result"),
    [
        # as a shell leaves it without quotes around it
        ("NETCDF:a.nc:other", "a_other.tif"),
        ("/vsizip/a.zip/b.tif", "b.tif"),
        ("/vsizip/{folder}/a.zip/in/c.tif", "c.tif"),
        ("zip://a.zip!in/c.tif", "c.tif"),
        ("zip://{folder}/a.zip!/b.tif", "b.tif"),
        ("/vsigzip/b.tif.gz", "b.tif"),
        ("GTIFF_DIR:1:b.tif", "b_1.tif"),
        ("file://{folder}/b.tif", "b.tif"),
        ("/vsisubfile/5_{length},a.tortilla", "a_5.tif"),
        ("/vsisubfile/5_{length},{folder}/a.tortilla", "a_5.tif"),
    ],
)
@pytest.mark.parametrize("target", ["out", "out/named.tif"])
def test_names_of_rasters_in_files(tmp_path, upscale, name, result, target):
    netcdf("a.nc", band=5, other=7)
    tiff("b.tif")
    zipped("a.zip", b_tif="b.tif", in__c_tif="b.tif")
    sample = Path("b.tif").read_bytes()
    Path("b.tif.gz").write_bytes(gzip.compress(sample))
    Path("a.tortilla").write_bytes(b"start" + sample + b"end")
    before = {*tmp_path.iterdir()}
    upscale(name.format(folder=tmp_path, length=len(sample)), target, code=0)
    file = tmp_path / "out" / (result if target == "out" else "named.tif")
    assert (pixels(file) == 7).all()
    assert pixels(file).shape == (1, 16, 16)
    assert {*tmp_path.iterdir()} - before == {
        tmp_path / "out"
    }  # nothing is written beside the input


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ('NETCDF:"a.nc":none', "give a.nc itself to see what it holds"),
        ("/vsizip/a.zip/none.tif", "give a.zip itself to see what it holds"),
        ("/vsigzip/b.tif", "a part of it is missing: copy or export it again"),
        (
            "a.zip",
            "is an archive; name a picture in it instead: /vsizip/a.zip/in/c.tif",
        ),
        ('NETCDF:"none.nc":band', "no such file or folder"),
        ("/vsistdin/", "no such file or folder"),
        ("photo:1.jpg", "no such file or folder"),
        ("/vsizip/a.zip/m.vrt", "GDAL cannot open it"),
        ("/vsizip/a.zip/turned.jpg", "EXIF rotates this photograph"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--bidx 1"]])
def test_names_that_are_refused_say_why(upscale, name, words, options):
    netcdf("a.nc", band=5, other=7)
    tiff("b.tif")
    Path("secret").write_bytes(bytes(64))
    vrt("m.vrt", RAW, name="secret", attributes=' subClass="VRTRawRasterBand"')
    exif = turned_exif(6)
    Image.new("RGB", (8, 8)).save("turned.jpg", exif=exif)
    zipped("a.zip", m_vrt="m.vrt", in__c_tif="b.tif", turned_jpg="turned.jpg")
    result = upscale(name, "out", *options, code=2)
    assert words in result.err
    assert len(result.err.splitlines()) <= 2


def test_parts_of_one_raster_are_not_taken_for_another(tmp_path, upscale, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    def leave_parts(name):
        with monkeypatch.context() as patch:
            patch.setattr("srcli.pipelines.upscale.rasters.publish", interrupt)
            upscale(name, "-o o.tif", options, code=130)
        assert list(tmp_path.glob(".o.tif.parts/part-*"))

    netcdf("a.nc", band=5, other=7)
    options = "--overwrite --range 0,20"  # which else tells them apart
    for value in (5, 9):
        tiff("b.tif", value)
        zipped("a.zip", b_tif="b.tif")
        if value == 5:
            leave_parts("/vsizip/a.zip/b.tif")
    for name, value in (("/vsizip/a.zip/b.tif", 9), ("NETCDF:a.nc:other", 7)):
        upscale(name, "-o o.tif", options, code=0)
        assert (pixels("o.tif") == value).all()
        leave_parts("NETCDF:a.nc:band")


def test_a_sentinel_product_as_folder_and_zip(tmp_path, upscale):
    folder = tmp_path / "in" / f"{PRODUCT}.SAFE"
    product(folder)
    with zipfile.ZipFile(f"{PRODUCT}.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    for path in (f"in/{PRODUCT}.SAFE", f"in/{PRODUCT}.SAFE/", f"{PRODUCT}.zip"):
        result = upscale(path, "-r out --overwrite", code=0)
        assert "its bands of 10 m are enlarged" in result.err
        names = listed(result)
        assert [name.split(":")[-2] for name in names] == ["20m", "60m", "TCI"]
        upscale(names[0].replace(":20m:", ":10m:"), "out", "--overwrite", code=0)
        for name in (PRODUCT, f"{PRODUCT}_10m_EPSG_32632"):
            values = pixels(f"out/{name}.tif")
            assert values.shape == (4, 48, 48)
            assert values.mean((1, 2)).tolist() == [3000, 2000, 1000, 4000]


def test_values_of_a_sentinel_product_mean_in_the_result_what_they_did(upscale):
    product(Path(f"{PRODUCT}.SAFE"), empty=9)
    result = upscale(f"{PRODUCT}.SAFE", "out", code=0)
    assert "holds 0 where it has no data, as all of Sentinel-2" in result.err
    with rasterio.open(f"out/{PRODUCT}.tif") as larger:
        assert larger.nodata == 0
        assert larger.tags()["QUANTIFICATION_VALUE"] == "10000"
        for number in larger.indexes:
            assert larger.tags(number)["RADIO_ADD_OFFSET"] == "-1000"
        values = larger.read()
    assert not values[:, :, :18].any()
    assert values[:, :, 18:].mean((1, 2)).tolist() == [3000, 2000, 1000, 4000]


def test_bands_of_20_metres_come_to_lie_on_those_of_10(upscale):
    product(Path(f"{PRODUCT}.SAFE"))
    at_20 = listed(upscale(f"{PRODUCT}.SAFE", "out"))[0]
    at_10 = at_20.replace(":20m:", ":10m:")
    assert "bands of 10 m" not in upscale(at_20, "out", code=0).err
    with (
        rasterio.open(at_10) as reference,
        rasterio.open(f"out/{PRODUCT}_20m_EPSG_32632.tif") as larger,
    ):
        assert larger.shape == reference.shape
        assert larger.transform == reference.transform
        assert larger.read().mean((1, 2)).tolist() == [
            5000,
            6000,
            7000,
            8000,
            9000,
            10000,
        ]


def test_a_search_leaves_containers_archives_and_products_alone(upscale):
    product(Path("in", f"{PRODUCT}.SAFE"))
    netcdf("in/a.nc", band=5, other=7)
    tiff("in/b.tif")
    zipped("in/a.zip", c_tif="in/b.tif")
    result = upscale("in", "out", "-r", code=0)
    assert f"in/{PRODUCT}.SAFE: a Sentinel product, left out" in result.err
    assert names_in("out") == ["b.tif"]


@pytest.mark.parametrize(
    "name",
    [
        "s3://bucket/a.tif",
        "/vsis3/bucket/a.tif",
        "{url}/bucket/a.tif",
        "/vsizip//vsicurl/{url}/bucket/a.zip/b.tif",
        "zip+{url}/bucket/a.zip!b.tif",
        "/vsizip/{{/vsicurl/{url}/bucket/a.zip}}/b.tif",
    ],
)
def test_the_network_is_used_where_it_is_allowed_only(upscale, web_as_s3, name):
    web = web_as_s3
    bucket = web.folder / "bucket"
    bucket.mkdir(exist_ok=True)
    tiff(bucket / "a.tif")
    zipped(bucket / "a.zip", b_tif=bucket / "a.tif")
    name = name.format(url=web.url)
    assert "--allow-remote" in upscale(name, "out", code=2).err
    assert web.requests == []
    upscale(name, "out", "--allow-remote", code=0)
    (file,) = Path("out").iterdir()
    assert file.name == ("b.tif" if "zip" in name else "a.tif")
    assert (pixels(file) == 7).all()


@pytest.mark.parametrize(
    "name", ['NETCDF:"{url}/a.nc":b', "NETCDF:{url}/a.nc:b", "zip://{url}/a!b"]
)
def test_no_name_hides_the_network(upscale, web, name):
    assert "--allow-remote" in upscale(name.format(url=web.url), "out", code=2).err
    assert web.requests == []


def test_a_mosaic_in_an_archive_reaches_no_network(upscale, web):
    tiff(web.folder / "a.tif")
    vrt("m.vrt", SIMPLE, name=f"/vsicurl/{web.url}/a.tif")
    zipped("a.zip", m_vrt="m.vrt")
    upscale("/vsizip/a.zip/m.vrt", "out", code=2)
    assert web.requests == []


def test_a_remote_mosaic_copies_no_local_bytes(tmp_path, upscale, web):
    Path("secret").write_bytes(bytes(64))
    raw = {"name": tmp_path / "secret", "attributes": ' subClass="VRTRawRasterBand"'}
    vrt(web.folder / "raw.vrt", RAW, **raw)
    tiff(web.folder / "a.tif")
    vrt(
        web.folder / "m.vrt",
        SIMPLE,
        name="a.tif",
        relative=1,
        head="<SRS>EPSG:3857</SRS>",
    )
    result = upscale(f"{web.url}/raw.vrt", f"{web.url}/m.vrt", "out", "--allow-remote")
    assert "raw.vrt: copies bytes of other files" in result.err
    assert names_in("out") == ["m.tif"]


@pytest.mark.parametrize("options", [[], ["--bidx 1"]])
@pytest.mark.parametrize("name", ["a.hdf", 'HDF4_SDS:"a.hdf":0'])
def test_a_missing_driver_is_named(upscale, monkeypatch, name, options):
    Path("a.hdf").write_bytes(b"\x0e\x03\x13\x01" + bytes(40))
    with rasterio.Env() as env:
        drivers = tuple(
            driver for driver in env.drivers() if not driver.startswith("HDF4")
        )
    monkeypatch.setattr(
        "srcli.imaging.rasters.opening.allowed_drivers", lambda **_: drivers
    )
    result = upscale(name, "out", *options, code=2)
    assert f"{name}: this GDAL has no driver for HDF4" in result.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-co", "COMPRESS=JPEG"], "BitsPerSample 16 not allowed for JPEG"),
        (["-co", "COMPRESS=JPEG", "--cog"], "BitsPerSample 16 not allowed for JPEG"),
        (["-co", "COMPRESS=CCITTFAX4"], "Bits/sample must be 1"),
        (["-co", "COMPRESS=LZW", "-co", "PREDICTOR=3"], "only supported with Float32"),
    ],
)
def test_gdal_says_its_reason_in_our_line_only(capfd, options, reason):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    transform = rasterio.Affine(2, 0, 0, 0, -2, 0)
    write_by_gdal("a.tif", values, crs="EPSG:3857", transform=transform)
    words = [*["upscale", "a.tif", "out", "-m", "bicubic", "-s", "2", "-q"], *options]
    capfd.readouterr()
    code = run(words)
    printed = capfd.readouterr().err  # of the descriptor, to which GDAL writes
    assert code == 2
    assert len(printed.splitlines()) == 1, printed
    assert reason in printed
