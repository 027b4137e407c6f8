"""What is special in each of our networks; test_contract.py has what all of them must do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from srcli.errors import ModelError
from srcli.metrics.efficiency import count_parameters
from srcli.models.g_idrn import GIDRN
from srcli.models.nested_attn import NestedAttention
from tests.fixtures.cases import small, without_gradient


def test_the_non_local_block_begins_as_nothing_and_learns():
    torch.manual_seed(0)
    network: Any = GIDRN(scale=2, channels=16, num_blocks=4, num_groups=2)
    network.start_from_bicubic()
    features = torch.rand(1, 16, 7, 9)
    torch.testing.assert_close(network.non_local(features), features)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.rand(1, 3, 12, 9)).square().mean().backward()
        optimizer.step()
    # A softmax does not feel a constant added to all its scores.
    assert without_gradient(network.non_local) <= {"key.bias"}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rrlfn", {"channels": 11}, "12 channels"),
        ("ddsr", {"scale": 4, "depth": 6}, "8 layers or more, not 6"),
        (
            "ddsr",
            {"scale": 4, "depth": 18, "channels": 35},
            "36 channels or more, not 35",
        ),
        ("attentive-gan", {"channels": 8}, "12 channels or more"),
    ],
)
def test_a_bicubic_start_that_does_not_fit_is_refused(name, options, words):
    with pytest.raises(ModelError, match=words):
        small(name, **options).start_from_bicubic()


def test_small_pictures_are_continued_by_their_outermost_pixels():
    network = small("rrlfn")
    x = torch.rand(1, 3, 4, 6)
    rows = torch.arange(15).clamp(max=3)
    columns = torch.arange(15).clamp(max=5)
    with torch.no_grad():
        continued = network(x[:, :, rows][:, :, :, columns])
        assert torch.equal(network(x), continued[:, :, :8, :12])


def test_the_bicubic_start_keeps_a_little_of_the_deep_path():
    network: Any = small("rrlfn")
    tail = network.tail.weight.detach().clone()
    network.start_from_bicubic()
    torch.testing.assert_close(network.tail.weight.detach(), tail * 0.1)
    assert count_parameters(network) == count_parameters(small("rrlfn"))


def test_half_precision_keeps_what_passes_the_mapping_exact():
    network: Any = small("ddsr")
    with torch.no_grad():
        for layer in network.body:
            layer.weight.zero_()  # the mapping gives nothing: all comes from F1
        network.last.weight.mul_(100)
        x = torch.rand(1, 1, 9, 9)
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    assert half.dtype == torch.float32
    assert exact.std() > 0.01
    torch.testing.assert_close(half, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"steps": 0}])
def test_from_the_bicubic_start_every_parameter_learns(options):
    network = small("attentive-gan", **options).train()
    network.start_from_bicubic()
    network(torch.rand(2, 3, 12, 9)).square().mean().backward()
    assert without_gradient(network) == set()


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_there_is_one_map_a_step_of_lr_s_size_between_0_and_1(steps, astronaut):
    network: Any = small("attentive-gan", steps=steps)
    x = (
        torch.from_numpy(astronaut[:20, :31].copy()).permute(2, 0, 1)[None].float()
        / 255
    )
    with torch.no_grad():
        sr_image, maps = network.attend(x)
        assert torch.equal(sr_image, network(x))
    assert len(maps) == steps == network.num_maps
    for attention_map in maps:
        assert attention_map.shape == (1, 1, 20, 31)
        assert 0 <= attention_map.min() < attention_map.max() <= 1


def count_relus(network):
    return sum(isinstance(module, nn.ReLU) for module in network.modules())


def test_relus_follow_convolutions_but_those_that_end_a_branch():
    plain = NestedAttention(levels=2)
    rectified = NestedAttention(levels=2, activations="all")
    # The first, the loop's 1x1, two steps of x2.
    assert count_relus(rectified) - count_relus(plain) == 1 + 1 + 2
    rectified.load_state_dict(
        {k.replace("up.2", "up.3"): v for k, v in plain.state_dict().items()}
    )
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(plain(x), rectified(x))
