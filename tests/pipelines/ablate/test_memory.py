"""Peaks with and without gradients against what a chain of layers must hold; too little memory."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from srcli.layers.network import Network
from srcli.pipelines.ablate import memory
from srcli.pipelines.ablate.memory import forward_peak, out_of_memory

CPU = torch.device("cpu")
LAYERS, CHANNELS, SIZE = 6, 16, (40, 50)
MAP = CHANNELS * SIZE[0] * SIZE[1] * 4


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
    monkeypatch.setattr(memory, "free_memory", lambda: memory.SPARE + (8 << 20))

    class Wide(Network):
        def forward(self, x):
            # 1 GiB, which the machine has; too large for what the process keeps of freed memory
            return torch.empty(256 << 20)

    found = forward_peak(Wide(), (8, 8), CPU, gradients=False)
    assert (found.peak, found.reason) == (None, "out of memory")
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    assert forward_peak(Wide(), (8, 8), CPU, gradients=False).peak == 1 << 30


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
