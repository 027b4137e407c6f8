from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.env import get_gdal_config
from rasterio.errors import RasterioIOError

from srcli.errors import PictureError
from srcli.imaging import tiff
from srcli.imaging.formats import FORMATS, READABLE_SUFFIXES
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.opening import (
    BLOCK_CACHE,
    RASTER_SUFFIXES,
    dataset_files,
    open_raster,
    reading_errors,
)
from srcli.imaging.reading import open_picture
from srcli.imaging.writing import write_photograph


@pytest.mark.parametrize("name", ["a.tif", "a?b.tif", "a#b.tif", "zip:a!b.tif", "ü ö%20.tif"])
def test_any_name_is_a_file_and_no_address(save, noise, name):
    path = save(name, noise((6, 7)), crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_raster(path) as file:
            assert file.shape == (6, 7)


def test_handles_are_not_shared(save, noise):
    path = save("a.tif", noise((6, 7)))
    one, other = open_raster(path), open_raster(path)
    one.close()
    assert other.read(1).shape == (6, 7)
    other.close()


def test_the_block_cache_is_bounded(tmp_path):
    with reading_errors(tmp_path, "nothing"):
        assert get_gdal_config("GDAL_CACHEMAX") == BLOCK_CACHE


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RasterioIOError("Read failed.\nSee\n  there"), r"\(Read failed. See there\); .*copy"),
        (ValueError(""), r"\(ValueError\)"),
        (OSError("x" * 900), r"\(x{200}\)"),
        (MemoryError(), "does not fit into memory"),
        (PictureError("told already"), "^told already$"),
    ],
)
def test_failures_are_told_in_one_line(tmp_path, error, words):
    with (
        pytest.raises(PictureError, match=words) as caught,
        reading_errors(tmp_path / "a.tif", "no luck"),
    ):
        raise error
    if not isinstance(error, PictureError):
        assert str(caught.value).startswith(f"{tmp_path / 'a.tif'}: no luck (")
    assert "\n" not in str(caught.value)


def test_what_gdal_says_is_told(save, noise):
    path = save("a.tif", noise((60, 70)))
    path.write_bytes(path.read_bytes()[:2000])
    with open_raster(path) as file, pytest.raises(PictureError, match="a.tif.*scanline|Block"):  # noqa: SIM117, RUF043
        with reading_errors(path, "rows cannot be read"):
            file.read()


def test_mistakes_in_the_program_are_not_hidden(tmp_path):
    with pytest.raises(KeyError), reading_errors(tmp_path, "no luck"):
        raise KeyError("a bug")


@pytest.mark.parametrize(("kind", "words"), [("missing", "no such file"), ("folder", "a folder")])
def test_what_is_not_there(tmp_path, kind, words):
    path = tmp_path / "a.tif"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(PictureError, match=words):
        open_raster(path)


def test_without_rasterio_it_is_asked_for(save, noise):
    path = save("a.tif", noise((6, 7)))
    code = (
        "import sys, pathlib\n"
        "sys.modules['rasterio'] = None\n"
        "from srcli.errors import PictureError\n"
        "from srcli.imaging.rasters import info, opening\n"
        "from srcli.imaging.rasters import masking, reading, selection, values\n"
        "try:\n"
        f"    info.read_info(pathlib.Path({str(path)!r}))\n"
        "except PictureError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "rasters need rasterio; install it" in done.stdout


def test_nothing_is_printed_by_gdal(tmp_path, capfd, save, noise):
    path = save("a.tif", noise((60, 70)), compress="deflate")
    path.write_bytes(path.read_bytes()[:2000])
    with open_raster(path) as file, pytest.raises(PictureError), reading_errors(path, "no luck"):
        file.read()
    assert capfd.readouterr() == ("", "")
    assert rasterio.__gdal_version__


SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource>"
)


@pytest.fixture
def mosaic(save, save_vrt):
    """A mosaic of a mosaic of a picture."""
    save("leaf.tif", np.zeros((4, 5), np.uint8))
    save_vrt("mid.vrt", 5, 4, [("Byte", SOURCE.format(name="leaf.tif"))])
    return save_vrt("top.vrt", 5, 4, [("Byte", SOURCE.format(name="mid.vrt"))])


def names(files):
    return [os.path.basename(name) for name in files]  # noqa: PTH119 - texts, as GDAL gives them


def test_a_mosaic_of_a_mosaic_names_the_picture(mosaic):
    assert names(read_info(mosaic).files) == ["top.vrt", "mid.vrt", "leaf.tif"]


def test_a_circle_ends(tmp_path, save_vrt):
    first = save_vrt("a.vrt", 5, 4, [("Byte", SOURCE.format(name="b.vrt"))])
    second = save_vrt("b.vrt", 5, 4, [("Byte", SOURCE.format(name="a.vrt"))])
    assert names(dataset_files([str(first), str(second)])) == ["a.vrt", "b.vrt"]


