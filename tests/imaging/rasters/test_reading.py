from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal

from srcli.errors import PictureError
from srcli.imaging.rasters import source as source_module
from srcli.imaging.rasters.gdal_access import BLOCK_CACHE
from srcli.imaging.rasters.headers import info_of, read_info
from srcli.imaging.rasters.nodata import fill_nearest, is_nodata, nearest_other_value
from srcli.imaging.rasters.opening import keep_open
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.imaging.rasters.source import RasterSource
from srcli.ports import Window
from tests.fixtures.claims import sparse

SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename>'
    "<SourceBand>{}</SourceBand>{}</SimpleSource>"
)


@contextmanager
def source_of(path, *, srcwin=None):
    with keep_open(path) as opened:
        info = info_of(opened)
        window, _ = choose_window(info, srcwin=srcwin)
        yield RasterSource(info, choose_layout(info), window)


def tiles(source, height=64, width=64, step=48):
    for row in [
        *range(0, max(source.height - height, 0), step),
        max(source.height - height, 0),
    ]:
        for column in [
            *range(0, max(source.width - width, 0), step),
            max(source.width - width, 0),
        ]:
            yield Window(
                top=row,
                left=column,
                height=min(height, source.height),
                width=min(width, source.width),
            )


def cut(array, window):
    rows = slice(window.top, window.top + window.height)
    return array[rows, window.left : window.left + window.width]


def everything(source):
    return source.read(Window(top=0, left=0, height=source.height, width=source.width))


