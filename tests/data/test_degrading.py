"""Draws keep to their ranges; a patch is what the whole picture would have given there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from srcli.data.degrading import degrade, degrade_pairs, degraded_patch, draw
from srcli.data.patches import PatchSampler, turned
from srcli.data.training_set import make_pairs
from srcli.errors import RecipeError
from srcli.imaging.degrading import (
    FILTERS,
    DegradationChain,
    Resampling,
    add_noise,
    blur,
    filtered,
    gaussian,
    through_jpeg,
)
from srcli.imaging.resize import downscale
from srcli.recipes.degradation import (
    BICUBIC,
    DEGRADATIONS,
    Blur,
    Degradation,
    Jpeg,
    Noise,
    Resize,
    Sharpen,
)
from srcli.recipes.training import Stage

AERIAL, PHOTO, RESTORE = (DEGRADATIONS[name] for name in ("aerial", "photo", "restore"))
DRAWS = 400


def source(seed=0):
    return np.random.default_rng(seed)


def within(values, low, high):
    """Whether values lie in a range, and come near both of its ends."""
    near = 20 / len(values) * (high - low)
    return low <= min(values) <= low + near and high - near <= max(values) <= high


def share(count, probability, of=DRAWS):
    """Whether so many of all draws go with a probability (four standard deviations)."""
    return abs(count - of * probability) <= 4 * np.sqrt(of * probability * (1 - probability))


RANGES = {
    Blur: ("sigma", "aspect", "angle"),
    Noise: ("sigma", "shot", "size"),
    Jpeg: ("quality",),
    Sharpen: ("sigma", "amount"),
    Resize: ("factor",),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", ["photo", "aerial", "restore"])
def test_all_draws_keep_to_the_ranges_and_use_them(name, place):
    random, scale = source(), 4
    for piece in getattr(DEGRADATIONS[name], place):
        alone: dict[str, Any] = {place: (piece,)}
        chains = [draw(Degradation(**alone), scale, random) for _ in range(DRAWS)]
        steps = [step for chain in chains for step in getattr(chain, place)]
        assert share(len(steps), piece.probability)
        for field in RANGES[type(piece)]:
            unit = scale if (place, field) == ("before", "sigma") else 1
            drawn = [
                getattr(step, field) if isinstance(step, Resampling) else step.keywords[field]
                for step in steps
            ]
            assert within([value / unit for value in drawn], *getattr(piece, field))
        if isinstance(piece, Noise) and not piece.colour:
            assert share(sum(step.keywords["gray"] for step in steps), piece.gray, len(steps))
        if isinstance(piece, Jpeg):
            count = sum(step.keywords["subsampled"] for step in steps)
            assert share(count, piece.subsampling, len(steps))
        if isinstance(piece, Resize):
            assert {step.filter for step in steps} == set(FILTERS)
    filters = {draw(DEGRADATIONS[name], scale, random).filter for _ in range(DRAWS)}
    assert filters == (set(FILTERS) if name == "restore" else {"bicubic"})


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_of_such_files_have_their_size_and_lie_where_hr_does(astronaut, scale):
    picture = np.tile(astronaut, (2, 2, 1))
    clean = downscale(picture, scale).astype(float)
    for seed, (top, left) in enumerate([(0, 0), (3, 9), (16, 2), (0, 30)] * 6):
        chain = draw(RESTORE, scale, source(seed))
        patch = degraded_patch(picture, (top, left), 24, chain, source(seed))
        assert patch.shape == (24, 24, 3)

        def distance(down, right, top=top, left=left, patch=patch):
            moved = clean[top + down : top + down + 24, left + right : left + right + 24]
            return np.abs(moved - patch).mean()

        assert distance(0, 0) < min(distance(2, 0), distance(0, 2))


def test_a_resize_before_the_downscale_is_refused():
    with pytest.raises(RecipeError, match="after the downscale"):
        Degradation(before=(Resize(factor=(0.5, 0.5)),))


def test_pieces_are_applied_in_their_order():
    order = (Jpeg(quality=(80, 80)), Noise(sigma=(1, 1)), Jpeg(quality=(70, 70)))
    chain = draw(Degradation(after=order), 2, source())
    steps = [step.func for step in chain.after if isinstance(step, partial)]
    assert steps == [through_jpeg, add_noise, through_jpeg]
    never = Degradation(before=(Blur(sigma=(1, 1), probability=0.0),))
    assert draw(never, 2, source()) == DegradationChain(scale=2)


def test_a_share_stays_clean_altogether():
    random = source()
    half = Degradation(before=(Blur(sigma=(1, 1)),), after=(Noise(sigma=(1, 1)),), clean=0.5)
    chains = [draw(half, 3, random) for _ in range(DRAWS)]
    clean = [chain for chain in chains if chain == DegradationChain(scale=3)]
    assert share(len(clean), 0.5)
    assert all(len(chain.before) == len(chain.after) == 1 for chain in chains if chain not in clean)
    assert replace(half, clean=1.0).is_clean
    assert not half.is_clean


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("degradation", "sharpest", "softest"), [(PHOTO, 0.45, 0.25), (AERIAL, 0.3, 0.1)]
)
def test_the_ends_of_the_blur_have_the_contrast_that_the_table_says(
    degradation, sharpest, softest, scale
):
    # A wave of LR's Nyquist frequency whose extremes lie where LR pixels do.
    positions = (np.arange(64 * scale) + 0.5) / scale - 0.5
    wave = np.repeat(np.cos(np.pi * positions)[None, :, None], 16 * scale, axis=0)
    (piece,) = degradation.before
    for sigma, contrast in zip(piece.sigma, (sharpest, softest), strict=True):
        kernel = gaussian(sigma=sigma * scale)
        made = filtered(wave, kernel, scale)[4:-4, 4:-4]
        assert np.abs(made).mean() == pytest.approx(contrast, abs=0.01)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(128, 160), (61, 47), (5, 4)])
def test_bicubic_is_the_plain_downscale_bit_for_bit(astronaut, scale, size):
    picture = astronaut[: size[0], : size[1]]
    assert np.array_equal(degrade(picture, scale, "bicubic", 3), downscale(picture, scale))
    assert degrade(picture, scale, "aerial").shape == downscale(picture, scale).shape


def test_the_seed_decides_and_names_are_taken_from_the_table(astronaut):
    first = degrade(astronaut, 4, "photo", seed=5)
    assert np.array_equal(first, degrade(astronaut, 4, PHOTO, seed=5))
    assert not np.array_equal(first, degrade(astronaut, 4, "photo", seed=6))
    assert not np.array_equal(first, degrade(astronaut, 4, "aerial", seed=5))
    with pytest.raises(RecipeError, match="did you mean 'photo'"):
        degrade(astronaut, 4, "foto")
    with pytest.raises(ValueError, match="uint8"):
        degrade(astronaut / 255.0, 4)
    with pytest.raises(ValueError, match="expected"):
        degrade(astronaut[..., 0], 4)


def test_pairs_keep_hr_and_each_has_its_own_draw(astronaut):
    pairs = make_pairs([astronaut, astronaut], 2)
    made = degrade_pairs(pairs, AERIAL)
    assert made.hr is pairs.hr
    assert made.digest == pairs.digest
    assert [image.shape for image in made.lr] == [image.shape for image in pairs.lr]
    assert not np.array_equal(made.lr[0], made.lr[1])
    again = degrade_pairs(pairs, AERIAL)
    assert all(np.array_equal(a, b) for a, b in zip(made.lr, again.lr, strict=True))
    assert not np.array_equal(made.lr[0], degrade_pairs(pairs, AERIAL, seed=1).lr[0])
    clean = degrade_pairs(pairs, BICUBIC)
    assert all(np.array_equal(a, b) for a, b in zip(clean.lr, pairs.lr, strict=True))


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("corner", [(0, 0), (5, 9), (16, 24), (0, 24), (16, 0)])
def test_a_patch_is_that_of_the_whole_picture(astronaut, scale, corner):
    picture = np.tile(astronaut, (2, 2, 1)) if scale == 4 else astronaut
    patch = min(side // scale for side in picture.shape[:2]) - 16
    wide, slight = partial(blur, sigma=0.6 * scale, aspect=0.7, angle=30), partial(blur, sigma=0.4)
    chain = DegradationChain(scale=scale, before=(wide,), after=(slight,))
    whole = chain.apply(picture, source())
    made = degraded_patch(picture, corner, patch, chain, source())
    rows, columns = (slice(at, at + patch) for at in corner)
    difference = np.abs(made.astype(int) - whole[rows, columns])
    assert difference.max() <= 1  # sums in another order round to another side, rarely
    assert difference.mean() < 0.01
    plain = degraded_patch(picture, corner, patch, DegradationChain(scale=scale), source())
    assert np.array_equal(plain, downscale(picture, scale)[rows, columns])


def test_blocks_lie_anywhere_and_patch_borders_are_those_of_a_larger_patch(astronaut):
    picture = np.tile(astronaut, (2, 2, 1))
    chain = DegradationChain(scale=2, after=(partial(through_jpeg, quality=30, subsampled=True),))

    def made(top, left, patch, seed):
        return degraded_patch(picture, (top, left), patch, chain, source(seed))

    # One draw of the place of the blocks: a longer patch goes on, one a block further joins on.
    for seed in range(12):
        patch = made(30, 40, 24, seed)
        assert np.array_equal(made(30, 40, 40, seed)[:24, :24], patch)
        assert np.array_equal(made(14, 24, 40, seed)[16:, 16:], patch)
    assert len({made(30, 40, 24, seed).tobytes() for seed in range(60)}) > 50


CPU = torch.device("cpu")
STAGE = Stage(batch=16, patch=16, prefer_detail=True, shuffle_channels=True)


@pytest.fixture
def pairs(astronaut):
    return make_pairs([astronaut, astronaut[20:, 30:], astronaut[:48, :32]], 2)


def levels(batch):
    """(N, H, W, C) uint8 of a batch."""
    return (batch * 255).round().byte().permute(0, 2, 3, 1).numpy()


def test_clean_batches_are_the_plain_ones_and_degraded_ones_differ_in_lr_alone(pairs):
    plain, clean, aerial = (
        PatchSampler(pairs, seed=3, degradation=each).batch(7, STAGE)
        for each in (None, BICUBIC, AERIAL)
    )
    for a, b in zip(plain, clean, strict=True):
        assert torch.equal(a, b)
        assert b.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain[1], aerial[1])
    differences = (aerial[0] - plain[0]).abs().mean(dim=(1, 2, 3)) * 255
    assert float(differences.min()) > 0.5  # every patch


def test_lr_and_hr_are_turned_alike(pairs):
    soft = Degradation(before=(Blur(sigma=(0.3, 0.4), aspect=(0.8, 1.0)),))
    lr, hr = PatchSampler(pairs, degradation=soft).batch(0, Stage(batch=64, patch=16))
    for small, large in zip(levels(lr), levels(hr), strict=True):
        expected = downscale(large, 2).astype(float)
        errors = [np.abs(turned(small, turn) - expected).mean() for turn in range(8)]
        assert int(np.argmin(errors)) == 0


def test_every_patch_has_its_own_draw(astronaut):
    # There is one place only: without the turns the patches would differ by the draw alone.
    pairs = make_pairs([astronaut[:32, :32]], 2)
    lr, hr = PatchSampler(pairs, degradation=AERIAL).batch(0, Stage(batch=12, patch=16))
    assert len({np.sort(patch, axis=None).tobytes() for patch in levels(hr)}) == 1
    assert len({np.sort(patch, axis=None).tobytes() for patch in levels(lr)}) == 12
