"""Maps of tiles are stretched as their parts of the whole picture's map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srcli.layers.tiles import (
    ORIENTATIONS,
    StretchedMap,
    orient,
    orient_positions,
    stretch_part,
    stretch_weights,
    undo_orientation,
    use_positions,
)

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
    [(torch.float32, "bilinear"), (torch.float64, "bilinear"), (torch.float32, "nearest")],
)
def test_parts_equal_the_interpolated_whole(height, width, dtype, mode):
    torch.manual_seed(0)
    sides = torch.tensor([height, width])
    whole_map = torch.rand(1, 3, *count(sides).tolist(), dtype=dtype)
    whole = F.interpolate(whole_map, (height, width), mode=mode)
    side = 57  # eight values
    corners = [(0, 0), (36, 0), (height - side, width - side)]
    positions = [(top - top % STEP, left - left % STEP, height, width) for top, left in corners]
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
    torch.testing.assert_close(got[0, :, :42, :42], parts[0][0, :, :42, :42], atol=2e-5, rtol=0)


def test_far_to_the_right_places_are_as_exact_as_at_the_start():
    width = 600_009  # 100,000 values
    values = count(torch.tensor(width)).item()
    left, side = 450_000, 57
    tile_map = torch.arange(8.0).expand(1, 1, 8, 8)
    got = stretched(tile_map, (side, side), place((0, left, side, width)))
    exact = [(x + 0.5) * values / width - 0.5 - left / STEP for x in range(left, left + side)]
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
    assert torch.equal(picture[top : top + part.shape[0], left : left + part.shape[1]], part)


def test_a_placement_is_held_within_its_block_alone():
    where = place((0, 0, 27, 27), (0, 0, 40, 27))
    network = torch.nn.ModuleList([StretchedMap(step=STEP, minimum=MINIMUM)])
    (stretch,) = network
    assert isinstance(stretch, StretchedMap)
    maps = torch.rand(2, 1, 3, 3)
    own = stretch(maps, (27, 27))
    with use_positions(network, where, (27, 27)):
        held = stretch(maps, (27, 27))
        assert not network.state_dict()
    torch.testing.assert_close(held[0], own[0])  # this tile is a whole picture
    assert not torch.allclose(held[1], own[1], atol=0.01)
    with use_positions(network, None, (27, 27)):
        assert torch.equal(stretch(maps, (27, 27)), own)
    with pytest.raises(ValueError, match="stop"), use_positions(network, where, (27, 27)):
        raise ValueError("stop")
    assert torch.equal(stretch(maps, (27, 27)), own)


PICTURE = torch.arange(12.0).reshape(1, 1, 3, 4)


@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_every_way_is_undone(turns, mirrored):
    assert torch.equal(undo_orientation(orient(PICTURE, turns, mirrored), turns, mirrored), PICTURE)
    doubled = orient(PICTURE, turns, mirrored).repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = PICTURE.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(undo_orientation(doubled, turns, mirrored), expected)
