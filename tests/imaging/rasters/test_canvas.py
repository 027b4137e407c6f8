"""Canvases: block by block the files that GDAL's copy gives; killed, damaged, full, of two runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from rasterio.enums import ColorInterp, Resampling

from srcli.errors import PictureError
from srcli.imaging.rasters import publishing
from srcli.imaging.rasters.creation import copied_by_gdal
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.output import derive_profile
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.profile import OutputOptions
from srcli.imaging.rasters.selection import choose_layout
from srcli.ports import Window
from tests.imaging.rasters.conftest import open_source

SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}
HEIGHT = 90
WIDTH = 70
PLACES = {324, 325}
"""Tags of the places and lengths of tiles."""
GDAL_METADATA = 42112


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 48)
    monkeypatch.setattr("srcli.imaging.rasters.profile.OVERVIEW_SIDE", 64)


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
    """Write an output from blocks of its parts, and by GDAL's copy of others; return both."""

    def make(source, out):
        assert out.keeps_blocks, out.why_copied
        paths = []
        copies: list[None] = []
        real = publishing.copy_canvas
        monkeypatch.setattr(
            publishing, "copy_canvas", lambda *args: copies.append(real(*args))
        )
        for name, profile in (("blocks", out), ("copy", copied_by_gdal(out, "x"))):
            path = tmp_path / f"{name}.tif"
            with open_parts(path, profile, {}) as (parts, _):
                write_parts(parts, source)
                publishing.publish(parts)
            paths.append(path)
        assert len(copies) == 1  # the second alone is a copy
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
        publishing.publish(parts)
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
        [],
    )
    assert (out.palette, out.white_is_zero) == (kind == "palette", kind != "palette")
    check_equal(write_both(info.path, out))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"cog": True, "creation": {"TILING_SCHEME": "GoogleMapsCompatible"}},
            "TILING",
        ),
        ({"cog": True, "creation": {"COMPRESS": "WEBP", "QUALITY": "100"}}, "loss"),
        ({"cog": True, "creation": {"OVERVIEW_QUALITY": "50"}}, "OVERVIEW_QUALITY"),
        ({"format": "png"}, "PNG is written as a whole"),
        ({"creation": {"TILED": "NO"}}, "strips"),
        ({"creation": {"ENDIANNESS": "BIG"}}, "ENDIANNESS"),
        ({"creation": {"STREAMABLE_OUTPUT": "YES"}}, "STREAMABLE_OUTPUT"),
        ({"creation": {"COMPRESS": "CCITTFAX4", "NBITS": "1"}}, "CCITTFAX4"),
        ({"creation": {"BLOCKYSIZE": "4000000"}}, "memory"),
        (
            {"cog": True, "creation": {"RESAMPLING": "CUBICSPLINE"}, "rows": 640},
            "made by cubicspline",
        ),
    ],
    ids=str,
)
def test_all_else_is_copied_and_says_why(save, noise, plan, options, words):
    options = dict(options)
    source = save("in.tif", noise((options.pop("rows", 20), 50, 1)))
    out = plan(source, **options)
    assert words in out.why_copied
    assert not out.keeps_blocks


def test_other_blocks_than_gdals_are_copied(save, noise, plan, write_parts, tmp_path):
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
        publishing.publish(parts)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)
        assert file.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR") is None


def test_a_classic_tiff_does_not_grow_beyond_its_places(
    save, noise, plan, tmp_path, write, monkeypatch
):
    monkeypatch.setattr("srcli.imaging.files.tiff_images._LARGEST_CLASSIC", 5000)
    source = save("in.tif", noise((HEIGHT, WIDTH, 3)))
    with pytest.raises(PictureError, match="BIGTIFF=YES"):
        write(tmp_path / "a.tif", plan(source, creation=SMALL), source)
    write(
        tmp_path / "b.tif", plan(source, creation={**SMALL, "BIGTIFF": "YES"}), source
    )


def overviews_of(path):
    """All that is read of a file at every size: bands, masks; and how it is laid out."""
    with rasterio.open(path) as file:
        factors = file.overviews(1)
        layout = file.tags(ns="IMAGE_STRUCTURE")
    levels = []
    for level in (None, *range(len(factors))):
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(path, **options) as file:
            levels.append(
                (file.read(), file.read_masks(), file.block_shapes, file.nodata)
            )
    return factors, layout, levels


