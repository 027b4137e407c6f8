"""LR kernels: sizes, flat pictures, and what each is compared with."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from srcli.imaging.degrading import KERNELS, filtered, filtered_downscale
from srcli.imaging.resize import downscale, resize


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


def summed(picture, kernel):
    """The kernel's weighted sum around every pixel, edges mirrored."""
    reach = kernel.shape[0] // 2
    padded = np.pad(picture.astype(float), ((reach,) * 2, (reach,) * 2, (0, 0)), mode="symmetric")
    height, width = picture.shape[:2]
    return sum(
        weight * padded[y : y + height, x : x + width] for (y, x), weight in np.ndenumerate(kernel)
    )


@pytest.mark.parametrize("size", [(128, 160), (37, 61), (9, 5), (1, 7)])
def test_any_kernel_is_applied_as_the_plain_sum(astronaut, size):
    picture = astronaut[: size[0], : size[1]]
    kernel = np.random.default_rng(0).random((5, 5))
    kernel /= kernel.sum()
    # Positions matter in such a kernel: no symmetry hides a flip.
    assert np.abs(filtered(picture, kernel) - summed(picture, kernel)).max() < 0.3


def test_a_kernel_of_one_weight_moves_the_picture(astronaut):
    kernel = np.zeros((3, 3))
    kernel[1, 2] = 1  # the pixel to the right
    assert np.allclose(filtered(astronaut, kernel)[:, :-1], astronaut[:, 1:], atol=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(31, 40), (5, 9), (1, 2)])
def test_without_a_blur_it_is_matlab_s_bicubic(astronaut, scale, size):
    picture = astronaut[: size[0] * scale, : size[1] * scale]
    expected = resize(picture.astype(np.float64), Fraction(1, scale))
    found = filtered_downscale(picture, np.ones((1, 1)), scale)
    assert found.shape == (*size, 3)
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_filter_and_downscale_in_one_go_are_those_one_after_the_other(astronaut, scale):
    picture = astronaut[: 31 * scale, : 40 * scale]
    kernel = np.outer([1, 3, 5, 3, 1], [1, 4, 2, 4, 1]) / (13 * 12)
    expected = resize(summed(picture, kernel), Fraction(1, scale))
    assert np.abs(filtered_downscale(picture, kernel, scale) - expected).max() < 1e-3


def test_a_margin_is_cut_away_and_changes_nothing_else(astronaut):
    kernel = np.outer(np.hanning(9)[1:-1], np.hanning(9)[1:-1])
    kernel /= kernel.sum()
    whole = filtered_downscale(astronaut, kernel, 4)
    for margin in (1, 3, 12):
        found = filtered_downscale(astronaut, kernel, 4, margin=margin)
        assert np.abs(found - whole[margin:-margin, margin:-margin]).max() < 1e-3
