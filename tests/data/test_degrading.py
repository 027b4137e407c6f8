"""Steps do what their numbers say; draws keep to their ranges; patches are those of the picture."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.data.degrading import (
    DegradationChain,
    Resampling,
    add_noise,
    blur,
    degrade,
    degrade_pairs,
    degraded_patch,
    draw_chain,
    filter_and_shrink,
    gaussian,
    round_levels,
    sharpen,
    through_jpeg,
)
from srcli.data.patches import PatchSampler
from srcli.errors import RecipeError
from srcli.imaging.pixels.resize import downscale, resize
from srcli.recipes.degradation import (
    BICUBIC,
    DEGRADATIONS,
    Blur,
    Degradation,
    Filter,
    Jpeg,
    Noise,
    Resize,
    Sharpen,
)
from srcli.recipes.training import Stage
from tests.fixtures.pictures import read_pixels
from tests.fixtures.trainings import make_pairs

each_scale = pytest.mark.parametrize("scale", [2, 3, 4])
AERIAL, PHOTO, RESTORE = (DEGRADATIONS[name] for name in ("aerial", "photo", "restore"))
NOISY = Degradation(after=(Noise(sigma=(2, 4)),))
DRAWS = 400


def source(seed=0):
    return np.random.default_rng(seed)


def flat(level, size=256):
    return np.full((size, size, 3), level, np.uint8)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0, 4.0])
def test_a_blur_takes_as_much_contrast_as_asked(sigma):
    # Waves along the rows: a Gaussian leaves exp(-(2 pi f sigma)^2 / 2) of frequency f.
    for frequency in (0.05, 0.125, 0.25):
        wave = np.cos(2 * np.pi * frequency * np.arange(160))[None, :, None] * np.ones(
            (8, 1, 1)
        )
        blurred = blur(wave, source(), sigma=sigma)[:, 20:-20]
        contrast = np.exp(-0.5 * (2 * np.pi * frequency * sigma) ** 2)
        assert np.abs(blurred - contrast * wave[:, 20:-20]).max() < 0.01


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
@pytest.mark.parametrize("aspect", [1.0, 0.6])
def test_a_blur_is_as_wide_as_asked_and_points_where_asked(aspect, angle):
    kernel = gaussian(2.5, aspect, angle)
    assert kernel.shape == (21, 21)
    assert kernel.sum() == pytest.approx(1)
    offsets = np.arange(-10, 11)
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    turn = np.radians(angle)
    along = x * np.cos(turn) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
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
        assert variance == pytest.approx(
            16 * (1 - shot + shot * level / 127.5), rel=0.04
        )


@pytest.mark.parametrize("quality", [50, 75, 90, 97])
@pytest.mark.parametrize("subsampled", [False, True])
def test_a_jpeg_has_the_quality_and_the_colours_that_were_asked(
    astronaut, quality, subsampled
):
    stream = io.BytesIO()
    pillow = Image.fromarray(astronaut)
    pillow.save(
        stream, "JPEG", quality=quality, subsampling="4:2:0" if subsampled else "4:4:4"
    )
    encoded = through_jpeg(astronaut, quality=quality, subsampled=subsampled)
    assert np.array_equal(encoded, read_pixels(stream))


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


@each_scale
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("chain", [CHAIN, TWICE])
def test_an_edge_stays_where_it_is(scale, axis, chain):
    # The edge lies between pixels 72 and 73 of HR: at 73 / scale of LR, counted from
    # its border.
    picture = np.full((60 * scale, 60 * scale, 3), 60, np.uint8)
    picture[73:] = 190
    picture = picture if axis == 0 else picture.swapaxes(0, 1)
    degraded = (
        DegradationChain(scale=scale, **chain).apply(picture, source()).astype(float)
    )
    profile = degraded.mean(axis=(1 - axis, 2))
    steps = np.diff(profile)
    near = slice(73 // scale - 6, 73 // scale + 5)
    centre = (steps[near] * (np.arange(len(steps))[near] + 1)).sum() / steps[near].sum()
    assert centre == pytest.approx(73 / scale, abs=0.1)


@each_scale
@pytest.mark.parametrize("steps", [CHAIN, TWICE])
def test_odd_sizes_are_cut_at_the_far_ends(astronaut, scale, steps):
    chain = DegradationChain(scale=scale, **steps)
    for height, width in ((61, 47), (scale, scale + 1), (17, 128)):
        degraded = chain.apply(astronaut[:height, :width], source())
        assert degraded.shape == (height // scale, width // scale, 3)
    with pytest.raises(ValueError, match="smaller than the scale"):
        chain.apply(astronaut[: scale - 1], source())


def test_noise_of_colours_leaves_the_brightness_alone():
    fine = add_noise(flat(128), source(), sigma=6, colour=True) - 128
    assert np.abs(fine.mean(axis=2)).max() < 1e-4
    # two of three are free
    assert fine.std() == pytest.approx(6 * np.sqrt(2 / 3), rel=0.02)
    assert (
        np.abs(np.asarray(np.corrcoef(fine[:, 1:, 0].flat, fine[:, :-1, 0].flat))[0, 1])
        < 0.02
    )
    wide = add_noise(flat(128), source(), sigma=6, colour=True, size=4) - 128
    assert np.abs(wide.mean(axis=2)).max() < 1e-4
    assert np.corrcoef(wide[:, 1:, 0].flat, wide[:, :-1, 0].flat)[0, 1] > 0.9


def test_unsharp_masking_is_that_of_scikit_image(astronaut):
    from skimage.filters import unsharp_mask

    reference = unsharp_mask(
        astronaut.astype(float),
        radius=1.2,
        amount=0.8,
        channel_axis=2,
        preserve_range=True,
    )
    sharpened = sharpen(astronaut, source(), sigma=1.2, amount=0.8)
    # its kernel ends at 4 sigma, too
    assert np.abs(sharpened - reference)[8:-8, 8:-8].max() < 0.5


@pytest.mark.parametrize("name", get_args(Filter))
def test_a_downscale_by_a_filter_is_pillow_s(astronaut, name):
    chain = DegradationChain(scale=4, filter=name)
    size = (astronaut.shape[1] // 4, astronaut.shape[0] // 4)
    by_pillow = np.asarray(
        Image.fromarray(astronaut).resize(size, Image.Resampling[name.upper()])
    ).astype(int)
    # Pillow rounds and clips after each axis, "bicubic" is MATLAB's: inside, little
    # differs.
    difference = np.abs(chain.apply(astronaut, source()) - by_pillow)[2:-2, 2:-2]
    assert difference.max() <= 4
    assert difference.mean() < 0.5


def summed(picture, kernel):
    """The kernel's weighted sum around every pixel, edges mirrored."""
    reach = kernel.shape[0] // 2
    padded = np.pad(
        picture.astype(float), ((reach,) * 2, (reach,) * 2, (0, 0)), mode="symmetric"
    )
    height, width = picture.shape[:2]
    return sum(
        weight * padded[y : y + height, x : x + width]
        for (y, x), weight in np.ndenumerate(kernel)
    )


