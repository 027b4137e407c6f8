"""Residual wiring, computed by hand and against naive forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.layers.residual import DenseShortcut, FeatureDistillationBlock, GroupDistillationBlock


class Times(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_shortcuts_join_inputs_of_modules_to_outputs_of_later_ones():
    layer = DenseShortcut([Times(2.0), Times(3.0), Times(5.0)])
    layer.weights.data = torch.tensor([0.1, 0.01, 0.001])
    x = torch.ones(1, 1, 1, 1)
    # x1 = 2; x2 = 3*2 + 0.1*1 = 6.1; x3 = 5*6.1 + 0.01*1 + 0.001*2 = 30.512
    assert float(layer(x).detach()) == pytest.approx(30.512)


def test_own_inputs_join_too_when_asked():
    layer = DenseShortcut([Times(2.0), Times(3.0)], include_self=True)
    layer.weights.data = torch.tensor([0.5, 0.1, 0.01])
    x = torch.ones(1, 1, 1, 1)
    # x1 = 2 + 0.5*1 = 2.5; x2 = 3*2.5 + 0.1*1 + 0.01*2.5 = 7.625
    assert float(layer(x).detach()) == pytest.approx(7.625)


@pytest.mark.parametrize(("count", "own", "weights"), [(3, False, 3), (3, True, 6), (1, False, 0)])
def test_the_number_of_shortcut_weights(count, own, weights):
    layer = DenseShortcut([nn.Identity() for _ in range(count)], initial=0.3, include_self=own)
    assert layer.weights.tolist() == pytest.approx([0.3] * weights)


def test_a_group_block_is_what_the_formulas_say():
    torch.manual_seed(0)
    block = GroupDistillationBlock(channels=8, group_width=4)
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


@pytest.mark.parametrize(
    ("block", "count"),
    [
        (lambda: GroupDistillationBlock(channels=72, group_width=8), 60_283),
        (lambda: FeatureDistillationBlock(channels=48), 82_140),
    ],
)
def test_blocks_have_the_paper_s_parameters(block, count):
    assert sum(p.numel() for p in block().parameters()) == count


def test_a_feature_block_is_what_the_formulas_say():
    torch.manual_seed(0)
    block = FeatureDistillationBlock(channels=8)
    x = torch.randn(1, 8, 6, 5)
    f, kept = x, []
    for i in range(3):
        kept.append(F.leaky_relu(block.distil[i](f), 0.05))
        f = F.leaky_relu(block.refine[i](f) + f, 0.05)
    kept.append(F.leaky_relu(block.last(f), 0.05))
    expected = block.attention(block.fuse(torch.cat(kept, 1)))
    torch.testing.assert_close(block(x), expected)
