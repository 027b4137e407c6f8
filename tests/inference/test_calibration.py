"""Windows that show a network the whole image, and tiles that come out as the image would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from srcli.errors import DataError
from srcli.inference.calibration import (
    CANDIDATE_WINDOWS,
    MAX_SHARE,
    MAX_WINDOWS,
    WINDOW_SIDE,
    calibrate,
    sample,
)
from srcli.inference.device import EngineOptions
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import EnginePool, enlarge_array
from srcli.inference.stream import ArraySource
from srcli.layers.global_pools import MARGIN, GlobalPool
from srcli.layers.network import Network
from tests.fixtures.engines import (
    byte_engine,
    cpu_engine,
    grid_of,
    random_floats,
    random_levels,
)

MEASURED = {"pool": torch.zeros(1, 1, 3, 1, 1)}


class Contrast(Network):
    """Gives the contrast of what it sees, everywhere; not finite at 1 in half precision."""

    scale = 1
    pools_globally = True

    def __init__(self, fragile=False):
        super().__init__()
        self.fragile = fragile
        self.pool = GlobalPool("contrast")

    def forward(self, x):
        if self.fragile and torch.is_autocast_enabled("cpu"):
            x = x / (x < 1)
        return self.pool(x).expand(x.shape)


class Counting(TorchEngine):
    """An engine that calibrates; remembers how many windows it was shown."""

    calibrates = True

    def __init__(self, most=99):
        self.most = most
        self.shown = []

    def calibrate(self, windows):
        self.shown.append(len(windows))
        if len(windows) > self.most:
            raise MemoryError
        return MEASURED


class Holes(ArraySource):
    """Has no valid pixel in its upper half, or is broken."""

    def __init__(self, pixels, broken=False):
        super().__init__(pixels)
        self.broken = broken

    def read(self, window):
        if self.broken:
            raise DataError("cannot be read")
        if window.top + window.height <= self.height // 2:
            return None
        return super().read(window)


@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (1, 999),
        (47, 48),
        (193, 193),
        (600, 400),
        (30, 50_000),
        (50_000, 30_000),
    ],
)
def test_windows_lie_inside_spread_and_bounded(size):
    height, width = size
    windows = sample(height, width)
    count = len(windows)
    side = windows[0].height
    assert 1 <= count <= MAX_WINDOWS
    assert side == min(WINDOW_SIDE, height, width)
    for window in windows:
        assert (window.height, window.width) == (side, side)
        assert 0 <= window.top <= height - side
        assert 0 <= window.left <= width - side
    assert count == 1 or count * side**2 <= MAX_SHARE * height * width
    corners = np.array([(window.top, window.left) for window in windows])
    assert (np.diff(corners[:, 0]) >= 0).all()
    middle = corners.mean(axis=0) + side / 2
    assert_allclose(middle, (height / 2, width / 2), atol=1)


SOURCE = ArraySource(np.zeros((300, 300, 3), np.uint8))
GRID = grid_of(SOURCE.pixels, tile=100, overlap=8)


def test_only_what_is_cut_and_pools_globally_is_calibrated():
    uncut = grid_of(SOURCE.pixels, tile=300, overlap=8)
    engine = Counting()
    assert calibrate(engine, SOURCE, uncut) is None
    assert engine.shown == []
    assert calibrate(engine, SOURCE, GRID) is MEASURED
    assert engine.shown == [len(sample(300, 300))]
    engine.calibrates = False
    assert calibrate(engine, SOURCE, GRID) is None


def test_windows_that_do_not_fit_into_memory_are_halved():
    engine = Counting(most=3)
    assert calibrate(engine, SOURCE, GRID) is MEASURED
    assert engine.shown[-1] in (2, 3)
    engine = Counting(most=0)
    assert calibrate(engine, SOURCE, GRID) is None
    assert engine.shown[-1] == 1


def test_windows_without_valid_pixels_are_left_out():
    engine = Counting()
    calibrate(engine, Holes(SOURCE.pixels), GRID)
    assert 0 < engine.shown[0] < len(sample(300, 300))
    with pytest.raises(DataError, match="cannot be read"):
        calibrate(engine, Holes(SOURCE.pixels, broken=True), GRID)


class Road(ArraySource):
    """Holds data along one line of pixels alone."""

    def __init__(self, pixels, at):
        super().__init__(pixels)
        self.at = at

    def read(self, window):
        middle = window.left + window.width / 2
        across = abs(middle - (self.at + window.top / 50))
        if across >= window.width / 2:
            return None
        return super().read(window)

    def count(self, windows):
        """Number of windows that hold data."""
        return sum(self.read(window) is not None for window in windows)


@pytest.mark.parametrize("at", [0, 1_000, 1_030, 1_060])
def test_a_narrow_strip_of_data_is_found_and_shown_as_often_as_a_whole_image(at):
    pixels = random_levels(2_100, 2_000, 1)
    source = Road(pixels, at)
    grid = grid_of(pixels, tile=200, overlap=8)
    engine = Counting()
    assert calibrate(engine, source, grid) is MEASURED
    windows = sample(2_100, 2_000)
    assert source.count(windows) <= 10
    closer = sample(2_100, 2_000, most=CANDIDATE_WINDOWS, share=1.0)
    along = source.count(closer)
    assert along > 20
    # However few are shown, they were chosen among as many.
    assert engine.shown == [min(along, len(windows))]


def inner_pixels(pixels):
    """Pixels of all windows that are shown, without their margins."""
    inner = slice(MARGIN, WINDOW_SIDE - MARGIN)
    windows = [
        pixels[window.top :, window.left :][inner, inner]
        for window in sample(*pixels.shape[:2])
    ]
    return np.stack(windows).reshape(-1, pixels.shape[2])


@pytest.mark.parametrize("tta", [False, True])
def test_every_tile_gets_the_contrast_of_the_whole(tta):
    pixels = random_floats(200, 240, 3)
    pixels[:100] *= 0.1  # another contrast in each half
    engine = cpu_engine(Contrast(), tta=tta)
    measured = inner_pixels(pixels)
    expected = measured.std(axis=0) + measured.mean(axis=0)
    tiled = enlarge_array(engine, pixels, grid_of(pixels, tile=64, overlap=8))
    expected = np.broadcast_to(expected, tiled.shape)
    assert_allclose(tiled, expected, rtol=1e-4)


@pytest.mark.parametrize("tta", [False, True])
def test_an_image_of_one_tile_gets_its_own_contrast(tta):
    pixels = random_floats(200, 240, 3)
    engine = cpu_engine(Contrast(), tta=tta)
    enlarged = enlarge_array(engine, pixels, grid_of(pixels, tile=240, overlap=8))
    expected = pixels.std((0, 1)) + pixels.mean((0, 1))
    assert_allclose(enlarged[0, 0], expected, rtol=1e-4)


def test_what_half_precision_cannot_measure_is_measured_in_full():
    pixels = np.ones((96, 96, 3), np.float32)
    engine = cpu_engine(Contrast(fragile=True), torch.bfloat16)
    tiled = enlarge_array(engine, pixels, grid_of(pixels, tile=48, overlap=8))
    # a deviation of sqrt(1e-6) beside the mean
    assert_allclose(tiled, 1.001, rtol=1e-4)
    window = np.full((8, 8, 3), np.nan, np.float32)
    assert engine.calibrate([window]) is None


def test_each_group_of_bands_gets_its_own():
    pixels = random_levels(96, 96, 4, most=60)
    pixels[:, :, 3] += 150
    engine = byte_engine(cpu_engine(Contrast(), batch=3), (0, 1, 2), (3,))
    measured = inner_pixels(pixels)
    tiled = enlarge_array(engine, pixels, grid_of(pixels, tile=48, overlap=8))
    expected = measured.std(axis=0) + measured.mean(axis=0)
    expected = np.broadcast_to(expected, tiled.shape)
    assert_allclose(tiled, expected, atol=1)


@pytest.mark.slow
def test_tiles_of_the_flagship_come_out_as_the_whole_picture():
    from skimage import data

    picture = data.coffee()[:200, :250].astype(np.float32)
    pixels = np.ascontiguousarray(picture) / np.float32(255)
    engine = EnginePool("g-idrn", 2, EngineOptions(precision="fp32")).engine(8)
    grid = grid_of(pixels, tile=100, overlap=16)
    enlarged = enlarge_array(engine, pixels).clip(0, 1)
    errors = []
    for calibrates in (True, False):
        engine.calibrates = calibrates
        tiled = enlarge_array(engine, pixels, grid).clip(0, 1)
        errors.append(np.abs(tiled - enlarged).mean() * 255)
    assert errors[0] < 0.1
    assert errors[1] > 3 * errors[0]


def test_threads_that_share_an_engine_do_not_mix_their_pictures():
    pictures = list(random_floats(8, 96, 100, 3))
    for number, picture in enumerate(pictures, start=1):
        picture *= number / 8
    engine = cpu_engine(Contrast(), batch=2)
    grid = grid_of(pictures[0], tile=40, overlap=8)
    enlarge = partial(enlarge_array, engine, grid=grid)
    expected = list(map(enlarge, pictures))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(enlarge, pictures))
    assert_array_equal(results, expected)
