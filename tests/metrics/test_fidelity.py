"""PSNR and SSIM: known values, and scikit-image's as an oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srcli.metrics.fidelity import psnr, ssim


@pytest.fixture
def pair(astronaut):
    noise = np.random.default_rng(0).normal(0, 12, astronaut.shape)
    return astronaut, np.clip(np.round(astronaut + noise), 0, 255).astype(np.uint8)


def test_psnr_by_hand():
    a = np.zeros((4, 4), np.uint8)
    b = a.copy()
    b[0, 0] = 4  # MSE 1
    assert psnr(a, b) == pytest.approx(20 * math.log10(255))
    assert psnr(a / 255, b / 255, peak=1.0) == pytest.approx(psnr(a, b))
    assert psnr(a, a) == math.inf


def test_psnr_does_not_overflow_small_integers():
    a, b = np.full((2, 2), 200, np.uint8), np.full((2, 2), 210, np.uint8)
    assert psnr(a, b) == psnr(b, a) == pytest.approx(20 * math.log10(25.5))


def test_psnr_equals_scikit_image(pair):
    a, b = pair
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255))


def test_ssim_equals_scikit_image_on_the_valid_area(pair):
    for a, b in ((pair[0][..., 0], pair[1][..., 0]), pair):
        mean, full = structural_similarity(
            a,
            b,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            win_size=11,
            use_sample_covariance=False,
            full=True,
            channel_axis=2 if a.ndim == 3 else None,
        )
        del mean
        valid = full[5:-5, 5:-5]
        assert ssim(a, b) == pytest.approx(valid.mean(), abs=1e-7)


def test_ssim_of_equal_and_of_constant_pictures(astronaut):
    assert ssim(astronaut, astronaut) == pytest.approx(1)
    a, b = np.full((11, 11), 100.0), np.full((11, 11), 150.0)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))


def test_what_cannot_be_compared_is_refused(astronaut):
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(astronaut, astronaut[1:])
    with pytest.raises(ValueError, match="empty"):
        psnr(astronaut[:0], astronaut[:0])
    with pytest.raises(ValueError, match="11x11"):
        ssim(astronaut[:10], astronaut[:10])
