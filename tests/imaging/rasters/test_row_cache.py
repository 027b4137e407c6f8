from __future__ import annotations

import numpy as np
import pytest

from srcli.imaging.rasters.row_cache import RowCache
from srcli.ports.image import Window

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
        return RowCache(load, height=100, width=37, **options), loaded

    return make


def tiles(height, width, overlap):
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
    for window in tiles(20, 12, 4):
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
    windows = list(tiles(20, 12, 4))
    np.random.default_rng(3).shuffle(windows)
    for window in windows:
        same(cache, window)


def test_only_rows_in_use_are_held(cached):
    cache, _ = cached()
    for window in tiles(20, 12, 4):
        cache.read(window)
        held = sum(layers[0].shape[0] for layers in cache._held.values())
        assert held <= window.height + 2 * 15 + 1
    cache.clear()
    assert not cache._held


def test_windows_that_need_too_many_strips_are_loaded_alone(cached):
    cache, loaded = cached(most=2)
    window = Window(top=10, left=3, height=40, width=7)
    same(cache, window)
    assert loaded == [window]
    assert not cache._held
    same(cache, Window(top=10, left=3, height=10, width=7))
    assert len(loaded) == 3
