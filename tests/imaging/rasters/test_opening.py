"""Which files are rasters, and that GDAL reaches nothing but the files that belong to one."""

from __future__ import annotations

import warnings
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.files.formats import RASTER_SUFFIXES
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs import tiff_header
from srcli.imaging.rasters import dataset_names
from srcli.imaging.rasters.gdal_access import OFFLINE, reading_errors
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.opening import open_raster
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.mosaics import RAW, SIMPLE, tiff, vrt

NOWHERE = {"crs": None, "transform": None}
WORLD = "2\n0\n0\n-2\n100\n500\n"
WMS = (
    '<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
    "<DataWindow><UpperLeftX>-20037508.34</UpperLeftX><UpperLeftY>20037508.34</UpperLeftY>"
    "<LowerRightX>20037508.34</LowerRightX><LowerRightY>-20037508.34</LowerRightY>"
    "<TileLevel>1</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
    "<YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>"
    "<BlockSizeX>8</BlockSizeX><BlockSizeY>8</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"
)


def test_names_on_windows(monkeypatch):
    """Outputs belong into the folder that is asked for, not beside the file that holds them."""

    class WindowsPath(PureWindowsPath):
        exists = is_file = lambda self: str(self).startswith("C:\\data")

    with monkeypatch.context() as patched:
        patched.setattr(dataset_names, "Path", WindowsPath)
        for text in (r'NETCDF:"C:\data\a.nc":band', r"NETCDF:C:\data\a.nc:band"):
            name = dataset_names.DatasetName(text)
            assert (name.stem, str(name.container)) == ("a_band", r"C:\data\a.nc")
        inside = dataset_names.DatasetName(r"/vsizip/C:\data\a.zip/in/b.tif")
        assert (inside.stem, inside.suffix) == ("b", ".tif")
        patched.setattr("os.name", "nt")
        listed = dataset_names.for_shell([r"C:\my data\a.nc", "b"])
    assert listed == r'"C:\my data\a.nc" b'  # to cmd.exe, ' is a part of the name


def raster_reason(path):
    return open_picture(path).raster


@pytest.mark.parametrize("name", ["a.tif", "a?b.tif", "zip:a!b.tif", "ü ö%20.tif"])
def test_any_name_is_a_file_and_no_address(save, noise, name):
    path = save(name, noise((6, 7)), **NOWHERE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as file:
            assert file.shape == (6, 7)


def test_what_gdal_says_is_told_and_not_printed(save, noise, capfd):
    path = save("a.tif", noise((60, 70)), compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[:-2000] + bytes(1000) + content[-1000:])
    with (
        open_raster(path) as file,
        pytest.raises(PictureError, match=r"a.tif.*(scanline|Block|Decode)"),
        reading_errors(path, "rows cannot be read"),
    ):
        file.read()
    assert capfd.readouterr() == ("", "")


def test_a_mosaic_of_mosaics_names_all_files_once(tmp_path):
    source = {"inner": SIMPLE, "relative": 1}
    tiff(tmp_path / "leaf.tif")
    vrt(tmp_path / "mid.vrt", name="leaf.tif", **source)
    top = vrt(tmp_path / "top.vrt", name="mid.vrt", **source)
    files = [Path(name).name for name in read_info(top).files]
    assert files == ["top.vrt", "mid.vrt", "leaf.tif"]
    vrt(tmp_path / "mid.vrt", name="top.vrt", **source)
    with pytest.raises(
        PictureError, match=r"top.vrt: is made of itself, by way of \S+"
    ):
        read_info(top)


@pytest.mark.parametrize(
    ("shape", "dtype", "profile", "words"),
    [
        ((6, 7), "uint8", {}, "GeoTIFF"),
        ((6, 7), "uint8", {"BIGTIFF": "YES"}, "GeoTIFF"),
        ((6, 7), "uint8", {"ENDIANNESS": "BIG"}, "GeoTIFF"),
        ((6, 7), "uint8", {"crs": None}, "GeoTIFF"),
        ((6, 7), "uint8", {**NOWHERE, "nodata": 0}, "nodata"),
        ((6, 7, 5), "uint8", NOWHERE, "5 band"),
        ((6, 7, 3), "uint16", {**NOWHERE, "photometric": "minisblack"}, "3 band"),
        ((6, 7), "int16", NOWHERE, "16 bits"),
        ((6, 7), "int8", NOWHERE, "8 bits"),
        ((6, 7), "float64", NOWHERE, "64-bit"),
        ((6, 7), "uint8", NOWHERE, None),
        ((6, 7), "uint16", NOWHERE, None),
        ((6, 7), "float32", NOWHERE, "one band of floats"),
        ((6, 7, 3), "uint16", {**NOWHERE, "photometric": "rgb"}, None),
        ((6, 7, 4), "uint8", {**NOWHERE, "photometric": "rgb"}, None),
        ((6, 7, 4), "uint8", {**NOWHERE, "photometric": "rgb", "alpha": "yes"}, None),
        ((6, 7, 2), "uint8", {**NOWHERE, "alpha": "yes"}, None),
    ],
)
def test_tiffs_by_their_tags(save, noise, shape, dtype, profile, words):
    path = save("a.tif", noise(shape, dtype), **profile)
    reason = raster_reason(path)
    if words is None:
        assert reason is None
    else:
        assert words in str(reason)
        assert read_info(path).height == 6


def test_tags_of_gdal_and_masks_among_the_pages_are_signs(save, noise, tmp_path):
    path = save(
        "a.tif", noise((6, 7)), then=lambda f: f.update_tags(1, kind="model"), **NOWHERE
    )
    assert raster_reason(path) == "GDAL's tags"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = save(
            "a.tif",
            noise((6, 7)),
            then=lambda f: f.write_mask(np.eye(6, 7) > 0),
            **NOWHERE,
        )
    assert raster_reason(path) == "a mask of valid pixels"
    pages = tmp_path / "pages.tif"
    with tifffile.TiffWriter(pages) as writer:
        for _ in range(3):
            writer.write(np.zeros((6, 7), np.uint8))
    assert raster_reason(pages) is None


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("form", ["short", "long", "wld", "upper"])
def test_a_world_file_beside_a_picture(tmp_path, name, form):
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(name, name.lower())
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (7, 6)).save(path, name)
    assert raster_reason(path) is None
    short = f"{suffix[0]}{suffix[-1]}w"
    world = {
        "short": short,
        "long": f"{suffix}w",
        "wld": "wld",
        "upper": short.upper(),
    }[form]
    path.with_suffix(f".{world}").write_text("no numbers")
    assert raster_reason(path) is None
    path.with_suffix(f".{world}").write_text(WORLD)
    assert raster_reason(path) == "a place on the map, by a file beside it"
    assert read_info(path).georeference["transform"]


