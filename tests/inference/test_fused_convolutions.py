"""Convolutions that processors infer by fused operations, beside PyTorch's plain layers."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.inference.fusing.convolutions import PackedConv2d, pack_convolutions
from srcli.layers.operations import convolve, convolve_joined


def layers(**options):
    """Return a convolution, and the same one packed."""
    torch.manual_seed(0)
    plain = nn.Conv2d(16, 24, **{"kernel_size": 3, "padding": 1, **options})
    packed = nn.ModuleList([copy.deepcopy(plain)])
    assert pack_convolutions(packed)
    assert isinstance(packed[0], PackedConv2d)
    return plain, packed[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"groups": 8},
        {"kernel_size": 1, "padding": 0},
        {"bias": False},
        {"stride": 2},
        {"dilation": 2, "padding": 2},
        {"padding_mode": "replicate"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=str
)
def test_sums_and_activations_are_those_of_the_plain_layer(options, layout):
    torch.manual_seed(1)
    x = torch.randn(2, 16, 11, 13).contiguous(memory_format=layout)
    if "padding_mode" in options:  # stays a plain layer
        module = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1, **options))
        pack_convolutions(module)
        assert type(module[0]) is nn.Conv2d
        return
    plain, packed = layers(**options)
    with torch.inference_mode():
        convolved = plain(x)
        plus = torch.randn_like(convolved)
        plus_before = plus.clone()
        torch.testing.assert_close(packed(x), convolved)
        for slope in (None, 0.0, 0.05):
            # A slope of 1 is no activation.
            negative_slope = 1.0 if slope is None else slope
            summed = F.leaky_relu(convolved + plus, negative_slope)
            activated = F.leaky_relu(convolved, negative_slope)
            out = convolve(packed, x, plus=plus, slope=slope)
            torch.testing.assert_close(out, summed)
            torch.testing.assert_close(plus, plus_before)
            for layer in (packed, plain):
                out = convolve(layer, x, slope=slope)
                torch.testing.assert_close(out, activated)


def test_maps_side_by_side_need_no_concatenation():
    plain, packed = layers(kernel_size=1, padding=0)
    parts = torch.randn(1, 16, 9, 7).split([4, 2, 10], dim=1)
    for layer in (plain, packed):
        with torch.no_grad():
            out = convolve_joined(layer, parts, slope=0.1)
            expected = F.leaky_relu(plain(torch.cat(parts, dim=1)), 0.1)
        torch.testing.assert_close(out, expected)


def test_sums_may_take_the_memory_of_what_is_added():
    plus = torch.randn(2, 24, 9, 7).contiguous(memory_format=torch.channels_last)
    x = torch.randn(2, 16, 5, 7)
    for layer in layers(groups=4):
        for rows in (plus[:, :, 2:7], plus[:, :, 2:7].clone()):
            with torch.inference_mode():
                expected = convolve(layer, x, plus=rows, slope=0.1)
                out = convolve(layer, x, plus=rows, may_overwrite=True, slope=0.1)
            torch.testing.assert_close(out, expected)


def test_autocast_decides_the_number_format():
    plain, packed = layers()
    x = torch.randn(1, 16, 8, 8)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = packed(x)
        expected = plain(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected, atol=0.03, rtol=0.03)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), plain(x))


def test_gradients_copies_and_activations_in_a_row():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.2), nn.Conv2d(8, 3, 3), nn.ReLU()
    )
    packed = copy.deepcopy(plain)
    pack_convolutions(packed)
    x = torch.randn(1, 3, 12, 12)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), plain(x))
    twin = copy.deepcopy(packed)  # after weights were laid out
    with torch.inference_mode():
        torch.testing.assert_close(twin(x), plain(x))
    (twin(x).sum() + plain(x).sum()).backward()
    torch.testing.assert_close(twin[0].weight.grad, plain[0].weight.grad)


def test_what_onednn_cannot_compute_stays_with_pytorch(monkeypatch):
    plain, packed = layers()
    x = torch.randn(1, 16, 8, 8)
    with torch.inference_mode():
        double = copy.deepcopy(packed).double()
        torch.testing.assert_close(
            double(x.double()), copy.deepcopy(plain).double()(x.double())
        )
        monkeypatch.setattr(
            torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):  # exactly PyTorch's bits
            torch.testing.assert_close(packed(x), plain(x), rtol=0, atol=0)
    plain, packed = layers(groups=2)
    halves = torch.randn(1, 16, 8, 8).split(8, dim=1)
    with torch.no_grad():
        torch.testing.assert_close(
            convolve_joined(packed, halves), plain(torch.cat(halves, dim=1))
        )
