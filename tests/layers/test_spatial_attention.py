"""Spatial attention against its formula, and its smallest input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srcli.layers.spatial_attention import EnhancedSpatialAttention


def test_it_is_the_formula_and_has_the_derived_parameters():
    torch.manual_seed(0)
    layer = EnhancedSpatialAttention(channels=48, width=16)
    # RRLFN 2025: a = 1x1 of x, b = strided 3x3 of a, pooled, 3x3, resized; gate of b + 1x1 of a.
    assert sum(p.numel() for p in layer.parameters()) == 6_512
    w = layer.state_dict()
    x = torch.rand(2, 48, 31, 24)
    a = torch.einsum("oi,nihw->nohw", w["squeeze.weight"][..., 0, 0], x)
    a = a + w["squeeze.bias"].view(-1, 1, 1)
    b = F.conv2d(a, w["stride.weight"], w["stride.bias"], stride=2)
    b = b.unfold(2, 7, 3).unfold(3, 7, 3).amax(dim=(4, 5))
    b = F.conv2d(F.pad(b, (1, 1, 1, 1)), w["pooled.weight"], w["pooled.bias"])
    b = F.interpolate(b, (31, 24), mode="bilinear", align_corners=False)
    gate = F.conv2d(b + F.conv2d(a, w["direct.weight"], w["direct.bias"]), w["expand.weight"])
    expected = x / (1 + torch.exp(-gate - w["expand.bias"].view(-1, 1, 1)))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=0)


def test_its_smallest_input_is_the_one_it_names():
    layer = EnhancedSpatialAttention(channels=4, width=2)
    least = EnhancedSpatialAttention.MINIMUM
    assert layer(torch.rand(1, 4, least, least)).shape == (1, 4, least, least)
    with pytest.raises(RuntimeError):
        layer(torch.rand(1, 4, least, least - 1))
