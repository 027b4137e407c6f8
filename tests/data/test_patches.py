"""Patches: where they come from, how they are turned, that LR and HR agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from srcli.data.patches import PatchSampler, recoloured
from srcli.data.training_set import Pairs
from srcli.errors import DataError
from srcli.imaging.pixels.values import luma
from srcli.recipes.training import Stage
from tests.fixtures.trainings import make_pairs


def numbered(height, width, start):
    """A picture whose pixels all differ: the three channels spell the number of the pixel."""
    numbers = np.arange(start, start + height * width).reshape(height, width)
    return np.stack([numbers // 65536, numbers // 256 % 256, numbers % 256], 2).astype(
        np.uint8
    )


def pictures(scale, *sizes):
    """Pairs in which every LR pixel's block of HR pixels has its value."""
    lr = [numbered(h, w, 10_000 * i) for i, (h, w) in enumerate(sizes)]
    hr = [np.ascontiguousarray(p.repeat(scale, 0).repeat(scale, 1)) for p in lr]
    return Pairs(scale=scale, hr=hr, lr=lr, digest="")


def levels(batch):
    return (batch * 255).round().to(torch.int64)


def numbers(batch):
    """(N, H, W) pixel numbers of a batch of ``numbered`` pictures."""
    r, g, b = levels(batch).unbind(1)
    return r * 65536 + g * 256 + b


def turned(patch):
    """All eight flips and rotations of a (H, W) array."""
    mirrored = patch[:, ::-1]
    return [
        *map(np.rot90, [patch] * 4, range(4)),
        *map(np.rot90, [mirrored] * 4, range(4)),
    ]


def way_of(original, patch):
    """Which of the eight ways makes the patch of the original."""
    (way,) = np.flatnonzero([np.array_equal(way, patch) for way in turned(original)])
    return int(way)


def test_patches_are_places_of_pictures_in_all_eight_ways():
    pairs = pictures(2, (20, 23), (9, 12))
    lr_batch, _ = PatchSampler(pairs, seed=3).batch(0, Stage(batch=400, patch=6))
    seen = set()
    for patch in numbers(lr_batch).numpy():
        number, offset = divmod(int(patch.min()), 10_000)
        height, width = pairs.lr[number].shape[:2]
        row, column = divmod(offset, width)
        picture = np.arange(height * width).reshape(height, width) + 10_000 * number
        original = picture[row : row + 6, column : column + 6]
        seen.add((number, way_of(original, patch)))
    assert seen == set(itertools.product((0, 1), range(8)))


@pytest.mark.parametrize(
    ("augmentation", "ways"), [("rotations", {0, 1, 2, 3}), ("none", {0})]
)
def test_fewer_ways_and_places_on_a_grid_where_asked(augmentation, ways):
    stage = Stage(batch=200, patch=(6, 5, 4), patch_stride=4, augmentation=augmentation)
    batch, _ = PatchSampler(pictures(2, (20, 23))).batch(0, stage)
    picture = np.arange(20 * 23).reshape(20, 23)
    seen = set()
    corners = set()
    for patch in numbers(batch).numpy():
        row, column = divmod(int(patch.min()), 23)
        corners.add((row, column))
        expected = picture[row : row + 6, column : column + 6]
        seen.add(way_of(expected, patch))
    assert seen == ways
    assert corners == set(itertools.product(range(0, 15, 4), range(0, 18, 4)))


def test_lr_and_hr_patches_show_the_same_place():
    for scale in (2, 3, 4):
        sampler = PatchSampler(pictures(scale, (20, 23), (9, 12)))
        lr_batch, hr_batch = sampler.batch(1, Stage(batch=64, patch=7))
        assert lr_batch.shape == (64, 3, 7, 7)
        assert hr_batch.shape == (64, 3, 7 * scale, 7 * scale)
        enlarged = lr_batch.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        assert torch.equal(enlarged, hr_batch)


def test_the_step_and_the_seed_decide_the_batch(astronaut):
    pairs = make_pairs([astronaut], 2)

    def draw(seed, step):
        return PatchSampler(pairs, seed=seed).batch(step, Stage(batch=4, patch=16))[0]

    assert torch.equal(draw(0, 7), draw(0, 7))
    assert not torch.equal(draw(0, 7), draw(0, 8))
    assert not torch.equal(draw(0, 7), draw(1, 7))
    sampler = PatchSampler(pairs)
    sampler.batch(0, Stage(batch=4, patch=16))
    assert torch.equal(sampler.batch(7, Stage(batch=4, patch=16))[0], draw(0, 7))


def test_pictures_are_drawn_by_their_area():
    pairs = pictures(2, (30, 30), (10, 30))
    batch, _ = PatchSampler(pairs).batch(0, Stage(batch=2000, patch=4))
    share = float((numbers(batch)[:, 0, 0] < 10_000).float().mean())
    assert share == pytest.approx(0.75, abs=0.04)


def test_detail_is_preferred_where_asked():
    flat = np.full((64, 128, 3), 90, np.uint8)
    flat[:, 64:] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    pairs = Pairs(scale=2, lr=[flat], hr=[flat.repeat(2, 0).repeat(2, 1)], digest="")
    sampler = PatchSampler(pairs)

    def busy(prefer):
        batch, _ = sampler.batch(0, Stage(batch=600, patch=16, prefer_detail=prefer))
        return float((batch.std(dim=(1, 2, 3)) > 0.05).float().mean())

    plain = busy(prefer=False)
    preferred = busy(prefer=True)
    # A place is busy with chance p; the better of two with chance 1 - (1 - p)^2.
    assert preferred == pytest.approx(1 - (1 - plain) ** 2, abs=0.06)


