"""Parameters, work and memory of variants against known sums; too little memory is a figure."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.pipelines.ablate import costs
from srcli.pipelines.ablate.costs import forward_peak, measure_cost, out_of_memory
from srcli.pipelines.ablate.units import AblateOptions, CostUnit
from srcli.recipes.files import apply_overrides
from srcli.recipes.table import RECIPES

CPU = torch.device("cpu")
LAYERS, CHANNELS, SIZE = 6, 16, (40, 50)
MAP = CHANNELS * SIZE[0] * SIZE[1] * 4


def cost(name, *changes, **own):
    recipe = apply_overrides(RECIPES[name], changes)
    given = {"scale": 2, "sizes": (), "gradients": False, **own}
    options = AblateOptions(train=False)
    unit = CostUnit(label="", key="", options=options, recipe=recipe, **given)
    return measure_cost(unit, "cpu")


def test_a_network_with_two_forms_counts_as_it_is_deployed():
    assert cost("rrlfn", scale=4).parameters == 470_208
    assert cost("rrlfn", scale=2).parameters == 454_620


def test_work_is_that_of_the_convolutions_at_256():
    found = cost("g-idrn", "network.block=rfdb", "network.channels=48", scale=4)
    other = cost("g-idrn", "network.block=rfdb", "network.channels=48", scale=2)
    # x4 has 36 channels before the last shuffle, x2 has 12, at 256x256 LR pixels each.
    head = (48 - 12) * (48 * 9)
    side = (48 - 12) * (3 * 25)
    assert found.macs - other.macs == (head + side) * 256 * 256


def test_memory_is_measured_at_every_size():
    small = ("network.channels=8", "network.num_blocks=1", "network.num_groups=1")
    found = cost("g-idrn", *small, sizes=[(16, 24), (32, 48)])
    first, second = found.memory
    assert (first.size, second.size) == ((16, 24), (32, 48))
    assert (second.peak or 0) > 2 * (first.peak or 0) > 0


def test_an_option_that_does_not_fit_is_an_error():
    with pytest.raises(ModelError, match="wings"):
        cost("g-idrn", "network.wings=2")


class Chain(Network):
    """Additions that each make one map of ``MAP`` bytes, and keep it for the gradient."""

    colour = "y"

    def __init__(self):
        super().__init__()
        self.factors = nn.Parameter(torch.ones(LAYERS))

    def forward(self, x):
        y = x.expand(1, CHANNELS, *x.shape[2:])
        for i in range(LAYERS):
            y = y * self.factors[i]
        return y


def test_gradients_keep_every_map():
    network = Chain()
    plain = forward_peak(network, SIZE, CPU, gradients=False)
    recorded = forward_peak(network, SIZE, CPU, gradients=True)
    assert plain.peak == pytest.approx(2 * MAP, rel=0.02)  # what comes in and what goes out
    assert recorded.peak == pytest.approx(LAYERS * MAP, rel=0.02)
    assert (plain.of, plain.reason, plain.size) == ("host", "", SIZE)
    assert network.factors.grad is None


@pytest.mark.gpu
def test_a_gpu_has_an_account_of_its_own():
    cuda = torch.device("cuda")
    plain = forward_peak(Chain(), SIZE, cuda, gradients=False)
    recorded = forward_peak(Chain(), SIZE, cuda, gradients=True)
    assert plain.peak == pytest.approx(2 * MAP, rel=0.05)
    assert recorded.peak == pytest.approx(LAYERS * MAP, rel=0.05)
    assert plain.of == "device"


class Huge(Network):
    """Wants four tebibytes."""

    def forward(self, x):
        return torch.empty(2**40)


def test_too_little_memory_is_told():
    found = forward_peak(Huge(), (8, 8), CPU, gradients=False)
    assert (found.peak, found.reason) == (None, "out of memory")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_no_more_is_taken_than_is_free(monkeypatch):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(costs, "free_memory", lambda: costs.SPARE + (8 << 20))

    class Wide(Network):
        def forward(self, x):
            # 4 GiB, never touched; too large for what the process keeps of freed memory
            return torch.empty(1 << 30)

    found = forward_peak(Wide(), (8, 8), CPU, gradients=False)
    assert (found.peak, found.reason) == (None, "out of memory")
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    monkeypatch.setattr(costs, "free_memory", lambda: None)
    assert forward_peak(Wide(), (8, 8), CPU, gradients=False).peak == 1 << 32


def test_only_memory_counts_as_memory():
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_other_errors_come_out():
    class Broken(Network):
        def forward(self, x):
            return x @ torch.ones(3, 3)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        forward_peak(Broken(), (8, 8), CPU, gradients=False)