def sensor_model():
    """A model of a sensor as text: a name and a number in each line."""
    names = []
    for axis in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT"):
        names += [f"{axis}_OFF", f"{axis}_SCALE"]
    for polynomial in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"):
        names += [f"{polynomial}_COEFF_{term}" for term in range(1, 21)]
    return "".join(f"{name}: {number}\n" for number, name in enumerate(names, 1))


SENSOR = sensor_model()
PLACE = "<GeoTransform>100,2,0,500,0,-2</GeoTransform>"
NODATA = '<PAMRasterBand band="1"><NoDataValue>0</NoDataValue></PAMRasterBand>'
TABLE = """!table
Definition Table
  File "a.tif"
  Type "RASTER"
  (100,500) (0,0) Label "A",
  (114,500) (7,0) Label "B",
  (100,488) (0,6) Label "C"
  CoordSys Earth Projection 1, 0
"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a_RPC.TXT", SENSOR, "a place"),
        ("a.tab", TABLE, "a place"),
        ("a.tif.aux.xml", f"<PAMDataset>{PLACE}</PAMDataset>", "a place"),
        ("a.tif.aux.xml", f"<PAMDataset>{NODATA}</PAMDataset>", "a nodata value"),
        ("a.tab", "name\tprice\n", None),
        ("a.RPB", "notes", None),
        ("a.tif.aux.xml", "<PAMDataset><Metadata/></PAMDataset>", None),
    ],
)
def test_other_files_beside_a_picture(tmp_path, name, text, words):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((6, 7), np.uint8))
    (tmp_path / name).write_text(text)
    reason = raster_reason(path)
    assert reason is None if words is None else words in str(reason)


def test_a_mask_beside_a_picture(save, noise):
    mask = np.eye(6, 7, dtype=bool)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        path = save(
            "a.tif", noise((6, 7)), then=lambda file: file.write_mask(mask), **NOWHERE
        )
    assert raster_reason(path) == "a mask of valid pixels, by a file beside it"


@pytest.mark.parametrize(
    ("name", "driver"), [("a.img", "HFA"), ("a.jp2", "JP2OpenJPEG"), ("a.bil", "EHdr")]
)
def test_formats_of_gdal(save, noise, name, driver):
    path = save(name, noise((6, 7)), driver=driver)
    assert raster_reason(path) == f"a format of GDAL ({driver})"
    assert path.suffix in RASTER_SUFFIXES


def test_sizes_beyond_photographs(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8))
    assert raster_reason(path) is None
    monkeypatch.setattr(tiff_header, "LARGEST_AREA", 1999)
    assert raster_reason(path) == "more pixels than a photograph"


def test_gdal_says_why_a_damaged_raster_is_none(tmp_path):
    for name in ("a.jp2", "a.vrt"):
        (tmp_path / name).write_text("damaged")
        with pytest.raises(PictureError, match=f"{name}: GDAL cannot open it"):
            open_picture(tmp_path / name)
    (tmp_path / "a.xyz").write_text("words")
    with pytest.raises(PictureError, match="not a picture"):
        open_picture(tmp_path / "a.xyz")


def test_the_longest_names_are_photographs_too(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    Image.new("RGB", (7, 6)).save(path)
    assert raster_reason(path) is None


def enlarge(source, out, **options):
    settings = settle(Asked(model="bicubic", scale=2, recursive=True, **options))
    return upscale_files([source], out, settings).files


def test_nothing_is_requested_unless_it_is_allowed(tmp_path, web, srx):
    url = web.url
    tiff(web.folder / "web.tif")
    vrt(tmp_path / "a.vrt", SIMPLE, name=f"/vsicurl/{url}/web.tif")
    (tmp_path / "b.vrt").write_text(WMS.format(url=url))
    vrt(tmp_path / "c.vrt", SIMPLE, name=f"/vsizip//vsicurl/{url}/a.zip/a.tif")
    vrt(tmp_path / "d.vrt", SIMPLE, name="wms.xml", relative=1)
    (tmp_path / "wms.xml").write_text(WMS.format(url=url))
    vrt(tmp_path / "e.vrt", SIMPLE, name="a.vrt", relative=1)
    for name in "abcde":
        result = srx(
            "upscale",
            tmp_path / f"{name}.vrt",
            tmp_path / f"{name}.tif",
            "-m bicubic",
            code=2,
        )
        assert ("--allow-remote" in result.err) == (name in "ace")
    assert web.requests == []


def test_gdal_itself_makes_no_request(web):
    """Where a name is overlooked, GDAL's options hold it back; but see ``no_proxy``."""
    url = web.url
    tiff(web.folder / "web.tif")
    with rasterio.Env(**OFFLINE):
        for name in (
            f"/vsicurl/{url}/web.tif",
            f"/vsicurl_streaming/{url}/web.tif",
            f"{url}/web.tif",
        ):
            with pytest.raises(rasterio.RasterioIOError):
                rasterio.open(name)
    assert web.requests == []