LAYOUTS = [
    {},
    {"interleave": "band", "blockysize": 7},
    {"tiled": True, "blockxsize": 32, "blockysize": 48, "compress": "deflate"},
    {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"},
    {"blockysize": 150, "compress": "deflate"},
]


@pytest.mark.parametrize("profile", LAYOUTS)
def test_any_block_layout_gives_the_selected_window(save, noise, profile):
    pixels = noise((150, 170, 3), "uint16")
    path = save("a.tif", pixels, **profile)
    with source_of(path, srcwin=(13, 21, 120, 110)) as source:
        assert (source.height, source.width) == (110, 120)
        for window in tiles(source):
            assert_array_equal(source.read(window), cut(pixels[21:131, 13:133], window))


def test_blocks_of_many_bands_are_decoded_once(save, noise, monkeypatch):
    monkeypatch.setattr(source_module, "BLOCK_CACHE", 2**20)  # two of their blocks
    pixels = noise((128, 128, 64), "uint16")
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"}
    with source_of(save("a.tif", pixels, compress="deflate", **blocks)) as source:
        begin = time.process_time()
        everything(source)
        once = time.process_time() - begin
        begin = time.process_time()
        source.dataset.read()
        assert once < 10 * (time.process_time() - begin) + 0.05


@pytest.mark.parametrize(
    ("dtype", "nodata", "profile"),
    [
        ("int16", -32768, {}),
        ("float32", -9999.0, {}),
        ("float32", float("nan"), {}),
        ("float64", None, {}),
        ("uint16", 65535, {"tiled": True, "blockxsize": 16, "blockysize": 16}),
    ],
)
def test_windows_without_a_valid_pixel_are_none(save, noise, dtype, nodata, profile):
    pixels = noise((60, 50, 2), dtype)
    pixels[20:, :] = np.nan if nodata is None else nodata
    with source_of(save("a.tif", pixels, nodata=nodata, **profile)) as source:
        source.read(Window(top=0, left=0, height=21, width=50))
        assert source.read(Window(top=20, left=0, height=40, width=50)) is None
        assert source.read(Window(top=30, left=9, height=4, width=5)) is None
        tile = source.read(Window(top=19, left=0, height=4, width=50))
        assert tile is not None
        assert_array_equal(tile, np.broadcast_to(pixels[19], (4, 50, 2)))


@pytest.mark.parametrize("driver", ["PNG", "JP2OpenJPEG", "HFA"])
def test_other_formats(save, noise, driver):
    pixels = noise((150, 90, 3))
    options = {"QUALITY": 100, "REVERSIBLE": "YES"} if driver.startswith("JP2") else {}
    path = save("a.bin", pixels, driver=driver, **options)
    with source_of(path) as source:
        for window in tiles(source):
            assert_array_equal(source.read(window), cut(pixels, window))


def test_damage_in_the_middle_names_the_file(save, noise):
    path = save("a.tif", noise((400, 100, 3)), compress="deflate", blockysize=16)
    content = bytearray(path.read_bytes())
    content[60_000:-5_000] = bytes(len(content) - 65_000)
    path.write_bytes(content)
    with source_of(path) as source:
        assert source.read(Window(top=0, left=0, height=64, width=64)) is not None
        with pytest.raises(
            PictureError, match=r"a\.tif: rows \d+ to \d+ cannot be read"
        ):
            source.read(Window(top=330, left=0, height=64, width=64))


WINDOW = Window(top=5, left=3, height=17, width=11)
ROWS = slice(5, 22)
COLUMNS = slice(3, 14)


@pytest.fixture
def piece_of():
    """What is decoded of ``WINDOW``: ``piece_of(path, bands=None)``."""

    def decode(path, *, bands=None):
        with keep_open(path) as opened:
            info = info_of(opened)
            source = RasterSource(info, choose_layout(info, bands=bands), WINDOW)
            return source.decode(Window(top=0, left=0, height=17, width=11))

    return decode


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_nodata_hides_where_gdal_says_so(save, piece_of, dtype):
    pixels = np.random.default_rng(0).integers(0, 4, (30, 20, 2)).astype(dtype)
    path = save("a.tif", pixels, nodata=3)
    piece = piece_of(path)
    with rasterio.open(path) as file:
        expected = np.moveaxis(file.read_masks() > 0, 0, 2)[ROWS, COLUMNS]
    assert not expected.all()
    assert_array_equal(piece.valid, expected)


@pytest.mark.parametrize("nodata", [None, 9])
@pytest.mark.parametrize("internal", ["YES", "NO"])
def test_masks_of_the_file_decide_alone(save, noise, piece_of, internal, nodata):
    mask = noise((30, 20), seed=5) > 99
    pixels = noise((30, 20, 3)) % 20
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = save(
            "a.tif", pixels, nodata=nodata, then=lambda file: file.write_mask(mask)
        )
    assert (path.parent / "a.tif.msk").exists() == (internal == "NO")
    piece = piece_of(path)
    assert_array_equal(piece.valid[..., 0], mask[ROWS, COLUMNS])
    assert piece.pixels.shape[2] == 3


def test_alpha_is_apart_and_hides_where_it_is_zero(save, noise, piece_of):
    pixels = noise((30, 20, 4), "uint16")
    pixels[:, :, 3] %= 3
    path = save("a.tif", pixels, photometric="RGB", alpha="YES")
    piece = piece_of(path)
    assert_array_equal(piece.alpha, pixels[ROWS, COLUMNS, 3])
    assert_array_equal(piece.valid[..., 0], pixels[ROWS, COLUMNS, 3] > 0)
    assert_array_equal(piece.pixels, pixels[ROWS, COLUMNS, :3])
    dropped = piece_of(path, bands=(1, 2, 3))
    assert (bool(dropped.valid.all()), dropped.alpha) == (True, None)


def test_bands_with_masks_and_values_of_their_own(save, save_vrt, noise, piece_of):
    pixels = noise((30, 20, 3)) % 5
    save("a.tif", pixels)
    mask = f'<VRTRasterBand dataType="Byte">{SOURCE.format("a.tif", 3, "")}</VRTRasterBand>'
    by_value = f"<NoDataValue>2</NoDataValue>{SOURCE.format('a.tif', 1, '')}"
    second = f"{SOURCE.format('a.tif', 2, '')}<MaskBand>{mask}</MaskBand>"
    path = save_vrt("a.vrt", 20, 30, [("Byte", by_value), ("Byte", second)])
    assert read_info(path).mask == "band"
    inner = pixels[ROWS, COLUMNS]
    expected = np.stack([inner[:, :, 0] != 2, inner[:, :, 2] > 0], axis=2)
    assert_array_equal(piece_of(path).valid, expected)


def test_values_that_hide_only_together(save, noise, piece_of):
    pixels = noise((30, 20, 3)) % 3
    path = save(
        "a.tif", pixels, then=lambda file: file.update_tags(NODATA_VALUES="1 2 0")
    )
    assert read_info(path).tags == {"": {"AREA_OR_POINT": "Area"}}
    expected = (pixels != [1, 2, 0]).any(axis=2)[ROWS, COLUMNS]
    assert not expected.all()
    assert_array_equal(piece_of(path).valid[..., 0], expected)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", None), ("uint8", 2), ("uint16", None)]
)
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
    table = np.array(
        [colours.get(value, (0, 0, 0, 255))[:3] for value in range(4)], np.uint8
    )
    assert_array_equal(piece.pixels, table[indices[ROWS, COLUMNS]])
    assert piece.pixels.dtype == np.uint8
    if nodata is None:
        assert (bool(piece.valid.all()), piece.alpha) == (True, None)
    else:
        visible = indices[ROWS, COLUMNS] != 2
        assert_array_equal(piece.valid[..., 0], visible)
        assert_array_equal(piece.alpha, np.where(visible, 255, 0))


