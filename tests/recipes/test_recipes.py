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


def losses_of(stage):
    """Names and weights of the losses of a stage."""
    return [(term.name, term.weight) for term in stage.losses]


def check_rates(stage, rates):
    """Compare learning rates by the share of the stage that is over."""
    for progress, rate in rates.items():
        assert rate_at(stage, progress) == pytest.approx(rate)


def test_g_idrn_is_trained_as_in_the_paper():
    # The paper's training details
    recipe = RECIPES["g-idrn"]
    (stage,) = recipe.stages
    assert (stage.batch, stage.patch, stage.steps) == (32, 64, 1_000_000)
    assert losses_of(stage) == [("l1", 0.4), ("high-frequency", 0.6)]
    assert stage.losses[1].options == {"size": 9, "sigma": 1.5}
    optimizer = stage.optimizer
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
    check_rates(stage, {0: 5e-4, 0.199999: 5e-4, 0.2: 2.5e-4, 0.4: 1.25e-4})
    check_rates(stage, {0.999999: 5e-4 / 16})
    assert recipe.network == {}


def test_rrlfn_is_trained_as_in_the_paper():
    stages = RECIPES["rrlfn"].stages
    assert len(stages) == 3
    # The run called ws_2_CL: two warm starts, the second one with the contrastive loss.
    for stage in stages[:2]:
        assert losses_of(stage) == [("l1", 1.0)]
    assert losses_of(stages[2]) == [("l1", 1.0), ("contrastive", 0.0001)]
    for stage in stages:
        assert (stage.steps, stage.batch, stage.augmentation) == (
            800_000,
            64,
            "rotations",
        )
        assert [s * stage.patch_edge(s) for s in (2, 3, 4)] == [256, 255, 256]
        assert stage.shuffle_channels
        assert stage.reset_optimizer
        assert (stage.optimizer.beta1, stage.optimizer.beta2) == (0.9, 0.999)
        check_rates(stage, {0: 5e-4, 0.25: 2.5e-4, 0.5: 1.25e-4, 0.75: 6.25e-5})
    (short,) = RECIPES["rrlfn-short"].stages
    assert short.losses == stages[0].losses


def test_ddsr_is_trained_as_in_the_paper():
    (stage,) = RECIPES["ddsr"].stages
    assert (stage.steps, stage.batch, stage.patch_stride) == (100_000, 128, 4)
    assert [stage.patch_edge(scale) for scale in (2, 3, 4)] == [10, 7, 6]
    assert losses_of(stage) == [("l2", 1.0)]
    check_rates(stage, {0: 1e-3, 0.59999: 1e-3, 0.6: 1e-4, 0.9: 1e-5})
    assert stage.optimizer.kind == "adam"
    assert RECIPES["ddsr-short"].stages[0].losses == stage.losses


def test_nested_attn_is_trained_as_in_the_paper():
    (stage,) = RECIPES["nested-attn"].stages
    assert (stage.batch, stage.patch, stage.steps) == (16, 48, 1_000_000)
    assert losses_of(stage) == [("l1", 1.0)]
    check_rates(stage, {0.0005: 5e-4, 0.001: 1e-3, 1: 1e-6})


def test_attentive_gan_is_trained_as_in_the_paper():
    alone, against = RECIPES["attentive-gan"].stages
    for stage in (alone, against):
        assert (stage.batch, 4 * stage.patch_edge(4)) == (16, 96)
        assert losses_of(stage) == [("l1", 1.0)]
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
    published = RECIPES[name.removesuffix("-short")].stages
    for stage, paper in zip(RECIPES[name].stages, published, strict=True):
        assert rate_at(stage, 1.0) == pytest.approx(0.0)
        assert stage.losses == paper.losses


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
    for stage in recipe.stages:
        assert not stage.prefer_detail
    plain = plain_recipe(recipe)
    options = network_options(recipe.model, {})
    for path in recipe.inferred:  # every path leads to a field
        value_at: Any = {**plain, "network": options}
        for key in path.replace("*", "0").split("."):
            value_at = value_at[int(key) if key.isdigit() else key]


def build(recipe):
    """Build the network of a recipe, and the steps of all its stages."""
    scale = find_entry(recipe.model).scales[0]
    with torch.device("meta"):  # no numbers, which take seconds
        network: Any = build_network(recipe.model, scale=scale, options=recipe.network)
    if recipe.start_from_bicubic:
        network.start_from_bicubic()
    numerics = Numerics(device=torch.device("cpu"))
    training = StepContext(network=network, numerics=numerics)
    for stage in recipe.stages:
        make_step(stage, training)


def test_every_recipe_can_be_built(subtests):
    for name, recipe in RECIPES.items():
        with subtests.test(name):
            build(recipe)
            assert recipe.paper
