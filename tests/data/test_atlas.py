"""Patches cut in main memory and by one gather: the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.data.atlas import DeviceAtlas, HostAtlas, turned

CPU = torch.device("cpu")


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    sizes = [(20, 31, 3), (9, 9, 3), (40, 12, 3)]
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("edge", [1, 4, 9])
def test_both_ways_cut_the_same_patches(pictures, edge):
    rng = np.random.default_rng(edge)
    which = rng.integers(0, 3, 80)
    free = np.array([each.shape[:2] for each in pictures])[which] - edge + 1
    corner = (rng.random((80, 2)) * free).astype(np.int64)
    turns = np.arange(80) % 8
    host, gathered = HostAtlas(pictures), DeviceAtlas(list(pictures), CPU)
    patches = host.cut(which, corner, turns, edge)
    assert torch.equal(patches, gathered.cut(which, corner, turns, edge))
    assert patches.shape == (80, 3, edge, edge)
    assert patches.dtype == torch.float32
    assert patches.is_contiguous(memory_format=torch.channels_last)
    for patch, number, (top, left), turn in zip(patches, which, corner, turns, strict=True):
        expected = turned(pictures[number][top : top + edge, left : left + edge], int(turn))
        np.testing.assert_array_equal((patch.permute(1, 2, 0) * 255).round().byte(), expected)


def test_all_eight_ways_differ(pictures):
    ways = {turned(pictures[1], turn).tobytes() for turn in range(8)}
    flips = (pictures[1], pictures[1][:, ::-1])
    assert ways == {np.rot90(flip, k).tobytes() for flip in flips for k in range(4)}
    assert len(ways) == 8


def test_pictures_in_main_memory_are_not_copied(pictures):
    atlas = HostAtlas(pictures)
    assert all(a is b for a, b in zip(atlas.pictures, pictures, strict=True))


def test_pictures_on_a_device_can_leave_main_memory(pictures):
    kept = list(pictures)
    atlas = DeviceAtlas(pictures, CPU, release=True)
    assert pictures == []
    expected = torch.from_numpy(np.concatenate([each.reshape(-1, 3) for each in kept]))
    assert torch.equal(atlas.pixels, expected)
