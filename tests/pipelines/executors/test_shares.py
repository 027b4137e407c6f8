"""Shares of items: all of them once, shorter towards the end."""

from __future__ import annotations

import pytest

from srcli.pipelines.executors.shares import LARGEST_SHARE, shares


@pytest.mark.parametrize(("count", "slots"), [(0, 2), (1, 8), (40, 2), (1000, 3), (5, 0)])
def test_shares_hold_every_item_once_and_become_shorter(count, slots):
    found = shares(range(count), slots)
    assert [item for share in found for item in share] == list(range(count))
    sizes = [len(share) for share in found]
    assert sizes == sorted(sizes, reverse=True)
    if count:
        assert sizes[-1] == 1
        assert sizes[0] <= min(LARGEST_SHARE, max(1, count // max(slots, 1)))
