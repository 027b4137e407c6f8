"""Files put together from blocks of parts: block by block those that GDAL's copy has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.enums import ColorInterp

from srcli.errors import PictureError
from srcli.imaging.rasters import merging, result_file
from srcli.imaging.rasters.copying import copy_file
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import derive_profile, why_copied
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.profile import OutputOptions
from srcli.imaging.rasters.selection import choose_layout
from srcli.ports.image import Window

SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}
HEIGHT = 90
WIDTH = 70
PLACES = {324, 325}
"""Tags of the places and lengths of tiles."""


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 48 * WIDTH)


def blocks_of(path):
    """All directories of a TIFF: their tags, and the bytes of their blocks."""
    content = path.read_bytes()
    directories = []
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            assert isinstance(page, tifffile.TiffPage)
            tags = {
                tag.code: np.asarray(tag.value).tolist()
                for tag in page.tags
                if tag.code not in PLACES
            }
            blocks = [
                content[offset : offset + size]
                for offset, size in zip(
                    page.dataoffsets, page.databytecounts, strict=True
                )
            ]
            directories.append((tags, blocks))
    return directories


@pytest.fixture
def write_both(tmp_path, write_parts, monkeypatch):
    """Write an output from blocks of its parts, and by GDAL's copy of other parts."""

    def make(source, out):
        assert out.keeps_blocks, out.why_copied
        copied = replace(out, why_copied="to compare")
        paths = []
        calls: list[None] = []
        real = copy_file
        monkeypatch.setattr(
            result_file, "copy_file", lambda *args: calls.append(real(*args))
        )
        for name, profile in (("blocks", out), ("copy", copied)):
            path = tmp_path / f"{name}.tif"
            with open_parts(path, profile, {}) as (parts, _):
                assert parts.count > (name == "blocks")
                write_parts(parts, source)
                merging.merge_parts(parts)
            paths.append(path)
        assert len(calls) == 1  # the second alone is a copy
        return paths

    return make


def check_equal(paths):
    blocks, copy = map(blocks_of, paths)
    assert len(blocks) == len(copy)
    for (tags, stored), (expected_tags, expected) in zip(blocks, copy, strict=True):
        assert tags == expected_tags
        assert stored == expected


CASES = [
    ("uint8", 3, {}),
    ("uint8", 3, {"COMPRESS": "JPEG"}),
    ("uint8", 1, {"COMPRESS": "JPEG", "JPEG_QUALITY": "60"}),
    ("uint8", 4, {"COMPRESS": "JPEG", "INTERLEAVE": "BAND"}),
    ("uint8", 3, {"COMPRESS": "WEBP", "WEBP_LEVEL": "60"}),
    ("uint8", 3, {"COMPRESS": "LZW", "INTERLEAVE": "BAND"}),
    ("uint8", 1, {"NBITS": "3", "COMPRESS": "DEFLATE"}),
    ("uint8", 1, {"NBITS": "1", "COMPRESS": "PACKBITS"}),
    ("int8", 2, {"COMPRESS": "ZSTD"}),
    ("uint16", 1, {"NBITS": "12", "COMPRESS": "LZW"}),
    ("uint16", 4, {"COMPRESS": "ZSTD", "ZSTD_LEVEL": "1", "BIGTIFF": "YES"}),
    ("int16", 5, {"COMPRESS": "NONE", "INTERLEAVE": "BAND"}),
    ("uint32", 2, {"COMPRESS": "LZW"}),
    ("int64", 2, {"COMPRESS": "DEFLATE", "ZLEVEL": "1"}),
    ("uint64", 1, {"COMPRESS": "NONE"}),
    ("float32", 1, {}),
    ("float32", 3, {"COMPRESS": "LERC", "MAX_Z_ERROR": "0.01"}),
    ("float32", 1, {"COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": "0"}),
    ("float32", 1, {"NBITS": "16", "COMPRESS": "ZSTD"}),
    ("float32", 2, {"DISCARD_LSB": "4"}),
    ("float64", 9, {"COMPRESS": "ZSTD", "PREDICTOR": "3"}),
]


@pytest.mark.parametrize(("dtype", "bands", "creation"), CASES, ids=str)
def test_blocks_and_tags_are_those_of_gdals_copy(
    save, noise, plan, write_both, dtype, bands, creation
):
    pixels = noise((HEIGHT, WIDTH, bands), dtype)
    pixels[20:60, :40] = 0
    source = save("in.tif", pixels, photometric="RGB" if bands == 3 else "MINISBLACK")
    check_equal(write_both(source, plan(source, creation={**SMALL, **creation})))


@pytest.mark.parametrize(
    "creation",
    [
        {},
        {"COMPRESS": "NONE"},
        {"COMPRESS": "JPEG"},
        {"INTERLEAVE": "BAND"},
        {"COMPRESS": "WEBP"},
    ],
    ids=str,
)
@pytest.mark.parametrize("alpha", ["mask", "last", "first"])
def test_masks_and_alpha_are_those_of_gdals_copy(
    save, noise, plan, write_both, creation, alpha
):
    if alpha == "first" and creation.get("COMPRESS") in ("JPEG", "WEBP"):
        pytest.skip("these have alpha last")
    if alpha == "last" and creation.get("COMPRESS") == "JPEG":
        creation = {**creation, "INTERLEAVE": "BAND"}
    valid = noise((HEIGHT, WIDTH), seed=2) > 100
    valid[30:70] = False
    bands = 3 if alpha == "mask" else 4
    pixels = noise((HEIGHT, WIDTH, bands))

    def describe(file):
        if alpha == "mask":
            file.write_mask(valid)
        else:
            names = ["red", "green", "blue"]
            names.insert({"first": 0, "last": 3}[alpha], "alpha")
            file.colorinterp = [ColorInterp[name] for name in names]

    if alpha != "mask":
        pixels[:, :, {"first": 0, "last": 3}[alpha]] = valid * 255
    source = save("in.tif", pixels, then=describe)
    out = plan(source, creation={**SMALL, **creation})
    assert (out.mask, out.alpha) == (alpha == "mask", alpha != "mask")
    check_equal(write_both(source, out))


