"""The supervised step: losses, supervised attention, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import RecipeError
from srcli.layers.network import Network
from srcli.losses.features import ContrastiveLoss
from srcli.models.attentive_gan import AttentiveGenerator
from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage
from srcli.training.steps import (
    Numerics,
    StepContext,
    SupervisedStep,
    attention_loss,
    interpolation_error,
)

STAGE = Stage(
    losses=(LossTerm(name="l2", weight=2.0),),
    optimizer=Optimizer(learning_rate=0.5, clip_norm=1.0),
    schedule=Schedule(kind="step", milestones=(0.5,), gamma=0.1),
)
CPU = Numerics(device=torch.device("cpu"))


class Gain(Network):
    """Twice the size, times one number."""

    scale = 2

    def __init__(self, gain=3.0, colour="rgb"):
        super().__init__()
        self.colour = colour
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) * self.gain


def attentive():
    torch.manual_seed(0)
    return AttentiveGenerator(
        scale=2, channels=12, steps=2, num_rdb=1, growth=4, rdb_depth=1, mapping_depth=1
    )


def step_of(network, stage=STAGE):
    return SupervisedStep(stage, StepContext(network=network, numerics=CPU))


@pytest.mark.parametrize(("done", "rate"), [(0.0, 0.5), (0.5, 0.05)])
def test_a_batch_lowers_the_weighted_loss_at_the_rate_of_its_time(done, rate):
    network = Gain()
    values = step_of(network)(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 4, 4), done)
    # 2 * (3 - 1)^2; Adam's first change is the rate.
    assert {name: float(value) for name, value in values.items()} == {"loss": 8.0}
    assert network.gain.item() == pytest.approx(3.0 - rate)


def test_attention_maps_are_supervised_where_the_stage_asks_for_it():
    lr_image, hr_image = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 12, 12)
    network = attentive()
    plain = step_of(network).predict(lr_image, hr_image)[1]
    guided = step_of(network, replace(STAGE, attention_weight=0.5)).predict(lr_image, hr_image)[1]
    extra = attention_loss(network.attend(lr_image)[1], lr_image, hr_image)
    assert guided.item() == pytest.approx((plain + 0.5 * extra).item())
    assert extra.item() > 0


@pytest.mark.parametrize("network", [Gain(), AttentiveGenerator(channels=12, steps=0)])
def test_a_network_without_maps_cannot_be_shown_where_to_look(network):
    with pytest.raises(RecipeError, match="no attention maps"):
        step_of(network, replace(STAGE, attention_weight=0.5))


def test_a_loss_that_takes_lr_is_told_the_input():
    stage = replace(STAGE, losses=(LossTerm(name="contrastive", options={"channels": (4, 4)}),))
    lr_image, hr_image = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 12, 12)
    network = Gain()
    loss = step_of(network, stage).predict(lr_image, hr_image)[1]
    expected = ContrastiveLoss(channels=(4, 4))(network(lr_image), hr_image, lr_image)
    torch.testing.assert_close(loss, expected)


def test_the_wanted_map_is_the_mean_error_over_each_lr_pixel():
    lr_image = torch.full((1, 3, 2, 2), 0.5)  # bicubic of a flat picture is flat
    hr_image = torch.full((1, 3, 4, 4), 0.5)
    hr_image[0, 0, 0, 0] = 0.8  # 0.3 over 3 channels and 4 pixels: 0.025
    hr_image[0, :, 2:, 2:] = 0.6  # 0.1 everywhere
    expected = torch.tensor([[0.25, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(interpolation_error(lr_image, hr_image)[0, 0], expected)


def test_later_maps_count_more():
    torch.manual_seed(0)
    lr_image, hr_image = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 8, 8)
    wanted = interpolation_error(lr_image, hr_image)
    maps = [wanted + 0.1, wanted - 0.2, wanted + 0.3]
    expected = 0.64 * 0.01 + 0.8 * 0.04 + 0.09
    assert float(attention_loss(maps, lr_image, hr_image)) == pytest.approx(expected, rel=1e-4)
    found = attention_loss(maps, lr_image, hr_image, decay=0.5)
    assert float(found) == pytest.approx(0.25 * 0.01 + 0.5 * 0.04 + 0.09, rel=1e-4)


def test_tf32_and_trials_of_kernels_are_for_steps_on_a_gpu_alone():
    def chosen():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark

    before = chosen()
    with Numerics(device=torch.device("cpu")).computing():
        assert chosen() == before
    with Numerics(device=torch.device("cuda")).computing():
        assert chosen() == ("high", True)
    assert chosen() == before
