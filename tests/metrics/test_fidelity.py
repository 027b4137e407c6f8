"""PSNR and SSIM: known values, scikit-image's as an oracle; protocols: which plane and border."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import numpy as np
import pytest
import skimage.data
import torch
from skimage.metrics import peak_signal_noise_ratio

from srcli.errors import UsageError
from srcli.metrics import fidelity
from srcli.metrics.fidelity import (
    LUMA_FLOAT,
    PROTOCOLS,
    WEIGHTS,
    perceptual_distance,
    psnr,
    require_perceptual,
    split_psnr,
    ssim,
)


@pytest.fixture
def pair(astronaut):
    noise = np.random.default_rng(0).normal(0, 12, astronaut.shape)
    return astronaut, np.clip(np.round(astronaut + noise), 0, 255).astype(np.uint8)


def test_frequencies_are_split(pair):
    picture, noisy = pair
    low, high = split_psnr(picture, noisy)
    # noise is mostly fine, and none of it is lost
    assert low > high > psnr(picture, noisy)
    brighter = np.clip(picture.astype(int) // 2 + 10, 0, 255)
    low, high = split_psnr(picture // 2, brighter)
    assert low == pytest.approx(20 * math.log10(255 / 10))
    assert high > 200  # a level is no detail


@pytest.fixture(params=["astronaut", "coffee", "camera", "coins"])
def distorted(request):
    """A real picture and a noisy copy with a brighter half, both uint8."""
    picture = getattr(skimage.data, request.param)()[:301, :290]
    noise = np.random.default_rng(1).normal(0, 9, picture.shape)
    noise[:, 100:] += 12
    return picture, np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)


def test_psnr_equals_scikit_image(distorted):
    a, b = distorted
    expected = peak_signal_noise_ratio(a, b, data_range=255)
    assert psnr(a, b) == pytest.approx(expected, abs=1e-9)
    assert psnr(a, a) == math.inf


def test_ssim_of_one_window_is_the_formula_of_wang(distorted):
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    a, b = (
        picture[:11, 95:106].reshape(11, 11, -1)[..., 0].astype(float)
        for picture in distorted
    )
    x = (weights * a).sum()
    y = (weights * b).sum()
    xx, yy, xy = (
        (weights * (u - m) * (v - n)).sum()
        for u, m, v, n in ((a, x, a, x), (b, y, b, y), (a, x, b, y))
    )
    c1 = 2.55**2
    c2 = 7.65**2
    expected = (
        (2 * x * y + c1) * (2 * xy + c2) / ((x * x + y * y + c1) * (xx + yy + c2))
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_compared_is_refused(astronaut):
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(astronaut, astronaut[1:])
    with pytest.raises(ValueError, match="empty"):
        psnr(astronaut[:0], astronaut[:0])
    with pytest.raises(ValueError, match="11x11"):
        ssim(astronaut[:10], astronaut[:10])
    with pytest.raises(ValueError, match="uint8"):
        PROTOCOLS["y"].planes(astronaut / 255, 2)
    with pytest.raises(ValueError, match="nothing is left"):
        PROTOCOLS["y"].planes(astronaut[:4], 2)


def test_y_compares_luma_that_is_not_rounded(astronaut):
    protocol = PROTOCOLS["y"]
    upside_down = astronaut[::-1].copy()
    planes = []
    for picture in (astronaut, upside_down):
        r, g, b = np.moveaxis(picture.astype(float), 2, 0)
        y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
        planes.append(y[3:-3, 3:-3])
    np.testing.assert_allclose(protocol.planes(astronaut, 3), planes[0])
    scores = protocol.score(astronaut, upside_down, 3)
    assert scores == pytest.approx((psnr(*planes), ssim(*planes)))


@pytest.mark.parametrize("protocol", [*PROTOCOLS.values(), LUMA_FLOAT])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_of_every_protocol_can_be_subtracted(protocol, dtype):
    dark = np.zeros((4, 5, 3), dtype)
    bright = np.full((4, 5, 3), 100, dtype)
    differences = protocol.planes(dark, 0) - protocol.planes(bright, 0)
    assert differences.dtype == np.float64
    assert np.all(differences < 0)  # bytes would have wrapped around


def test_the_border_is_not_compared(astronaut):
    bordered = astronaut.copy()
    bordered[:2] = 0
    bordered[-2:] = 0
    bordered[:, :2] = 0
    bordered[:, -2:] = 0
    score = PROTOCOLS["y"].score(astronaut, bordered, 2)
    assert score[0] == float("inf")
    assert PROTOCOLS["y"].score(astronaut, bordered, 1)[0] < 60


@pytest.fixture
def piq(monkeypatch, tmp_path):
    """A stand-in for the library, and an empty cache folder."""

    class Distance(torch.nn.Module):
        def forward(self, x, y):
            assert x.shape == (1, 3, 4, 5)
            return (x - y).abs().max()

    module = ModuleType("piq")
    module.LPIPS = module.DISTS = Distance  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "piq", module)
    monkeypatch.setattr(fidelity, "find_spec", lambda name: module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fidelity._perceptual_measure.cache_clear()
    yield tmp_path / "checkpoints"
    fidelity._perceptual_measure.cache_clear()


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setattr(fidelity, "find_spec", lambda name: None)
    require_perceptual(())
    with pytest.raises(UsageError, match="pip install piq"):
        require_perceptual(["lpips"])


def test_missing_weights_are_named_with_their_place(piq):
    with pytest.raises(
        UsageError, match=r"vgg16.* and dists_weights\.pt into .*points"
    ):
        require_perceptual(["dists"])
    piq.mkdir()
    for file in WEIGHTS["dists"]:
        (piq / file).touch()
    require_perceptual(["dists"])


@pytest.mark.usefixtures("piq")
def test_pictures_are_compared_between_0_and_1():
    black = np.zeros((4, 5, 3), np.uint8)
    white = np.full((4, 5, 3), 255, np.uint8)
    assert perceptual_distance("lpips", black, white) == 1.0
    assert perceptual_distance("dists", white, white) == 0.0
