"""Convolutions without activations between them are one, but for the outermost input pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.layers.blocks import ShuffleUpsampling, merge_convolutions


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_merged_convolutions_give_the_same_inside(scale):
    torch.manual_seed(0)
    first = (
        nn.Conv2d(5, 5, 3, padding=1) if scale == 1 else ShuffleUpsampling(channels=5, scale=scale)
    )
    layers = nn.Sequential(first, nn.Conv2d(5, 2, 3, padding=1))
    merged = merge_convolutions(layers, channels=5, scale=scale)
    x = torch.rand(2, 5, 7, 9)
    with torch.no_grad():
        expected = layers(x)
        found = nn.functional.pixel_shuffle(merged(x), scale)
    inner = slice(scale, -scale)
    torch.testing.assert_close(found[..., inner, inner], expected[..., inner, inner])
    assert (found - expected).abs().max() > 1e-3
