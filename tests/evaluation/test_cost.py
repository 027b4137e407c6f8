"""Costs of a model at one size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.evaluation.cost import forward_memory, model_cost
from srcli.inference.engines import EngineOptions, make_engine
from srcli.layers.network import Network
from srcli.metrics.efficiency import count_macs
from srcli.models.weights import load_model


class Picky(Network):
    """Takes Y alone, at least 8 pixels, in multiples of 6; remembers what it was given."""

    colour = "y"
    minimum = 8
    multiple_of = 6
    scale = 2
    seen: list[torch.Size]

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        Picky.seen = []

    def forward(self, x):
        Picky.seen.append(x.shape)
        return nn.functional.pixel_shuffle(nn.functional.relu(self.conv(x)), 2)


def test_the_flagship_at_a_small_size():
    network = load_model("g-idrn", 4)
    cost = model_cost(network, model="mine", size=(32, 48))
    counts = count_macs(network, 32, 48)
    assert (cost.model, cost.scale, cost.size) == ("mine", 4, (32, 48))
    assert cost.parameters == 579_738
    assert cost.conv_macs == counts.conv_macs
    assert cost.challenge_flops == counts.conv_macs + counts.activations
    assert cost.hd_conv_macs / 1e9 == pytest.approx(31.7, abs=0.05)
    assert cost.memory_of == "host"
    # Several maps of 72 channels are alive at once, but not those of all nine blocks.
    one_map = 32 * 48 * 72 * 4
    assert cost.peak_memory is not None
    assert 4 * one_map < cost.peak_memory < 30 * one_map


def test_memory_grows_with_the_picture():
    network = load_model("g-idrn", 2)
    small = forward_memory(network, (24, 32), torch.device("cpu"))
    large = forward_memory(network, (48, 64), torch.device("cpu"))
    assert small is not None
    assert large == pytest.approx(4 * small, rel=0.02)


def test_the_usual_size_is_that_of_the_challenges():
    cost = model_cost(load_model("bicubic", 3), model="bicubic")
    assert cost.size == (256, 256)
    assert (cost.parameters, cost.challenge_flops, cost.hd_conv_macs) == (0, 0, 0)
    assert cost.peak_memory is not None
    assert cost.peak_memory >= 3 * 768 * 768 * 4  # the SR picture


def test_a_network_says_which_sizes_it_takes():
    assert [Picky().padded(side) for side in (5, 13)] == [12, 18]
    assert [load_model("bicubic", 2).padded(side) for side in (5, 13)] == [5, 13]
    cost = model_cost(Picky(), model="picky", size=(5, 13))
    assert cost.size == (5, 13)
    assert cost.conv_macs == 12 * 18 * 4 * 9
    assert cost.peak_memory is not None
    assert set(Picky.seen) == {(1, 1, 12, 18), (1, 1, 360, 642)}


def test_the_network_of_an_engine_stays_as_it_is():
    engine = make_engine(load_model("g-idrn", 2), EngineOptions(device="cpu", precision="bf16"))
    network = engine.network.train()
    weight = network.get_parameter("up.weight")
    before = weight.clone()
    plain = model_cost(load_model("g-idrn", 2), model="a", size=(16, 16))
    assert model_cost(network, model="a", size=(16, 16)) == plain
    assert network.training
    assert network.get_parameter("up.weight") is weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, before)


def test_too_little_memory_leaves_the_figure_out(monkeypatch):
    network = Picky()
    forward = Picky.forward

    def full(self, x):
        if x.device.type == "cpu":
            raise torch.OutOfMemoryError("full")
        return forward(self, x)

    monkeypatch.setattr(Picky, "forward", full)
    cost = model_cost(network, model="picky", size=(12, 12))
    assert cost.peak_memory is None
    assert cost.conv_macs == 12 * 12 * 4 * 9


@pytest.mark.gpu
def test_memory_of_a_gpu():
    cost = model_cost(
        load_model("g-idrn", 4), model="a", size=(64, 64), device=torch.device("cuda")
    )
    assert cost.memory_of == "device"
    assert cost.peak_memory is not None
    assert cost.peak_memory > 4 * 64 * 64 * 72 * 4
