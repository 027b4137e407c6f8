"""Degraded batches: same places as plain ones, LR and HR turned alike, all decided by the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srcli.data.atlas import turned
from srcli.data.degraded_patches import DegradedSampler
from srcli.data.pairs import make_pairs
from srcli.data.patches import PatchSampler
from srcli.errors import DataError
from srcli.imaging.resize import downscale
from srcli.layers.colour import luma
from srcli.recipes.degradation import AERIAL, BICUBIC, PHOTO, Blur, Degradation

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "batch": 16,
    "patch": 16,
    "prefer_detail": True,
    "shuffle_channels": True,
    "vary_levels": 0.5,
}


@pytest.fixture
def pairs(astronaut):
    return make_pairs([astronaut, astronaut[20:, 30:], astronaut[:48, :32]], 2)


def levels(batch):
    """(N, H, W, C) uint8 of a batch."""
    return (batch * 255).round().byte().permute(0, 2, 3, 1).numpy()


def test_clean_batches_are_the_plain_ones_bit_for_bit(pairs):
    plain, made = PatchSampler(pairs, device=CPU, seed=3), DegradedSampler(pairs, BICUBIC, seed=3)
    for step in (0, 7):
        for a, b in zip(plain.batch(step, **SETTINGS), made.batch(step, **SETTINGS), strict=True):
            assert torch.equal(a, b)
            assert b.is_contiguous(memory_format=torch.channels_last)


def test_hr_is_the_plain_one_and_lr_another(pairs):
    lr, hr = PatchSampler(pairs, device=CPU).batch(4, **SETTINGS)
    made_lr, made_hr = DegradedSampler(pairs, AERIAL).batch(4, **SETTINGS)
    assert torch.equal(hr, made_hr)
    assert made_lr.shape == lr.shape
    differences = (made_lr - lr).abs().mean(dim=(1, 2, 3)) * 255
    assert float(differences.min()) > 0.5  # every patch


def test_lr_and_hr_are_turned_alike(pairs):
    soft = Degradation(before=(Blur(sigma=(0.3, 0.4), aspect=(0.8, 1.0)),))
    lr, hr = DegradedSampler(pairs, soft).batch(0, batch=64, patch=16)
    for small, large in zip(levels(lr), levels(hr), strict=True):
        expected = downscale(large, 2).astype(float)
        errors = [np.abs(turned(small, turn) - expected).mean() for turn in range(8)]
        assert int(np.argmin(errors)) == 0


def test_turns_are_those_of_the_plain_sampler():
    patch = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    seen = {turned(patch, turn).tobytes() for turn in range(8)}
    assert len(seen) == 8
    assert np.array_equal(turned(patch, 1), patch[::-1])
    assert np.array_equal(turned(patch, 4), patch.swapaxes(0, 1))
    assert np.array_equal(turned(patch, 6), patch[:, ::-1].swapaxes(0, 1))


def test_seed_and_step_decide_the_batch_in_any_order(pairs):
    def made(seed, step):
        return DegradedSampler(pairs, PHOTO, seed=seed).batch(step, **SETTINGS)[0]

    sampler = DegradedSampler(pairs, PHOTO, seed=0)
    later, first = sampler.batch(9, **SETTINGS)[0], sampler.batch(8, **SETTINGS)[0]
    assert torch.equal(later, made(0, 9))
    assert torch.equal(first, made(0, 8))
    assert not torch.equal(first, later)
    assert not torch.equal(first, made(1, 8))


def test_every_patch_has_its_own_draw(astronaut):
    # There is one place only: without the turns the patches would differ by the draw alone.
    pairs = make_pairs([astronaut[:32, :32]], 2)
    lr, hr = DegradedSampler(pairs, AERIAL).batch(0, batch=12, patch=16)
    assert len({np.sort(patch, axis=None).tobytes() for patch in levels(hr)}) == 1
    assert len({np.sort(patch, axis=None).tobytes() for patch in levels(lr)}) == 12


def test_a_network_on_y_is_given_y_of_the_degraded_pixels(pairs):
    lr, hr = DegradedSampler(pairs, PHOTO).batch(2, batch=4, patch=16)
    made_lr, made_hr = DegradedSampler(pairs, PHOTO, colour="y").batch(2, batch=4, patch=16)
    assert torch.equal(made_lr, luma(lr))
    assert torch.equal(made_hr, luma(hr))


def test_pictures_are_not_held_twice(pairs):
    count = len(pairs.hr)
    sampler = DegradedSampler(pairs, PHOTO, release=True)
    assert pairs.hr == []
    assert sampler.usable(16) == count
    assert sampler.batch(0, **SETTINGS)[0].shape == (16, 3, 16, 16)
    with pytest.raises(DataError, match="use a smaller patch"):
        sampler.usable(500)


def test_the_shares_of_several_processes_are_the_batch_of_one(pairs):
    sampler = DegradedSampler(pairs, AERIAL, seed=2)
    whole = sampler.batch(3, **SETTINGS)
    shares = []
    for number in range(2):
        sampler.share = (number, 2)
        shares.append(sampler.batch(3, **SETTINGS))
    for expected, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(torch.cat(parts), expected)
