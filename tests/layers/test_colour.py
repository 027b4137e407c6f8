"""Colours of tensors are those of arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.imaging import colour as arrays
from srcli.layers.colour import luma, rgb_to_ycbcr, ycbcr_to_rgb


def tensor(picture):
    """(1, C, H, W) of (H, W, C)."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


@pytest.fixture
def picture():
    """Random RGB in [0, 1]."""
    return np.random.default_rng(0).random((5, 7, 3))


def test_they_are_those_of_arrays(picture):
    x = tensor(picture)
    ycbcr = arrays.rgb_to_ycbcr(picture)
    torch.testing.assert_close(rgb_to_ycbcr(x), tensor(ycbcr), atol=1e-6, rtol=0)
    torch.testing.assert_close(luma(x), tensor(ycbcr)[:, :1], atol=1e-6, rtol=0)
    back = arrays.ycbcr_to_rgb(picture)
    torch.testing.assert_close(ycbcr_to_rgb(x), tensor(back), atol=2e-6, rtol=0)


def test_there_and_back_is_the_same(picture):
    x = tensor(picture)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(x)), x, atol=1e-6, rtol=0)


def test_black_white_and_red_by_hand():
    x = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]).T.reshape(1, 3, 1, 3)
    levels = (rgb_to_ycbcr(x) * 255).reshape(3, 3).T
    # Poynton: black 16, white 235 of 255; red has Y 81.481, Cb 90.203, Cr 240.
    expected = torch.tensor([[16.0, 128, 128], [235, 128, 128], [81.481, 90.203, 240]])
    torch.testing.assert_close(levels, expected, atol=1e-3, rtol=0)
