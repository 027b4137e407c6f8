"""The attentive generator: derived counts, its maps, and its start as bicubic."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.layers.resize import bicubic_resize
from srcli.metrics.efficiency import count_parameters
from srcli.models.attentive_gan import (
    AttentiveGenerator,
    ConvGRU,
)

SMALL = {"channels": 12, "steps": 2, "num_rdb": 1, "growth": 4, "rdb_depth": 2, "mapping_depth": 2}


def small(**options):
    """A network of little work."""
    torch.manual_seed(0)
    return AttentiveGenerator(**(SMALL | options))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 1_046_385),
        ({"steps": 1}, 1_046_385),  # the steps share their weights
        ({"image_skip": True}, 1_046_385),
        ({"steps": 0}, 1_046_385 - 683_969 - 64 * 9),
        ({"rdb": "plain"}, 1_046_385 + 3 * (147_712 - 141_504)),
        ({"mapping_input": "state"}, 1_046_385 - 64 * 9),
    ],
)
def test_every_variant_has_its_parameters(options, count):
    with torch.device("meta"):
        assert count_parameters(AttentiveGenerator(**options)) == count


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


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("image_skip", [False, True])
def test_the_bicubic_start_is_bicubic_inside_the_borders(scale, image_skip, astronaut):
    network = small(scale=scale, image_skip=image_skip).eval()
    network.start_from_bicubic(deep_gain=0.0)
    x = torch.from_numpy(astronaut[:16, :19].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        out = network(x)
    border = 2 * scale
    inside = (..., slice(border, -border), slice(border, -border))
    torch.testing.assert_close(out[inside], bicubic_resize(x, scale)[inside], atol=1e-5, rtol=0)


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
