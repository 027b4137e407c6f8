"""Distillation blocks against the formulas and counts published."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from srcli.layers.attention import ContrastChannelAttention
from srcli.layers.blocks import FeatureDistillationBlock


def build(channels):
    """A block with channel attention."""
    attention = partial(ContrastChannelAttention, channels=channels)
    return FeatureDistillationBlock(attention, channels=channels)


def test_a_feature_block_has_the_paper_s_parameters():
    assert sum(p.numel() for p in build(48).parameters()) == 82_140


def test_a_feature_block_is_what_the_formulas_say():
    torch.manual_seed(0)
    block = build(8)
    x = torch.randn(1, 8, 6, 5)
    f, kept = x, []
    for i in range(3):
        kept.append(F.leaky_relu(block.distil[i](f), 0.05))
        f = F.leaky_relu(block.refine[i](f) + f, 0.05)
    kept.append(F.leaky_relu(block.last(f), 0.05))
    expected = block.attention(block.fuse(torch.cat(kept, 1)))
    torch.testing.assert_close(block(x), expected)
