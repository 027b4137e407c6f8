"""A mosaic is followed by what its sources are, and copies bytes of no file outside its folder."""

from __future__ import annotations

import html
import os
import struct
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.mosaics import RAW, SIMPLE, tiff, vrt
from tests.fixtures.photographs import read_by_gdal

WORDS = "-m bicubic -s 2"
KIND = ' subClass="VRTRawRasterBand"'
WARPED = """<VRTDataset rasterXSize="8" rasterYSize="8" subClass="VRTWarpedDataset">
<VRTRasterBand dataType="Byte" band="1" subClass="VRTWarpedRasterBand"/><BlockXSize>8</BlockXSize>
<BlockYSize>8</BlockYSize><GDALWarpOptions><SourceDataset relativeToVRT="1">inner.dat
</SourceDataset><Transformer><GenImgProjTransformer><SrcGeoTransform>0,1,0,0,0,-1
</SrcGeoTransform><SrcInvGeoTransform>0,1,0,0,0,-1</SrcInvGeoTransform><DstGeoTransform>0,1,0,0,0,-1
</DstGeoTransform><DstInvGeoTransform>0,1,0,0,0,-1</DstInvGeoTransform></GenImgProjTransformer>
</Transformer><BandList><BandMapping src="1" dst="1"/></BandList></GDALWarpOptions>
</VRTDataset>""".replace("\n", "")
MRF = """<MRF_META><Raster><Size x="8" y="8" c="1"/><PageSize x="8" y="8" c="1"/><Compression>NONE
</Compression><DataFile>{name}</DataFile><IndexFile>a.idx</IndexFile><DataType>Byte</DataType>
</Raster></MRF_META>""".replace("\n", "")
REFUSED = "copies bytes of other files; give a mosaic of GeoTIFFs"


@pytest.fixture
def folder(tmp_path):
    """A folder beside a secret, with a mosaic of its bytes that has no mosaic's name."""
    Path("secret").write_bytes(b"secret! " * 8)
    folder = tmp_path / "in"
    folder.mkdir()
    vrt(folder / "inner.dat", RAW, attributes=KIND, name="secret")
    return folder


def way(folder, name):
    """Make a mosaic that leads to the inner one in one of the ways that there are."""
    path = folder / "a.vrt"
    inner = folder / "inner.dat"
    if name == "warped":
        path.write_text(WARPED)
        return path
    if name == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.write(inner, "inner.dat")
    if name == "deep":
        vrt(folder / "second.tif", SIMPLE, name="inner.dat", relative=1)
    source = {
        "other name": "inner.dat",
        "prefix": f"vrt://{inner}?bands=1",
        "zip": f"/vsizip/{folder}/a.zip/inner.dat",
        "text": html.escape(inner.read_text()),
        "deep": "second.tif",
    }[name]
    beside = int(name in ("other name", "deep"))
    return vrt(path, SIMPLE, name=source, relative=beside)


@pytest.mark.parametrize(
    "name", ["other name", "prefix", "zip", "text", "deep", "warped"]
)
def test_raw_bands_are_refused_however_they_are_reached(srx, folder, name):
    result = srx("upscale", way(folder, name), folder / "b.tif", WORDS, code=2)
    # of a warped mosaic GDAL 3.12 says no more than that its source is not opened
    reasons = (f"a.vrt: {REFUSED}", "a.vrt: GDAL cannot open it (GDALWarpOptions")
    assert any(reason in result.err for reason in reasons)
    assert not (folder / "b.tif").exists()


@pytest.mark.parametrize("tag", ["Overview", "MaskBand"])
def test_overviews_and_masks_are_followed(srx, folder, tag):
    source = (
        "<SourceFilename relativeToVRT='1'>inner.dat</SourceFilename>"
        "<SourceBand>1</SourceBand>"
    )
    tiff(folder / "leaf.tif")
    inner = f"{SIMPLE}<{tag}>{source}</{tag}>"
    if tag == "MaskBand":
        band = f"<VRTRasterBand dataType='Byte'>{SIMPLE}</VRTRasterBand>"
        inner = f"{SIMPLE}<MaskBand>{band}</MaskBand>"
        inner = inner.replace("{name}", "inner.dat").replace("inner.dat", "leaf.tif", 1)
    path = vrt(folder / "a.vrt", inner, name="leaf.tif", relative=1)
    result = srx(f"upscale {path}", folder / "b.tif", WORDS, code=2)
    assert f"a.vrt: {REFUSED}" in result.err


def test_an_mrf_reads_no_pixels_from_elsewhere(srx, folder):
    (folder / "a.idx").write_bytes(struct.pack(">QQ", 0, 64))
    (folder / "a.mrf").write_text(MRF.format(name=folder.parent / "secret"))
    path = vrt(folder / "a.vrt", SIMPLE, name="a.mrf", relative=1)
    for mosaic in (folder / "a.mrf", path):
        result = srx("upscale", mosaic, folder / "b.tif", WORDS, code=2)
        assert f"{mosaic}: {REFUSED}" in result.err


def test_a_raw_band_in_its_own_folder_is_read(srx, folder):
    (folder / "pixels").write_bytes(bytes(range(64)))
    vrt(folder / "inner.dat", RAW, attributes=KIND, name="pixels", relative=1)
    path = vrt(folder / "a.vrt", SIMPLE, name="inner.dat", relative=1)
    srx(f"upscale {path}", folder / "b.tif", WORDS, "--classes yes", code=0)
    assert read_by_gdal(folder / "b.tif")[::2, ::2].ravel().tolist() == [*range(64)]


def test_a_mosaic_of_itself_ends_in_a_line(srx, folder):
    vrt(folder / "second.dat", SIMPLE, name="a.vrt", relative=1)
    path = vrt(folder / "a.vrt", SIMPLE, name="second.dat", relative=1)
    result = srx(f"upscale {path}", folder / "b.tif", WORDS, code=2)
    assert f"a.vrt: is made of itself, by way of {folder}/a.vrt" in result.err


def test_mosaics_in_mosaics_have_an_end(srx, folder):
    tiff(folder / "0.dat")
    for number in range(1, 40):
        vrt(folder / f"{number}.dat", SIMPLE, name=f"{number - 1}.dat", relative=1)
    words = [folder / "b.tif", WORDS]
    assert "mosaics in mosaics" in srx("upscale", folder / "39.dat", *words, code=2).err
    srx("upscale", folder / "9.dat", *words, code=0)


def test_what_changes_within_a_mosaic_makes_it_due_again(srx, folder):
    """Sources without a mosaic's name are known too."""
    tiff(folder / "leaf.tif", 7)
    vrt(folder / "inner.dat", SIMPLE, name="leaf.tif", relative=1)
    path = vrt(folder / "a.vrt", SIMPLE, name="inner.dat", relative=1)
    srx(f"upscale {path}", folder / "out" / "b.tif", WORDS, code=0)
    tiff(folder / "leaf.tif", 9)
    os.utime(folder / "leaf.tif", (4_000_000_000, 4_000_000_000))
    srx(f"upscale {path}", folder / "out" / "b.tif", WORDS, code=0)
    assert (read_by_gdal(folder / "out" / "b.tif") == 9).all()
