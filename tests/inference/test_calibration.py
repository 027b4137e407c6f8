"""Windows that show a network the whole image, and tiles that come out as the image would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from srcli.errors import DataError
from srcli.inference.building import EnginePool, enlarge_array
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
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import ArraySource
from srcli.inference.tiling import Tiling
from srcli.layers.network import Network
from srcli.layers.tiles import MARGIN, GlobalPool
from srcli.ports.image import Values

CPU = torch.device("cpu")
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
        below = window.top + window.height > self.height // 2
        return super().read(window) if below else None


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
    assert 1 <= len(windows) <= MAX_WINDOWS
    side = windows[0].height
    assert side == min(WINDOW_SIDE, height, width)
    for each in windows:
        assert (each.height, each.width) == (side, side)
        assert 0 <= each.top <= height - side
        assert 0 <= each.left <= width - side
    assert len(windows) == 1 or len(windows) * side**2 <= MAX_SHARE * height * width
    assert [w.top for w in windows] == sorted(w.top for w in windows)
    middle = np.mean([(w.top + side / 2, w.left + side / 2) for w in windows], axis=0)
    np.testing.assert_allclose(middle, (height / 2, width / 2), atol=1)


def test_only_what_is_cut_and_pools_globally_is_calibrated():
    source = ArraySource(np.zeros((300, 300, 3), np.uint8))
    whole, cut = (Tiling(tile=tile, overlap=8).grid(300, 300) for tile in (300, 100))
    engine = Counting()
    assert calibrate(engine, source, whole) is None
    assert engine.shown == []
    assert calibrate(engine, source, cut) is MEASURED
    assert engine.shown == [len(sample(300, 300))]
    engine.calibrates = False
    assert calibrate(engine, source, cut) is None
    # However few are shown, they were chosen among as many.


def test_windows_without_valid_pixels_are_left_out():
    pixels = np.zeros((300, 300, 3), np.uint8)
    grid = Tiling(tile=100, overlap=8).grid(300, 300)
    engine = Counting()
    calibrate(engine, Holes(pixels), grid)
    assert 0 < engine.shown[0] < len(sample(300, 300))
    with pytest.raises(DataError, match="cannot be read"):
        calibrate(engine, Holes(pixels, broken=True), grid)


class Road(ArraySource):
    """Holds data along one line of pixels alone."""

    def read(self, window):
        across = abs(window.left + window.width / 2 - (self.at + window.top / 50))
        return super().read(window) if across < window.width / 2 else None

    def __init__(self, pixels, at):
        super().__init__(pixels)
        self.at = at


@pytest.mark.parametrize("at", [0, 1_000, 1_030, 1_060])
def test_a_narrow_strip_of_data_is_found_and_shown_as_often_as_a_whole_image(at):
    pixels = np.random.default_rng(0).integers(0, 256, (2_100, 2_000, 1), np.uint8)
    source = Road(pixels, at)
    grid = Tiling(tile=200, overlap=8).grid(2_100, 2_000)
    engine = Counting()
    assert calibrate(engine, source, grid) is MEASURED
    places = sample(2_100, 2_000)
    assert sum(source.read(each) is not None for each in places) <= 10
    closer = sample(2_100, 2_000, most=CANDIDATE_WINDOWS, share=1.0)
    along = sum(source.read(each) is not None for each in closer)
    assert along > 20
    assert engine.shown == [min(along, len(places))]


@pytest.mark.parametrize("tta", [False, True])
def test_every_tile_gets_the_contrast_of_the_whole(tta):
    pixels = np.random.default_rng(0).random((200, 240, 3), dtype=np.float32)
    pixels[:100] *= 0.1  # another contrast in each half
    engine = TorchEngine(Contrast(), EngineOptions(tta=tta), device=CPU)
    windows = np.stack(
        [
            pixels[w.top : w.top + w.height, w.left : w.left + w.width]
            for w in sample(200, 240)
        ]
    )
    seen = windows[:, MARGIN:-MARGIN, MARGIN:-MARGIN].reshape(-1, 3)
    expected = seen.std(axis=0) + seen.mean(axis=0)
    out = enlarge_array(engine, pixels, Tiling(tile=64, overlap=8).grid(200, 240))
    np.testing.assert_allclose(out, np.broadcast_to(expected, out.shape), rtol=1e-4)
    alone = enlarge_array(engine, pixels, Tiling(tile=240, overlap=8).grid(200, 240))
    np.testing.assert_allclose(
        alone[0, 0], pixels.std((0, 1)) + pixels.mean((0, 1)), rtol=1e-4
    )


def test_what_half_precision_cannot_measure_is_measured_in_full():
    pixels = np.ones((96, 96, 3), np.float32)
    engine = TorchEngine(Contrast(fragile=True), device=CPU, half=torch.bfloat16)
    out = enlarge_array(engine, pixels, Tiling(tile=48, overlap=8).grid(96, 96))
    np.testing.assert_allclose(
        out, 1.001, rtol=1e-4
    )  # a deviation of sqrt(1e-6) beside the mean
    assert engine.calibrate([np.full((8, 8, 3), np.nan, np.float32)]) is None


def test_each_group_of_bands_gets_its_own():
    pixels = np.random.default_rng(0).integers(0, 60, (96, 96, 4), dtype=np.uint8)
    pixels[:, :, 3] += 150
    values = Values(dtype=np.dtype(np.uint8), ranges=((0, 255),))
    threes = TorchEngine(Contrast(), EngineOptions(batch=3), device=CPU)
    engine = RasterEngine(threes, groups=((0, 1, 2), (3,)), values=values)
    inner = slice(MARGIN, WINDOW_SIDE - MARGIN)
    windows = np.stack(
        [pixels[w.top :, w.left :][inner, inner] for w in sample(96, 96)]
    )
    out = enlarge_array(engine, pixels, Tiling(tile=48, overlap=8).grid(96, 96))
    expected = windows.std((0, 1, 2)) + windows.mean((0, 1, 2))
    np.testing.assert_allclose(
        out.reshape(-1, 4), np.broadcast_to(expected, (96 * 96, 4)), atol=1
    )


def test_tiles_of_the_flagship_come_out_as_the_whole_picture():
    from skimage import data

    pixels = np.ascontiguousarray(data.coffee()[:200, :250]).astype(
        np.float32
    ) / np.float32(255)
    engine = EnginePool("g-idrn", 2, EngineOptions(precision="fp32")).engine(8)
    grid = Tiling(tile=100, overlap=16).grid(200, 250)
    whole = enlarge_array(engine, pixels).clip(0, 1)
    calibrated = (
        np.abs(enlarge_array(engine, pixels, grid).clip(0, 1) - whole).mean() * 255
    )
    engine.calibrates = False
    alone = np.abs(enlarge_array(engine, pixels, grid).clip(0, 1) - whole).mean() * 255
    assert calibrated < 0.1
    assert alone > 3 * calibrated


def test_threads_that_share_an_engine_do_not_mix_their_pictures():
    random = np.random.default_rng(0)
    pictures = [
        random.random((96, 100, 3), dtype=np.float32) * (i + 1) / 8 for i in range(8)
    ]
    engine = TorchEngine(Contrast(), EngineOptions(batch=2), device=CPU)
    grid = Tiling(tile=40, overlap=8).grid(96, 100)
    expected = [enlarge_array(engine, each, grid) for each in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: enlarge_array(engine, each, grid), pictures))
    np.testing.assert_array_equal(found, expected)
