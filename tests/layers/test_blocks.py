"""Blocks and helpers of networks against the formulas published, and what autocast does to them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.layers.attention import ContrastChannelAttention
from srcli.layers.blocks import FeatureDistillationBlock, ShuffleUpsampling, merge_convolutions
from srcli.layers.network import full_precision
from srcli.layers.published import DIV2K_MEAN, ValueRange, fold_shifts
from srcli.layers.upload import upload


def test_a_feature_block_is_what_the_formulas_say():
    torch.manual_seed(0)
    block = FeatureDistillationBlock(partial(ContrastChannelAttention, channels=8), channels=8)
    x = torch.randn(1, 8, 6, 5)
    f, kept = x, []
    for i in range(3):
        kept.append(F.leaky_relu(block.distil[i](f), 0.05))
        f = F.leaky_relu(block.refine[i](f) + f, 0.05)
    kept.append(F.leaky_relu(block.last(f), 0.05))
    expected = block.attention(block.fuse(torch.cat(kept, 1)))
    torch.testing.assert_close(block(x), expected)


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


def test_colour_shifts_that_were_trained_are_folded():
    torch.manual_seed(0)
    mean = 255 * torch.tensor(DIV2K_MEAN)
    found = {"a.weight": torch.rand(4, 3, 3, 3), "a.bias": torch.rand(4)}
    found |= {"b.weight": torch.rand(12, 4, 3, 3), "b.bias": torch.rand(12)}
    assert fold_shifts(found, {}, first="a", last="b") is found
    eyes = torch.eye(3).view(3, 3, 1, 1)
    fixed = {"sub_mean.weight": eyes, "sub_mean.bias": -mean}
    fixed |= {"add_mean.weight": eyes, "add_mean.bias": mean}
    assert fold_shifts(found, fixed, first="a", last="b") is found
    trained = {"sub_mean.weight": torch.rand(3, 3, 1, 1), "sub_mean.bias": -mean - 3}
    trained |= {"add_mean.weight": torch.rand(3, 3, 1, 1), "add_mean.bias": mean + 2}

    def enlarge(x, tensors):
        hidden = F.conv2d(x, tensors["a.weight"], tensors["a.bias"]).relu()
        return F.pixel_shuffle(F.conv2d(hidden, tensors["b.weight"], tensors["b.bias"]), 2)

    x, own = torch.rand(1, 3, 8, 9), ValueRange(mean=DIV2K_MEAN)
    theirs = enlarge(F.conv2d(x * 255, trained["sub_mean.weight"], trained["sub_mean.bias"]), found)
    theirs = F.conv2d(theirs, trained["add_mean.weight"], trained["add_mean.bias"]) / 255
    ours = own.undo(enlarge(own(x), fold_shifts(found, trained, first="a", last="b")))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


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