@pytest.mark.parametrize("sparse", ["TRUE", "FALSE"])
@pytest.mark.parametrize("nodata", [None, 7])
@pytest.mark.parametrize("compression", ["DEFLATE", "NONE"])
def test_what_is_empty_is_left_out_as_gdal_does(
    save, noise, plan, write_both, sparse, nodata, compression
):
    pixels = noise((HEIGHT, WIDTH, 2), "uint16")
    pixels[10:70, :40] = nodata or 0
    source = save("in.tif", pixels, nodata=nodata)
    creation = {**SMALL, "SPARSE_OK": sparse, "COMPRESS": compression}
    check_equal(write_both(source, plan(source, creation=creation)))


@pytest.mark.parametrize("sparse", ["TRUE", "FALSE"])
@pytest.mark.parametrize("nodata", [None, 7])
def test_blank_parts_are_blank(
    save, noise, plan, write_parts, tmp_path, sparse, nodata
):
    pixels = noise((HEIGHT, WIDTH, 1), "uint16") | 8
    source = save("in.tif", pixels, nodata=nodata)
    out = plan(source, creation={**SMALL, "SPARSE_OK": sparse})
    path = tmp_path / "out.tif"
    with open_parts(path, out, {}) as (parts, _):
        assert parts.rows == 48
        parts.add(0, b"")
        write_parts(parts, source)
        merging.merge_parts(parts)
    with rasterio.open(path) as file:
        written = file.read(1)
        offset = file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1)
    assert (offset is None) == (sparse == "TRUE")
    assert (written[:48] == (nodata or 0)).all()
    np.testing.assert_array_equal(written[48:], pixels[48:, :, 0])


@pytest.mark.parametrize("kind", ["palette", "MINISWHITE"])
def test_palettes_and_white_zeros(save, noise, write_both, kind):
    pixels = noise((HEIGHT, WIDTH, 1)) % 4
    colours = {number: (number * 60, 5, 255 - number, 255) for number in range(4)}

    def describe(file):
        if kind == "palette":
            file.write_colormap(1, colours)

    options = {"photometric": kind} if kind == "MINISWHITE" else {}
    info = read_info(save("in.tif", pixels, then=describe, **options))
    classes = [1] if kind == "palette" else []
    out = derive_profile(
        info,
        choose_layout(info, classes=classes),
        Window(top=0, left=0, height=HEIGHT, width=WIDTH),
        1,
        OutputOptions(creation=SMALL),
    )
    assert (out.palette, out.white_is_zero) == (kind == "palette", kind != "palette")
    check_equal(write_both(info.path, out))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cog": True}, "COG is written as a whole"),
        ({"format": "png"}, "PNG is written as a whole"),
        ({"creation": {"TILED": "NO"}}, "strips"),
        ({"creation": {"ENDIANNESS": "BIG"}}, "ENDIANNESS"),
        ({"creation": {"STREAMABLE_OUTPUT": "YES"}}, "STREAMABLE_OUTPUT"),
        ({"creation": {"COMPRESS": "CCITTFAX4", "NBITS": "1"}}, "CCITTFAX4"),
        ({"creation": {"BLOCKYSIZE": "4000000"}}, "memory"),
    ],
    ids=str,
)
def test_all_else_is_copied_and_says_why(save, noise, plan, options, words):
    out = plan(save("in.tif", noise((20, 50, 1))), **options)
    assert words in out.why_copied
    assert not out.keeps_blocks
    assert why_copied(out) == out.why_copied


def test_other_blocks_than_gdals_are_copied(
    save, noise, plan, write_parts, tmp_path, monkeypatch
):
    """If GDAL once wrote parts in another way than the file, pixels come out all the same."""
    pixels = noise((HEIGHT, WIDTH, 3))
    source = save("in.tif", pixels)
    out = plan(source, creation=SMALL)
    path = tmp_path / "out.tif"
    with open_parts(path, out, {}) as (parts, _):
        write_parts(parts, source)
        object.__setattr__(
            parts, "output", replace(out, creation={**out.creation, "PREDICTOR": "1"})
        )
        merging.merge_parts(parts)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)
        assert file.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR") is None


def test_a_classic_tiff_does_not_grow_beyond_its_places(
    save, noise, plan, tmp_path, write, monkeypatch
):
    monkeypatch.setattr("srcli.imaging.tiff_assembly._LARGEST_CLASSIC", 5000)
    source = save("in.tif", noise((HEIGHT, WIDTH, 3)))
    with pytest.raises(PictureError, match="BIGTIFF=YES"):
        write(tmp_path / "a.tif", plan(source, creation=SMALL), source)
    write(
        tmp_path / "b.tif", plan(source, creation={**SMALL, "BIGTIFF": "YES"}), source
    )
