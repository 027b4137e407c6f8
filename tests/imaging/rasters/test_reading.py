from __future__ import annotations

import threading

import numpy as np
import pytest
import rasterio

from srcli.errors import PictureError
from srcli.imaging.rasters import reading
from srcli.imaging.rasters.decoding import RasterDecoder
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.nodata import fill_nearest
from srcli.imaging.rasters.reading import RasterSource, RowCache
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.ports.image import Window

SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename>'
    "<SourceBand>{}</SourceBand>{}</SimpleSource>"
)


def source_of(path, *, bands=None, srcwin=None, **options):
    info = read_info(path)
    window, _ = choose_window(info, srcwin=srcwin)
    return RasterSource(info, choose_layout(info, bands=bands), window, **options)


def tiles(source, height=64, width=64, step=48):
    for top in [*range(0, max(source.height - height, 0), step), max(source.height - height, 0)]:
        for left in [*range(0, max(source.width - width, 0), step), max(source.width - width, 0)]:
            yield Window(
                top=top,
                left=left,
                height=min(height, source.height),
                width=min(width, source.width),
            )


def cut(array, window):
    rows = slice(window.top, window.top + window.height)
    return array[rows, window.left : window.left + window.width]


def everything(source):
    return source.read(Window(top=0, left=0, height=source.height, width=source.width))


@pytest.mark.parametrize(
    ("name", "srcwin"),
    [
        ("landsat_rgb_uint8_nodata_utm18", (5, 20, 300, 250)),
        ("naip_rgbn_uint8_utm14", (400, 400, 300, 250)),
        ("satellite_rgb_uint16_utm18", (5, 20, 300, 250)),
    ],
)
@pytest.mark.parametrize("limit", [2**29, 1])
def test_tiles_of_real_files(srx_data, name, srcwin, limit):
    path = srx_data / "geotiff" / f"{name}.tif"
    place = Window(left=srcwin[0], top=srcwin[1], width=srcwin[2], height=srcwin[3])
    with rasterio.open(path) as file:
        pixels = cut(np.moveaxis(file.read(), 0, 2), place)
        valid = cut(np.moveaxis(file.read_masks() > 0, 0, 2), place)
    with source_of(path, srcwin=srcwin, limit_bytes=limit) as source:
        assert (source.height, source.width, source.channels) == pixels.shape
        assert source.dtype == pixels.dtype
        for window in tiles(source, 128, 160, 110):
            tile, there = source.read(window), cut(valid, window)
            if not there.any():
                assert tile is None
                continue
            np.testing.assert_array_equal(tile, fill_nearest(cut(pixels, window), there))
        found = source.valid(0, source.height)
        assert (found is None) == valid.all() == name.startswith("naip")
        assert found is None or np.array_equal(np.broadcast_to(found, valid.shape), valid)


LAYOUTS = [
    {},
    {"interleave": "band", "blockysize": 7},
    {"tiled": True, "blockxsize": 32, "blockysize": 48, "compress": "deflate"},
    {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"},
    {"blockysize": 150, "compress": "deflate"},
]


@pytest.mark.parametrize("limit", [2**29, 20_000, 1])
@pytest.mark.parametrize("profile", LAYOUTS)
def test_any_block_layout_gives_the_selected_window(save, noise, profile, limit):
    pixels = noise((150, 170, 3), "uint16")
    path = save("a.tif", pixels, **profile)
    with source_of(path, srcwin=(13, 21, 120, 110), limit_bytes=limit) as source:
        assert (source.height, source.width) == (110, 120)
        for window in tiles(source):
            np.testing.assert_array_equal(source.read(window), cut(pixels[21:131, 13:133], window))
        assert source.valid(0, 110) is None
        assert source.alpha(0, 110) is None


@pytest.mark.parametrize("limit", [2**29, 1])
def test_windows_do_not_depend_on_the_windows_before(save, noise, limit):
    pixels = noise((150, 170, 2), "float32")
    pixels[noise((150, 170), seed=3) > 200] = np.nan
    pixels[40:110, 30:140] = np.nan
    path = save("a.tif", pixels, tiled=True, blockxsize=32, blockysize=32)
    with source_of(path, limit_bytes=limit) as source:
        windows = list(tiles(source))
        there = [source.read(window) for window in windows]
        back = [source.read(window) for window in reversed(windows)][::-1]
    for window, one, other in zip(windows, there, back, strict=True):
        with source_of(path) as fresh:
            alone = fresh.read(window)
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, alone)


