"""The supervised step: losses, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import RecipeError
from srcli.layers.network import Network
from srcli.losses import ContrastiveLoss
from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage
from srcli.training.steps import Numerics, StepContext, SupervisedStep, make_step

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


def step_of(network, stage=STAGE):
    return SupervisedStep(stage, StepContext(network=network, numerics=CPU))


@pytest.mark.parametrize(("step", "rate"), [(0.0, 0.5), (0.5, 0.05)])
def test_a_batch_lowers_the_weighted_loss_at_the_rate_of_its_time(step, rate):
    network = Gain()
    values = step_of(network)(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 4, 4), step)
    # 2 * (3 - 1)^2; Adam's first change is the rate.
    assert {name: float(value) for name, value in values.items()} == {"loss": 8.0}
    assert network.gain.item() == pytest.approx(3.0 - rate)


def test_parts_of_a_batch_change_the_weights_as_the_batch_does():
    stage = replace(STAGE, batch=4, optimizer=Optimizer(kind="sgd"))
    batch = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 4, 4), 0.0
    gains = []
    for accumulate in (1, 4):
        network = Gain()
        step_of(network, replace(stage, accumulate=accumulate))(*batch)
        gains.append(network.gain.item())
    assert gains[1] == pytest.approx(gains[0], abs=1e-6) != 3.0
    with pytest.raises(RecipeError, match="accumulate=3 parts"):
        make_step(
            replace(stage, accumulate=3), StepContext(network=Gain(), numerics=CPU)
        )


def test_a_patch_that_the_network_cannot_take_is_told_with_its_stage():
    network = Gain()
    network.multiple_of = 4
    context = StepContext(network=network, numerics=CPU)
    make_step(replace(STAGE, patch=8), context)
    with pytest.raises(
        RecipeError, match=r"patches of 6 .* divide by 4.*set stages\.2\.patch"
    ):
        make_step(replace(STAGE, patch=6), context, 2)


def test_a_loss_that_takes_lr_is_told_the_input():
    stage = replace(
        STAGE, losses=(LossTerm(name="contrastive", options={"channels": (4, 4)}),)
    )
    lr_image = torch.rand(1, 3, 6, 6)
    hr_image = torch.rand(1, 3, 12, 12)
    network = Gain()
    loss = step_of(network, stage).predict(lr_image, hr_image)[1]
    expected = ContrastiveLoss(channels=(4, 4))(network(lr_image), hr_image, lr_image)
    torch.testing.assert_close(loss, expected)


def test_only_pictures_and_kernels_are_laid_out_anew():
    network = nn.Conv2d(3, 4, 3)
    table = nn.Parameter(torch.rand(3, 2, 2, 2, 2))  # of colours, say
    network.register_parameter("table", table)
    numerics = Numerics(device=torch.device("cpu"), channels_last=True)
    placed = numerics.placed(network)
    assert placed.weight.is_contiguous(memory_format=torch.channels_last)
    assert table.is_contiguous()


def test_tf32_and_trials_of_kernels_are_for_steps_on_a_gpu_alone():
    def chosen():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark

    before = chosen()
    with Numerics(device=torch.device("cpu")).fast_kernels():
        assert chosen() == before
    with Numerics(device=torch.device("cuda")).fast_kernels():
        assert chosen() == ("high", True)
    assert chosen() == before
