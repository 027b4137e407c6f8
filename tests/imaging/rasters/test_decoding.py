from __future__ import annotations

import numpy as np
import pytest
import rasterio

from srcli.errors import PictureError
from srcli.imaging.rasters.decoding import RasterDecoder
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.selection import choose_layout
from srcli.ports.image import Window

WINDOW = Window(top=5, left=3, height=17, width=11)
ROWS, COLUMNS = slice(5, 22), slice(3, 14)
SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename>'
    "<SourceBand>{}</SourceBand></SimpleSource>"
)


@pytest.fixture
def piece_of():
    """What the decoder says of ``WINDOW``: ``piece_of(path, bands=None, marks_only=False)``."""

    def decode(path, *, bands=None, marks_only=False):
        info = read_info(path)
        decoder = RasterDecoder(info, choose_layout(info, bands=bands), marks_only=marks_only)
        try:
            return decoder.interpret(*decoder.load(WINDOW))
        finally:
            decoder.close()

    return decode


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
@pytest.mark.parametrize(
    "profile",
    [
        {"interleave": "pixel"},
        {"interleave": "band", "compress": "deflate"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "lzw"},
    ],
)
def test_pixels_are_those_of_the_file(save, noise, piece_of, dtype, profile):
    pixels = noise((30, 20, 4), dtype)
    piece = piece_of(save("a.tif", pixels, **profile), bands=(3, 1))
    np.testing.assert_array_equal(piece.pixels, pixels[ROWS, COLUMNS][:, :, [2, 0]])
    assert piece.pixels.dtype == dtype
    assert (piece.valid, piece.alpha) == (None, None)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("marks_only", [False, True])
def test_nodata_hides_where_gdal_says_so(save, piece_of, dtype, marks_only):
    pixels = np.random.default_rng(0).integers(0, 4, (30, 20, 2)).astype(dtype)
    path = save("a.tif", pixels, nodata=3)
    piece = piece_of(path, marks_only=marks_only)
    with rasterio.open(path) as file:
        wanted = np.moveaxis(file.read_masks() > 0, 0, 2)[ROWS, COLUMNS]
    assert not wanted.all()
    np.testing.assert_array_equal(piece.valid, wanted)


def test_nan_and_infinities_hide(save, piece_of):
    pixels = np.ones((30, 20), np.float32)
    pixels[6:9, 4] = np.nan, np.inf, -np.inf
    for nodata in (None, np.nan, -9999):
        piece = piece_of(save("a.tif", pixels, nodata=nodata))
        assert np.argwhere(~piece.valid[..., 0]).tolist() == [[1, 1], [2, 1], [3, 1]]


@pytest.mark.parametrize("nodata", [None, 9])
@pytest.mark.parametrize("internal", ["YES", "NO"])
@pytest.mark.parametrize("marks_only", [False, True])
def test_masks_of_the_file_decide_alone(save, noise, piece_of, internal, nodata, marks_only):
    mask = noise((30, 20), seed=5) > 99
    pixels = noise((30, 20, 3)) % 20
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = save("a.tif", pixels, nodata=nodata, then=lambda file: file.write_mask(mask))
    assert (path.parent / "a.tif.msk").exists() == (internal == "NO")
    piece = piece_of(path, marks_only=marks_only)
    np.testing.assert_array_equal(piece.valid[..., 0], mask[ROWS, COLUMNS])
    assert piece.valid.shape == (17, 11, 1)
    assert piece.pixels.shape[2] == (0 if marks_only else 3)


def test_masks_hide_besides_nan(save, noise, piece_of):
    mask, pixels = noise((30, 20), seed=5) > 99, noise((30, 20), "float32")
    pixels[10] = np.nan
    path = save("a.tif", pixels, then=lambda file: file.write_mask(mask))
    wanted = (mask & np.isfinite(pixels))[ROWS, COLUMNS]
    for marks_only in (False, True):
        piece = piece_of(path, marks_only=marks_only)
        np.testing.assert_array_equal(piece.valid[..., 0], wanted)


@pytest.mark.parametrize("marks_only", [False, True])
def test_alpha_is_apart_and_hides_where_it_is_zero(save, noise, piece_of, marks_only):
    pixels = noise((30, 20, 4), "uint16")
    pixels[:, :, 3] %= 3
    path = save("a.tif", pixels, photometric="RGB", alpha="YES")
    piece = piece_of(path, marks_only=marks_only)
    np.testing.assert_array_equal(piece.alpha, pixels[ROWS, COLUMNS, 3])
    np.testing.assert_array_equal(piece.valid[..., 0], pixels[ROWS, COLUMNS, 3] > 0)
    if not marks_only:
        np.testing.assert_array_equal(piece.pixels, pixels[ROWS, COLUMNS, :3])
    dropped = piece_of(path, bands=(1, 2, 3))
    assert (dropped.alpha, dropped.valid) == (None, None)


def test_alpha_and_nodata_both_hide(save, noise, piece_of):
    pixels = noise((30, 20, 4)) % 3
    path = save("a.tif", pixels, photometric="RGB", alpha="YES", nodata=1)
    inner = pixels[ROWS, COLUMNS]
    wanted = (inner[:, :, :3] != 1) & (inner[:, :, 3:] > 0)
    np.testing.assert_array_equal(piece_of(path).valid, wanted)
    np.testing.assert_array_equal(piece_of(path, marks_only=True).valid, wanted)


