"""What a whole picture gives to its tiles: statistics that are held, places of stretched maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.layers import tiles
from srcli.layers.attention import ContrastChannelAttention, PooledChannelAttention
from srcli.layers.tiles import (
    ORIENTATIONS,
    GlobalPool,
    StretchedMap,
    are_finite,
    contrast,
    half_contrast,
    hold,
    orient,
    orient_positions,
    record_calibration,
    stretch_part,
    stretch_weights,
    undo_orientation,
)
from srcli.models import build_network


class Every(nn.Module):
    """All kinds of pools beside each other."""

    def __init__(self):
        super().__init__()
        self.mean, self.maximum = GlobalPool("mean"), GlobalPool("maximum")
        self.contrast = GlobalPool("contrast")

    def forward(self, x):
        return {
            "mean": self.mean(x),
            "maximum": self.maximum(x),
            "contrast": self.contrast(x),
        }


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


@pytest.mark.parametrize(
    ("spread", "offset"), [(0.0, 0.3), (1e-5, 0.0), (0.5, 0.1), (900.0, 5.0)]
)
def test_the_contrast_of_half_precision_neither_vanishes_nor_overflows(spread, offset):
    torch.manual_seed(0)
    maps = (torch.randn(2, 3, 30, 40) * spread + offset).half()
    torch.testing.assert_close(
        half_contrast(maps).float(), contrast(maps.float()), atol=2e-5, rtol=2e-3
    )


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 1, 1), (1, 1, 7, 1)])
def test_the_gradient_of_contrast_is_the_one_autograd_finds(shape):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(
        shape, generator=generator, dtype=torch.float64, requires_grad=True
    )
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


def test_contrast_by_strips_of_rows_is_that_of_the_map(features, monkeypatch):
    whole, narrow = contrast(features), contrast(features.bfloat16())
    for values in (1, 200):  # a row at a time, and several
        monkeypatch.setattr(tiles, "STRIP", values)
        torch.testing.assert_close(contrast(features), whole)
        torch.testing.assert_close(contrast(features.bfloat16()), narrow)


@pytest.mark.parametrize("kind", [ContrastChannelAttention, PooledChannelAttention])
def test_a_part_is_gated_as_the_whole_was(features, kind):
    torch.manual_seed(0)
    network = nn.Sequential(*(kind(channels=6, reduction=2) for _ in "ab")).double()
    picture = features[:1]
    with record_calibration(network) as found:
        whole = network(picture)
    part = picture[:, :, :5, :4]
    with hold(network, found):
        same = network(part)
    torch.testing.assert_close(same, whole[:, :, :5, :4])
    assert not torch.allclose(network(part), same)


def test_an_error_ends_the_holding(features):
    network = Every()
    own, found = network(features), record(features[:1], network)
    with pytest.raises(ValueError, match="stop"), hold(network, found):
        raise ValueError("stop")
    torch.testing.assert_close(network(features), own)
    with pytest.raises(ValueError, match="stop"), record_calibration(network):
        raise ValueError("stop")
    torch.testing.assert_close(network(features), own)
    del found["contrast"]
    with pytest.raises(KeyError), hold(network, found):
        pass
    torch.testing.assert_close(network(features), own)


def test_values_that_are_not_finite_are_told(features):
    assert are_finite({})
    assert are_finite(record(features))
    features[1, 2, 3, 4] = float("inf")
    assert are_finite(record(features[:1]))
    assert not are_finite(record(features))


def test_an_exported_network_keeps_what_its_pools_hold():
    options = {"channels": 4, "reduction": 2, "levels": 2, "branches": 1}
    network = build_network("nested-attn", scale=2, options=options).eval()
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad(), hold(network, record(x * 2, network)):
        held = network(x)
        exported = torch.export.export(network, (x,))
    torch.testing.assert_close(exported.module()(x), held)
    assert not torch.equal(network(x), held)


STEP, MINIMUM = 6, 15


def count(sides):
    return (sides - 9) // STEP


def place(*numbers):
    return torch.tensor(numbers)


def stretched(maps, size, positions, mode="bilinear"):
    weights = stretch_weights(positions, size, step=STEP, minimum=MINIMUM, mode=mode)
    return stretch_part(maps, *weights)


def same_all_over(tile, whole, margin):
    """Where the tile's map is the whole's: away from its borders."""
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(tile[inner], whole[inner], atol=2e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(131, 200), (96, 97), (600, 57)])
@pytest.mark.parametrize(
    ("dtype", "mode"),
    [
        (torch.float32, "bilinear"),
        (torch.float64, "bilinear"),
        (torch.float32, "nearest"),
    ],
)
def test_parts_equal_the_interpolated_whole(height, width, dtype, mode):
    torch.manual_seed(0)
    sides = torch.tensor([height, width])
    whole_map = torch.rand(1, 3, *count(sides).tolist(), dtype=dtype)
    whole = F.interpolate(whole_map, (height, width), mode=mode)
    side = 57  # eight values
    corners = [(0, 0), (36, 0), (height - side, width - side)]
    positions = [
        (top - top % STEP, left - left % STEP, height, width) for top, left in corners
    ]
    maps, parts = [], []
    for top, left, *_ in positions:
        rows, columns = top // STEP, left // STEP
        maps.append(whole_map[..., rows : rows + 8, columns : columns + 8])
        parts.append(whole[..., top : top + side, left : left + side])
    got = stretched(torch.cat(maps), (side, side), place(*positions), mode)
    assert got.dtype == dtype
    # The whole's values drift by up to two from the pixels that they were made of.
    same_all_over(got, torch.cat(parts), margin=15)
    # The first tile ends nowhere above and to its left: there it is right to the edge.
    torch.testing.assert_close(
        got[0, :, :42, :42], parts[0][0, :, :42, :42], atol=2e-5, rtol=0
    )


def test_far_to_the_right_places_are_as_exact_as_at_the_start():
    width = 600_009  # 100,000 values
    values = count(torch.tensor(width)).item()
    left, side = 450_000, 57
    tile_map = torch.arange(8.0).expand(1, 1, 8, 8)
    got = stretched(tile_map, (side, side), place((0, left, side, width)))
    exact = [
        (x + 0.5) * values / width - 0.5 - left / STEP for x in range(left, left + side)
    ]
    expected = torch.tensor(exact).clamp(0, 7).expand(1, 1, side, side)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_places_follow_what_is_mirrored_and_rotated(turns, mirrored):
    height, width, tile = 7, 11, (3, 5)
    picture = torch.arange(height * width).view(height, width)
    part = picture[2:5, 4:9]
    where = place((2, 4, height, width))
    if mirrored:
        picture, part = picture.flip(1), part.flip(1)
    picture, part = (torch.rot90(each, turns) for each in (picture, part))
    where = orient_positions(where, *tile, turns, mirrored)
    ((top, left, *size),) = where.tolist()
    assert size == list(picture.shape)
    assert torch.equal(
        picture[top : top + part.shape[0], left : left + part.shape[1]], part
    )


def test_a_placement_is_held_within_its_block_alone():
    where = place((0, 0, 27, 27), (0, 0, 40, 27))
    network = torch.nn.ModuleList([StretchedMap(step=STEP, minimum=MINIMUM)])
    (stretch,) = network
    assert isinstance(stretch, StretchedMap)
    maps = torch.rand(2, 1, 3, 3)
    own = stretch(maps, (27, 27))
    with hold(network, None, where, (27, 27)):
        held = stretch(maps, (27, 27))
        assert not network.state_dict()
    torch.testing.assert_close(held[0], own[0])  # this tile is a whole picture
    assert not torch.allclose(held[1], own[1], atol=0.01)
    with hold(network):
        assert torch.equal(stretch(maps, (27, 27)), own)
    with pytest.raises(ValueError, match="stop"), hold(network, None, where, (27, 27)):
        raise ValueError("stop")
    assert torch.equal(stretch(maps, (27, 27)), own)


PICTURE = torch.arange(12.0).reshape(1, 1, 3, 4)


@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_every_way_is_undone(turns, mirrored):
    assert torch.equal(
        undo_orientation(orient(PICTURE, turns, mirrored), turns, mirrored), PICTURE
    )
    doubled = (
        orient(PICTURE, turns, mirrored).repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    expected = PICTURE.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(undo_orientation(doubled, turns, mirrored), expected)
