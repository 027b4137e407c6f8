"""Parameters, work and memory: cases by hand, networks against the published figures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.inference.device import EngineOptions
from srcli.inference.engines import make_engine
from srcli.layers.network import Network
from srcli.metrics.efficiency import (
    count_macs,
    count_parameters,
    count_work,
    model_cost,
    peak_memory,
)
from srcli.models import build_network
from srcli.models.loading import load_model
from srcli.report.costs import cost_tables
from tests.fixtures.networks import RFDN


class Small(Network):
    """One of each counted operator, called as modules and as functions."""

    def __init__(self):
        super().__init__()
        self.scale = 2
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 4, 3, padding=1, groups=4, bias=False)
        self.up = nn.ConvTranspose2d(4, 6, 4, stride=4, groups=2)
        self.prelu = nn.PReLU(6)

    def forward(self, x):
        x = F.relu(self.first(x), inplace=True)
        x = F.leaky_relu(self.grouped(x), 0.1)
        return self.prelu(self.up(x)).sigmoid()


def test_every_operator_is_counted_by_hand():
    network = Small().train()
    work = count_macs(network, 10, 12)  # maps of 5x6, then 20x24
    assert network.training
    assert (
        count_parameters(network) == (3 * 8 * 9 + 8) + 4 * 2 * 9 + (4 * 3 * 16 + 6) + 6
    )
    assert work.convolutions == 30 * 8 * 27 + 30 * 4 * 2 * 9 + 30 * 4 * 3 * 16
    assert work.activations == 30 * 8 + 30 * 4 + 20 * 24 * 6
    assert (work.products, work.uncounted) == (0, ())


class Windows(Network):
    """Attention in windows of 4x4, written out or by PyTorch's own; its sides are tested or not."""

    scale = 1
    multiple_of = 4

    def __init__(self, *, fused: bool, branches: bool):
        super().__init__()
        self.fused = fused
        self.branches = branches
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Conv2d(3, 8, 1)
        self.tail = nn.Linear(8, 3, bias=False)

    def forward(self, x):
        if self.branches and x.sum() > 1e9:
            return x
        features = F.unfold(self.head(x), 4, stride=4)
        q, k, v = self.qkv(features.view(1, 8, 16, -1).permute(0, 3, 2, 1)).chunk(3, -1)
        if self.fused:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        planes = self.tail(out).permute(0, 3, 2, 1).flatten(1, 2)
        return F.fold(planes, x.shape[2:], 4, stride=4)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("branches", [True, False])  # then it runs on the processor
def test_attention_is_counted_by_hand(fused, branches):
    work = count_macs(Windows(fused=fused, branches=branches), 12, 8)
    tokens = 12 * 8
    assert work.convolutions == tokens * 3 * 8
    # to q, k and v; q by k and the weights by v, 16 tokens a window; to RGB
    assert work.products == tokens * 8 * 24 + 2 * tokens * 16 * 8 + tokens * 8 * 3


class Amplitudes(Network):
    """A Fourier transform, which is not counted."""

    def forward(self, x):
        return torch.fft.fft2(x).abs()


def test_what_is_not_counted_is_named_and_matrix_products_stand_behind_a_plus():
    costs = []
    for network in (Windows(fused=True, branches=False), Amplitudes()):
        costs.append(model_cost(network, model=type(network).__name__))
    table, _ = cost_tables(costs, (), 1)
    assert [row.cells[3] for row in table.rows] == ["1.573 M + 30.93 M", "0"]
    assert "Not counted in Amplitudes: aten::_fft_c2c." in table.notes


@pytest.mark.parametrize(
    ("scale", "options", "challenge"),
    [
        (2, {}, 34.476),
        (3, {}, 35.187),
        (4, {}, 36.182),
        (2, RFDN, 34.496),
        (2, RFDN | {"dual_path": True}, 33.196),
        (4, RFDN | {"channels": 52}, 41.542),
    ],
)
def test_challenge_figures_are_those_of_the_papers(scale, options, challenge):
    work = count_work(build_network("g-idrn", scale=scale, options=options))
    assert work["challenge_flops"] / 1e9 == pytest.approx(challenge, abs=6e-4)


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


def test_a_network_says_which_sizes_it_takes():
    assert [Picky().padded(side) for side in (5, 13)] == [12, 18]
    assert [load_model("bicubic", 2).padded(side) for side in (5, 13)] == [5, 13]
    cost = model_cost(Picky(), model="picky")
    assert cost["size"] == (256, 256)
    assert cost["conv_macs"] == 258 * 258 * 4 * 9
    assert set(Picky.seen) == {(1, 1, 258, 258), (1, 1, 360, 642)}


def test_the_network_of_an_engine_stays_as_it_is():
    engine = make_engine(
        load_model("g-idrn", 2), EngineOptions(device="cpu", precision="bf16")
    )
    network = engine.network.train()
    weight = network.get_parameter("up.weight")
    before = weight.clone()
    plain = model_cost(load_model("g-idrn", 2), model="a")
    assert model_cost(network, model="a") == plain
    assert network.training
    assert network.get_parameter("up.weight") is weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, before)


MB = 1 << 20


@pytest.mark.gpu
def test_blocks_add_up_on_a_gpu():
    device = torch.device("cuda")

    def block(megabytes):
        return torch.empty(megabytes * MB, dtype=torch.uint8, device=device)

    def rise_and_fall():  # 1, then 3, 2, 7, 5 megabytes
        a = block(1)
        b = block(2)
        del a
        c = block(5)
        del b
        return c

    standing = block(3)  # stood before: does not count
    assert peak_memory(rise_and_fall, device) == 7 * MB
    assert standing.numel() == 3 * MB
