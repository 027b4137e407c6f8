"""GDAL reaches nothing but the files that belong to a raster."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio

from srcli.errors import PictureError
from srcli.imaging.rasters.access import OFFLINE
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.names import DatasetName, as_input
from srcli.imaging.reading import open_picture
from srcli.pipelines.upscale.options import Naming, RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.mosaics import RAW, SIMPLE, tiff, vrt

WMS = (
    '<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
    "<DataWindow><UpperLeftX>-20037508.34</UpperLeftX><UpperLeftY>20037508.34</UpperLeftY>"
    "<LowerRightX>20037508.34</LowerRightX><LowerRightY>-20037508.34</LowerRightY>"
    "<TileLevel>1</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
    "<YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>"
    "<BlockSizeX>8</BlockSizeX><BlockSizeY>8</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"
)


def enlarge(source, out, **options):
    given = UpscaleOptions(model="bicubic", scale=2, naming=Naming(recursive=True), **options)
    return upscale_files([source], out, given).files


def test_nothing_is_requested_unless_it_is_allowed(tmp_path, web, srx):
    url = web.url
    tiff(web.folder / "a.tif")
    walked = tmp_path / "in"
    walked.mkdir()
    vrt(walked / "a.vrt", SIMPLE, name=f"/vsicurl/{url}/a.tif")
    (walked / "b.vrt").write_text(WMS.format(url=url))
    vrt(walked / "c.vrt", SIMPLE, name=f"/vsizip//vsicurl/{url}/a.zip/a.tif")
    vrt(walked / "d.vrt", SIMPLE, name="wms.xml", place=1)
    (walked / "wms.xml").write_text(WMS.format(url=url))
    vrt(walked / "e.vrt", f'<A SourceFilename="{url}"/>')
    files = enlarge(walked, tmp_path / "out")
    assert [file.state for file in files] == ["failed"] * 5
    files = enlarge(walked, tmp_path / "out", raster=RasterOptions(bands=(1,)))
    assert ["reads" in file.error or "GDAL" in file.error for file in files] == [True] * 5
    for name in "abcde":
        done = srx("upscale", walked / f"{name}.vrt", tmp_path / f"{name}.tif", "-m", "bicubic")
        assert done.code == 2
    assert web.requests == []


def test_remote_files_are_read_by_windows_where_that_is_allowed(tmp_path, web):
    url = web.url
    tiff(web.folder / "a.tif")
    (file,) = enlarge(Path(f"{url}/a.tif"), tmp_path / "a.tif", allow_remote=True)
    assert (file.state, file.error) == ("done", "")
    place = "<GeoTransform>0, 2, 0, 0, 0, -2</GeoTransform>"
    source = vrt(tmp_path / "m.vrt", SIMPLE, name=f"/vsicurl/{url}/a.tif", head=place)
    (file,) = enlarge(source, tmp_path / "m.tif", allow_remote=True)
    assert file.state == "done"
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "m.tif") as two:
        assert (one.read() == 7).all()
        assert one.shape == two.shape == (16, 16)
        assert (two.read() == 7).all()
    assert web.requests


def test_gdal_itself_makes_no_request(tmp_path, web):
    """Where a name is overlooked, GDAL's options hold it back; but see ``no_proxy``."""
    url = web.url
    tiff(web.folder / "a.tif")
    with rasterio.Env(**OFFLINE):
        for name in (f"/vsicurl/{url}/a.tif", f"/vsicurl_streaming/{url}/a.tif", f"{url}/a.tif"):
            with pytest.raises(rasterio.RasterioIOError):
                rasterio.open(name)
    assert web.requests == []


@pytest.mark.parametrize(
    ("inner", "options"),
    [
        (SIMPLE, {"name": "../secret.tif", "place": 1}),
        (SIMPLE, {"name": "{folder}/secret.tif"}),
        (SIMPLE, {"name": "GTIFF_DIR:1:{folder}/secret.tif"}),
        (SIMPLE, {"name": "link.tif", "place": 1}),
        (SIMPLE, {"name": "inner.vrt", "place": 1}),
        (SIMPLE, {"name": "<VRTDataset/>".replace("<", "&lt;"), "place": 0}),
        ('<A SourceFilename="{folder}/secret.tif"/>', {}),
        (RAW, {"name": "{folder}/secret.tif", "kind": ' subClass="VRTRawRasterBand"'}),
        (SIMPLE, {"name": "words.txt", "place": 1}),
        (
            SIMPLE,
            {
                "name": "good.tif",
                "place": 1,
                "head": '<Metadata domain="GEOLOCATION"><MDI key="X">/etc/x</MDI></Metadata>',
            },
        ),
    ],
)
def test_walked_mosaics_read_nothing_outside_their_folder(tmp_path, inner, options):
    tiff(tmp_path / "secret.tif", 99)
    folder = tmp_path / "in"
    folder.mkdir()
    tiff(folder / "good.tif")
    (folder / "link.tif").symlink_to(tmp_path / "secret.tif")
    (folder / "words.txt").write_text("words")
    vrt(folder / "inner.vrt", SIMPLE, name="../secret.tif", place=1)
    where = str(tmp_path)
    options = {key: str(value).replace("{folder}", where) for key, value in options.items()}
    path = vrt(folder / "a.vrt", inner.replace("{folder}", where), **options)
    with pytest.raises(PictureError, match=r"a\.vrt: reads .*no picture in its own folder"):
        open_picture(path, confined=True)


def test_walked_mosaics_of_files_beside_them_are_read(tmp_path):
    folder = tmp_path / "in"
    (folder / "tiles").mkdir(parents=True)
    tiff(folder / "tiles" / "é.tif")
    about = "<Metadata><MDI key='A'>http://example.org/: words</MDI></Metadata><SRS>EPSG:3857</SRS>"
    vrt(folder / "a.vrt", SIMPLE, name="tiles/é.tif", place=1, head=about)
    vrt(folder / "b.vrt", SIMPLE, name=folder / "tiles" / "é.tif")
    vrt(folder / "c.vrt", SIMPLE, name="a.vrt", place=1)
    for name in "abc":
        assert open_picture(folder / f"{name}.vrt", confined=True).raster
        assert read_info(folder / f"{name}.vrt").height == 8


def test_named_mosaics_may_lie_anywhere_but_copy_no_bytes_from_there(tmp_path):
    tiff(tmp_path / "a.tif")
    folder = tmp_path / "in"
    folder.mkdir()
    assert open_picture(vrt(folder / "a.vrt", SIMPLE, name="../a.tif", place=1)).raster
    raw = {"name": tmp_path / "a.tif", "kind": ' subClass="VRTRawRasterBand"'}
    with pytest.raises(PictureError, match="raw bands as GeoTIFFs"):
        open_picture(vrt(folder / "b.vrt", RAW, **raw))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("https:/h/a.tif", "/vsicurl/https://h/a.tif"),
        ("/vsicurl/http:/h/a.tif", "/vsicurl/http://h/a.tif"),
        ("/vsis3/bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("/vsizip/vsicurl/https:/h/a.zip", "/vsizip/vsicurl/https://h/a.zip"),
    ],
)
def test_paths_get_the_slashes_of_urls_back(given, name):
    found = as_input(Path(given))
    assert isinstance(found, DatasetName)
    assert found.gdal == name
