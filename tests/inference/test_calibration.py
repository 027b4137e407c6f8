"""Windows that show a network the whole image, and tiles that come out as the image would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from srcli.errors import DataError
from srcli.inference.calibration import MOST, SHARE, SIDE, calibrate, sample
from srcli.inference.engine import TorchEngine
from srcli.inference.memory import ArraySource
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.tiling import make_grid
from srcli.layers.attention import contrast
from srcli.layers.statistics import MARGIN
from srcli.pipelines.engines import EngineOptions, EnginePool, enlarge_array
from srcli.ports.engine import OutOfMemory
from srcli.ports.values import Values

CPU = torch.device("cpu")


class Contrast(nn.Module):
    """Gives the contrast of what it sees, everywhere; not finite at 1 in half precision."""

    scale = 1
    pools_globally = True

    def __init__(self, fragile=False):
        super().__init__()
        self.fragile = fragile

    def forward(self, x):
        if self.fragile and torch.is_autocast_enabled("cpu"):
            x = x / (x < 1)
        return contrast(x).expand(x.shape)


class Counting:
    """An engine that calibrates; remembers how many windows it was shown."""

    calibrates = True

    def __init__(self, most=99):
        self.most, self.shown, self.times = most, [], []
        self.scale = 1

    def batch_size(self, height, width):
        raise AssertionError("not asked for here")

    def run(self, tiles, calibration=None, places=None):
        raise AssertionError("not asked for here")

    def band(self, grid, *, channels, dtype):
        raise AssertionError("not asked for here")

    def calibrate(self, windows, *, times=1.0):
        self.shown.append(len(windows))
        self.times.append(times)
        if len(windows) > self.most:
            raise OutOfMemory
        return "measured"


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
    "size", [(1, 1), (1, 999), (47, 48), (193, 193), (600, 400), (30, 50_000), (50_000, 30_000)]
)
def test_windows_lie_inside_spread_and_bounded(size):
    height, width = size
    windows = sample(height, width)
    assert 1 <= len(windows) <= MOST
    side = windows[0].height
    assert side == min(SIDE, height, width)
    for each in windows:
        assert (each.height, each.width) == (side, side)
        assert 0 <= each.top <= height - side
        assert 0 <= each.left <= width - side
    assert len(windows) == 1 or len(windows) * side**2 <= SHARE * height * width
    assert [w.top for w in windows] == sorted(w.top for w in windows)
    middle = np.mean([(w.top + side / 2, w.left + side / 2) for w in windows], axis=0)
    np.testing.assert_allclose(middle, (height / 2, width / 2), atol=1)


def test_long_images_are_sampled_along_their_length():
    wide, high = sample(20, 50_000), sample(50_000, 20)
    assert {w.top for w in wide} == {0}
    assert {w.left for w in high} == {0}
    assert len(wide) == len(high) == MOST


def test_only_what_is_cut_and_pools_globally_is_calibrated():
    source = ArraySource(np.zeros((300, 300, 3), np.uint8))
    whole, cut = (make_grid(300, 300, tile=tile, overlap=8) for tile in (300, 100))
    engine = Counting()
    assert calibrate(engine, source, whole) is None
    assert engine.shown == []
    assert calibrate(engine, source, cut) == "measured"
    assert engine.shown == [len(sample(300, 300))]
    engine.calibrates = False
    assert calibrate(engine, source, cut) is None


@pytest.mark.parametrize(
    ("most", "shown"),
    [(5, [36, 18, 9, 5]), (2, [36, 18, 9, 5, 3, 2]), (0, [36, 18, 9, 5, 3, 2, 1])],
)
def test_fewer_windows_are_shown_where_memory_is_short(most, shown):
    source = ArraySource(np.zeros((300, 300, 3), np.uint8))
    engine = Counting(most)
    found = calibrate(engine, source, make_grid(300, 300, tile=100, overlap=8))
    assert engine.shown == shown
    # Fewer windows are a smaller part of the image.
    area = [times * count for times, count in zip(engine.times, shown, strict=True)]
    np.testing.assert_allclose(area, 300 * 300 / SIDE**2)
    assert found == ("measured" if most else None)


def test_windows_without_valid_pixels_are_left_out():
    pixels = np.zeros((300, 300, 3), np.uint8)
    grid = make_grid(300, 300, tile=100, overlap=8)
    engine = Counting()
    calibrate(engine, Holes(pixels), grid)
    assert 0 < engine.shown[0] < len(sample(300, 300))
    # Each of them stands for as much of the image as if all were valid.
    assert engine.times == [pytest.approx(300 * 300 / SIDE**2 / len(sample(300, 300)))]
    with pytest.raises(DataError, match="cannot be read"):
        calibrate(engine, Holes(pixels, broken=True), grid)


@pytest.mark.parametrize("tta", [False, True])
def test_every_tile_gets_the_contrast_of_the_whole(tta):
    pixels = np.random.default_rng(0).random((200, 240, 3), dtype=np.float32)
    pixels[:100] *= 0.1  # another contrast in each half
    engine = TorchEngine(Contrast(), device=CPU, tta=tta)
    windows = np.stack(
        [pixels[w.top : w.top + w.height, w.left : w.left + w.width] for w in sample(200, 240)]
    )
    seen = windows[:, MARGIN:-MARGIN, MARGIN:-MARGIN].reshape(-1, 3)
    expected = seen.std(axis=0) + seen.mean(axis=0)
    out = enlarge_array(engine, pixels, make_grid(200, 240, tile=64, overlap=8))
    np.testing.assert_allclose(out, np.broadcast_to(expected, out.shape), rtol=1e-4)
    alone = enlarge_array(engine, pixels, make_grid(200, 240, tile=240, overlap=8))
    np.testing.assert_allclose(alone[0, 0], pixels.std((0, 1)) + pixels.mean((0, 1)), rtol=1e-4)


def test_what_half_precision_cannot_measure_is_measured_in_full():
    pixels = np.ones((96, 96, 3), np.float32)
    engine = TorchEngine(Contrast(fragile=True), device=CPU, half=torch.bfloat16)
    out = enlarge_array(engine, pixels, make_grid(96, 96, tile=48, overlap=8))
    np.testing.assert_allclose(out, 1.001, rtol=1e-4)  # a deviation of sqrt(1e-6) beside the mean
    assert engine.calibrate(np.full((1, 8, 8, 3), np.nan, np.float32)) is None


def test_each_group_of_bands_gets_its_own():
    pixels = np.random.default_rng(0).integers(0, 60, (96, 96, 4), dtype=np.uint8)
    pixels[:, :, 3] += 150
    values = Values(dtype=np.dtype(np.uint8), low=0, high=255)
    engine = RasterEngine(
        TorchEngine(Contrast(), device=CPU, batch=3), groups=((0, 1, 2), (3,)), values=values
    )
    inner = slice(MARGIN, SIDE - MARGIN)
    windows = np.stack([pixels[w.top :, w.left :][inner, inner] for w in sample(96, 96)])
    out = enlarge_array(engine, pixels, make_grid(96, 96, tile=48, overlap=8))
    expected = windows.std((0, 1, 2)) + windows.mean((0, 1, 2))
    np.testing.assert_allclose(out.reshape(-1, 4), np.broadcast_to(expected, (96 * 96, 4)), atol=1)


def test_tiles_of_the_flagship_come_out_as_the_whole_picture():
    from skimage import data

    pixels = np.ascontiguousarray(data.coffee()[:200, :250]).astype(np.float32) / np.float32(255)
    engine = EnginePool("g-idrn", 2, EngineOptions(precision="fp32")).engine(8)
    grid = make_grid(200, 250, tile=100, overlap=16)
    whole = enlarge_array(engine, pixels).clip(0, 1)
    calibrated = np.abs(enlarge_array(engine, pixels, grid).clip(0, 1) - whole).mean() * 255
    engine.calibrates = False
    alone = np.abs(enlarge_array(engine, pixels, grid).clip(0, 1) - whole).mean() * 255
    assert calibrated < 0.1
    assert alone > 3 * calibrated
