"""A stage of a recipe chooses its way of training by what it holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.layers.network import Network
from srcli.recipes.training import Adversarial, Stage
from srcli.training.adversarial import AdversarialStep
from srcli.training.numerics import Numerics
from srcli.training.steps import Training, make_step
from srcli.training.supervised import SupervisedStep


class Net(Network):
    """Something with weights and a scale."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.a(x), 2)


SMALL = Adversarial(options={"widths": (4,) * 7, "decoder": (4, 4, 4)})


@pytest.mark.parametrize(
    ("adversarial", "kind"), [(None, SupervisedStep), (SMALL, AdversarialStep)]
)
def test_a_stage_gets_the_step_it_describes(adversarial, kind):
    network = Net()
    training = Training(
        network=network, forward=network, numerics=Numerics(device=torch.device("cpu"))
    )
    step = make_step(Stage(patch=4, adversarial=adversarial), training)
    assert type(step) is kind
    before = network.a.weight.detach().clone()
    step(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 8, 8), 0.0)
    assert not torch.equal(network.a.weight.detach(), before)
    assert set(step.state()) >= {"optimizer.0.exp_avg", "optimizer.1.exp_avg"}