UNEVEN = np.random.default_rng(0).random((5, 5))
"""Positions matter in it: no symmetry hides a flip."""
KINDS = {
    "uneven": (UNEVEN / UNEVEN.sum(), [1], 0.3),  # small singular values are left out
    "product": (
        np.outer([1, 3, 5, 3, 1], [1, 4, 2, 4, 1]) / (13 * 12),
        [2, 3, 4],
        1e-3,
    ),
    "none": (np.ones((1, 1)), [1, 2, 3, 4], 1e-3),
}
"""Kernels, each with scales and the largest error."""


@pytest.mark.parametrize("size", [(31, 40), (5, 9), (1, 2)])
@pytest.mark.parametrize("blur", KINDS)
def test_filter_and_downscale_in_one_go_are_the_two_in_turn(astronaut, size, blur):
    kernel, scales, error = KINDS[blur]
    for scale in scales:
        picture = astronaut[: size[0] * scale, : size[1] * scale]
        expected = resize(summed(picture, kernel), Fraction(1, scale))
        in_one_go = filter_and_shrink(picture, kernel, scale)
        assert in_one_go.shape == (*size, 3)
        assert np.abs(in_one_go - expected).max() < error


def within(values, low, high):
    """Whether values lie in a range, and come near both of its ends."""
    near = 20 / len(values) * (high - low)
    return low <= min(values) <= low + near and high - near <= max(values) <= high


def share(count, probability, of=DRAWS):
    """Whether so many of all draws go with a probability (four standard deviations)."""
    return abs(count - of * probability) <= 4 * np.sqrt(
        of * probability * (1 - probability)
    )


RANGES = {
    Blur: ("sigma", "aspect", "angle"),
    Noise: ("sigma", "shot", "size"),
    Jpeg: ("quality",),
    Sharpen: ("sigma", "amount"),
    Resize: ("factor",),
}


def drawn_value(step, field):
    """What was drawn for a field of a step."""
    if isinstance(step, Resampling):
        return getattr(step, field)
    return step.keywords[field]


