"""Residual blocks against their definitions, written out."""

from __future__ import annotations

import pytest
import torch

from srcli.layers.dense import ResidualDenseBlock, ResidualPlainBlock


def test_a_dense_block_feeds_every_convolution_with_all_before():
    torch.manual_seed(0)
    block = ResidualDenseBlock(channels=4, growth=3, depth=2)
    x = torch.randn(2, 4, 5, 6)
    first, second = block.convolutions
    a = torch.relu(first(x))
    b = torch.relu(second(torch.cat([x, a], dim=1)))
    torch.testing.assert_close(block(x), block.fuse(torch.cat([x, a, b], dim=1)) + x)


def test_a_dense_block_has_the_derived_parameters():
    assert sum(p.numel() for p in ResidualDenseBlock(channels=64).parameters()) == 141_504


def test_a_plain_block_is_a_row_of_convolutions_and_the_input():
    torch.manual_seed(0)
    block = ResidualPlainBlock(channels=4, depth=3)
    x = torch.randn(2, 4, 5, 6)
    expected = x
    for convolution in block.convolutions:
        expected = torch.relu(convolution(expected))
    torch.testing.assert_close(block(x), expected + x)


@pytest.mark.parametrize("depth", [1, 4])
def test_a_plain_block_is_about_as_large_as_a_dense_one(depth):
    plain = sum(p.numel() for p in ResidualPlainBlock(channels=64, depth=depth).parameters())
    assert plain == depth * (64 * 64 * 9 + 64)
    assert depth < 4 or abs(plain / 141_504 - 1) < 0.05
