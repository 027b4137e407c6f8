"""The non-local block against a naive implementation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srcli.layers.attention import AsymmetricNonLocal, attend, grid_means


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
        held.append(query[0].numel() * key.shape[2])  # of each picture
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_means_of_grids_are_those_of_adaptive_pooling(dtype):
    x = torch.rand(2, 3, 13, 7).to(dtype)
    found = grid_means(x, (1, 3, 8))
    pools = [F.adaptive_avg_pool2d(x.float(), bins).flatten(2) for bins in (1, 3, 8)]
    assert found.dtype == dtype
    torch.testing.assert_close(found, torch.cat(pools, dim=2).to(dtype))