def test_what_is_gone_or_damaged_is_named_all_the_same(tmp_path):
    (tmp_path / "bad.vrt").write_text("<VRTDataset")
    named = [str(tmp_path / "a.vrt"), str(tmp_path / "bad.vrt"), "/vsicurl/x/none.vrt"]
    assert dataset_files(named) == tuple(named)
    assert dataset_files([]) == ()


NOWHERE = {"crs": None, "transform": None}
WORLD = "2\n0\n0\n-2\n100\n500\n"


def raster_reason(path):
    return open_picture(path).raster


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fmt", sorted(FORMATS))
def test_what_srx_writes_are_photographs(tmp_path, noise, fmt, channels, alpha, dtype):
    path = tmp_path / f"a{FORMATS[fmt].suffixes[0]}"
    photograph = Photograph(
        pixels=noise((6, 7, channels), dtype).clip(0),
        alpha=noise((6, 7), dtype) if alpha else None,
        metadata=Metadata(dpi=(72, 72)),
    )
    write_photograph(path, photograph, fmt=fmt)
    assert raster_reason(path) is None


@pytest.mark.parametrize("name", ["landsat_rgb_uint8_nodata_utm18", "naip_rgbn_uint8_utm14"])
def test_real_geotiffs_are_rasters(srx_data, name):
    reason = raster_reason(srx_data / "geotiff" / f"{name}.tif")
    assert reason is not None
    assert "GeoTIFF" in reason