@pytest.mark.parametrize("path", ["before", "after"])
@pytest.mark.parametrize("name", ["photo", "aerial", "restore"])
def test_all_draws_keep_to_the_ranges_and_use_them(name, path):
    random = source()
    scale = 4
    for piece in getattr(DEGRADATIONS[name], path):
        alone: dict[str, Any] = {path: (piece,)}
        steps = []
        for _ in range(DRAWS):
            steps += getattr(draw_chain(Degradation(**alone), scale, random), path)
        assert share(len(steps), piece.probability)
        for field in RANGES[type(piece)]:
            unit = scale if (path, field) == ("before", "sigma") else 1
            drawn = np.array([drawn_value(step, field) for step in steps]) / unit
            assert within(drawn, *getattr(piece, field))
        if isinstance(piece, Noise) and not piece.colour:
            count = sum(drawn_value(step, "gray") for step in steps)
            assert share(count, piece.gray, len(steps))
        if isinstance(piece, Jpeg):
            count = sum(drawn_value(step, "subsampled") for step in steps)
            assert share(count, piece.subsampling, len(steps))
        if isinstance(piece, Resize):
            assert {step.filter for step in steps} == set(get_args(Filter))
    filters = {
        draw_chain(DEGRADATIONS[name], scale, random).filter for _ in range(DRAWS)
    }
    assert filters == (set(get_args(Filter)) if name == "restore" else {"bicubic"})


@each_scale
def test_patches_have_their_size_and_lie_where_hr_does(astronaut, scale):
    picture = np.tile(astronaut, (2, 2, 1))
    clean = downscale(picture, scale).astype(float)
    for seed, (row, column) in enumerate([(0, 0), (3, 9), (16, 2), (0, 30)] * 6):
        chain = draw_chain(RESTORE, scale, source(seed))
        patch = degraded_patch(picture, (row, column), 24, chain, source(seed))
        assert patch.shape == (24, 24, 3)

        def distance(down, right, row=row, column=column, patch=patch):
            moved = clean[
                row + down : row + down + 24, column + right : column + right + 24
            ]
            return np.abs(moved - patch).mean()

        assert distance(0, 0) < min(distance(2, 0), distance(0, 2))


def test_a_resize_before_the_downscale_is_refused():
    with pytest.raises(RecipeError, match="after the downscale"):
        Degradation(before=(Resize(factor=(0.5, 0.5)),))


def test_a_share_stays_clean_altogether():
    random = source()
    half = Degradation(
        before=(Blur(sigma=(1, 1)),), after=(Noise(sigma=(1, 1)),), clean=0.5
    )
    clean_count = 0
    for _ in range(DRAWS):
        chain = draw_chain(half, 3, random)
        if chain == DegradationChain(scale=3):
            clean_count += 1
        else:
            assert len(chain.before) == len(chain.after) == 1
    assert share(clean_count, 0.5)
    assert replace(half, clean=1.0).is_clean
    assert not half.is_clean


@each_scale
@pytest.mark.parametrize(
    ("degradation", "sharpest", "softest"), [(PHOTO, 0.45, 0.25), (AERIAL, 0.47, 0.0)]
)
def test_the_ends_of_the_blur_have_the_contrast_of_the_table(
    degradation, sharpest, softest, scale
):
    # A wave of LR's Nyquist frequency whose extremes lie where LR pixels do.
    positions = (np.arange(64 * scale) + 0.5) / scale - 0.5
    wave = np.repeat(np.cos(np.pi * positions)[None, :, None], 16 * scale, axis=0)
    (piece,) = degradation.before
    for sigma, contrast in zip(piece.sigma, (sharpest, softest), strict=True):
        kernel = gaussian(sigma=sigma * scale)
        blurred = filter_and_shrink(wave, kernel, scale)[4:-4, 4:-4]
        assert np.abs(blurred).mean() == pytest.approx(contrast, abs=0.01)


@each_scale
@pytest.mark.parametrize("size", [(128, 160), (61, 47), (5, 4)])
def test_bicubic_is_the_plain_downscale_bit_for_bit(astronaut, scale, size):
    picture = astronaut[: size[0], : size[1]]
    assert np.array_equal(
        degrade(picture, scale, "bicubic", 3), downscale(picture, scale)
    )
    assert degrade(picture, scale, "aerial").shape == downscale(picture, scale).shape


def test_the_seed_decides_and_names_are_taken_from_the_table(astronaut):
    once = degrade(astronaut, 4, "photo", seed=5)
    assert np.array_equal(once, degrade(astronaut, 4, PHOTO, seed=5))
    assert not np.array_equal(once, degrade(astronaut, 4, "photo", seed=6))
    assert not np.array_equal(once, degrade(astronaut, 4, "aerial", seed=5))
    with pytest.raises(RecipeError, match="did you mean 'photo'"):
        degrade(astronaut, 4, "foto")
    with pytest.raises(ValueError, match="uint8"):
        degrade(astronaut / 255.0, 4)
    with pytest.raises(ValueError, match="expected"):
        degrade(astronaut[..., 0], 4)


