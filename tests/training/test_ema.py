"""Averaged weights, computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.training.ema import Ema


class Holder(nn.Module):
    """One weight and one counter."""

    count: torch.Tensor

    def __init__(self, value):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(0))


def test_late_steps_use_the_decay():
    network = Holder(1.0)
    ema = Ema(network, 0.9)
    network.w.data.fill_(2.0)
    ema.update(network, 10**6)
    assert float(ema.averages["w"]) == pytest.approx(0.9 * 1.0 + 0.1 * 2.0)


def test_early_steps_forget_faster():
    network = Holder(1.0)
    ema = Ema(network, 0.999)
    network.w.data.fill_(2.0)
    ema.update(network, 0)  # decay (1 + 0) / (10 + 0)
    assert float(ema.averages["w"]) == pytest.approx(0.1 * 1.0 + 0.9 * 2.0)


def test_no_decay_follows_the_weights_and_counters_are_copied():
    network = Holder(1.0)
    ema = Ema(network, 0.0)
    network.w.data.fill_(3.0)
    network.count.fill_(7)
    ema.update(network, 50)
    assert float(ema.averages["w"]) == 3.0
    assert int(ema.averages["count"]) == 7
    assert ema.averages["count"].dtype == torch.int64


def test_averages_are_their_own_memory():
    network = Holder(1.0)
    ema = Ema(network, 0.5)
    network.w.data.fill_(5.0)
    assert float(ema.averages["w"]) == 1.0