def test_pictures_below_the_patch_are_never_used():
    pairs = pictures(2, (8, 40), (12, 12))
    sampler = PatchSampler(pairs)
    assert len(sampler.usable(8)) == 2
    assert len(sampler.usable(10)) == 1
    batch, _ = sampler.batch(0, Stage(batch=50, patch=10))
    assert int(numbers(batch).min()) >= 10_000
    with pytest.raises(
        DataError, match=r"no training picture has 13x13 LR .*stages\.2\.patch"
    ):
        sampler.usable(13, 2)


def test_networks_on_y_get_y_of_the_same_patches(astronaut):
    pairs = make_pairs([astronaut], 2)
    stage = Stage(batch=3, patch=16)
    colours = PatchSampler(pairs, seed=5, colour="rgb").batch(2, stage)
    grays = PatchSampler(pairs, seed=5, colour="y").batch(2, stage)
    for y, rgb in zip(grays, colours, strict=True):
        assert y.shape == (3, 1, *rgb.shape[2:])
        expected = [luma(patch.permute(1, 2, 0).double().numpy()) for patch in rgb]
        np.testing.assert_allclose(y[:, 0].numpy() * 255, expected, atol=1e-4)


def test_channels_are_shuffled_alike_in_lr_and_hr():
    sampler = PatchSampler(pictures(2, (20, 23), (9, 12)), seed=1)
    plain = sampler.batch(4, Stage(batch=60, patch=5))
    shuffled = sampler.batch(4, Stage(batch=60, patch=5, shuffle_channels=True))
    orders = set()
    for lr, hr, lr_image, hr_image in zip(*plain, *shuffled, strict=True):
        fits = 0
        for order in itertools.permutations(range(3)):
            if torch.equal(lr_image, lr[list(order)]):
                assert torch.equal(hr_image, hr[list(order)])
                orders.add(order)
                fits += 1
        assert fits
    assert len(orders) == 6
    assert shuffled[0].is_contiguous(memory_format=torch.channels_last)
    again = sampler.batch(4, Stage(batch=60, patch=5, shuffle_channels=True))
    assert torch.equal(again[0], shuffled[0])


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_the_shares_of_several_processes_are_the_batch_of_one(processes):
    stage = Stage(
        batch=6, patch=5, prefer_detail=True, shuffle_channels=True, recolour=0.5
    )
    pairs = pictures(2, (20, 23), (9, 12))
    batch = PatchSampler(pairs, seed=1).batch(3, stage)
    shares = []
    for number in range(processes):
        sampler = PatchSampler(pairs, seed=1, share=(number, processes))
        shares.append(sampler.batch(3, stage))
        assert len(shares[-1][0]) == 6 // processes
    for expected, *parts in zip(batch, *shares, strict=True):
        assert torch.equal(torch.cat(parts), expected)


@pytest.mark.parametrize("colour", ["rgb", "y"])
def test_recoloured_patches_have_an_lr_that_is_made_from_hr(astronaut, colour):
    pairs = make_pairs([astronaut], 2)
    sampler = PatchSampler(pairs, seed=1, colour=colour)
    plain = sampler.batch(3, Stage(batch=40, patch=8))
    changed = sampler.batch(3, Stage(batch=40, patch=8, recolour=0.5))
    moved = [not torch.equal(*pair) for pair in zip(plain[1], changed[1], strict=True)]
    assert 10 <= sum(moved) <= 30
    assert changed[1].min() >= 0
    assert changed[1].max() <= 1
    for lr, hr, lr_changed, hr_changed, is_moved in zip(
        *plain, *changed, moved, strict=True
    ):
        if not is_moved:
            assert torch.equal(lr, lr_changed)
            continue
        gain = hr_changed[0].std() / hr[0].std()
        assert gain <= 1.001
        offset = (hr_changed - gain * hr).mean(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(lr_changed, lr * gain + offset, atol=2e-5, rtol=0)


def test_patches_become_flat_where_a_colour_is_saturated():
    hr = torch.rand(3, 3, 8, 8)
    lr = hr[..., ::2, ::2]
    colours = np.array([[0, 1, 1, 0.9], [0.5, 0.25, 0.75, 0.5], [np.nan] * 4])
    new_lr, new_hr = recoloured(lr, hr, colours)
    for new in (new_lr, new_hr):
        expected = torch.tensor([0.0, 1.0, 1.0])[:, None, None].expand(
            3, *new.shape[2:]
        )
        torch.testing.assert_close(new[0], expected, atol=1e-6, rtol=0)
    assert new_hr[1].mean(dim=(1, 2)).tolist() == pytest.approx(
        [0.5, 0.25, 0.75], abs=1e-5
    )
    assert 0.01 < new_hr[1].std(dim=(1, 2)).min() < hr[1].std(dim=(1, 2)).max() / 2
    assert torch.equal(new_hr[2], hr[2])
    flat = torch.full((1, 3, 8, 8), 0.3)
    _, moved = recoloured(flat, flat, np.array([[0.9, 0.1, 0.4, 1.0]]))
    assert moved[0, :, 0, 0].tolist() == pytest.approx([0.9, 0.1, 0.4], abs=1e-6)