def test_pairs_keep_hr_and_each_has_its_own_draw(astronaut):
    pairs = make_pairs([astronaut, astronaut], 2)
    degraded = degrade_pairs(pairs, AERIAL)
    assert degraded.hr is pairs.hr
    assert degraded.digest == pairs.digest
    for degraded_lr, lr in zip(degraded.lr, pairs.lr, strict=True):
        assert degraded_lr.shape == lr.shape
    assert not np.array_equal(degraded.lr[0], degraded.lr[1])
    again = degrade_pairs(pairs, AERIAL)
    assert all(map(np.array_equal, degraded.lr, again.lr))
    assert not np.array_equal(
        degraded.lr[0], degrade_pairs(pairs, AERIAL, seed=1).lr[0]
    )
    clean = degrade_pairs(pairs, BICUBIC)
    assert all(map(np.array_equal, clean.lr, pairs.lr))


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("corner", [(0, 0), (5, 9), (16, 24), (0, 24), (16, 0)])
def test_a_patch_is_that_of_the_whole_picture(astronaut, scale, corner):
    picture = np.tile(astronaut, (2, 2, 1)) if scale == 4 else astronaut
    patch = min(side // scale for side in picture.shape[:2]) - 16
    wide = partial(blur, sigma=0.6 * scale, aspect=0.7, angle=30)
    slight = partial(blur, sigma=0.4)
    chain = DegradationChain(scale=scale, before=(wide,), after=(slight,))
    of_picture = chain.apply(picture, source())
    of_patch = degraded_patch(picture, corner, patch, chain, source())
    row, column = corner
    place = np.s_[row : row + patch, column : column + patch]
    difference = np.abs(of_patch.astype(int) - of_picture[place])
    assert difference.max() <= 1  # sums in another order round to another side, rarely
    assert difference.mean() < 0.01
    plain = degraded_patch(
        picture, corner, patch, DegradationChain(scale=scale), source()
    )
    assert np.array_equal(plain, downscale(picture, scale)[place])


def test_blocks_lie_anywhere_and_fit_those_of_larger_patches(astronaut):
    picture = np.tile(astronaut, (2, 2, 1))
    chain = DegradationChain(
        scale=2, after=(partial(through_jpeg, quality=30, subsampled=True),)
    )

    def patch_at(row, column, patch, seed):
        return degraded_patch(picture, (row, column), patch, chain, source(seed))

    # One draw of the place of the blocks: a longer patch goes on, one a block further
    # joins on.
    for seed in range(12):
        patch = patch_at(30, 40, 24, seed)
        assert np.array_equal(patch_at(30, 40, 40, seed)[:24, :24], patch)
        assert np.array_equal(patch_at(14, 24, 40, seed)[16:, 16:], patch)
    assert len({patch_at(30, 40, 24, seed).tobytes() for seed in range(60)}) > 50


STAGE = Stage(batch=16, patch=16, prefer_detail=True, shuffle_channels=True)


@pytest.fixture
def pairs(astronaut):
    return make_pairs([astronaut, astronaut[20:, 30:], astronaut[:48, :32]], 2)


def levels(batch):
    """(N, H, W, C) uint8 of a batch."""
    return (batch * 255).round().byte().permute(0, 2, 3, 1).numpy()


def test_clean_batches_are_plain_and_others_differ_in_lr(pairs):
    plain = PatchSampler(pairs, seed=3).batch(7, STAGE)
    clean = PatchSampler(pairs, seed=3, degradation=BICUBIC).batch(7, STAGE)
    aerial = PatchSampler(pairs, seed=3, degradation=NOISY).batch(7, STAGE)
    for a, b in zip(plain, clean, strict=True):
        assert torch.equal(a, b)
        assert b.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain[1], aerial[1])
    differences = (aerial[0] - plain[0]).abs().mean(dim=(1, 2, 3)) * 255
    assert float(differences.min()) > 0.5  # every patch


def test_every_patch_has_its_own_draw(astronaut):
    # There is one place only: without the turns the patches would differ by the draw
    # alone.
    pairs = make_pairs([astronaut[:32, :32]], 2)
    lr, hr = PatchSampler(pairs, degradation=NOISY).batch(0, Stage(batch=12, patch=16))
    assert len({np.sort(patch, axis=None).tobytes() for patch in levels(hr)}) == 1
    assert len({np.sort(patch, axis=None).tobytes() for patch in levels(lr)}) == 12