def test_a_search_takes_no_rasters_made_of_other_files(tmp_path):
    tiff(tmp_path / "secret.tif", 99)
    folder = tmp_path / "in"
    folder.mkdir()
    tiff(folder / "good.tif")
    vrt(folder / "a.vrt", SIMPLE, name="../secret.tif", relative=1)
    (folder / "disguised.tif").write_bytes((folder / "a.vrt").read_bytes())
    (folder / "disguised.jp2").write_bytes((folder / "a.vrt").read_bytes())
    options = settle(Asked(model="bicubic", scale=2))
    summary = upscale_files([folder], tmp_path / "out", options)
    states = {file.source.name: file.state for file in summary.files}
    assert states == {
        "good.tif": "done",
        "disguised.tif": "failed",
        "disguised.jp2": "failed",
    }
    (file,) = enlarge(folder / "a.vrt", tmp_path / "a.tif")  # named
    assert file.state == "done"


@pytest.mark.posix
@pytest.mark.parametrize("name", ["../a.tif", "{folder}/a.tif", "link.tif"])
def test_named_mosaics_may_lie_anywhere_but_copy_no_bytes_from_there(tmp_path, name):
    tiff(tmp_path / "a.tif")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.tif").symlink_to(tmp_path / "a.tif")
    tiff(folder / "beside.tif")
    about = "<Metadata><MDI key='A'>http://example.org/: words</MDI></Metadata><SRS>EPSG:3857</SRS>"
    path = vrt(folder / "a.vrt", SIMPLE, name="../a.tif", relative=1, head=about)
    assert open_picture(path).raster
    raw = {
        "relative": int("{" not in name),
        "attributes": ' subClass="VRTRawRasterBand"',
    }
    bad = vrt(folder / "b.vrt", RAW, name=name.format(folder=tmp_path), **raw)
    outer = vrt(folder / "c.vrt", SIMPLE, name="b.vrt", relative=1)
    for path in (bad, outer):
        with pytest.raises(PictureError, match="copies bytes of other files"):
            read_info(path)
    assert (
        read_info(
            vrt(folder / "b.vrt", RAW, name="beside.tif", **raw | {"relative": 1})
        ).height
        == 8
    )
