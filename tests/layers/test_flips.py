"""The eight ways differ, and each is undone."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from srcli.layers.flips import ORIENTATIONS, orient, undo_orientation

PICTURE = torch.arange(12.0).reshape(1, 1, 3, 4)


@pytest.mark.parametrize(("turns", "mirrored"), ORIENTATIONS)
def test_every_way_is_undone(turns, mirrored):
    assert torch.equal(undo_orientation(orient(PICTURE, turns, mirrored), turns, mirrored), PICTURE)
    doubled = orient(PICTURE, turns, mirrored).repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = PICTURE.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(undo_orientation(doubled, turns, mirrored), expected)


def test_there_are_eight_and_the_first_changes_nothing():
    found = [orient(PICTURE, *way) for way in ORIENTATIONS]
    assert len(found) == 8
    assert torch.equal(found[0], PICTURE)
    assert not any(torch.equal(a, b) for a, b in combinations(found, 2))
