"""Global pools: contrast, and the statistics of a whole picture held for a part of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from srcli.layers.attention import ContrastChannelAttention, PooledChannelAttention
from srcli.layers.tiles import (
    Calibration,
    GlobalPool,
    contrast,
    record_calibration,
    use_calibration,
)
from srcli.models import build_network


class Every(nn.Module):
    """All kinds of pools beside each other."""

    def __init__(self):
        super().__init__()
        self.mean, self.maximum = GlobalPool("mean"), GlobalPool("maximum")
        self.contrast = GlobalPool("contrast")

    def forward(self, x):
        return {"mean": self.mean(x), "maximum": self.maximum(x), "contrast": self.contrast(x)}


def record(windows, network=None, **sample):
    """What the pools of a network see in windows, by name."""
    network = network or Every()
    with record_calibration(network, **sample) as found:
        network(windows)
    return found


@pytest.fixture
def features():
    """Four maps of six channels, in double precision, too small to have margins."""
    return torch.from_numpy(np.random.default_rng(0).normal(3, 2, (4, 6, 8, 12)))


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 1, 1), (1, 1, 7, 1)])
def test_the_gradient_of_contrast_is_the_one_autograd_finds(shape):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(contrast, (features,))


def test_windows_are_measured_as_one_picture(features):
    network = Every()
    with record_calibration(network) as found:
        seen = network(features)
        assert not found  # filled when the block ends
    whole = network(features.permute(1, 0, 2, 3).reshape(1, 6, 32, 12))
    assert set(found) == {"mean", "maximum", "contrast"}
    for name, value in found.items():
        torch.testing.assert_close(seen[name], whole[name], rtol=1e-6, atol=1e-6)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), whole[name], rtol=1e-6, atol=0)
    assert torch.equal(found["maximum"], whole["maximum"].float())


def test_windows_chosen_for_what_stands_out_count_for_maxima_alone(features):
    found = record(torch.cat([features, features[:1] + 100]), extremes=1)
    spread = record(features)
    assert torch.equal(found["mean"], spread["mean"])
    assert torch.equal(found["contrast"], spread["contrast"])
    highest = features[0].amax((1, 2)) + 100
    torch.testing.assert_close(found["maximum"].flatten().double(), highest)


@pytest.mark.parametrize("kind", [ContrastChannelAttention, PooledChannelAttention])
def test_a_part_is_gated_as_the_whole_was(features, kind):
    torch.manual_seed(0)
    network = nn.Sequential(*(kind(channels=6, reduction=2) for _ in "ab")).double()
    picture = features[:1]
    with record_calibration(network) as found:
        whole = network(picture)
    part = picture[:, :, :5, :4]
    with use_calibration(network, found):
        same = network(part)
    torch.testing.assert_close(same, whole[:, :, :5, :4])
    assert not torch.allclose(network(part), same)


def test_an_error_ends_the_holding(features):
    network = Every()
    own, found = network(features), record(features[:1], network)
    with pytest.raises(ValueError, match="stop"), use_calibration(network, found):
        raise ValueError("stop")
    torch.testing.assert_close(network(features), own)
    with pytest.raises(ValueError, match="stop"), record_calibration(network):
        raise ValueError("stop")
    torch.testing.assert_close(network(features), own)
    del found["contrast"]
    with pytest.raises(KeyError), use_calibration(network, found):
        pass
    torch.testing.assert_close(network(features), own)


def test_pictures_of_a_batch_keep_their_own(features):
    network = Every()
    parts = [Calibration((record(each[None], network),)) for each in features]
    joined = Calibration.join(parts)
    with use_calibration(network, joined.passes[0]):
        together = network(features)
    torch.testing.assert_close(together, network(features), rtol=1e-6, atol=1e-6)
    with use_calibration(network, joined.rows([2, 0]).passes[0]):
        two = network(features[[2, 0]])
    torch.testing.assert_close(two, network(features[[2, 0]]), rtol=1e-6, atol=1e-6)
    assert parts[0].rows([0, 1, 5]) is parts[0]  # one picture is of every item


def test_values_that_are_not_finite_are_told(features):
    assert Calibration(()).finite
    assert Calibration((record(features),)).finite
    features[1, 2, 3, 4] = float("inf")
    assert not Calibration((record(features[:1]), record(features))).finite


def test_an_exported_network_keeps_what_its_pools_hold():
    options = {"channels": 4, "reduction": 2, "levels": 2, "branches": 1}
    network = build_network("nested-attn", scale=2, options=options).eval()
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad(), use_calibration(network, record(x * 2, network)):
        held = network(x)
        exported = torch.export.export(network, (x,))
    torch.testing.assert_close(exported.module()(x), held)
    assert not torch.equal(network(x), held)
