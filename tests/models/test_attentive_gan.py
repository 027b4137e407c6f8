"""The attentive generator: derived counts, its maps, and its start as bicubic."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.models.attentive_gan import (
    AttentiveGenerator,
    ConvGRU,
)

SMALL = {"channels": 12, "steps": 2, "num_rdb": 1, "growth": 4, "rdb_depth": 2, "mapping_depth": 2}


def small(**options):
    """A network of little work."""
    torch.manual_seed(0)
    return AttentiveGenerator(**(SMALL | options))


@pytest.mark.parametrize("options", [{}, {"steps": 0}, {"image_skip": True}])
def test_gradients_reach_every_parameter_from_the_bicubic_start(options):
    network = small(**options)
    network.start_from_bicubic()
    network(torch.rand(2, 3, 12, 9)).square().mean().backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_there_is_one_map_a_step_of_lr_s_size_between_0_and_1(steps, astronaut):
    network = small(steps=steps).eval()
    x = torch.from_numpy(astronaut[:20, :31].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        sr_image, maps = network.attend(x)
        assert torch.equal(sr_image, network(x))
    assert len(maps) == steps == network.num_maps
    for each in maps:
        assert each.shape == (1, 1, 20, 31)
        assert 0 <= float(each.min()) < float(each.max()) <= 1


def test_each_step_sees_the_map_and_the_state_of_the_last():
    network = small(start=0.25)
    x = torch.rand(1, 3, 7, 6)
    step = network.attention
    assert step is not None
    features = network.shallow(torch.relu(network.head(x)))
    before = torch.full((1, 1, 7, 6), 0.25)
    state = torch.zeros(1, 12, 7, 6)
    expected = []
    for _ in range(2):
        inner = step.blocks(torch.relu(step.first(torch.cat([features, before], dim=1))))
        state = step.unit(inner, state)
        before = torch.sigmoid(step.last(state))
        expected.append(before)
    _, maps = network.attend(x)
    torch.testing.assert_close(maps, expected)


def test_too_few_channels_cannot_carry_the_picture():
    with pytest.raises(ModelError, match="12 channels or more"):
        small(channels=8).start_from_bicubic()
    small(channels=8, image_skip=True).start_from_bicubic()  # has no need to


def test_the_unit_follows_its_equations():
    torch.manual_seed(0)
    unit = ConvGRU(channels=3)
    x, h = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    both = torch.cat([h, x], dim=1)

    def gate(rows):
        assert unit.gates.bias is not None
        weight, bias = unit.gates.weight[rows], unit.gates.bias[rows]
        return torch.sigmoid(torch.nn.functional.conv2d(both, weight, bias, padding=1))

    z, r = gate(slice(0, 3)), gate(slice(3, 6))
    candidate = torch.tanh(unit.candidate(torch.cat([r * h, x], dim=1)))
    torch.testing.assert_close(unit(x, h), (1 - z) * h + z * candidate)