def test_bands_with_masks_and_values_of_their_own(save, save_vrt, noise, piece_of):
    pixels = noise((30, 20, 3)) % 5
    save("a.tif", pixels)
    mask = f'<VRTRasterBand dataType="Byte">{SOURCE.format("a.tif", 3)}</VRTRasterBand>'
    first = f"<NoDataValue>2</NoDataValue>{SOURCE.format('a.tif', 1)}"
    second = f"{SOURCE.format('a.tif', 2)}<MaskBand>{mask}</MaskBand>"
    path = save_vrt("a.vrt", 20, 30, [("Byte", first), ("Byte", second)])
    assert read_info(path).mask == "band"
    inner = pixels[ROWS, COLUMNS]
    wanted = np.stack([inner[:, :, 0] != 2, inner[:, :, 2] > 0], axis=2)
    for marks_only in (False, True):
        np.testing.assert_array_equal(piece_of(path, marks_only=marks_only).valid, wanted)


def test_values_that_hide_only_together(save, noise, piece_of):
    pixels = noise((30, 20, 3)) % 3
    path = save("a.tif", pixels, then=lambda file: file.update_tags(NODATA_VALUES="1 2 0"))
    wanted = (pixels != [1, 2, 0]).any(axis=2)[ROWS, COLUMNS]
    assert not wanted.all()
    np.testing.assert_array_equal(piece_of(path).valid[..., 0], wanted)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("nodata", [None, 2])
def test_palettes_are_expanded(save, noise, piece_of, dtype, nodata):
    colours = {0: (9, 8, 7, 255), 1: (250, 0, 100, 255), 2: (1, 2, 3, 255)}
    indices = (noise((30, 20)) % 4).astype(dtype)  # 3 has no colour
    path = save(
        "a.tif",
        indices,
        then=lambda file: file.write_colormap(1, colours),
        photometric="palette",
        nodata=nodata,
    )
    piece = piece_of(path)
    table = np.array([colours.get(value, (0, 0, 0, 255))[:3] for value in range(4)], np.uint8)
    np.testing.assert_array_equal(piece.pixels, table[indices[ROWS, COLUMNS]])
    assert piece.pixels.dtype == np.uint8
    if nodata is None:
        assert (piece.valid, piece.alpha) == (None, None)
    else:
        there = indices[ROWS, COLUMNS] != 2
        np.testing.assert_array_equal(piece.valid[..., 0], there)
        np.testing.assert_array_equal(piece.alpha, np.where(there, 255, 0))
        np.testing.assert_array_equal(piece_of(path, marks_only=True).alpha, piece.alpha)


@pytest.mark.parametrize(("kind", "levels"), [("MINISWHITE", [255, 0]), ("MINISBLACK", [0, 255])])
def test_a_scan_of_one_bit_is_gray(save, noise, piece_of, kind, levels):
    bits = noise((30, 20)) % 2
    piece = piece_of(save("a.tif", bits, nbits=1, photometric=kind, compress="CCITTFAX4"))
    expected = np.array(levels, np.uint8)[bits[ROWS, COLUMNS]]
    np.testing.assert_array_equal(piece.pixels[..., 0], expected)
    assert piece.pixels.shape[2] == 1
    assert (piece.valid, piece.alpha) == (None, None)


def test_transparent_entries_of_a_palette(save, save_vrt, noise, piece_of):
    indices = noise((30, 20)) % 3
    save("a.tif", indices)
    table = "".join(
        f'<Entry c1="{c[0]}" c2="{c[1]}" c3="{c[2]}" c4="{c[3]}"/>'
        for c in [(1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 100)]
    )
    inner = (
        f"<ColorInterp>Palette</ColorInterp><ColorTable>{table}</ColorTable>"
        f"{SOURCE.format('a.tif', 1)}"
    )
    piece = piece_of(save_vrt("a.vrt", 20, 30, [("Byte", inner)]))
    there = indices[ROWS, COLUMNS]
    np.testing.assert_array_equal(piece.alpha, np.array([255, 0, 100])[there])
    np.testing.assert_array_equal(piece.valid[..., 0], there != 1)


def test_thinned_out_reading(save, noise):
    pixels = noise((30, 20, 2))
    info = read_info(save("a.tif", pixels, nodata=7))
    decoder = RasterDecoder(info, choose_layout(info))
    values, _ = decoder.load(Window(top=0, left=0, height=30, width=20), (10, 5))
    decoder.close()
    assert values.shape == (10, 5, 2)
    np.testing.assert_array_equal(values, pixels[1::3, 2::4])


@pytest.mark.parametrize(
    ("dtype", "profile", "certain"),
    [
        ("uint8", {}, True),
        ("int32", {}, True),
        ("float32", {}, False),
        ("uint8", {"nodata": 0}, False),
        ("uint8", {"alpha": "yes"}, False),
    ],
)
def test_what_needs_no_second_look(save, noise, dtype, profile, certain):
    info = read_info(save("a.tif", noise((6, 7, 2), dtype), **profile))
    decoder = RasterDecoder(info, choose_layout(info))
    assert decoder.all_valid is certain
    decoder.close()


def test_damage_names_file_and_rows(save, noise):
    path = save("a.tif", noise((30, 20)))
    path.write_bytes(path.read_bytes()[:500])
    info = read_info(path) if path.stat().st_size > 499 else None
    assert info is not None
    decoder = RasterDecoder(info, choose_layout(info))
    with pytest.raises(PictureError, match=r"a\.tif: rows 5 to 22 cannot be read \(.*copy"):
        decoder.load(WINDOW)
    decoder.close()