@pytest.mark.parametrize(
    ("shape", "dtype", "profile", "words"),
    [
        ((6, 7), "uint8", {}, "GeoTIFF"),
        ((6, 7), "uint8", {"BIGTIFF": "YES"}, "GeoTIFF"),
        ((6, 7), "uint8", {"ENDIANNESS": "BIG"}, "GeoTIFF"),
        ((6, 7), "uint8", {"crs": None}, "GeoTIFF"),
        ((6, 7), "uint8", {**NOWHERE, "nodata": 0}, "nodata"),
        ((6, 7, 5), "uint8", NOWHERE, "5 band"),
        ((6, 7, 8), "uint16", NOWHERE, "8 band"),
        ((6, 7, 3), "uint16", {**NOWHERE, "photometric": "minisblack"}, "3 band"),
        ((6, 7), "int16", NOWHERE, "16 bits"),
        ((6, 7), "int32", NOWHERE, "32 bits"),
        ((6, 7), "uint32", NOWHERE, "32 bits"),
        ((6, 7), "int8", NOWHERE, "8 bits"),
        ((6, 7), "float64", NOWHERE, "64-bit"),
        ((6, 7), "uint8", NOWHERE, None),
        ((6, 7), "uint16", NOWHERE, None),
        ((6, 7), "float32", NOWHERE, None),
        ((6, 7, 3), "uint8", NOWHERE, None),
        ((6, 7, 3), "uint16", {**NOWHERE, "photometric": "rgb"}, None),
        ((6, 7, 3), "float32", {**NOWHERE, "photometric": "rgb"}, None),
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
        assert open_picture(path).format == "tif"
    else:
        assert reason is not None
        assert words in reason
        assert read_info(path).height == 6


def test_tags_of_gdal_are_a_sign(save, noise):
    path = save("a.tif", noise((6, 7)), then=lambda f: f.update_tags(1, kind="model"), **NOWHERE)
    assert raster_reason(path) == "GDAL's tags"


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("form", ["short", "long", "wld", "upper"])
def test_a_world_file_beside_a_picture(tmp_path, name, form):
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(name, name.lower())
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (7, 6)).save(path, name)
    assert raster_reason(path) is None
    short = f"{suffix[0]}{suffix[-1]}w"
    world = {"short": short, "long": f"{suffix}w", "wld": "wld", "upper": short.upper()}[form]
    path.with_suffix(f".{world}").write_text("no numbers")
    assert raster_reason(path) is None
    path.with_suffix(f".{world}").write_text(WORLD)
    assert raster_reason(path) == f"a place on the map (a.{world})"
    if name != "WEBP" and form != "upper":
        assert read_info(path).transform.a == 2


def test_a_description_beside_a_picture(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (7, 6)).save(path)
    beside = tmp_path / "a.png.aux.xml"
    beside.write_text(
        "<PAMDataset><Metadata><MDI key='STATISTICS_MEAN'>3</MDI></Metadata></PAMDataset>"
    )
    assert raster_reason(path) is None
    beside.write_text("<PAMDataset><GeoTransform>100,2,0,500,0,-2</GeoTransform></PAMDataset>")
    assert raster_reason(path) == "a place on the map (a.png.aux.xml)"
    assert read_info(path).transform.c == 100


@pytest.mark.parametrize(
    ("name", "driver"), [("a.img", "HFA"), ("a.jp2", "JP2OpenJPEG"), ("a.bil", "EHdr")]
)
def test_formats_of_gdal(save, noise, name, driver):
    path = save(name, noise((6, 7)), driver=driver)
    assert raster_reason(path) == f"a format of GDAL ({driver})"
    assert path.suffix in RASTER_SUFFIXES


def test_mosaics_and_grids_of_text(save, save_vrt, tmp_path, noise):
    save("a.tif", noise((6, 7)))
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
    assert raster_reason(save_vrt("a.vrt", 7, 6, [("Byte", source)])) == "a format of GDAL (VRT)"
    grid = tmp_path / "a.asc"
    grid.write_text("ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n")
    assert raster_reason(grid) == "a format of GDAL (AAIGrid)"


@pytest.mark.parametrize(
    "content", [b"", b"words", b"II*\0", b"II*\0\x08\0\0\0\xff\xff", b"\x89PNG"]
)
def test_what_cannot_be_read_is_left_to_the_way_of_photographs(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    for bad in (path, tmp_path / "missing.tif", tmp_path):
        with pytest.raises(PictureError, match=bad.name):
            open_picture(bad)


def test_sizes_beyond_photographs(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8))
    assert raster_reason(path) is None
    monkeypatch.setattr(tiff, "LARGEST_AREA", 1999)
    assert raster_reason(path) == "more pixels than a photograph"


def test_ordinary_photographs_need_no_rasterio(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif", "a.webp"):
        Image.new("RGB", (7, 6)).save(tmp_path / name)
    code = (
        "import sys, pathlib\n"
        "from srcli.imaging.reading import open_picture\n"
        f"paths = pathlib.Path({str(tmp_path)!r}).iterdir()\n"
        "found = [open_picture(path).raster for path in paths]\n"
        "print(found, 'rasterio' in sys.modules, 'scipy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[None, None, None, None] False False"


def test_suffixes_of_rasters_are_new_ones():
    assert {".vrt", ".jp2", ".img"} <= RASTER_SUFFIXES
    assert not RASTER_SUFFIXES & READABLE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in RASTER_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a_RPC.TXT", "LINE_OFF: 5\nSAMP_OFF: 5\n", "a sensor model (a_RPC.TXT)"),
        ("a.RPB", "BEGIN_GROUP = IMAGE\n lineOffset = 5;\n", "a sensor model (a.RPB)"),
        ("a.tab", '!table\n!version 300\nDefinition Table\n  File "a.tif"\n', "a place"),
        ("a.tif.msk", "", "a mask of valid pixels (a.tif.msk)"),
        (
            "a.tif.aux.xml",
            '<PAMDataset><Metadata domain="RPC"><MDI key="LINE_OFF">5</MDI></Metadata>'
            "</PAMDataset>",
            "a place on the map (a.tif.aux.xml)",
        ),
        (
            "a.tif.aux.xml",
            '<PAMDataset><PAMRasterBand band="1"><NoDataValue>0</NoDataValue></PAMRasterBand>'
            "</PAMDataset>",
            "a nodata value (a.tif.aux.xml)",
        ),
        ("a.tab", "name\tprice\n", None),
        ("a.RPB", "notes", None),
        ("a.tif.aux.xml", "<PAMDataset><Metadata/></PAMDataset>", None),
    ],
)
def test_other_files_beside_a_picture(tmp_path, name, text, words):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((6, 7), np.uint8))
    assert raster_reason(path) is None
    (tmp_path / name).write_text(text)
    reason = raster_reason(path)
    assert reason is None if words is None else words in str(reason)


def test_a_mask_among_the_pages_of_a_tiff(save, tmp_path, noise):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = save(
            "a.tif",
            noise((6, 7)),
            then=lambda file: file.write_mask(np.eye(6, 7, dtype=bool)),
            **NOWHERE,
        )
    assert raster_reason(path) == "a mask of valid pixels"
    pages = tmp_path / "pages.tif"
    with tifffile.TiffWriter(pages) as writer:
        for _ in range(3):
            writer.write(np.zeros((6, 7), np.uint8))
    assert raster_reason(pages) is None


def test_a_damaged_raster_is_left_to_gdal_which_knows_why(tmp_path):
    path = tmp_path / "a.jp2"
    path.write_text("damaged")
    assert raster_reason(path) is not None
    path = tmp_path / "a.vrt"  # but for mosaics, which are read before
    path.write_text("<VRTDataset")
    with pytest.raises(PictureError, match=r"a\.vrt: its XML is damaged"):
        open_picture(path)
    other = tmp_path / "a.xyz"
    other.write_text("words")
    with pytest.raises(PictureError, match="not a picture"):
        open_picture(other)


def test_the_longest_names_are_photographs_too(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    Image.new("RGB", (7, 6)).save(path)
    assert raster_reason(path) is None