def check_overviews(paths):
    (factors, layout, levels), (old_factors, old_layout, old_levels) = map(
        overviews_of, paths
    )
    assert factors == old_factors
    assert factors
    assert layout == old_layout
    for (pixels, masks, *rest), (old_pixels, old_masks, *old_rest) in zip(
        levels, old_levels, strict=True
    ):
        np.testing.assert_array_equal(pixels, old_pixels)
        np.testing.assert_array_equal(masks, old_masks)
        assert str(rest) == str(old_rest)  # NaN as text


def name_colours(file, bands, has_alpha):
    """Say what three bands or four mean."""
    if bands >= 3:
        names = [
            "red",
            "green",
            "blue",
            "alpha" if has_alpha else "undefined",
            "undefined",
        ]
        file.colorinterp = [ColorInterp[name] for name in names[:bands]]


OVERVIEW_CASES = [
    ("uint8", 3, (350, 667), {}),
    ("uint8", 3, (514, 300), {"COMPRESS": "LZW"}),
    ("uint16", 1, (512, 259), {"nodata": 7}),
    ("float32", 2, (300, 450), {"nodata": -9999.0, "COMPRESS": "ZSTD"}),
    ("float32", 1, (300, 259), {"nodata": float("nan")}),
    ("int16", 4, (258, 300), {"COMPRESS": "NONE", "mask": True}),
    ("uint8", 3, (450, 501), {"mask": True}),
    ("uint8", 4, (450, 501), {"alpha": True}),
    ("uint8", 5, (516, 300), {"alpha": True}),  # which GDAL averages as any other
    ("uint8", 4, (258, 300), {}),  # of which GDAL would take the last for alpha
    ("uint8", 1, (400, 301), {"classes": True, "nodata": 0}),
    # whose quarter has odd sides, of which GDAL takes others than of the half
    ("int32", 1, (532, 1052), {"classes": True, "nodata": 0}),
    ("uint16", 1, (320, 300), {"NBITS": "12"}),
    ("float32", 1, (1026, 37), {"nodata": -9999.0}),
    ("uint8", 1, (258, 801), {}),
    ("uint16", 1, (320, 300), {"NBITS": "7"}),  # GDAL takes 9
    ("uint16", 1, (640, 300), {"nodata": 7, "SPARSE_OK": "TRUE"}),
]
# averages are the same in both, places are not: one of each kind of bands and masks
COG_OVERVIEW_CASES = [
    (True, *OVERVIEW_CASES[place]) for place in (0, 3, 5, 7, 10, 11, 16)
]


