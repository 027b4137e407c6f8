"""Many images through one engine: batches, failures and memory limits stay apart.

Mirrored pixels around an image are read as one picture, and cut off again exactly.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from srcli.inference.engine import BatchResult, TorchEngine
from srcli.inference.stream import ArraySource, ImageJob, array_job, run_stream
from srcli.inference.tiling import Tiling, read_mirrored
from srcli.layers.network import Network
from srcli.ports.image import Window

SCALE = 2


class Repeat(TorchEngine):
    """An engine without a network: every pixel becomes a square."""

    scale = SCALE

    def __init__(self, batch=4, most=99, broken=None, calibrates=False, overlaps=False):
        self.calibrates, self.runs_ahead, self.order = calibrates, overlaps, []
        self.calibrations = []
        self.positions = []
        self.batches = []
        self.tiles = []
        self.batch, self.most, self.broken = batch, most, broken

    def batch_size(self, height, width):
        return self.batch

    def calibrate(self, windows):
        if len(windows) > self.most:
            raise MemoryError
        return [windows]

    def start(self, tiles, calibration=None, positions=None):
        if len(tiles) > self.most:
            raise MemoryError
        tiles = np.stack(tiles)
        self.batches.append(tiles.shape)
        self.calibrations.append(calibration)
        self.positions.append(positions)
        self.tiles.append(tiles.copy())
        number = len(self.batches)
        self.order.append(number)

        return Started(self, number, tiles)

    def blending_stream(self):
        return nullcontext()

    def blender(self, grid, *, channels, dtype):
        return Paste(grid)


class Started:
    """A batch of ``Repeat``."""

    def __init__(self, engine, number, tiles):
        self.engine = engine
        self.number = number
        self.tiles = tiles

    def result(self):
        self.engine.order.append(-self.number)
        enlarged = self.tiles.repeat(SCALE, 1).repeat(SCALE, 2)
        finite = self.tiles.max(axis=(1, 2, 3)) != self.engine.broken
        return BatchResult(enlarged, finite)


class Paste:
    """A band that pastes instead of blending."""

    def __init__(self, grid):
        self.grid = grid

    def add(self, tile, *, row, column):
        if tile is None:
            size = (self.grid.tile_height * SCALE, self.grid.tile_width * SCALE, 3)
            tile = np.zeros(size, np.uint8)
        return [(self.grid.tops[row] * SCALE, (self.grid.lefts[column] * SCALE, tile))]

    def finish(self):
        return []


class PasteJob(ImageJob):
    """Takes what ``Paste`` hands over."""

    def __init__(self, source, grid, name="a.png", tile_rows=None):
        self.pixels = np.zeros(
            (source.height * SCALE, source.width * SCALE, 3), np.uint8
        )
        super().__init__(
            name=name, source=source, write=self.paste, grid=grid, tile_rows=tile_rows
        )

    def paste(self, top, rows):
        left, tile = rows
        self.pixels[top : top + tile.shape[0], left : left + tile.shape[1]] = tile


def make_job(height, width, value=None, name="a.png", tile=8, step=1):
    random = np.random.default_rng(height * 1000 + width)
    pixels = random.integers(0, 200, (height, width, 3), dtype=np.uint8)
    if value is not None:
        pixels[-1, -1] = value
    grid = Tiling(tile=tile, overlap=2, step=step).grid(height, width)
    return PasteJob(ArraySource(pixels), grid, name)


def is_right(work):
    expected = work.source.pixels.repeat(SCALE, 0).repeat(SCALE, 1)
    return np.array_equal(work.pixels, expected)


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_image_comes_back_once_and_whole(batch, overlaps):
    works = [make_job(h, w) for h, w in [(20, 31), (1, 1), (8, 8), (8, 8), (3, 50)]]
    engine = Repeat(batch, overlaps=overlaps)
    done = list(run_stream(engine, works))
    numbers = range(1, len(engine.batches) + 1)
    if overlaps:  # a batch is waited for when the next one has begun
        pairs = [(number, 1 - number) for number in numbers if number > 1]
        assert engine.order == [
            1,
            *(each for pair in pairs for each in pair),
            -numbers[-1],
        ]
    else:
        assert engine.order == [
            each for number in numbers for each in (number, -number)
        ]
    assert sorted(map(id, done)) == sorted(map(id, works))
    assert all(is_right(work) for work in works)


def test_small_images_of_one_size_share_a_batch():
    engine = Repeat(batch=4)
    works = [make_job(8, 8, name=str(i)) for i in range(4)]
    list(run_stream(engine, works))
    assert engine.batches == [(4, 8, 8, 3)]


class Holes(ArraySource):
    """No pixel is valid in windows that begin at these places."""

    def __init__(self, pixels, holes):
        super().__init__(pixels)
        self.holes = holes

    def read(self, window):
        return None if (window.top, window.left) in self.holes else super().read(window)


def own_threads():
    return [each for each in threading.enumerate() if each.name.startswith("ahead")]


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_tiles_without_a_valid_pixel_need_no_network(by_rows, batch, every):
    engine, before, after = (
        Repeat(batch, overlaps=by_rows),
        make_job(20, 20),
        make_job(20, 20),
    )
    work = make_job(20, 31)
    work.tile_rows = range(len(work.grid.tops)) if by_rows else None
    windows = [window for _, _, window in work.grid.windows()]
    empty = [(window.top, window.left) for window in windows[::every]]
    pixels = work.source.pixels
    work.source = Holes(pixels, empty)
    done = list(run_stream(engine, [before, work, after]))
    assert sorted(map(id, done)) == sorted(map(id, [before, work, after]))
    assert is_right(before)
    assert is_right(after)
    assert work.tiles_done == work.grid.count
    assert sum(shape[0] for shape in engine.batches) == 2 * 9 + work.grid.count - len(
        empty
    )
    expected = np.zeros_like(work.pixels)
    for window in windows:
        part = (slice(window.top, window.top + 8), slice(window.left, window.left + 8))
        tile = pixels[part] * ((window.top, window.left) not in empty)
        top, left = window.top * SCALE, window.left * SCALE
        height, width = work.grid.tile_height * SCALE, work.grid.tile_width * SCALE
        large = tile.repeat(SCALE, 0).repeat(SCALE, 1)[:height, :width]
        expected[top : top + height, left : left + width] = large
    np.testing.assert_array_equal(work.pixels, expected)


@pytest.mark.parametrize(
    "rows", [range(3), range(1, 3), range(2, 3), range(2), range(1, 2)]
)
def test_a_part_of_an_image_makes_the_same_batches(rows):
    runs = []
    for part in (range(3), rows):
        plain, engine = make_job(20, 26), Repeat(batch=2)
        holes = Holes(plain.source.pixels, [(6, 6), (12, 18)])
        work = PasteJob(holes, plain.grid, tile_rows=part)
        (done,) = run_stream(engine, [work])
        assert done.error is None
        assert work.tiles_done == len(part) * 4
        runs.append(engine.tiles)
    whole, resumed = runs
    assert len(whole) == 6
    wanted = whole[2 * rows.start : 2 * rows.stop]
    for a, b in zip(wanted, resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_end_where_the_engine_is_interrupted():
    class Interrupted(Repeat):
        def start(self, tiles, calibration=None, positions=None):
            raise KeyboardInterrupt

    work = make_job(40, 61)
    work.tile_rows = range(len(work.grid.tops))
    with pytest.raises(KeyboardInterrupt):
        list(run_stream(Interrupted(), [work]))
    assert own_threads() == []


def test_images_that_are_measured_as_a_whole_share_no_batch():
    engine = Repeat(batch=100, calibrates=True)
    one_tile, cut, other = (make_job(*size) for size in ((8, 8), (8, 20), (8, 20)))
    works = [one_tile, cut, other, make_job(8, 8)]
    done = list(run_stream(engine, works))
    assert all(map(is_right, done))
    assert len(done) == 4
    assert [count for count, *_ in engine.batches] == [1, 3, 3, 1]
    own = [work.calibration for work in works]
    assert own[0] is own[3] is None
    assert engine.calibrations == own
    assert own[1] is not own[2]


def test_parts_of_images_are_told_where_they_lie_and_share_no_batch_with_whole_images():
    engine = Repeat(batch=100)
    sizes = [(8, 8), (8, 20), (20, 8), (8, 8), (8, 8)]
    done = list(run_stream(engine, [make_job(*size, step=2) for size in sizes]))
    assert all(map(is_right, done))
    whole, parts, wholes = engine.positions
    assert whole == [(0, 0, 8, 8)]
    assert parts == [(0, x, 8, 20) for x in (0, 6, 12)] + [
        (y, 0, 20, 8) for y in (0, 6, 12)
    ]
    assert wholes == [(0, 0, 8, 8)] * 2
    plain = Repeat(batch=100)
    list(run_stream(plain, [make_job(*size) for size in sizes]))
    assert plain.positions == [None]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 7), (9, 5)])
@pytest.mark.parametrize("edge", [1, 4])
def test_windows_are_those_of_the_padded_picture(height, width, edge):
    pixels = np.random.default_rng(0).integers(
        0, 255, (height, width, 3), dtype=np.uint8
    )
    source = ArraySource(pixels)
    whole = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), mode="symmetric")
    for top in range(whole.shape[0]):
        for left in range(whole.shape[1]):
            window = Window(
                top=top, left=left, height=min(3, whole.shape[0] - top), width=1
            )
            expected = whole[top : top + window.height, left : left + 1]
            np.testing.assert_array_equal(read_mirrored(source, window, edge), expected)


class Darkening(Network):
    """One zero-padded averaging convolution, then pixel repetition: darkens the frame."""

    scale = 2

    def forward(self, x):
        blurred = nn.functional.conv2d(
            x, torch.full((3, 1, 3, 3), 1 / 9), padding=1, groups=3
        )
        return blurred.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("edge", "clean"), [(0, False), (1, True), (4, True)])
def test_the_frame_of_zero_padding_is_kept_out_of_sight(edge, clean):
    pixels = np.full((20, 33, 3), 200, np.uint8)
    grid = Tiling(tile=16, overlap=4, edge=edge).padded_grid(20, 33)
    work, enlarged = array_job(pixels, grid, name="flat", scale=2)
    (done,) = run_stream(TorchEngine(Darkening(), device=torch.device("cpu")), [work])
    assert done.error is None
    assert bool((enlarged == 200).all()) is clean