@pytest.mark.parametrize(
    ("photometric", "levels"), [("MINISWHITE", [255, 0]), ("MINISBLACK", [0, 255])]
)
def test_a_scan_of_one_bit_is_gray(save, noise, piece_of, photometric, levels):
    bits = noise((30, 20)) % 2
    piece = piece_of(
        save("a.tif", bits, nbits=1, photometric=photometric, compress="CCITTFAX4")
    )
    expected = np.array(levels, np.uint8)[bits[ROWS, COLUMNS]]
    assert_array_equal(piece.pixels[..., 0], expected)
    assert piece.pixels.shape[2] == 1
    assert (bool(piece.valid.all()), piece.alpha) == (True, None)


def test_transparent_entries_of_a_palette(save, save_vrt, noise, piece_of):
    indices = noise((30, 20)) % 3
    save("a.tif", indices)
    table = "".join(
        f'<Entry c1="{c[0]}" c2="{c[1]}" c3="{c[2]}" c4="{c[3]}"/>'
        for c in [(1, 2, 3, 255), (4, 5, 6, 0), (7, 8, 9, 100)]
    )
    inner = (
        f"<ColorInterp>Palette</ColorInterp><ColorTable>{table}</ColorTable>"
        f"{SOURCE.format('a.tif', 1, '')}"
    )
    piece = piece_of(save_vrt("a.vrt", 20, 30, [("Byte", inner)]))
    entries = indices[ROWS, COLUMNS]
    assert_array_equal(piece.alpha, np.array([255, 0, 100])[entries])
    assert_array_equal(piece.valid[..., 0], entries != 1)


def test_a_palette_beside_other_bands_is_expanded_alone(
    save, save_vrt, noise, piece_of
):
    pixels = noise((30, 20, 2)) % 2
    save("a.tif", pixels)
    table = "".join(f'<Entry c1="{n}" c2="8" c3="7" c4="255"/>' for n in (9, 1))
    palette = f"<ColorInterp>Palette</ColorInterp><ColorTable>{table}</ColorTable>"
    bands = [
        ("Byte", head + SOURCE.format("a.tif", n, ""))
        for n, head in ((1, palette), (2, ""))
    ]
    piece = piece_of(save_vrt("a.vrt", 20, 30, bands), bands=(1,))
    colours = np.array([(9, 8, 7), (1, 8, 7)], np.uint8)
    assert_array_equal(piece.pixels, colours[pixels[ROWS, COLUMNS, 0]])


