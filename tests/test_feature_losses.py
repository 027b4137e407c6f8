"""The contrastive loss by its formula, its frozen features, and its place among the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data

from srcli.errors import RecipeError
from srcli.layers.resize import bicubic_resize
from srcli.losses import ContrastiveLoss, FeatureLoss, WeightedLoss
from srcli.recipes.training import LossTerm


@pytest.fixture
def pictures():
    """SR, HR (2, 3, 12, 8) and LR (2, 3, 6, 4)."""
    random = torch.Generator().manual_seed(5)
    sr = torch.rand(2, 3, 12, 8, generator=random)
    hr = torch.rand(2, 3, 12, 8, generator=random)
    return sr, hr, torch.rand(2, 3, 6, 4, generator=random)


def test_it_is_the_formula(pictures):
    sr, hr, lr = pictures
    loss = ContrastiveLoss(channels=(4, 5))

    def features(x):
        shallow = F.conv2d(F.pad(x, (1, 1, 1, 1)), loss.first)
        deep = F.conv2d(F.pad(shallow.tanh(), (1, 1, 1, 1)), loss.second)
        return shallow, deep

    expected = 0.0
    bicubic = bicubic_resize(lr, 2)
    for anchor, near, far in zip(
        features(sr), features(hr), features(bicubic), strict=True
    ):
        expected += float((anchor - near).abs().mean() / (anchor - far).abs().mean())
    assert float(loss(sr, hr, lr)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": (64,)}, "two numbers"),
        ({"channels": (64, 0)}, "two numbers"),
        ({"chanels": (8, 8)}, "did you mean 'channels'"),
    ],
)
def test_impossible_values_are_refused(options, words):
    with pytest.raises(RecipeError, match=words):
        WeightedLoss([LossTerm(name="contrastive", options=options)])


def test_dots_cost_the_same_wherever_they_stand():
    picture = torch.from_numpy(
        data.astronaut()[:128, :128].transpose(2, 0, 1) / np.float32(255)
    )
    hr = picture.expand(4, -1, -1, -1)
    loss = FeatureLoss()
    losses = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        dotted = picture.clone()
        dotted[:, row::2, column::2] += 0.05
        losses.append(float(loss(dotted.expand(4, -1, -1, -1), hr)))
    assert min(losses) > 0.1
    assert max(losses) < 1.01 * min(losses)
