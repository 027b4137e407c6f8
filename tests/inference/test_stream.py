"""Many images through one engine: batches, failures and memory limits stay apart.

Mirrored pixels around an image are read as one picture, and cut off again exactly.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

from srcli.inference import stream
from srcli.inference.engine import BatchResult
from srcli.inference.stream import ArraySource, ImageJob, array_job, run_stream
from srcli.inference.tiling import Tiling, read_with_edge
from srcli.layers.network import Network
from srcli.ports import Window
from tests.fixtures.engines import cpu_engine, random_levels, repeated

SCALE = 2


def enlarge(pixels):
    """Make a square of every pixel (..., H, W, C)."""
    return pixels.repeat(SCALE, -3).repeat(SCALE, -2)


def black(height, width):
    """A black picture as ``Repeat`` enlarges it."""
    return enlarge(np.zeros((height, width, 3), np.uint8))


class Repeat:
    """An engine without a network: every pixel becomes a square."""

    network = Network()
    scale = SCALE

    def __init__(self, batch=4, calibrates=False, runs_ahead=False):
        self.batch = batch
        self.calibrates = calibrates
        self.runs_ahead = runs_ahead
        self.order = []
        """Numbers of batches that are started, negative ones of those waited for."""
        self.calibrations = []
        self.positions = []
        self.batches = []

    def batch_size(self, height, width):
        return self.batch

    def lanes(self, count, height, width):
        return None

    def calibrate(self, windows):
        return [windows]

    def start(self, tiles, calibration=None, positions=None):
        self.calibrations.append(calibration)
        self.positions.append(positions)
        self.batches.append(np.stack(tiles))
        number = len(self.batches)
        self.order.append(number)
        return Started(self, number)

    def blending_stream(self):
        return nullcontext()

    def blender(self, grid, *, channels, dtype):
        return Paste(grid)


class Started:
    """A batch of ``Repeat``."""

    def __init__(self, engine, number):
        self.engine = engine
        self.number = number

    def result(self):
        self.engine.order.append(-self.number)
        tiles = self.engine.batches[self.number - 1]
        return BatchResult(enlarge(tiles), np.ones(len(tiles), np.bool_))


class Paste:
    """Pastes tiles instead of blending them."""

    def __init__(self, grid):
        self.grid = grid

    def add(self, tile, *, row, column):
        if tile is None:
            tile = black(self.grid.tile_height, self.grid.tile_width)
        top = self.grid.tops[row] * SCALE
        return [(top, (self.grid.lefts[column] * SCALE, tile))]

    def finish(self):
        return []


class PasteJob(ImageJob):
    """Takes what ``Paste`` hands over."""

    def __init__(self, source, grid, name="a.png", tile_rows=None):
        self.pixels = black(source.height, source.width)
        super().__init__(
            name=name, source=source, write=self.paste, grid=grid, tile_rows=tile_rows
        )

    def paste(self, top, rows):
        start, tile = rows
        height, width, _ = tile.shape
        self.pixels[top : top + height, start : start + width] = tile


def make_job(height, width, name="a.png", step=1):
    random = np.random.default_rng(height * 1000 + width)
    pixels = random.integers(0, 200, (height, width, 3), dtype=np.uint8)
    grid = Tiling(tile=8, overlap=2, step=step).grid(height, width)
    return PasteJob(ArraySource(pixels), grid, name)


def is_right(job):
    return np.array_equal(job.pixels, enlarge(job.source.pixels))


@pytest.mark.parametrize("runs_ahead", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_image_comes_back_once_and_whole(batch, runs_ahead):
    sizes = [(20, 31), (1, 1), (8, 8), (8, 8), (3, 50)]
    jobs = [make_job(*size) for size in sizes]
    engine = Repeat(batch, runs_ahead=runs_ahead)
    finished = list(run_stream(engine, jobs))
    expected = []
    for number in range(1, len(engine.batches) + 1):
        expected += [number, -number]
    if runs_ahead:  # a batch is waited for when the next one has begun
        expected.sort(key=lambda number: number if number > 0 else 1.5 - number)
    assert engine.order == expected
    assert sorted(map(id, finished)) == sorted(map(id, jobs))
    assert all(map(is_right, jobs))


def test_an_image_tells_what_its_thread_has_waited_for(monkeypatch):
    seconds = count()
    monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=seconds.__next__))
    job = make_job(8, 20)
    list(run_stream(Repeat(1), [job]))
    # by this clock every step takes a second, with one more look for the end of reading
    tiles = job.grid.count
    assert job.waited == {"reading": tiles + 1, "the network": tiles, "writing": tiles}


def test_small_images_of_one_size_share_a_batch():
    engine = Repeat(batch=4)
    jobs = [make_job(8, 8, name=str(number)) for number in range(4)]
    list(run_stream(engine, jobs))
    (batch,) = engine.batches
    assert batch.shape == (4, 8, 8, 3)


class Holes(ArraySource):
    """No pixel is valid in windows that begin at these places."""

    def __init__(self, pixels, holes):
        super().__init__(pixels)
        self.holes = holes

    def read(self, window):
        if (window.top, window.left) in self.holes:
            return None
        return super().read(window)


def reading_threads():
    return [t for t in threading.enumerate() if t.name.startswith("ahead")]


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_tiles_without_a_valid_pixel_need_no_network(by_rows, batch, every):
    engine = Repeat(batch, runs_ahead=by_rows)
    before = make_job(20, 20)
    after = make_job(20, 20)
    job = make_job(20, 31)
    grid = job.grid
    if by_rows:
        job.tile_rows = range(len(grid.tops))
    windows = [window for _, _, window in grid.windows()]
    empty = [(window.top, window.left) for window in windows[::every]]
    pixels = job.source.pixels
    job.source = Holes(pixels, empty)
    finished = list(run_stream(engine, [before, job, after]))
    assert sorted(map(id, finished)) == sorted(map(id, [before, job, after]))
    assert is_right(before)
    assert is_right(after)
    assert job.tiles_done == grid.count
    assert sum(map(len, engine.batches)) == 2 * 9 + grid.count - len(empty)
    expected = np.zeros_like(pixels)
    for window in windows:
        rows = slice(window.top, window.top + window.height)
        columns = slice(window.left, window.left + window.width)
        expected[rows, columns] = pixels[rows, columns]
        if (window.top, window.left) in empty:
            expected[rows, columns] = 0
    assert_array_equal(job.pixels, enlarge(expected))


@pytest.mark.parametrize(
    "rows", [range(3), range(1, 3), range(2, 3), range(2), range(1, 2)]
)
def test_a_part_of_an_image_makes_the_same_batches(rows):
    runs = []
    for tile_rows in (range(3), rows):
        engine = Repeat(batch=2)
        plain = make_job(20, 26)
        holes = Holes(plain.source.pixels, [(6, 6), (12, 18)])
        job = PasteJob(holes, plain.grid, tile_rows=tile_rows)
        (finished,) = run_stream(engine, [job])
        assert finished.error is None
        assert job.tiles_done == len(tile_rows) * 4
        runs.append(engine.batches)
    assert len(runs[0]) == 6
    expected = runs[0][2 * rows.start : 2 * rows.stop]
    for batch, again in zip(expected, runs[1], strict=True):
        assert_array_equal(batch, again)


def test_threads_end_where_the_engine_is_interrupted():
    class Interrupted(Repeat):
        def start(self, tiles, calibration=None, positions=None):
            raise KeyboardInterrupt

    job = make_job(40, 61)
    job.tile_rows = range(len(job.grid.tops))
    with pytest.raises(KeyboardInterrupt):
        list(run_stream(Interrupted(), [job]))
    assert reading_threads() == []


def test_images_that_are_measured_as_a_whole_share_no_batch():
    engine = Repeat(batch=100, calibrates=True)
    jobs = [make_job(8, 8), make_job(8, 20), make_job(8, 20), make_job(8, 8)]
    finished = list(run_stream(engine, jobs))
    assert all(map(is_right, finished))
    assert len(finished) == 4
    assert list(map(len, engine.batches)) == [1, 3, 3, 1]
    calibrations = [job.calibration for job in jobs]
    assert engine.calibrations == calibrations
    assert calibrations[0] is calibrations[3] is None
    assert calibrations[1] is not calibrations[2]


SIZES = [(8, 8), (8, 20), (20, 8), (8, 8), (8, 8)]


def test_parts_of_images_are_told_where_they_lie_and_share_no_batch_with_whole_images():
    engine = Repeat(batch=100)
    jobs = [make_job(*size, step=2) for size in SIZES]
    finished = list(run_stream(engine, jobs))
    assert len(finished) == len(jobs)
    assert all(map(is_right, finished))
    assert engine.positions == [
        [(0, 0, 8, 8)],
        [
            (0, 0, 8, 20),
            (0, 6, 8, 20),
            (0, 12, 8, 20),
            (0, 0, 20, 8),
            (6, 0, 20, 8),
            (12, 0, 20, 8),
        ],
        [(0, 0, 8, 8), (0, 0, 8, 8)],
    ]


def test_images_without_a_step_share_a_batch_and_need_no_positions():
    engine = Repeat(batch=100)
    list(run_stream(engine, [make_job(*size) for size in SIZES]))
    assert engine.positions == [None]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 7), (9, 5)])
@pytest.mark.parametrize("edge", [1, 4])
@pytest.mark.parametrize("wrap", ["", "x", "y", "both"])
def test_windows_are_those_of_the_padded_picture(height, width, edge, wrap):
    pixels = random_levels(height, width, 3)
    down = ((edge, edge), (0, 0), (0, 0))
    across = ((0, 0), (edge, edge), (0, 0))
    padded = np.pad(pixels, down, mode="wrap" if wrap in ("y", "both") else "symmetric")
    padded = np.pad(
        padded, across, mode="wrap" if wrap in ("x", "both") else "symmetric"
    )
    tiling = Tiling(tile=8, overlap=0, edge=edge)
    grid = tiling.padded_grid(height, width, wrap)
    for top, start in np.ndindex(padded.shape[:2]):
        expected = padded[top : top + 3, start : start + 1]
        window = Window(top=top, left=start, height=len(expected), width=1)
        assert_array_equal(read_with_edge(ArraySource(pixels), window, grid), expected)


class Darkening(Network):
    """One zero-padded averaging convolution, then pixel repetition: darkens the frame."""

    scale = 2

    def forward(self, x):
        weight = torch.full((3, 1, 3, 3), 1 / 9)
        blurred = nn.functional.conv2d(x, weight, padding=1, groups=3)
        return repeated(blurred)


@pytest.mark.parametrize(("edge", "clean"), [(0, False), (1, True), (4, True)])
def test_the_frame_of_zero_padding_is_kept_out_of_sight(edge, clean):
    pixels = np.full((20, 33, 3), 200, np.uint8)
    grid = Tiling(tile=16, overlap=4, edge=edge).padded_grid(20, 33)
    job, enlarged = array_job(pixels, grid, name="flat", scale=2)
    (finished,) = run_stream(cpu_engine(Darkening()), [job])
    assert finished.error is None
    assert bool((enlarged == 200).all()) is clean