@pytest.mark.parametrize(
    ("cog", "dtype", "bands", "size", "options"),
    [(False, *case) for case in OVERVIEW_CASES] + COG_OVERVIEW_CASES,
    ids=str,
)
def test_overviews_are_those_of_gdal(
    save, noise, write_both, write, tmp_path, cog, dtype, bands, size, options
):
    options = dict(options)
    nodata = options.pop("nodata", None)
    has_mask = options.pop("mask", False)
    has_alpha = options.pop("alpha", False)
    is_classes = options.pop("classes", False)
    pixels = noise((*size, bands), dtype)
    if dtype == "float32":
        pixels = np.abs(pixels) % 1000
    valid = noise(size, seed=2) > 100
    valid[: size[0] // 2, 100:200] = False
    if nodata is not None:
        pixels[~valid] = nodata
    if has_alpha:
        pixels[:, :, 3] = np.where(valid, noise(size, seed=4) | 1, 0)

    def describe(file):
        if has_mask:
            file.write_mask(valid)
        name_colours(file, bands, has_alpha)

    meaning = {} if has_alpha else {"photometric": "MINISBLACK"}
    path = save("in.tif", pixels, nodata=nodata, then=describe, **meaning)
    info = read_info(path)
    blocks = {"BLOCKXSIZE": "64", "BLOCKYSIZE": "128"}
    if cog:
        blocks = {"BLOCKSIZE": "128"}
    out = derive_profile(
        info,
        choose_layout(info, classes=[1] if is_classes else []),
        Window(top=0, left=0, height=size[0], width=size[1]),
        1,
        OutputOptions(cog=cog, overviews=True, creation={**blocks, **options}),
        [],
    )
    assert (out.classes, out.alpha) == (is_classes, has_alpha)
    assert out.overviews
    publishing.try_creation_options(info.path, out)
    if not cog:
        paths = write_both(info.path, out)
        check_overviews(paths)
        check_equal(paths)
        return
    # GDAL's driver rounds other sizes down
    write(tmp_path / "cog.tif", out, info.path)
    check_cog(tmp_path / "cog.tif")
    copy = tmp_path / "copy.tif"
    form = {"TILED": "YES", "BLOCKXSIZE": "128", "BLOCKYSIZE": "128", **options}
    form |= {"INTERLEAVE": "PIXEL", "COMPRESS": options.get("COMPRESS", "DEFLATE")}
    form.pop("SPARSE_OK", None)
    rasterio.shutil.copy(tmp_path / "cog.tif", copy, driver="GTiff", **form)
    with (
        rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=128, GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(copy, "r+") as file,
    ):
        resampling = Resampling.nearest if is_classes else Resampling.average
        file.build_overviews(list(out.overviews), resampling)
    (_, _, levels), (_, _, expected) = map(overviews_of, (tmp_path / "cog.tif", copy))
    for level, expected_level in zip(levels, expected, strict=True):
        np.testing.assert_array_equal(level[0], expected_level[0])
        np.testing.assert_array_equal(level[1], expected_level[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_second_overviews_are_averages_of_the_first_to_the_last_bit(
    save, noise, plan, write_both, dtype
):
    pixels = np.cumsum(noise((600, 600)).astype(dtype) / 7, axis=1)
    pixels[:100, :100] = -9999
    source = save("in.tif", pixels[:, :, None], nodata=-9999)
    path, _ = write_both(source, plan(source, overviews=True))
    for level, name in enumerate(("first.tif", "second.tif")):
        with rasterio.open(path, overview_level=level) as file:
            save(name, np.moveaxis(file.read(), 0, 2), nodata=-9999)
    folder = source.parent
    with rasterio.open(folder / "first.tif", "r+") as file:
        file.build_overviews([2], Resampling.average)
    with (
        rasterio.open(folder / "first.tif", overview_level=0) as expected,
        rasterio.open(folder / "second.tif") as second,
    ):
        np.testing.assert_array_equal(second.read(), expected.read())


@pytest.mark.parametrize("sparse", ["TRUE", "FALSE"])
@pytest.mark.parametrize("rows", [640, 642])
def test_overviews_of_blank_parts_are_those_of_gdal(
    save, noise, plan, write_parts, tmp_path, sparse, rows
):
    pixels = noise((rows, 300, 1), "uint16") | 8
    pixels[256:512] = 7
    source = save("in.tif", pixels, nodata=7)
    side = {"BLOCKXSIZE": "128", "BLOCKYSIZE": "128"}
    creation = {**side, "SPARSE_OK": sparse}
    out = plan(source, overviews=True, creation=creation)
    paths = []
    blank = range(0)
    for name in ("blocks", "copy"):
        profile = out if name == "blocks" else copied_by_gdal(out, "to compare")
        with open_parts(tmp_path / f"{name}.tif", profile, {}) as (parts, _):
            if name == "blocks":
                blank = range(256 // parts.rows, 512 // parts.rows)
                for number in blank:
                    parts.add(number, b"")
            write_parts(parts, source)
            publishing.publish(parts)
        paths.append(tmp_path / f"{name}.tif")
    assert blank
    check_overviews(paths)
    check_equal(paths)


def check_cog(path):
    """Check what readers of COGs rely on: directories first, blocks in order, their frames."""
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
        start = 16 if file.is_bigtiff else 8
    assert content[start:].startswith(b"GDAL_STRUCTURAL_METADATA_SIZE=")
    size = int(content[start + 30 : start + 36])
    structure = content[start + 43 : start + 43 + size]
    has_mask = any(page.subfiletype & 4 for page in pages)
    assert (b"MASK_INTERLEAVED_WITH_IMAGERY=YES" in structure) == has_mask
    assert pages[0].offset <= start + 43 + size + 1
    assert [page.offset for page in pages] == sorted(page.offset for page in pages)
    blocks = []
    for page in pages:
        for number, (offset, count) in enumerate(
            zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            if not offset:
                continue
            order = (page.imagelength, number, page.subfiletype & 4)
            blocks.append((offset, order))
            assert int.from_bytes(content[offset - 4 : offset], "little") == count
            end = offset + count
            assert content[end - 4 : end] == content[end : end + 4]
    assert sorted(blocks) == sorted(blocks, key=lambda block: block[1])
    assert min(blocks)[0] > max(page.offset for page in pages)


COG_CASES = [
    ("uint8", 3, {}),
    ("uint8", 3, {"COMPRESS": "JPEG", "QUALITY": "80"}),
    ("uint8", 1, {"COMPRESS": "JPEG"}),
    ("uint8", 3, {"COMPRESS": "JPEG", "mask": True}),
    ("uint8", 3, {"COMPRESS": "WEBP"}),
    ("uint8", 3, {"COMPRESS": "WEBP", "QUALITY": "40"}),
    ("uint8", 4, {"COMPRESS": "ZSTD", "LEVEL": "3", "alpha": True}),
    ("uint16", 4, {"COMPRESS": "LZW", "BIGTIFF": "YES", "mask": True}),
    ("float32", 1, {"COMPRESS": "LERC", "MAX_Z_ERROR": "0.1"}),
    ("float32", 1, {"COMPRESS": "DEFLATE", "LEVEL": "1", "PREDICTOR": "NO"}),
    ("float64", 2, {"SPARSE_OK": "YES"}),
    ("int16", 1, {"OVERVIEWS": "NONE", "mask": True}),
    ("uint16", 1, {"BLOCKSIZE": "256", "NBITS": "12"}),
]


@pytest.mark.parametrize(("dtype", "bands", "options"), COG_CASES, ids=str)
def test_cogs_are_those_of_gdal_block_by_block(
    save, noise, plan, write_both, dtype, bands, options
):
    options = dict(options)
    has_mask = options.pop("mask", False)
    has_alpha = options.pop("alpha", False)
    valid = noise((640, 320), seed=3) > 50
    pixels = noise((640, 320, bands), dtype)
    if dtype.startswith("float"):
        pixels = np.abs(pixels) % 1000
    if dtype == "uint16":
        pixels = pixels % 4096
    pixels[:200] = 0

    def describe(file):
        if has_mask:
            file.write_mask(valid)
        name_colours(file, bands, has_alpha)
        file.update_tags(TITLE="a scene", AREA_OR_POINT="Point")
        file.update_tags(ns="SURVEY", FLIGHT="7")
        file.descriptions = [f"band {number}" for number in range(bands)]

    source = save("in.tif", pixels, then=describe)
    out = plan(source, cog=True, creation={"BLOCKSIZE": "128", **options})
    publishing.try_creation_options(source, out)
    paths = write_both(source, out)
    for path in paths:
        check_cog(path)
    directories = [*zip(*map(blocks_of, paths), strict=True)]
    assert len(directories) > 2 or options.get("OVERVIEWS") == "NONE"
    for (tags, blocks), (expected_tags, expected) in directories:
        is_overview = tags.get(254, 0) & 1
        if is_overview:  # of which GDAL says how it has made them
            tags.pop(GDAL_METADATA, None)
        assert tags == expected_tags
        # overviews are made of what the file holds
        if not (is_overview and options.get("COMPRESS") in ("JPEG", "WEBP", "LERC")):
            assert blocks == expected


@pytest.mark.parametrize(
    "options",
    [
        {"creation": SMALL},
        {"creation": {**SMALL, "COMPRESS": "JPEG"}, "overviews": True},
        {"cog": True, "creation": {"BLOCKSIZE": "128", "COMPRESS": "JPEG"}},
    ],
    ids=["DEFLATE", "JPEG", "COG"],
)
def test_bytes_do_not_depend_on_the_order_in_which_parts_are_made(
    save, noise, plan, tmp_path, options
):
    pixels = noise((600, WIDTH, 3))
    source_path = save("in.tif", pixels, photometric="RGB")
    out = plan(source_path, **options)
    results = []
    for step in (1, -1):
        target = tmp_path / f"order{step}.tif"
        with open_parts(target, out, {}) as (parts, _):
            for number in range(parts.count)[::step]:
                run = range(number, number + 1)
                rows = parts.span(number)
                with open_source(source_path) as source:
                    writer = PartWriter(parts, run, source, 1)
                    writer.write(rows.start, pixels[rows.start : rows.stop])
            assert parts.count > 1
            publishing.publish(parts)
        results.append(target.read_bytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("kept", [4, 300, 5000])
def test_a_part_that_is_damaged_meanwhile_is_told_in_a_line(
    save, noise, plan, write_parts, tmp_path, kept
):
    source = save("in.tif", noise((HEIGHT, WIDTH, 3)))
    target = tmp_path / "out.tif"
    with open_parts(target, plan(source, creation=SMALL), {}) as (parts, _):
        write_parts(parts, source)
        part = parts.found()[0]
        part.write_bytes(part.read_bytes()[:kept])
        with pytest.raises(PictureError, match=f"^{target}: .*a part of it is"):
            publishing.publish(parts)
    assert not target.exists()
