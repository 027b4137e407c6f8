"""Files of trainers that changed a published network (neosr, traiNNer-redux) load as they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srcli.models.loading import load_model

WIDTH = 4
SCALE = 2


def expanded(name, in_channels, tensors):
    """A Conv3XC by its authors' names: branches of nothing beside a 1x1 convolution."""
    inner = 2 * WIDTH
    shapes = {
        "sk": (WIDTH, in_channels, 1),
        "conv.0": (2 * in_channels, in_channels, 1),
        "conv.1": (inner, 2 * in_channels, 3),
        "conv.2": (WIDTH, inner, 1),
        "eval_conv": (WIDTH, in_channels, 3),
    }
    for layer, (outputs, inputs, side) in shapes.items():
        tensors[f"{name}.{layer}.weight"] = torch.zeros(outputs, inputs, side, side)
        tensors[f"{name}.{layer}.bias"] = torch.zeros(outputs)


def span_without_norm():
    """SPAN x2 whose last layer repeats the pixels of the first one's output."""
    tensors = {"no_norm": torch.zeros(1)}
    expanded("conv_1", 3, tensors)
    for block in range(1, 7):
        for layer in (1, 2, 3):
            expanded(f"block_{block}.c{layer}_r", WIDTH, tensors)
    expanded("conv_2", WIDTH, tensors)
    three = torch.arange(3)
    tensors["conv_1.sk.weight"][three, three] = 1
    joined = torch.zeros(WIDTH, 4 * WIDTH, 1, 1)
    joined[three, three] = 1
    tensors |= {"conv_cat.weight": joined, "conv_cat.bias": torch.zeros(WIDTH)}
    last = torch.zeros(3 * SCALE**2, WIDTH, 3, 3)
    last[torch.arange(12), three.repeat_interleave(4), 1, 1] = 1
    tensors |= {"upsampler.0.weight": last, "upsampler.0.bias": torch.zeros(12)}
    return tensors


@pytest.mark.parametrize("key", ["params", "params_ema"])
def test_span_without_shift_takes_values_as_they_are(tmp_path, key):
    torch.save({key: span_without_norm()}, tmp_path / "2x_span.pth")
    network = load_model(tmp_path / "2x_span.pth")
    picture = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        enlarged = network(picture)
    torch.testing.assert_close(enlarged, F.interpolate(picture, scale_factor=2.0))
