"""Many images through one engine: batches, failures and memory limits stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.errors import PictureError
from srcli.inference.memory import ArraySink, ArraySource
from srcli.inference.stream import TileTooLargeError, Work, run_stream
from srcli.inference.tiling import make_grid
from srcli.ports.engine import OutOfMemory

SCALE = 2


class Repeat:
    """An engine without a network: every pixel becomes a square."""

    scale = SCALE

    def __init__(self, batch=4, most=99, broken=None):
        self.batches = []
        self.batch, self.most, self.broken = batch, most, broken

    def batch_size(self, height, width):
        return self.batch

    def run(self, tiles):
        if len(tiles) > self.most:
            raise OutOfMemory
        self.batches.append(tiles.shape)
        return [
            None if tile.max() == self.broken else tile.repeat(SCALE, 0).repeat(SCALE, 1)
            for tile in tiles
        ]

    def band(self, grid, *, channels, dtype):
        return Paste(grid)


class Paste:
    """A band that pastes instead of blending."""

    def __init__(self, grid):
        self.grid, self.done = grid, []

    def add(self, tile, *, row, column):
        self.done.append((self.grid.tops[row] * SCALE, self.grid.lefts[column] * SCALE, tile))

    def finished(self):
        done, self.done = self.done, []
        return [(top, (left, tile)) for top, left, tile in done]


class PasteSink(ArraySink):
    """Takes what ``Paste`` hands over."""

    def write(self, top, rows):
        left, tile = rows
        self.pixels[top : top + tile.shape[0], left : left + tile.shape[1]] = tile


def make_work(height, width, value=None, name="a.png", tile=8):
    random = np.random.default_rng(height * 1000 + width)
    pixels = random.integers(0, 200, (height, width, 3), dtype=np.uint8)
    if value is not None:
        pixels[-1, -1] = value
    return Work(
        name=name,
        source=ArraySource(pixels),
        sink=PasteSink(height * SCALE, width * SCALE, 3, pixels.dtype),
        grid=make_grid(height, width, tile=tile, overlap=2),
    )


def is_right(work):
    expected = work.source.pixels.repeat(SCALE, 0).repeat(SCALE, 1)
    return np.array_equal(work.sink.pixels, expected)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_image_comes_back_once_and_whole(batch):
    works = [make_work(h, w) for h, w in [(20, 31), (1, 1), (8, 8), (8, 8), (3, 50)]]
    done = list(run_stream(Repeat(batch), works))
    assert sorted(map(id, done)) == sorted(map(id, works))
    assert all(is_right(work) for work in works)


def test_small_images_of_one_size_share_a_batch():
    engine = Repeat(batch=4)
    works = [make_work(8, 8, name=str(i)) for i in range(4)]
    list(run_stream(engine, works))
    assert engine.batches == [(4, 8, 8, 3)]


def test_out_of_memory_halves_the_batch_and_goes_on():
    engine = Repeat(batch=16, most=3)
    work = make_work(40, 61)
    assert list(run_stream(engine, [work])) == [work]
    assert work.error is None
    assert is_right(work)
    assert max(shape[0] for shape in engine.batches) <= 3


def test_a_tile_that_never_fits_fails_its_image_with_a_hint():
    work = make_work(20, 20)
    (done,) = run_stream(Repeat(most=0), [work])
    assert isinstance(done.error, TileTooLargeError)
    assert "--tile" in str(done.error)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_one_image_without_finite_values_leaves_the_others_alone(batch):
    works = [make_work(20, 20), make_work(20, 20, value=255, name="bad.png"), make_work(20, 20)]
    done = list(run_stream(Repeat(batch, broken=255), works))
    assert sorted(map(id, done)) == sorted(map(id, works))
    assert "bad.png" in str(works[1].error)
    assert works[0].error is None
    assert is_right(works[0])
    assert is_right(works[2])


def test_a_source_that_breaks_half_way_fails_alone():
    class Broken(ArraySource):
        def read(self, window):
            if window.top > 8:
                raise PictureError("b.png: cannot be read")
            return super().read(window)

    works = [make_work(20, 20), make_work(20, 20, name="b.png"), make_work(20, 20)]
    works[1].source = Broken(works[1].source.pixels)
    done = list(run_stream(Repeat(batch=100), works))
    assert sorted(map(id, done)) == sorted(map(id, works))
    assert [work.error is None for work in works] == [True, False, True]
    assert is_right(works[0])
    assert is_right(works[2])
