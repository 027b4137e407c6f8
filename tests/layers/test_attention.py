"""The non-local block against a naive implementation."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from srcli.layers.attention import AsymmetricNonLocal, grid_means, softmax_attention


def naive(layer, x):
    """ANRB written with loops and whole matrices."""
    out = torch.empty_like(x)
    for number, picture in enumerate(x):
        query = project(layer.query, picture)
        key = region_means(project(layer.key, picture), layer.bins)
        value = region_means(project(layer.value, picture), layer.bins)
        mixed = torch.softmax(query.reshape(-1, 1) * key, dim=1) @ value
        plane = mixed.reshape(query.shape)
        for channel, weight in enumerate(layer.out.weight.flatten()):
            attended = plane * weight + layer.out.bias[channel]
            out[number, channel] = attended + picture[channel]
    return out


def project(conv, picture):
    """A 1x1 convolution from (C, H, W) to (H, W)."""
    return torch.einsum("chw,c->hw", picture, conv.weight.flatten()) + conv.bias


def region_means(plane, bins):
    """Means of the cells of grids over (H, W); without grids, all values."""
    if not bins:
        return plane.flatten()
    height, width = plane.shape
    means = []
    for count in bins:
        for i, j in itertools.product(range(count), repeat=2):
            rows = slice(i * height // count, -(-(i + 1) * height // count))
            columns = slice(j * width // count, -(-(j + 1) * width // count))
            means.append(plane[rows, columns].mean())
    return torch.stack(means)


@pytest.mark.parametrize("bins", [(1, 3, 6, 8), (2,), ()])
@pytest.mark.parametrize("size", [(9, 11), (1, 7), (3, 2)])
def test_the_non_local_block_equals_a_naive_one(bins, size):
    torch.manual_seed(0)
    layer = AsymmetricNonLocal(channels=5, bins=bins)
    x = torch.randn(2, 5, *size)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), naive(layer, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bins", [(1, 3, 6, 8), ()])
def test_queries_in_parts_change_nothing_and_bound_memory(monkeypatch, bins):
    sizes = []

    def watched(query, key, value):
        sizes.append(query[0].numel() * key.shape[2])  # of each picture
        return softmax_attention(query, key, value)

    monkeypatch.setattr("srcli.layers.attention.softmax_attention", watched)
    torch.manual_seed(0)
    layer = AsymmetricNonLocal(channels=5, bins=bins, max_scores=2000)
    x = torch.randn(2, 5, 9, 11)
    expected = layer(x)
    assert len(sizes) == 1  # autograd would keep all parts anyway
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    assert len(sizes) > 3
    assert max(sizes[1:]) <= 2000
    layer.max_scores = 1  # at least one query
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_means_of_grids_are_those_of_adaptive_pooling(dtype):
    x = torch.rand(2, 3, 13, 7).to(dtype)
    means = grid_means(x, (1, 3, 8))
    pools = [F.adaptive_avg_pool2d(x.float(), count) for count in (1, 3, 8)]
    expected = torch.cat([pool.flatten(2) for pool in pools], dim=2)
    assert means.dtype == dtype
    torch.testing.assert_close(means, expected.to(dtype))
