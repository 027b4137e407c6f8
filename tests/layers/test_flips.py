"""The eight ways differ, and each is undone."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from srcli.layers.flips import EIGHT, turned, turned_back

PICTURE = torch.arange(12.0).reshape(1, 1, 3, 4)


@pytest.mark.parametrize(("turns", "mirrored"), EIGHT)
def test_every_way_is_undone(turns, mirrored):
    assert torch.equal(turned_back(turned(PICTURE, turns, mirrored), turns, mirrored), PICTURE)
    doubled = turned(PICTURE, turns, mirrored).repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = PICTURE.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(turned_back(doubled, turns, mirrored), expected)


def test_there_are_eight_and_the_first_changes_nothing():
    found = [turned(PICTURE, *way) for way in EIGHT]
    assert len(found) == 8
    assert torch.equal(found[0], PICTURE)
    assert not any(torch.equal(a, b) for a, b in combinations(found, 2))
