"""The forms of networks for GPUs in half precision give what their layers give."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from skimage import data

from srcli.inference.fusing.convolutions import keep_half_weights
from srcli.inference.fusing.g_idrn import merge_layers
from srcli.layers.global_pools import (
    GlobalPool,
    as_parts_of_pictures,
    modules_of,
    record_calibration,
)
from srcli.models.g_idrn import GIDRN
from srcli.models.loading import load_model
from srcli.models.weights import network_digest
from tests.fixtures.cases import small

HALVES = [
    ("g-idrn", torch.float16),
    ("g-idrn", torch.bfloat16),
    ("rrlfn", torch.float16),
    ("nested-attn", torch.float16),
]
MOST_ERROR = 2**0.5
"""Most RMS error of a form, as a multiple of its layers' RMS error.

Each form stores no more rounded maps and weights than the layers do. Were it to round
twice as often, by as much and independently, squares of errors would add up to twice as
much. The largest of six pieces and all networks is 1.25, a margin of 13 %.
"""


def spread(network):
    """Give biases and shares, which begin at 0 or alike, values of their own."""
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim < 2:
                value.copy_(torch.randn_like(value) * 0.3)
    return network.eval()


@pytest.mark.parametrize("channels", [16, 72])
def test_merged_layers_give_the_same_up_to_the_rim(channels):
    torch.manual_seed(0)
    shape = {"channels": channels, "num_blocks": 4, "num_groups": 2}
    network: Any = spread(GIDRN(scale=2, **shape)).double()
    merge_layers(network, torch.float64)
    x = torch.rand(2, 3, 19, 14).double().contiguous(memory_format=torch.channels_last)
    # Attention is computed in fp32, where each of its sums has one term for every key.
    keys = sum(count**2 for count in network.non_local.bins)
    rounding = keys * torch.finfo(torch.float32).eps / 2
    pictures: list[Any] = [None]
    for _ in range(2):
        pools = modules_of(network, GlobalPool)
        values = {}
        for name in pools:
            values[name] = torch.rand(1, channels, 1, 1).double()
        pictures.append(values)
    for values in (*pictures, None):
        with torch.no_grad(), as_parts_of_pictures(network, values):
            features = network.body(network.head(x))
            expected = network.up(network.non_local(features))
            out = network.merged(x)
        limit = rounding * expected.abs().max().item()
        torch.testing.assert_close(out, expected, atol=limit, rtol=0)


@pytest.fixture(scope="module")
def piece():
    """A piece of a photograph, (1, 3, 16, 20)."""
    photograph = torch.from_numpy(data.astronaut()[60:76, 170:190])
    x = photograph.permute(2, 0, 1)[None] / 255
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "half"), HALVES)
def test_in_half_precision_forms_are_as_near_as_layers(name, half, piece):
    network = load_model(name, 4).for_inference()
    fast = copy.deepcopy(network)
    keep_half_weights(fast, half)
    with torch.no_grad(), record_calibration(network) as values:
        network(piece)
    for pooled in (None, values):  # gates of what is held are a part of weights
        with (
            torch.no_grad(),
            as_parts_of_pictures(network, pooled),
            as_parts_of_pictures(fast, pooled),
        ):
            exact = network(piece)
            with torch.autocast("cpu", dtype=half):
                error = (fast(piece) - exact).square().mean().sqrt()
                layers_error = (network(piece) - exact).square().mean().sqrt()
        assert 0 < error < MOST_ERROR * layers_error


@pytest.mark.parametrize(("name", "half"), HALVES)
def test_in_fp32_the_forms_are_not_used(name, half, piece):
    network = load_model(name, 4).for_inference()
    fast = copy.deepcopy(network)
    keep_half_weights(fast, half)
    assert network_digest(fast)  # NumPy has no bfloat16
    with torch.no_grad():
        assert torch.equal(fast(piece), network(piece))


@pytest.mark.parametrize(
    "options",
    [
        {"block": "rfdb"},
        {"dense_shortcut": False},
        {"ds_self": True},
        {"outer_shortcut": False},
    ],
)
def test_ablation_models_keep_their_layers(options):
    network: Any = small("g-idrn", **options)
    keep_half_weights(network, torch.bfloat16)
    assert network.merged is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.rand(1, 3, 16, 16))