def test_tiles_are_the_callers_own(save, noise):
    with source_of(save("a.tif", noise((60, 50, 3)))) as source:
        first = everything(source)
        before = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(everything(source), before)


@pytest.mark.parametrize("profile", LAYOUTS[2:4])
def test_each_block_is_read_once_for_all_tiles(save, noise, monkeypatch, profile):
    pixels = noise((300, 280, 3))
    path = save("a.tif", pixels, nodata=0, **profile)
    rows = []

    class Counting(RasterDecoder):
        def load(self, window, shape=None):
            rows.append((window.top, window.height, window.width))
            return super().load(window, shape)

    monkeypatch.setattr(reading, "RasterDecoder", Counting)
    with source_of(path, srcwin=(5, 10, 270, 280)) as source:
        for window in tiles(source):
            source.read(window)
        assert sum(height for _, height, _ in rows) == 280
        assert {width for _, _, width in rows} == {270}
        block = profile["blockysize"]
        assert all((top % block == 0) or top == 10 for top, _, _ in rows)
        rows.clear()
        for top in range(0, 280, 20):
            source.valid(top, 20)
            source.alpha(top, 20)
        assert sum(height for _, height, _ in rows) == 280


def test_blocks_that_do_not_fit_are_read_tile_by_tile(save, noise, monkeypatch):
    pixels = noise((300, 280)) % 9
    path = save("a.tif", pixels, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    loads = []

    class Counting(RasterDecoder):
        def load(self, window, shape=None):
            loads.append((window.width, window.height))
            return super().load(window, shape)

    monkeypatch.setattr(reading, "RasterDecoder", Counting)
    with source_of(path, limit_bytes=20_000) as source:
        for window in tiles(source):
            source.read(window)
        assert {width for width, _ in loads} == {64}
        loads.clear()
        for top in range(0, 300, 5):
            source.valid(top, 5)
        # marks are kept all the same
        assert sum(width * height for width, height in loads) == 300 * 280


@pytest.mark.parametrize("height", [300, 16])
def test_rows_as_wide_as_the_file_are_always_kept(save, noise, monkeypatch, height):
    pixels = noise((300, 280, 3))
    path = save("a.tif", pixels, blockysize=height, compress="deflate")
    loads = []

    class Counting(RasterDecoder):
        def load(self, window, shape=None):
            loads.append((window.width, window.height))
            return super().load(window, shape)

    monkeypatch.setattr(reading, "RasterDecoder", Counting)
    with source_of(path, limit_bytes=20_000) as source:
        for window in tiles(source):
            np.testing.assert_array_equal(source.read(window), cut(pixels, window))
    assert sum(rows for _, rows in loads) == 300
    assert max(rows for _, rows in loads) == 64


def test_holes_take_the_nearest_pixels_of_each_band(save, noise):
    pixels = noise((60, 50, 3)) // 2 + 1
    pixels[noise((60, 50, 3), seed=1) > 150] = 0
    with source_of(save("a.tif", pixels, nodata=0)) as source:
        tile = everything(source)
        np.testing.assert_array_equal(tile, fill_nearest(pixels, pixels > 0))
        assert tile.min() > 0


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
        assert source.read(Window(top=20, left=0, height=40, width=50)) is None
        assert source.read(Window(top=30, left=9, height=4, width=5)) is None
        tile = source.read(Window(top=19, left=0, height=4, width=50))
        assert tile is not None
        np.testing.assert_array_equal(tile, np.broadcast_to(pixels[19], (4, 50, 2)))
        valid = source.valid(0, 60)
        assert valid is not None
        assert valid[:20].all()
        assert not valid[20:].any()
        assert source.valid(0, 20) is None
        assert source.valid(3, 5) is None


def test_a_band_that_is_empty_here_takes_over_another(save, noise):
    pixels = noise((40, 30, 3)) // 2 + 1
    pixels[:20, :, 1] = 0
    with source_of(save("a.tif", pixels, nodata=0)) as source:
        tile = source.read(Window(top=0, left=0, height=20, width=30))
        np.testing.assert_array_equal(tile[:, :, 1], pixels[:20, :, 0])


def test_alpha_and_masks_beside(save, noise):
    pixels = noise((60, 50, 4), "uint16")
    pixels[:, :, 3] = np.where(noise((60, 50), seed=1) > 99, pixels[:, :, 3] | 1, 0)
    path = save("a.tif", pixels, photometric="RGB", alpha="YES")
    with source_of(path) as source:
        assert source.channels == 3
        there = pixels[:, :, 3] > 0
        np.testing.assert_array_equal(source.alpha(7, 20), pixels[7:27, :, 3])
        np.testing.assert_array_equal(source.valid(7, 20)[..., 0], there[7:27])
        wanted = fill_nearest(pixels[:, :, :3], there[:, :, None])
        np.testing.assert_array_equal(everything(source), wanted)


def test_a_mask_of_the_file(save, noise):
    mask, pixels = noise((150, 170), seed=2) > 200, noise((150, 170, 3))
    path = save(
        "a.tif",
        pixels,
        then=lambda file: file.write_mask(mask),
        tiled=True,
        blockxsize=32,
        blockysize=32,
    )
    with source_of(path, srcwin=(3, 5, 160, 140)) as source:
        inner = mask[5:145, 3:163]
        np.testing.assert_array_equal(source.valid(0, 140)[..., 0], inner)
        for window in tiles(source):
            wanted = fill_nearest(cut(pixels[5:145, 3:163], window), cut(inner, window)[..., None])
            np.testing.assert_array_equal(source.read(window), wanted)


def test_marks_are_put_together_from_parts(save, noise, monkeypatch):
    pixels = noise((70, 300, 2)) % 3
    pixels[:, :64] = 1
    path = save("a.tif", pixels, nodata=0, tiled=True, blockxsize=32, blockysize=16)
    with source_of(path, srcwin=(5, 3, 290, 60)) as source:
        wanted = source.valid(0, 60)
    monkeypatch.setattr(reading, "_PART_PIXELS", 3000)
    with source_of(path, srcwin=(5, 3, 290, 60)) as source:
        np.testing.assert_array_equal(source.valid(0, 60), wanted)
    np.testing.assert_array_equal(wanted, pixels[3:63, 5:295] != 0)


def test_palettes(save, noise):
    indices = noise((60, 50)) % 3
    colours = {0: (9, 8, 7, 255), 1: (250, 0, 100, 255), 2: (1, 2, 3, 255)}
    path = save(
        "a.tif",
        indices,
        then=lambda file: file.write_colormap(1, colours),
        photometric="palette",
        nodata=1,
    )
    with source_of(path) as source:
        assert (source.channels, source.dtype) == (3, np.uint8)
        np.testing.assert_array_equal(source.alpha(0, 60), np.where(indices == 1, 0, 255))
        table = np.array([colours[value][:3] for value in range(3)], np.uint8)
        wanted = fill_nearest(table[indices], (indices != 1)[:, :, None])
        np.testing.assert_array_equal(everything(source), wanted)


def test_mosaics(save, save_vrt, noise):
    left, right = noise((60, 50, 3)), noise((60, 50, 3), seed=1)
    save("left.tif", left)
    save("right.tif", right)
    there = '<SrcRect xOff="0" yOff="0" xSize="50" ySize="60"/>'
    first = there + '<DstRect xOff="0" yOff="0" xSize="50" ySize="60"/>'
    second = there + '<DstRect xOff="60" yOff="9" xSize="50" ySize="60"/>'
    bands = [
        ("Byte", SOURCE.format("left.tif", b, first) + SOURCE.format("right.tif", b, second))
        for b in (1, 2, 3)
    ]
    whole = np.zeros((70, 110, 3), np.uint8)
    whole[:60, :50], whole[9:69, 60:] = left, right
    path = save_vrt("a.vrt", 110, 70, bands)
    with source_of(path) as source:
        for window in tiles(source, 30, 30, 20):
            np.testing.assert_array_equal(source.read(window), cut(whole, window))
    (path.parent / "right.tif").unlink()
    with source_of(path) as source, pytest.raises(PictureError, match=r"a\.vrt: rows"):
        everything(source)


@pytest.mark.parametrize("bands", [1, 8])
def test_one_pixel(save, noise, bands):
    pixels = noise((1, 1, bands), "int16")
    with source_of(save("a.tif", pixels)) as source:
        np.testing.assert_array_equal(everything(source), pixels)


@pytest.mark.parametrize("driver", ["PNG", "JP2OpenJPEG", "HFA"])
def test_other_formats(save, noise, driver):
    pixels = noise((150, 90, 3))
    options = {"QUALITY": 100, "REVERSIBLE": "YES"} if driver.startswith("JP2") else {}
    path = save("a.bin", pixels, driver=driver, **options)
    with source_of(path) as source:
        for window in tiles(source):
            np.testing.assert_array_equal(source.read(window), cut(pixels, window))


def test_damage_in_the_middle_names_the_file(save, noise):
    path = save("a.tif", noise((400, 100, 3)), compress="deflate", blockysize=16)
    path.write_bytes(path.read_bytes()[:60_000])
    with source_of(path) as source:
        assert source.read(Window(top=0, left=0, height=64, width=64)) is not None
        with pytest.raises(PictureError, match=r"a\.tif: rows \d+ to \d+ cannot be read"):
            source.read(Window(top=330, left=0, height=64, width=64))


def test_reading_and_marking_from_two_threads(save, noise):
    pixels = noise((600, 200, 3)) % 9
    path = save("a.tif", pixels, nodata=0, tiled=True, blockxsize=32, blockysize=32, compress="lzw")
    wrong = []
    with source_of(path) as source:

        def mark():
            for top in [*range(0, 600, 25)] * 3:
                valid = source.valid(top, 25)
                if not np.array_equal(valid, pixels[top : top + 25] != 0):
                    wrong.append(top)

        thread = threading.Thread(target=mark)
        thread.start()
        for window in [*tiles(source)] * 3:
            there = cut(pixels, window)
            if not np.array_equal(source.read(window), fill_nearest(there, there != 0)):
                wrong.append(window)
        thread.join()
    assert wrong == []


def test_closing_lets_go_of_both_handles(save, noise):
    with source_of(save("a.tif", noise((60, 50), "float32"))) as source:
        handles = [source._pixels._dataset, source._marks._dataset]
        assert handles[0] is not handles[1]
        source.read(Window(top=0, left=0, height=9, width=9))
        assert source._pixel_rows.held
    assert all(handle.closed for handle in handles)
    assert not source._pixel_rows.held
    source.close()  # a second time does no harm


PIXELS = np.random.default_rng(0).integers(0, 255, (100, 37, 2))
MARKS = np.random.default_rng(1).integers(0, 2, (100, 37, 1)).astype(bool)


@pytest.fixture
def cached():
    """A cache over an image, and the windows that it has loaded."""

    def make(**options):
        loaded = []

        def load(window):
            loaded.append(window)
            rows = slice(window.top, window.top + window.height)
            columns = slice(window.left, window.left + window.width)
            return PIXELS[rows, columns].copy(), MARKS[rows, columns].copy()

        options = {"strip": 16, "shift": 0, "most": 99, **options}
        return RowCache(load=load, height=100, width=37, **options), loaded

    return make


def image_tiles(height, width, overlap):
    for top in range(0, 100 - height + 1, height - overlap):
        for left in range(0, 37 - width + 1, width - overlap):
            yield Window(top=top, left=left, height=height, width=width)


def same(cache, window):
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    pixels, marks = cache.read(window)
    np.testing.assert_array_equal(pixels, PIXELS[rows, columns])
    np.testing.assert_array_equal(marks, MARKS[rows, columns])


@pytest.mark.parametrize("shift", [0, 5, 15])
@pytest.mark.parametrize("strip", [1, 16, 40, 1000])
def test_each_row_is_loaded_once_for_a_grid_of_tiles(cached, strip, shift):
    cache, loaded = cached(strip=strip, shift=min(shift, strip - 1))
    for window in image_tiles(20, 12, 4):
        same(cache, window)
    rows = [row for window in loaded for row in range(window.top, window.top + window.height)]
    assert len(rows) == len(set(rows))
    assert {(window.left, window.width) for window in loaded} == {(0, 37)}


def test_strips_begin_where_blocks_do(cached):
    cache, loaded = cached(strip=16, shift=5)
    same(cache, Window(top=0, left=0, height=100, width=37))
    assert [window.top for window in loaded] == [0, 11, 27, 43, 59, 75, 91]
    assert [window.height for window in loaded] == [11, 16, 16, 16, 16, 16, 9]


def test_any_order_gives_the_same_pixels(cached):
    cache, _ = cached(shift=7)
    windows = list(image_tiles(20, 12, 4))
    np.random.default_rng(3).shuffle(windows)
    for window in windows:
        same(cache, window)


def test_only_rows_in_use_are_held(cached):
    cache, _ = cached()
    for window in image_tiles(20, 12, 4):
        cache.read(window)
        held = sum(layers[0].shape[0] for layers in cache.held.values())
        assert held <= window.height + 2 * 15 + 1


def test_windows_that_need_too_many_strips_are_loaded_alone(cached):
    cache, loaded = cached(most=2)
    window = Window(top=10, left=3, height=40, width=7)
    same(cache, window)
    assert loaded == [window]
    assert not cache.held
    same(cache, Window(top=10, left=3, height=10, width=7))
    assert len(loaded) == 3
