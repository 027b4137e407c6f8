"""The named recipes hold what the papers say, and can be built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from srcli.models import build_network, find_entry, network_options
from srcli.recipes.files import RECIPES, plain_recipe
from srcli.training.optimizers import rate_at
from srcli.training.steps import Numerics, StepContext, make_step


def test_g_idrn_is_trained_as_in_the_paper():
    # The paper's training details
    recipe = RECIPES["g-idrn"]
    (stage,) = recipe.stages
    assert (stage.batch, stage.patch, stage.steps) == (32, 64, 1_000_000)
    assert [(t.name, t.weight) for t in stage.losses] == [
        ("l1", 0.4),
        ("high-frequency", 0.6),
    ]
    assert stage.losses[1].options == {"size": 9, "sigma": 1.5}
    optimizer = stage.optimizer
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
    rates = [
        rate_at(stage, step / stage.steps)
        for step in (0, 199_999, 200_000, 400_000, 999_999)
    ]
    assert rates == pytest.approx([5e-4, 5e-4, 2.5e-4, 1.25e-4, 5e-4 / 16])
    assert recipe.network == {}


def test_rrlfn_is_trained_as_in_the_paper():
    stages = RECIPES["rrlfn"].stages
    # The run called ws_2_CL: two warm starts, the second one with the contrastive loss.
    losses = [[(t.name, t.weight) for t in stage.losses] for stage in stages]
    assert losses == [[("l1", 1.0)]] * 2 + [[("l1", 1.0), ("contrastive", 0.0001)]]
    for stage in stages:
        assert (stage.steps, stage.batch, stage.augmentation) == (
            800_000,
            64,
            "rotations",
        )
        assert [scale * stage.edge(scale) for scale in (2, 3, 4)] == [256, 255, 256]
        assert stage.shuffle_channels
        assert stage.reset_optimizer
        assert (stage.optimizer.beta1, stage.optimizer.beta2) == (0.9, 0.999)
        rates = [rate_at(stage, step / 8e5) for step in (0, 2e5, 4e5, 6e5)]
        assert rates == pytest.approx([5e-4, 2.5e-4, 1.25e-4, 6.25e-5])
    (short,) = RECIPES["rrlfn-short"].stages
    assert short.losses == stages[0].losses


def test_ddsr_is_trained_as_in_the_paper():
    (stage,) = RECIPES["ddsr"].stages
    assert (stage.steps, stage.batch, stage.patch_stride) == (100_000, 128, 4)
    assert [stage.edge(scale) for scale in (2, 3, 4)] == [10, 7, 6]
    assert [(t.name, t.weight) for t in stage.losses] == [("l2", 1.0)]
    rates = [rate_at(stage, step / 1e5) for step in (0, 59_999, 60_000, 90_000)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    assert stage.optimizer.kind == "adam"
    assert RECIPES["ddsr-short"].stages[0].losses == stage.losses


def test_nested_attn_is_trained_as_in_the_paper():
    (stage,) = RECIPES["nested-attn"].stages
    assert (stage.batch, stage.patch, stage.steps) == (16, 48, 1_000_000)
    assert [(t.name, t.weight) for t in stage.losses] == [("l1", 1.0)]
    rates = [rate_at(stage, progress) for progress in (0.0005, 0.001, 1.0)]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-6])


def test_attentive_gan_is_trained_as_in_the_paper():
    alone, against = RECIPES["attentive-gan"].stages
    for stage in (alone, against):
        assert (stage.batch, 4 * stage.edge(4)) == (16, 96)
        assert [(t.name, t.weight) for t in stage.losses] == [("l1", 1.0)]
        assert rate_at(stage, 0.0) == rate_at(stage, 1.0) == 1e-4
    # 200 epochs of 100,000 pictures, the first tenth without the discriminator
    assert (alone.steps + against.steps) * 16 == 200 * 100_000
    assert alone.steps * 9 == against.steps
    assert alone.adversarial is None
    settings = against.adversarial
    assert settings is not None
    assert (settings.discriminator, settings.weight, settings.gamma) == (
        "ae",
        0.01,
        0.5,
    )
    assert (settings.balance_rate, settings.balance_start) == (0.001, 0.0)
    assert settings.balance_on == "generator"


@pytest.mark.parametrize(
    "name", ["g-idrn-short", "nested-attn-short", "attentive-gan-short"]
)
def test_short_recipes_end_at_rate_zero_on_the_paper_s_losses(name):
    stages = RECIPES[name].stages
    assert [rate_at(stage, 1.0) for stage in stages] == pytest.approx(
        [0.0] * len(stages)
    )
    published = RECIPES[name.removesuffix("-short")].stages
    assert [stage.losses for stage in stages] == [stage.losses for stage in published]


@pytest.mark.parametrize(
    ("name", "adam"),
    [
        ("g-idrn-muon", "g-idrn-short"),
        ("rrlfn-muon", "rrlfn-short"),
        ("ddsr-muon", "ddsr-short"),
        ("attentive-gan-l1-muon", "attentive-gan-l1"),
        ("nested-attn-muon", "nested-attn-short"),
    ],
)
def test_muon_changes_nothing_but_the_optimiser_and_the_start(name, adam):
    recipe = RECIPES[name]
    (stage,) = recipe.stages
    (short,) = RECIPES[adam].stages
    assert stage.optimizer.kind == "muon"
    assert stage.optimizer.learning_rate > short.optimizer.learning_rate
    assert replace(stage, optimizer=short.optimizer) == short
    assert recipe.start_from_bicubic


@pytest.mark.parametrize(
    ("name", "augmentation"),
    [
        ("g-idrn", "d8"),
        ("rrlfn", "rotations"),
        ("ddsr", "none"),
        ("attentive-gan", "none"),
        ("nested-attn", "none"),
    ],
)
def test_a_papers_recipe_has_nothing_that_the_paper_does_not_name(name, augmentation):
    recipe = RECIPES[name]
    assert (recipe.ema_decay, recipe.start_from_bicubic) == (0.0, False)
    assert {stage.augmentation for stage in recipe.stages} == {augmentation}
    assert not any(stage.prefer_detail for stage in recipe.stages)
    plain = plain_recipe(recipe)
    options = network_options(recipe.model, {})
    for path in recipe.inferred:  # every path leads to a field
        value_at: Any = {**plain, "network": options}
        for step_name in path.split("."):
            value_at = value_at[
                0
                if step_name == "*"
                else int(step_name)
                if step_name.isdigit()
                else step_name
            ]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_built(name):
    recipe = RECIPES[name]
    scale = find_entry(recipe.model).scales[0]
    network: Any = build_network(recipe.model, scale=scale, options=recipe.network)
    if recipe.start_from_bicubic:
        network.start_from_bicubic()
    numerics = Numerics(device=torch.device("cpu"))
    training = StepContext(network=network, numerics=numerics)
    for stage in recipe.stages:
        make_step(stage, training)
    assert recipe.paper
