"""Every step does what its numbers say; the chain keeps pictures where they are."""

from __future__ import annotations

import io
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.degrading import (
    FILTERS,
    KERNELS,
    DegradationChain,
    Resampling,
    add_noise,
    blur,
    filtered,
    gaussian,
    round_levels,
    sharpen,
    through_jpeg,
)
from srcli.imaging.resize import resize


def source(seed=0):
    return np.random.default_rng(seed)


def flat(level, size=256):
    return np.full((size, size, 3), level, np.uint8)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0, 4.0])
def test_a_blur_takes_as_much_contrast_as_asked(sigma):
    # Waves along the rows: a Gaussian leaves exp(-(2 pi f sigma)^2 / 2) of frequency f.
    for frequency in (0.05, 0.125, 0.25):
        wave = np.cos(2 * np.pi * frequency * np.arange(160))[None, :, None] * np.ones((8, 1, 1))
        made = blur(wave, source(), sigma=sigma)[:, 20:-20]
        kept = np.exp(-0.5 * (2 * np.pi * frequency * sigma) ** 2)
        assert np.abs(made - kept * wave[:, 20:-20]).max() < 0.01


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
@pytest.mark.parametrize("aspect", [1.0, 0.6])
def test_a_blur_is_as_wide_as_asked_and_points_where_asked(aspect, angle):
    kernel = gaussian(2.5, aspect, angle)
    assert kernel.shape == (21, 21)
    assert kernel.sum() == pytest.approx(1)
    offsets = np.arange(-10, 11)
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    turn = np.radians(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    assert np.sqrt((kernel * along**2).sum()) == pytest.approx(2.5, rel=0.01)
    assert np.sqrt((kernel * across**2).sum()) == pytest.approx(2.5 * aspect, rel=0.01)
    assert (kernel * along * across).sum() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("sigma", [0.5, 2.0, 6.0])
def test_noise_has_the_strength_that_was_asked(sigma, gray):
    picture = flat(128)
    noisy = add_noise(picture, source(), sigma=sigma, gray=gray)
    assert float(noisy.std()) == pytest.approx(sigma, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(128, abs=4 * sigma / 256)
    # Rounding to levels adds its own 1/12.
    levels = round_levels(noisy).astype(float)
    assert levels.std() == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.03)


def test_noise_is_gray_or_its_own_in_each_channel():
    gray = add_noise(flat(100), source(), sigma=3, gray=True)
    assert np.array_equal(gray[..., 0], gray[..., 1])
    assert np.array_equal(gray[..., 0], gray[..., 2])
    colour = add_noise(flat(100), source(), sigma=3).reshape(-1, 3)
    correlations = np.asarray(np.corrcoef(colour.T))
    assert np.abs(correlations[np.triu_indices(3, 1)]).max() < 0.02


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("shot", [0.0, 0.5, 1.0])
def test_photon_noise_grows_with_the_brightness(shot, gray):
    noise = partial(add_noise, sigma=4, shot=shot, gray=gray)
    for level in (0, 51, 204):
        variance = float(noise(flat(level), source()).var())
        assert variance == pytest.approx(16 * (1 - shot + shot * level / 127.5), rel=0.04)


@pytest.mark.parametrize("quality", [50, 75, 90, 97])
@pytest.mark.parametrize("subsampled", [False, True])
def test_a_jpeg_has_the_quality_and_the_colours_that_were_asked(astronaut, quality, subsampled):
    stream = io.BytesIO()
    pillow = Image.fromarray(astronaut)
    pillow.save(stream, "JPEG", quality=quality, subsampling="4:2:0" if subsampled else "4:4:4")
    made = through_jpeg(astronaut, quality=quality, subsampled=subsampled)
    assert np.array_equal(made, np.asarray(Image.open(stream)))


def test_a_jpeg_rounds_what_it_is_given():
    picture = np.full((8, 8, 3), 99.6)
    assert np.array_equal(through_jpeg(picture, source(), quality=100), flat(100, 8))


CHAIN: dict[str, Any] = {
    "before": (partial(blur, sigma=1.7, aspect=0.7, angle=40),),
    "after": (
        partial(add_noise, sigma=3, shot=0.5),
        partial(through_jpeg, quality=80, subsampled=True),
    ),
}


TWICE: dict[str, Any] = {
    "before": (partial(blur, sigma=1.7),),
    "after": (
        partial(add_noise, sigma=4, colour=True, size=2.5),
        partial(through_jpeg, quality=80),
        Resampling(factor=1.3, filter="bilinear"),
        partial(sharpen, sigma=1.0, amount=0.7),
        Resampling(factor=0.7, filter="lanczos"),
        partial(through_jpeg, quality=80),
    ),
    "filter": "box",
}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("chain", [CHAIN, TWICE])
def test_an_edge_stays_where_it_is(scale, axis, chain):
    # The edge lies between pixels 72 and 73 of HR: at 73 / scale of LR, counted from its border.
    picture = np.full((60 * scale, 60 * scale, 3), 60, np.uint8)
    picture[73:] = 190
    picture = picture if axis == 0 else picture.swapaxes(0, 1)
    made = DegradationChain(scale=scale, **chain).apply(picture, source()).astype(float)
    profile = made.mean(axis=(1 - axis, 2))
    steps = np.diff(profile)
    near = slice(73 // scale - 6, 73 // scale + 5)
    centre = (steps[near] * (np.arange(len(steps))[near] + 1)).sum() / steps[near].sum()
    assert centre == pytest.approx(73 / scale, abs=0.1)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("steps", [CHAIN, TWICE])
def test_odd_sizes_are_cut_at_the_far_ends(astronaut, scale, steps):
    chain = DegradationChain(scale=scale, **steps)
    for height, width in ((61, 47), (scale, scale + 1), (17, 128)):
        made = chain.apply(astronaut[:height, :width], source())
        assert made.shape == (height // scale, width // scale, 3)
    with pytest.raises(ValueError, match="smaller than the scale"):
        chain.apply(astronaut[: scale - 1], source())


def test_noise_of_colours_leaves_the_brightness_alone_and_are_as_wide_as_asked():
    fine = add_noise(flat(128), source(), sigma=6, colour=True) - 128
    assert np.abs(fine.mean(axis=2)).max() < 1e-4
    assert fine.std() == pytest.approx(6 * np.sqrt(2 / 3), rel=0.02)  # two of three are free
    assert np.abs(np.asarray(np.corrcoef(fine[:, 1:, 0].flat, fine[:, :-1, 0].flat))[0, 1]) < 0.02
    wide = add_noise(flat(128), source(), sigma=6, colour=True, size=4) - 128
    assert np.abs(wide.mean(axis=2)).max() < 1e-4
    assert np.corrcoef(wide[:, 1:, 0].flat, wide[:, :-1, 0].flat)[0, 1] > 0.9


def test_unsharp_masking_is_that_of_scikit_image(astronaut):
    from skimage.filters import unsharp_mask

    reference = unsharp_mask(
        astronaut.astype(float), radius=1.2, amount=0.8, channel_axis=2, preserve_range=True
    )
    made = sharpen(astronaut, source(), sigma=1.2, amount=0.8)
    assert np.abs(made - reference)[8:-8, 8:-8].max() < 0.5  # its kernel ends at 4 sigma, too


@pytest.mark.parametrize("name", FILTERS)
def test_a_downscale_by_a_filter_is_pillow_s(astronaut, name):
    chain = DegradationChain(scale=4, filter=name)
    size = (astronaut.shape[1] // 4, astronaut.shape[0] // 4)
    wanted = np.asarray(Image.fromarray(astronaut).resize(size, FILTERS[name])).astype(int)
    # Pillow rounds and clips after each axis, "bicubic" is MATLAB's: inside, little differs.
    difference = np.abs(chain.apply(astronaut, source()) - wanted)[2:-2, 2:-2]
    assert difference.max() <= 4
    assert difference.mean() < 0.5


# --- Kernels of the literature, and any small kernel ----------------------------------------------


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


UNEVEN = np.random.default_rng(0).random((5, 5))
"""Positions matter in it: no symmetry hides a flip."""
KINDS = {
    "uneven": (UNEVEN / UNEVEN.sum(), [1], 0.3),  # small singular values are left out
    "product": (np.outer([1, 3, 5, 3, 1], [1, 4, 2, 4, 1]) / (13 * 12), [2, 3, 4], 1e-3),
    "none": (np.ones((1, 1)), [1, 2, 3, 4], 1e-3),
}
"""Kernels, each with scales and the largest error."""


@pytest.mark.parametrize("size", [(31, 40), (5, 9), (1, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_filter_and_downscale_in_one_go_are_the_sum_and_matlab_s_bicubic(astronaut, size, kind):
    kernel, scales, error = KINDS[kind]
    for scale in scales:
        picture = astronaut[: size[0] * scale, : size[1] * scale]
        expected = resize(summed(picture, kernel), Fraction(1, scale))
        found = filtered(picture, kernel, scale)
        assert found.shape == (*size, 3)
        assert np.abs(found - expected).max() < error
