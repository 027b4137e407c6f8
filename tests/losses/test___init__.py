"""The table of losses and their weighted sums."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import RecipeError
from srcli.losses import LOSSES, WeightedLoss
from srcli.recipes.training import LossTerm


@pytest.mark.parametrize("name", LOSSES)
def test_every_name_builds_and_is_zero_for_equal_pictures(name):
    loss = WeightedLoss([LossTerm(name=name)])
    x, lr_image = torch.rand(2, 3, 12, 12), torch.rand(2, 3, 6, 6)
    assert float(loss(x, x, lr_image)) == 0
    assert float(loss(x, torch.rand(2, 3, 12, 12), lr_image)) > 0


def test_terms_are_weighted_and_added():
    loss = WeightedLoss([LossTerm(name="l1", weight=0.4), LossTerm(name="l2", weight=0.6)])
    sr, hr = torch.full((1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2)
    assert float(loss(sr, hr)) == pytest.approx(0.4 * 0.5 + 0.6 * 0.25)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (LossTerm(name="l3"), "no loss 'l3'"),
        (LossTerm(name="l1", options={"sigma": 1.0}), "no option 'sigma'"),
        (LossTerm(name="high-frequency", options={"sigm": 1.0}), "did you mean 'sigma'"),
        (LossTerm(name="high-frequency", options={"size": 8}), "odd size"),
        (LossTerm(name="high-frequency", options={"size": 9.5}), "whole number"),
        (LossTerm(name="high-frequency", options={"sigma": -1.0}), "sigma above 0"),
    ],
)
def test_what_does_not_exist_is_refused(term, words):
    with pytest.raises(RecipeError, match=words):
        WeightedLoss([term])
