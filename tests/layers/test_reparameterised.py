"""Re-parameterised convolutions: both forms alike, and back again."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from srcli.layers.reparameterised import ReparameterisedConv, TrainedWithBranches

EVERY = [
    dict(zip(("pointwise", "identity", "bn"), choice, strict=True))
    for choice in itertools.product([False, True], repeat=3)
]


def make(channels=6, **options):
    """A unit in evaluation mode; its normalisations have seen something."""
    torch.manual_seed(3)
    unit = ReparameterisedConv(channels=channels, **options)
    for norm in unit.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2.0)
            nn.init.normal_(norm.bias)
    for _ in range(3):
        unit(torch.rand(4, channels, 7, 9) * 3 - 1)
    return unit.eval()


def branches(unit, x):
    """What a unit is by definition: its branches, one by one, added."""

    def normed(y, norm):
        return y if norm is None else norm(y)

    total = normed(unit.conv(x), unit.conv_norm)
    if unit.point is not None:
        total = total + normed(unit.point(x), unit.point_norm)
    if unit.identity:
        total = total + normed(x, unit.identity_norm)
    return total


@pytest.mark.parametrize("options", EVERY, ids=str)
def test_the_unit_is_the_sum_of_its_branches(options):
    unit = make(**options)
    x = torch.rand(2, 6, 8, 5) * 2 - 1
    torch.testing.assert_close(unit(x), branches(unit, x), atol=1e-5, rtol=0)
    if not options["bn"]:
        unit.train()
        torch.testing.assert_close(unit(x), branches(unit, x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("pointwise", [False, True])
def test_a_folded_kernel_has_the_gradients_of_its_branches(pointwise, identity):
    unit = make(pointwise=pointwise, identity=identity).train()
    x = torch.rand(2, 6, 8, 5)
    goal = torch.rand(2, 6, 8, 5)

    def gradients(out):
        loss = (out - goal).square().sum()
        return torch.autograd.grad(loss, list(unit.parameters()))

    expected = gradients(branches(unit, x))
    torch.testing.assert_close(gradients(unit(x)), expected, atol=1e-3, rtol=1e-4)


class Row(nn.Sequential, TrainedWithBranches):
    """Modules in a row as a network."""


def test_what_is_in_training_form_or_missing_stays():
    network = Row(make(4), make(4))
    state = network.state_dict()
    torch.testing.assert_close(network.unfold_state(state), dict(state))
    weights = {
        "1.conv.weight": state["1.conv.weight"],
        "1.conv.bias": state["1.conv.bias"],
        "head.weight": torch.ones(1),
    }
    second_unit = {key for key in state if key.startswith("1.")}
    assert network.unfold_state(weights).keys() == second_unit | {"head.weight"}
