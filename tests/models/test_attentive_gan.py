"""The attentive generator: its maps, and its start as bicubic."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.models.attentive_gan import AttentiveGenerator

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


def test_too_few_channels_cannot_carry_the_picture():
    with pytest.raises(ModelError, match="12 channels or more"):
        small(channels=8).start_from_bicubic()
    small(channels=8, image_skip=True).start_from_bicubic()  # has no need to
