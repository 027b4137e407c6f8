"""TIFF files of every structure are read to the last bit, or refused with a reason."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from skimage.color import rgb2lab

from srcli.errors import PictureError
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import write_photograph
from tests.fixtures.photographs import noise, write_by_gdal

each_depth = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])


@pytest.fixture
def path(tmp_path):
    """Where files are written."""
    return tmp_path / "a.tif"


def same(photograph, expected):
    return photograph is not None and np.array_equal(photograph, expected)


DEEP = noise((40, 33, 4), np.uint16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 7},
        {"tile": (16, 16)},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {
            "planarconfig": "separate",
            "tile": (16, 32),
            "compression": "zlib",
            "byteorder": ">",
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_of_any_structure(path, options, dtype):
    values = DEEP[:, :, :3]
    if dtype == np.uint8:
        values = values >> 8
    values = values.astype(dtype)
    if dtype == np.float32 and options.get("predictor"):
        options = options | {"predictor": None}
    stored = np.moveaxis(values, 2, 0) if "planarconfig" in options else values
    tifffile.imwrite(path, stored, photometric="rgb", metadata=None, **options)
    photograph = read_photograph(path)
    assert photograph.pixels.dtype == dtype
    assert np.array_equal(photograph.pixels, values)
    assert photograph.alpha is None


@pytest.mark.parametrize("compress", ["LZW", "ZSTD", "PACKBITS", "DEFLATE"])
def test_16_bit_tiff_of_any_compression(path, compress):
    write_by_gdal(
        path, DEEP[:, :, :3], driver="GTiff", photometric="RGB", compress=compress
    )
    assert np.array_equal(read_photograph(path).pixels, DEEP[:, :, :3])


@each_depth
def test_gray_tiff_with_and_without_alpha(path, dtype):
    gray_alpha = DEEP[:, :, :2].astype(dtype)
    peak = np.iinfo(dtype).max
    tifffile.imwrite(path, gray_alpha[:, :, 0], photometric="minisblack", metadata=None)
    assert np.array_equal(read_photograph(path).pixels, gray_alpha[:, :, :1])
    tifffile.imwrite(path, gray_alpha[:, :, 0], photometric="miniswhite", metadata=None)
    assert np.array_equal(read_photograph(path).pixels, peak - gray_alpha[:, :, :1])
    tifffile.imwrite(
        path,
        gray_alpha,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    photograph = read_photograph(path)
    assert np.array_equal(photograph.pixels, gray_alpha[:, :, :1])
    assert same(photograph.alpha, gray_alpha[:, :, 1])


@each_depth
@pytest.mark.parametrize("channels", [2, 4])
def test_colours_stored_multiplied_by_alpha_are_divided(path, dtype, channels):
    peak = np.iinfo(dtype).max
    values = noise((20, 20, channels), dtype)
    alpha = np.maximum(values[:, :, -1:], peak // 2).astype(np.float64) / peak
    stored = np.concatenate([np.rint(values[:, :, :-1] * alpha), alpha * peak], axis=2)
    tifffile.imwrite(
        path,
        stored.astype(dtype),
        photometric="rgb" if channels == 4 else "minisblack",
        planarconfig="contig",
        extrasamples=["assocalpha"],
        metadata=None,
    )
    photograph = read_photograph(path)
    assert np.abs(photograph.pixels.astype(int) - values[:, :, :-1]).max() <= 2
    assert same(photograph.alpha, stored[:, :, -1].astype(dtype))


def test_float_tiff_keeps_its_values_and_nan(tmp_path, path):
    values = np.random.default_rng(0).normal(500, 300, (9, 8, 3)).astype(np.float32)
    values[2, 3] = np.nan
    tifffile.imwrite(path, values, photometric="rgb", metadata=None)
    photograph = read_photograph(path)
    assert photograph.pixels.dtype == np.float32
    assert np.array_equal(photograph.pixels, values, equal_nan=True)
    tifffile.imwrite(
        tmp_path / "b.tif", values[:, :, 0].astype(np.float64), photometric="minisblack"
    )
    photograph = read_photograph(tmp_path / "b.tif")
    assert np.array_equal(photograph.pixels, values[:, :, :1], equal_nan=True)
    assert "64-bit" in photograph.warnings[0]


@pytest.mark.parametrize(
    ("values", "photometric"),
    [
        (noise((8, 8, 5)), "rgb"),
        (noise((8, 8, 3)), "minisblack"),
        (noise((8, 8, 3), np.int16), "rgb"),
        (noise((8, 8, 3), np.uint32), "rgb"),
        (noise((8, 8, 3), np.int8), "rgb"),
    ],
    ids=["5 bands", "3 unnamed bands", "int16", "uint32", "int8"],
)
def test_other_tiff_layouts_are_refused_with_a_reason(tmp_path, values, photometric):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(
        path, values, photometric=photometric, planarconfig="contig", metadata=None
    )
    refused = r"odd\.tif: this TIFF has .*convert it"
    with pytest.raises(PictureError, match=refused):
        read_photograph(path)
    picture = open_picture(path)
    assert re.search(refused, picture.refusal or "")
    assert "of a kind that photographs have not" in (picture.raster or "")


def test_a_band_of_unknown_meaning_is_left_out_and_said(path):
    tifffile.imwrite(
        path, DEEP, photometric="rgb", extrasamples=["unspecified"], metadata=None
    )
    photograph = read_photograph(path)
    assert np.array_equal(photograph.pixels, DEEP[:, :, :3])
    assert photograph.alpha is None
    assert "left out; --bidx keeps" in photograph.warnings[0]


def test_tiff_resolution_in_centimetres(path):
    tifffile.imwrite(
        path, DEEP[:, :, 0], resolution=(100, 50), resolutionunit=3, metadata=None
    )
    assert read_photograph(path).metadata.dpi == pytest.approx((254, 127))


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_lab_tiff_goes_through_colour_management(path, astronaut, planes):
    rgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(
        Image.fromarray(astronaut), rgb, lab, outputMode="LAB"
    )
    assert image is not None
    image.save(path)
    if planes == "separate":
        stored = np.moveaxis(tifffile.imread(path), 2, 0)
        tifffile.imwrite(path, stored, photometric="cielab", planarconfig=planes)
    photograph = read_photograph(path)
    assert np.abs(photograph.pixels.astype(int) - astronaut).mean() < 2
    assert "LAB converted to RGB" in photograph.warnings


@pytest.mark.parametrize(
    "tag",
    [
        (318, 5, 2, (3127, 10000, 3290, 10000), True),
        (318, 11, 2, (0.3127, 0.3290), True),
    ],
)
def test_the_white_of_lab_is_that_of_its_tag(path, astronaut, tag):
    # of scikit-image, whose L*a*b* refers to the white of sRGB (D65)
    lab = rgb2lab(astronaut)
    lab[:, :, 0] *= 2.55
    stored = np.rint(lab).astype(np.int16).astype(np.uint8)
    tifffile.imwrite(path, stored, photometric="cielab", extratags=[tag])
    differences = read_photograph(path).pixels.astype(int) - astronaut
    assert np.abs(differences).mean() < 1
    assert np.abs(differences).max() <= 8


@pytest.mark.parametrize("white", [(3457, 10000, 3585, 10000), (0, 0, 3585, 10000)])
def test_the_white_of_lab_is_d50_where_its_tag_says_so_or_nonsense(path, white):
    stored = noise((40, 33, 3), np.uint8)
    tifffile.imwrite(path, stored, photometric="cielab")
    usual = read_photograph(path).pixels
    tag = (318, 5, 2, white, True)
    tifffile.imwrite(path, stored, photometric="cielab", extratags=[tag])
    assert same(read_photograph(path).pixels, usual)


@pytest.mark.parametrize("subsampling", ["plain", "planes", "jpeg"])
def test_ycbcr_tiff(path, astronaut, subsampling):
    image = Image.fromarray(astronaut).convert("YCbCr")
    if subsampling == "planes":
        stored = np.moveaxis(np.asarray(image), 2, 0)
        tifffile.imwrite(path, stored, photometric="ycbcr", subsampling=(1, 1))
    else:
        compression = None if subsampling == "plain" else subsampling
        image.save(path, compression=compression, quality=100)
    pixels = read_photograph(path).pixels
    assert np.abs(pixels.astype(int) - astronaut).mean() < 2


def test_damaged_exif_costs_a_tiff_nothing_else(path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = 0.5
    photograph = Photograph(
        pixels=np.full((5, 6, 1), 9, np.uint8),
        alpha=None,
        metadata=Metadata(exif=exif.tobytes()),
    )
    write_photograph(path, photograph, fmt="tif")
    content = path.read_bytes()
    at = content.index(struct.pack("<HHI", 0x8769, 4, 1)) + 8
    path.write_bytes(content[:at] + struct.pack("<I", 10**6) + content[at + 4 :])
    photograph = read_photograph(path)
    assert photograph.pixels.max() == 9
    assert photograph.metadata.exif is None
    assert "damaged part of EXIF left out" in photograph.warnings


def test_overviews_and_masks_in_a_tiff_are_no_frames(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise((16, 16, 3)), photometric="rgb", metadata=None)
        writer.write(noise((8, 8, 3)), photometric="rgb", subfiletype=1, metadata=None)
    assert open_picture(path).frames == 1
