"""Merged convolutions, full precision within autocast, and uploads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from srcli.layers.blocks import ShuffleUpsampling, merge_convolutions
from srcli.layers.network import full_precision, upload


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_convolutions_without_activations_are_one_but_for_the_outermost_input_pixel(scale):
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


def test_autocast_is_off_inside_a_block_of_full_precision_and_on_again_after():
    a = torch.rand(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(a.device):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    with full_precision(torch.device("meta")):
        assert (torch.empty(2, 2, device="meta") @ torch.empty(2, 2, device="meta")).is_meta


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_uploads_keep_numbers_and_layout(device):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(upload(array, torch.device(device)).cpu().numpy(), array)
    last = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    found = upload(last, torch.device(device))
    assert torch.equal(found.cpu(), last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.device.type == device