@pytest.mark.parametrize("nodata", [-9999.0, 0.0, 5.0, 1e20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_nodata_where_gdal_says_so(save, dtype, nodata):
    beside = nearest_other_value(np.dtype(dtype), nodata)
    assert beside == pytest.approx(nodata, rel=1e-6, abs=1e-30)
    values = np.array([beside, *[nodata] * 13], dtype)
    towards = values.dtype.type(-np.inf if nodata > 0 else np.inf)
    for step in range(2, 14):
        values[step] = np.nextafter(values[step - 1], towards)
    with rasterio.open(save("a.tif", values[None], nodata=nodata)) as file:
        visible = file.read_masks(1)[0] > 0
    hidden = is_nodata(values, nodata)
    assert visible[:2].tolist() == (~hidden[:2]).tolist() == [True, False]
    # one step of tolerance where GDAL's own rounding decides
    assert abs(int(hidden.sum()) - int((~visible).sum())) <= 1


def distance_to_source(valid, pixels, filled):
    """For each hole: squared distances to the valid pixels, and where its value stands."""
    rows, columns = np.nonzero(valid)
    for row, column in np.argwhere(~valid):
        far = (rows - row) ** 2 + (columns - column) ** 2
        same = pixels[rows, columns] == filled[row, column]
        yield far.min(), far[same].min(initial=10**9)


@pytest.mark.parametrize("holes", ["many", "few", "few and large", "corners"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_holes_take_the_value_of_a_nearest_pixel(dtype, holes):
    rng = np.random.default_rng(1)
    pixels = rng.permutation(40 * 30).reshape(40, 30, 1)
    pixels = (pixels % 120 if dtype in ("uint8", "int8") else pixels).astype(dtype)
    valid = rng.random((40, 30, 1)) > (0.7 if holes == "many" else 0.02)
    if holes == "few and large":
        valid[20:25, 3:9] = False
    if holes == "corners":
        valid[:2, :2] = valid[-3:, -3:] = valid[0, -1] = valid[-1, 0] = False
    filled = fill_nearest(pixels, valid)
    assert filled.dtype == pixels.dtype
    assert_array_equal(filled[valid], pixels[valid])
    for nearest, sources in distance_to_source(
        valid[..., 0], pixels[..., 0], filled[..., 0]
    ):
        assert sources == nearest


def test_each_band_is_filled_for_itself(noise):
    pixels = noise((25, 31, 3), np.uint16)
    valid = np.random.default_rng(2).random((25, 31, 3)) > 0.4
    filled = fill_nearest(pixels, valid)
    for band in range(3):
        alone = fill_nearest(pixels[:, :, [band]], valid[:, :, [band]])
        assert_array_equal(filled[:, :, [band]], alone)
    assert not np.array_equal(
        filled[:, :, [0]], fill_nearest(pixels[:, :, [0]], valid[:, :, [1]])
    )


def test_a_band_without_any_pixel_takes_over_its_neighbour(noise):
    pixels = noise((8, 9, 4))
    valid = noise((8, 9, 4), seed=3) > 50
    valid[:, :, [0, 3]] = False
    filled = fill_nearest(pixels, valid)
    assert_array_equal(filled[:, :, 0], filled[:, :, 1])
    assert_array_equal(filled[:, :, 3], filled[:, :, 2])


def test_gdal_keeps_the_rows_that_all_tiles_of_a_row_share(tmp_path):
    from rasterio._env import get_gdal_config

    for name, tiled, most in (("tiles.tif", True, 1), ("strips.tif", False, 2)):
        blocks = {"blockxsize": 256, "blockysize": 256 if tiled else 1}
        path = sparse(tmp_path / name, 400, 500_000, [], count=3, tiled=tiled, **blocks)
        with keep_open(path) as opened:
            info = info_of(opened)
            window = Window(top=0, left=0, height=info.height, width=info.width)
            RasterSource(info, choose_layout(info), window, 200)
            assert (
                most * BLOCK_CACHE
                <= get_gdal_config("GDAL_CACHEMAX")
                < (most + 1) * BLOCK_CACHE
            )
