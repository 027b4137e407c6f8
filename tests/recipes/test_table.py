"""The named recipes hold what the papers say, and can be built."""

from __future__ import annotations

from typing import Any

import pytest

from srcli.errors import RecipeError
from srcli.losses import WeightedLoss
from srcli.models import build_network
from srcli.recipes.table import RECIPES, find_recipe
from srcli.recipes.training import Schedule
from srcli.training.schedule import rate_at


def test_g_idrn_is_trained_as_in_the_paper():
    # The paper's training details
    recipe = find_recipe("g-idrn")
    (stage,) = recipe.stages
    assert (stage.batch, stage.patch, stage.steps) == (32, 64, 1_000_000)
    assert [(t.name, t.weight) for t in stage.losses] == [("l1", 0.4), ("high-frequency", 0.6)]
    assert stage.losses[1].options == {"size": 9, "sigma": 1.5}
    optimizer = stage.optimizer
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
    rates = [rate_at(stage, step / stage.steps) for step in (0, 199_999, 200_000, 400_000, 999_999)]
    assert rates == pytest.approx([5e-4, 5e-4, 2.5e-4, 1.25e-4, 5e-4 / 16])
    assert recipe.network == {}


def test_the_short_recipe_ends_at_rate_zero():
    (stage,) = find_recipe("g-idrn-short").stages
    assert stage.schedule == Schedule(kind="cosine", warmup=0.02)
    assert rate_at(stage, 1.0) == pytest.approx(0)
    assert find_recipe("g-idrn-short").stages[0].losses == find_recipe("g-idrn").stages[0].losses


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_built(name):
    recipe = RECIPES[name]
    network: Any = build_network(recipe.model, scale=2, options=recipe.network)
    if recipe.start_from_bicubic:
        network.start_from_bicubic()
    for stage in recipe.stages:
        WeightedLoss(stage.losses)
    assert recipe.paper


def test_an_unknown_name_lists_the_known():
    with pytest.raises(RecipeError, match="there are: g-idrn"):
        find_recipe("x")
