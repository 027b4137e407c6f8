"""The supervised step: losses, supervised attention, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import RecipeError
from srcli.layers.network import Network
from srcli.losses.attention import attention_loss
from srcli.losses.contrastive import ContrastiveLoss
from srcli.models.attentive_gan import AttentiveGenerator
from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext, SupervisedStep

STAGE = Stage(
    losses=(LossTerm(name="l2", weight=2.0),),
    optimizer=Optimizer(learning_rate=0.5, clip_norm=1.0),
    schedule=Schedule(kind="step", milestones=(0.5,), gamma=0.1),
)
CPU = Numerics(device=torch.device("cpu"))


class Gain(Network):
    """Twice the size, times one number."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) * self.gain


def attentive():
    torch.manual_seed(0)
    return AttentiveGenerator(
        scale=2, channels=12, steps=2, num_rdb=1, growth=4, rdb_depth=1, mapping_depth=1
    )


def step_of(network, stage=STAGE):
    return SupervisedStep(stage, StepContext(network=network, forward=network, numerics=CPU))


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


def test_half_precision_ends_before_the_losses():
    half = Numerics(device=torch.device("cpu"), autocast=torch.bfloat16, channels_last=True)
    network = attentive()
    stage = replace(STAGE, attention_weight=0.5)
    step = SupervisedStep(stage, StepContext(network=network, forward=network, numerics=half))
    sr_image, loss = step.predict(torch.rand(1, 3, 6, 6), torch.rand(1, 3, 12, 12))
    assert sr_image.dtype == loss.dtype == torch.float32


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
