"""LR kernels: sizes, flat pictures, and what each is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from srcli.imaging.kernels import KERNELS
from srcli.imaging.resize import downscale


@pytest.mark.parametrize("name", list(KERNELS))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_kernel_divides_the_size_and_keeps_flat_pictures(name, scale):
    flat = np.full((5 * scale, 7 * scale, 3), 117, np.uint8)
    small = KERNELS[name].shrink(flat, scale)
    assert small.shape == (5, 7, 3)
    assert small.dtype == np.uint8
    assert (small == 117).all()


def test_bicubic_is_the_matlab_compatible_one(astronaut):
    assert np.array_equal(KERNELS["bicubic"].shrink(astronaut, 4), downscale(astronaut, 4))


@pytest.mark.parametrize(
    ("name", "filter_"),
    [
        ("bicubic-pillow", Image.Resampling.BICUBIC),
        ("lanczos", Image.Resampling.LANCZOS),
    ],
)
def test_pillows_kernels_are_what_pillow_does_to_the_whole_picture(name, filter_, astronaut):
    whole = Image.fromarray(astronaut).resize((80, 64), filter_)
    assert np.array_equal(KERNELS[name].shrink(astronaut, 2), np.asarray(whole))


def test_box_is_the_mean(astronaut):
    means = astronaut.reshape(32, 4, 40, 4, 3).mean(axis=(1, 3))
    # Pillow rounds between its two passes
    assert np.abs(KERNELS["box"].shrink(astronaut, 4) - means).max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_blur_down_is_a_gaussian_and_a_choice_of_pixels(astronaut, scale):
    crop = astronaut[: 12 * scale, : 12 * scale]
    blurred = np.stack(
        [
            ndimage.gaussian_filter(crop[..., c].astype(float), 1.6, radius=3, mode="nearest")
            for c in range(3)
        ],
        axis=2,
    )
    wanted = blurred[scale // 2 :: scale, scale // 2 :: scale]
    assert np.abs(KERNELS["blur-down"].shrink(crop, scale) - wanted).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("scale", [2, 4])
def test_the_box_is_the_mean_rounded_once(scale, astronaut):
    from skimage.measure import block_reduce

    expected = np.floor(block_reduce(astronaut, (scale, scale, 1), np.mean) + 0.5)
    assert np.array_equal(KERNELS["box"].shrink(astronaut, scale), expected)
