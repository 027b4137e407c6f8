"""Mirrored pixels around an image: read as one picture, cut off again exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from srcli.inference.engine import TorchEngine
from srcli.inference.stream import (
    ArraySink,
    ArraySource,
    CroppedSink,
    PaddedSource,
    make_job,
    run_stream,
)
from srcli.inference.tiling import Tiling, padded_grid, tile_rows
from srcli.layers.network import Network
from srcli.ports.image import Window
from tests.fixtures.tilings import tilings


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 7), (9, 5)])
@pytest.mark.parametrize("edge", [1, 4])
def test_windows_are_those_of_the_padded_picture(height, width, edge):
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    source = PaddedSource(ArraySource(pixels), edge)
    whole = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), mode="symmetric")
    assert (source.height, source.width) == whole.shape[:2]
    for top in range(whole.shape[0]):
        for left in range(whole.shape[1]):
            window = Window(top=top, left=left, height=min(3, whole.shape[0] - top), width=1)
            expected = whole[top : top + window.height, left : left + 1]
            np.testing.assert_array_equal(source.read(window), expected)


@pytest.mark.parametrize("step", [1, 2, 5, 100])
def test_rows_are_cropped_however_they_come(step):
    whole = np.arange(14 * 12 * 1, dtype=np.uint8).reshape(14, 12, 1)
    target = ArraySink(8, 6, 1, whole.dtype)
    sink = CroppedSink(target, 3, 8)
    for top in range(0, 14, step):
        sink.write(top, whole[top : top + step])
    np.testing.assert_array_equal(target.pixels, whole[3:11, 3:9])


class Darkening(Network):
    """One zero-padded averaging convolution, then pixel repetition: darkens the frame."""

    scale = 2

    def forward(self, x):
        kernel = torch.full((3, 1, 3, 3), 1 / 9)
        blurred = nn.functional.conv2d(x, kernel, padding=1, groups=3)
        return blurred.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("edge", "clean"), [(0, False), (1, True), (4, True)])
def test_the_frame_of_zero_padding_is_kept_out_of_sight(edge, clean):
    pixels = np.full((20, 33, 3), 200, np.uint8)
    sink = ArraySink(40, 66, 3, pixels.dtype)
    tiling = Tiling(tile=16, overlap=4, edge=edge)
    work = make_job(ArraySource(pixels), sink, name="flat", scale=2, tiling=tiling)
    (done,) = run_stream(TorchEngine(Darkening(), device=torch.device("cpu")), [work])
    assert done.error is None
    assert bool((sink.pixels == 200).all()) is clean


def test_where_no_pixel_is_valid_none_is_mirrored():
    class Half(ArraySource):
        def read(self, window):
            return None if window.top + window.height <= 3 else super().read(window)

    source = PaddedSource(Half(np.ones((6, 5, 2), np.uint8)), 2)
    assert source.read(Window(top=0, left=0, height=5, width=9)) is None
    got = source.read(Window(top=0, left=0, height=6, width=9))
    np.testing.assert_array_equal(got, np.ones((6, 9, 2)))


class Rows:
    """A sink that keeps what it gets, and checks the order."""

    def __init__(self):
        self.top, self.parts, self.height = None, [], 0

    def write(self, top, rows):
        self.top = top if self.top is None else self.top
        assert top == self.top + self.height
        self.height += len(rows)
        self.parts.append(rows)

    @property
    def pixels(self):
        return np.concatenate(self.parts)


class Inside(ArraySource):
    """An image of which nothing outside is read."""

    def read(self, window):
        assert 0 <= window.top < window.top + window.height <= self.height
        assert 0 <= window.left < window.left + window.width <= self.width
        return super().read(window)


def enlarge(pixels, tiling, rows=None):
    sink = Rows()
    work = make_job(Inside(pixels), sink, name="a.tif", scale=2, tiling=tiling, tile_rows=rows)
    (done,) = run_stream(TorchEngine(Darkening(), device=torch.device("cpu"), batch=2), [work])
    assert done.error is None
    return sink


@pytest.mark.parametrize("height", [1, 9, 20, 33])
@pytest.mark.parametrize(
    ("tile", "overlap", "edge"), [(8, 3, 0), (8, 3, 2), (10, 0, 3), (16, 7, 1)]
)
def test_any_rows_alone_are_those_of_the_whole(height, tile, overlap, edge):
    random = np.random.default_rng(height)
    pixels = random.integers(0, 255, (height, 21, 3), dtype=np.uint8)
    tiling = Tiling(tile=tile, overlap=overlap, edge=edge)
    grid = padded_grid(height, 21, tiling)
    whole = enlarge(pixels, tiling)
    assert whole.pixels.shape == (2 * height, 42, 3)
    every = range(len(grid.tops))
    runs = {(a, b): enlarge(pixels, tiling, range(a, b + 1)) for a in every for b in every[a:]}
    ends = {}
    for place, run in runs.items():
        ends[place] = range(0)
        if run.parts:  # the last rows of tiles may hold nothing but the edge
            ends[place] = range(run.top, run.top + len(run.pixels))
            rows = slice(ends[place].start, ends[place].stop)
            np.testing.assert_array_equal(run.pixels, whole.pixels[rows])
    for first in range(2 * height):
        for last in range(first, 2 * height, 5):
            found = tile_rows(grid, range(first, last + 1), scale=2, edge=edge)
            assert first in ends[found[0], found[-1]]
            assert last in ends[found[0], found[-1]]
            # No smaller run of rows of tiles gives all that is wanted.
            for place in ((found[0] + 1, found[-1]), (found[0], found[-1] - 1)):
                smaller = ends.get(place, range(0))
                assert first not in smaller or last not in smaller


@settings(max_examples=10)
@given(tilings(largest=24, edge=6), st.integers(1, 60), st.integers(1, 30), st.integers(1, 50))
def test_parts_of_any_height_are_those_of_the_whole(tiling, height, width, rows):
    random = np.random.default_rng(height)
    pixels = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    grid = padded_grid(height, width, tiling)
    whole = enlarge(pixels, tiling).pixels
    for top in range(0, 2 * height, rows):
        part = range(top, min(top + rows, 2 * height))
        found = tile_rows(grid, part, scale=2, edge=tiling.edge)
        assert 0 <= found.start < found.stop <= len(grid.tops)
        sink = enlarge(pixels, tiling, found)
        first = top - sink.top
        np.testing.assert_array_equal(
            sink.pixels[first : first + len(part)], whole[part.start : part.stop]
        )
