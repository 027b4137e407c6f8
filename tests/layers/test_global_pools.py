"""What a whole picture gives to its tiles: statistics that are held, places of stretched maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.inference.orientations import (
    ORIENTATIONS,
    orient,
    orient_positions,
    undo_orientation,
)
from srcli.layers import global_pools
from srcli.layers.attention import ContrastChannelAttention, PooledChannelAttention
from srcli.layers.global_pools import (
    GlobalPool,
    StretchedMap,
    are_finite,
    as_parts_of_pictures,
    contrast,
    half_contrast,
    record_calibration,
    stretch_part,
    stretch_weights,
)
from srcli.models import build_network


class Every(nn.Module):
    """All kinds of pools beside each other."""

    def __init__(self):
        super().__init__()
        self.mean = GlobalPool("mean")
        self.maximum = GlobalPool("maximum")
        self.contrast = GlobalPool("contrast")

    def forward(self, x):
        return {
            "mean": self.mean(x),
            "maximum": self.maximum(x),
            "contrast": self.contrast(x),
        }


def record(windows, network):
    """What the pools of a network see in windows, by name."""
    with record_calibration(network) as calibration:
        network(windows)
    return calibration


@pytest.fixture
def features():
    """Four maps of six channels, in double precision, too small to have margins."""
    return torch.from_numpy(np.random.default_rng(0).normal(3, 2, (4, 6, 8, 12)))


@pytest.mark.parametrize(
    ("spread", "offset"), [(0.0, 0.3), (1e-5, 0.0), (0.5, 0.1), (900.0, 5.0)]
)
def test_half_contrast_neither_vanishes_nor_overflows(spread, offset):
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
    with record_calibration(network) as calibration:
        pooled = network(features)
        assert not calibration  # filled when the block ends
    expected = network(features.permute(1, 0, 2, 3).reshape(1, 6, 32, 12))
    assert set(calibration) == {"mean", "maximum", "contrast"}
    for name, value in calibration.items():
        torch.testing.assert_close(pooled[name], expected[name], rtol=1e-6, atol=1e-6)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-6, atol=0)
    assert torch.equal(calibration["maximum"], expected["maximum"].float())


def test_contrast_by_strips_of_rows_is_that_of_the_map(features, monkeypatch):
    for maps in (features, features.bfloat16()):
        expected = contrast(maps)
        for values in (1, 200):  # a row at a time, and several
            with monkeypatch.context() as patch:
                patch.setattr(global_pools, "STRIP", values)
                torch.testing.assert_close(contrast(maps), expected)


@pytest.mark.parametrize("gate", [ContrastChannelAttention, PooledChannelAttention])
def test_a_part_is_gated_as_the_whole_was(features, gate):
    torch.manual_seed(0)
    network = nn.Sequential(*(gate(channels=6, reduction=2) for _ in "ab")).double()
    picture = features[:1]
    with record_calibration(network) as calibration:
        gated = network(picture)
    tile = picture[:, :, :5, :4]
    with as_parts_of_pictures(network, calibration):
        gated_part = network(tile)
    torch.testing.assert_close(gated_part, gated[:, :, :5, :4])
    assert not torch.allclose(network(tile), gated_part)


def test_an_error_ends_the_holding(features):
    network = Every()
    expected = network(features)
    calibration = record(features[:1], network)
    with (
        pytest.raises(ValueError, match="stop"),
        as_parts_of_pictures(network, calibration),
    ):
        raise ValueError("stop")
    torch.testing.assert_close(network(features), expected)
    with pytest.raises(ValueError, match="stop"), record_calibration(network):
        raise ValueError("stop")
    torch.testing.assert_close(network(features), expected)
    del calibration["contrast"]
    with pytest.raises(KeyError), as_parts_of_pictures(network, calibration):
        pass
    torch.testing.assert_close(network(features), expected)


def test_values_that_are_not_finite_are_told(features):
    assert are_finite({})
    assert are_finite(record(features, Every()))
    features[1, 2, 3, 4] = float("inf")
    assert are_finite(record(features[:1], Every()))
    assert not are_finite(record(features, Every()))


def test_an_exported_network_keeps_what_its_pools_hold():
    options = {"channels": 4, "reduction": 2, "levels": 2, "branches": 1}
    network = build_network("nested-attn", scale=2, options=options).eval()
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad(), as_parts_of_pictures(network, record(x * 2, network)):
        expected = network(x)
        exported = torch.export.export(network, (x,))
    torch.testing.assert_close(exported.module()(x), expected)
    assert not torch.equal(network(x), expected)


STEP = 6
MINIMUM = 15


def count(sides):
    return (sides - 9) // STEP


def place(*numbers):
    return torch.tensor(numbers)


def stretched(maps, size, positions, mode="bilinear"):
    weights = stretch_weights(positions, size, step=STEP, minimum=MINIMUM, mode=mode)
    return stretch_part(maps, *weights)


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
    picture_map = torch.rand(1, 3, count(height), count(width), dtype=dtype)
    picture = F.interpolate(picture_map, (height, width), mode=mode)
    side = 57  # eight values
    positions = []
    maps = []
    parts = []
    for top, left in ((0, 0), (36, 0), (height - side, width - side)):
        row = top // STEP
        column = left // STEP
        top = row * STEP
        left = column * STEP
        positions.append((top, left, height, width))
        maps.append(picture_map[..., row : row + 8, column : column + 8])
        parts.append(picture[..., top : top + side, left : left + side])
    tiles_out = stretched(torch.cat(maps), (side, side), place(*positions), mode)
    assert tiles_out.dtype == dtype
    # Values drift by up to two from the pixels that they were made of.
    inner = (..., slice(15, -15), slice(15, -15))
    expected = torch.cat(parts)
    torch.testing.assert_close(tiles_out[inner], expected[inner], atol=2e-5, rtol=0)
    # The first tile ends nowhere above and to its left: there it is right to the edge.
    corner = (0, slice(None), slice(42), slice(42))
    torch.testing.assert_close(tiles_out[corner], expected[corner], atol=2e-5, rtol=0)


def test_far_to_the_right_places_are_as_exact_as_at_the_start():
    width = 600_009  # 100,000 values
    column = 450_000
    side = 57
    tile_map = torch.arange(8.0).expand(1, 1, 8, 8)
    out = stretched(tile_map, (side, side), place((0, column, side, width)))
    pixels = torch.arange(column, column + side, dtype=torch.float64)
    exact = (pixels + 0.5) * count(width) / width - 0.5 - column / STEP
    expected = exact.clamp(0, 7).float().expand(1, 1, side, side)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_places_follow_what_is_mirrored_and_rotated(turns, mirrored):
    picture = torch.arange(7 * 11).view(1, 1, 7, 11)
    turned = orient(picture, turns, mirrored)
    tile = orient(picture[..., 2:5, 4:9], turns, mirrored)
    position = orient_positions(place((2, 4, 7, 11)), 3, 5, turns, mirrored)
    ((row, column, *size),) = position.tolist()
    assert size == list(turned.shape[2:])
    height, width = tile.shape[2:]
    assert torch.equal(turned[..., row : row + height, column : column + width], tile)


def test_a_placement_is_held_within_its_block_alone():
    positions = place((0, 0, 27, 27), (0, 0, 40, 27))
    network = torch.nn.ModuleList([StretchedMap(step=STEP, minimum=MINIMUM)])
    (stretch,) = network
    assert isinstance(stretch, StretchedMap)
    maps = torch.rand(2, 1, 3, 3)
    alone = stretch(maps, (27, 27))
    with as_parts_of_pictures(network, None, positions, (27, 27)):
        placed = stretch(maps, (27, 27))
        assert not network.state_dict()
    torch.testing.assert_close(placed[0], alone[0])  # this tile is a whole picture
    assert not torch.allclose(placed[1], alone[1], atol=0.01)
    with as_parts_of_pictures(network):
        assert torch.equal(stretch(maps, (27, 27)), alone)
    holding = as_parts_of_pictures(network, None, positions, (27, 27))
    with pytest.raises(ValueError, match="stop"), holding:
        raise ValueError("stop")
    assert torch.equal(stretch(maps, (27, 27)), alone)


PICTURE = torch.arange(12.0).reshape(1, 1, 3, 4)


@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_every_way_is_undone(turns, mirrored):
    turned = orient(PICTURE, turns, mirrored)
    assert torch.equal(undo_orientation(turned, turns, mirrored), PICTURE)
    undone = undo_orientation(doubled(turned), turns, mirrored)
    assert torch.equal(undone, doubled(PICTURE))


def doubled(picture):
    return picture.repeat_interleave(2, 2).repeat_interleave(2, 3)
