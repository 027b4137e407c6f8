"""Attention blocks against naive implementations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srcli.layers.attention import (
    AsymmetricNonLocal,
    ContrastChannelAttention,
    EnhancedSpatialAttention,
    PooledChannelAttention,
    attend,
    grid_means,
)
from srcli.layers.pooling import contrast


def test_channel_attention_scales_each_channel_by_its_gate():
    layer = ContrastChannelAttention(channels=4, reduction=2)
    x = torch.rand(2, 4, 5, 6)
    z = contrast(x).flatten(1)
    assert layer.squeeze.bias is not None
    assert layer.expand.bias is not None
    hidden = torch.relu(z @ layer.squeeze.weight.flatten(1).T + layer.squeeze.bias)
    gate = torch.sigmoid(hidden @ layer.expand.weight.flatten(1).T + layer.expand.bias)
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])
    assert sum(p.numel() for p in layer.parameters()) == 4 * 2 + 2 + 2 * 4 + 4


@pytest.mark.parametrize("pool", ["avg", "max", "both"])
def test_pooled_attention_joins_its_pools_along_the_channels(pool):
    torch.manual_seed(0)
    layer = PooledChannelAttention(channels=8, reduction=4, pool=pool)
    x = torch.randn(2, 8, 5, 6)
    pools = {"avg": x.mean(dim=(2, 3)), "max": x.flatten(2).max(dim=2).values}
    rows = [pools[key] for key in pools if pool in (key, "both")]
    weight, bias = layer.join.weight, layer.join.bias
    assert bias is not None
    joined = torch.empty(2, 8)
    for channel in range(8):
        total = bias[0]
        for row, values in enumerate(rows):
            for step in (-1, 0, 1):
                if 0 <= channel + step < 8:
                    total = total + weight[0, row, step + 1] * values[:, channel + step]
        joined[:, channel] = total
    assert layer.squeeze.bias is not None
    assert layer.expand.bias is not None
    hidden = torch.relu(joined @ layer.squeeze.weight.flatten(1).T + layer.squeeze.bias)
    gate = torch.sigmoid(hidden @ layer.expand.weight.flatten(1).T + layer.expand.bias)
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def naive(layer, x):
    """ANRB written with loops and whole matrices."""
    n, c, h, w = x.shape
    phi, theta, gamma = (
        torch.einsum("nchw,c->nhw", x, conv.weight.flatten()) + conv.bias
        for conv in (layer.query, layer.key, layer.value)
    )
    keys, values = [], []
    for bins in layer.bins:
        for i in range(bins):
            for j in range(bins):
                rows = slice(i * h // bins, -(-(i + 1) * h // bins))
                columns = slice(j * w // bins, -(-(j + 1) * w // bins))
                keys.append(theta[:, rows, columns].mean(dim=(1, 2)))
                values.append(gamma[:, rows, columns].mean(dim=(1, 2)))
    if not layer.bins:
        keys, values = theta.flatten(1).T, gamma.flatten(1).T
    out = torch.empty_like(x)
    for b in range(n):
        key = torch.stack([k[b] for k in keys])
        value = torch.stack([v[b] for v in values])
        mixed = torch.softmax(phi[b].reshape(-1, 1) * key, dim=1) @ value
        plane = mixed.reshape(h, w)
        for channel in range(c):
            weight, bias = layer.out.weight[channel, 0, 0, 0], layer.out.bias[channel]
            out[b, channel] = plane * weight + bias + x[b, channel]
    return out


@pytest.mark.parametrize("bins", [(1, 3, 6, 8), (2,), ()])
@pytest.mark.parametrize("size", [(9, 11), (1, 7), (3, 2)])
def test_the_non_local_block_equals_a_naive_one(bins, size):
    torch.manual_seed(0)
    layer = AsymmetricNonLocal(channels=5, bins=bins)
    x = torch.randn(2, 5, *size)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), naive(layer, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bins", [(1, 3, 6, 8), ()])
def test_queries_in_parts_change_nothing_and_bound_what_is_held(monkeypatch, bins):
    held = []

    def watched(query, key, value):
        held.append(query.numel() * key.shape[2])
        return attend(query, key, value)

    monkeypatch.setattr("srcli.layers.attention.attend", watched)
    torch.manual_seed(0)
    layer = AsymmetricNonLocal(channels=5, bins=bins, scores=2000)
    x = torch.randn(2, 5, 9, 11)
    whole = layer(x)
    assert len(held) == 1  # autograd would keep all parts anyway
    with torch.no_grad():
        torch.testing.assert_close(layer(x), whole)
    assert len(held) > 3
    assert max(held[1:]) <= 2000
    layer.scores = 1  # at least one query
    with torch.no_grad():
        torch.testing.assert_close(layer(x), whole)


@pytest.mark.parametrize("bins", [1, 3, 8])
def test_means_of_a_grid_are_those_of_adaptive_pooling(bins):
    x = torch.rand(2, 3, 13, 7)
    torch.testing.assert_close(grid_means(x, bins), F.adaptive_avg_pool2d(x, bins))


def test_spatial_attention_is_the_formula_and_has_the_derived_parameters():
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


def test_the_smallest_input_of_spatial_attention_is_the_one_it_names():
    layer = EnhancedSpatialAttention(channels=4, width=2)
    least = EnhancedSpatialAttention.MINIMUM
    assert layer(torch.rand(1, 4, least, least)).shape == (1, 4, least, least)
    with pytest.raises(RuntimeError):
        layer(torch.rand(1, 4, least, least - 1))
