"""G-IDRN against the counts, spreads and shapes published, and derived from them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.models.g_idrn import (
    GIDRN,
    DenseShortcut,
    GroupDistillationBlock,
)


def test_from_the_bicubic_start_the_non_local_block_begins_as_nothing_and_learns():
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
    moved = [p.grad is not None and bool(p.grad.any()) for p in network.non_local.parameters()]
    # A softmax does not feel a constant added to all its scores: the key's bias has no gradient.
    assert sum(moved) >= len(moved) - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 20}, "group_width"),
        ({"num_blocks": 5}, "num_groups"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        GIDRN(**options)


class Times(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_shortcuts_join_inputs_of_modules_to_outputs_of_later_ones():
    layer = DenseShortcut([Times(2.0), Times(3.0), Times(5.0)], initial=0.1, include_self=False)
    layer.weights.data = torch.tensor([0.1, 0.01, 0.001])
    x = torch.ones(1, 1, 1, 1)
    # x1 = 2; x2 = 3*2 + 0.1*1 = 6.1; x3 = 5*6.1 + 0.01*1 + 0.001*2 = 30.512
    assert float(layer(x).detach()) == pytest.approx(30.512)


def test_a_group_block_is_what_the_formulas_say():
    torch.manual_seed(0)
    block = GroupDistillationBlock(channels=8, group_width=4, slope=0.05)
    block.share.data.fill_(0.7)
    x = torch.randn(2, 8, 6, 5)
    f, kept = x, []
    for i in range(3):
        p = block.pointwise[i](f)
        kept.append(p)
        f = F.leaky_relu(block.grouped[i](p) + f, 0.05)
    kept.append(block.grouped[3](f))
    u = block.fuse(torch.cat(kept, 1))
    torch.testing.assert_close(block(x), x + 0.7 * block.attention(u))
    assert block.grouped[0].groups == 2
