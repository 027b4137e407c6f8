"""Levels of black and white of training patches: where they come to lie, what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.data.levels import draw_levels, with_levels
from srcli.data.pairs import Pairs
from srcli.data.patches import PatchSampler
from srcli.imaging.resize import downscale

RANGES = {"rgb": (0.0, 1.0), "y": (16 / 255, 235 / 255)}


@pytest.mark.parametrize("colour", ["rgb", "y"])
def test_black_and_white_come_to_their_levels_and_middle_gray_between(colour):
    black, white = RANGES[colour]
    channels = 3 if colour == "rgb" else 1
    plain = torch.tensor([black, white, (black + white) / 2]).expand(2, channels, 1, 3)
    moved = with_levels(plain, np.array([[-0.1, 1.05], [np.nan, np.nan]]), colour)
    expected = torch.tensor([-0.1, 1.05, 0.475]).expand(channels, 1, 3)
    torch.testing.assert_close(moved[0], expected)
    assert torch.equal(moved[1], plain[1])


def test_levels_are_drawn_for_the_share_and_lie_on_both_sides_of_black_and_white():
    levels = draw_levels(np.random.default_rng(0), 4000, 0.25)
    drawn = levels[~np.isnan(levels).any(axis=1)]
    assert np.isnan(levels).any(axis=1).mean() == pytest.approx(0.75, abs=0.03)
    assert (drawn.min(axis=0) < [-0.09, 0.91]).all()
    assert (drawn.max(axis=0) > [0.09, 1.09]).all()
    assert np.abs(drawn - [0, 1]).max() <= 0.1


@pytest.mark.parametrize("colour", ["rgb", "y"])
def test_a_batch_gets_the_same_levels_in_lr_and_hr_and_keeps_its_places(astronaut, colour):
    pairs = Pairs(scale=2, hr=[astronaut], lr=[downscale(astronaut, 2)], digest="")
    sampler = PatchSampler(pairs, device=torch.device("cpu"), seed=1, colour=colour)
    plain = sampler.batch(3, batch=40, patch=8)
    varied = sampler.batch(3, batch=40, patch=8, vary_levels=0.5)
    changed = 0
    for lr, hr, lr_varied, hr_varied in zip(*plain, *varied, strict=True):
        if torch.equal(lr, lr_varied):
            assert torch.equal(hr, hr_varied)
            continue
        changed += 1
        gain = (lr_varied.max() - lr_varied.min()) / (lr.max() - lr.min())
        offset = lr_varied.min() - lr.min() * gain
        torch.testing.assert_close(hr_varied, hr * gain + offset, atol=2e-5, rtol=0)
    assert 10 <= changed <= 30
