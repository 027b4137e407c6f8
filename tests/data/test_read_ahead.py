"""Reading ahead changes when batches are made, not which."""

from __future__ import annotations

import threading

import pytest
import torch

from srcli.data.degraded_patches import DegradedSampler
from srcli.data.pairs import make_pairs
from srcli.data.read_ahead import ReadAhead
from srcli.errors import DataError
from srcli.recipes.degradation import AERIAL

CPU = torch.device("cpu")


@pytest.fixture
def sampler(astronaut):
    return DegradedSampler(make_pairs([astronaut], 2), AERIAL, seed=1)


class Watched:
    """Notes which steps were made, and in which threads."""

    def __init__(self, sampler):
        self.sampler, self.steps, self.threads = sampler, [], set()

    def batch(self, step, **settings):
        self.steps.append(step)
        self.threads.add(threading.current_thread())
        return self.sampler.batch(step, **settings)


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_batches_are_the_same_in_and_out_of_order(sampler):
    ahead = ReadAhead(sampler, CPU)
    for step, batch, patch in [(0, 4, 16), (1, 4, 16), (2, 4, 16), (9, 4, 16), (3, 4, 16)]:
        made = ahead.batch(step, batch=batch, patch=patch, prefer_detail=True)
        assert same(made, sampler.batch(step, batch=batch, patch=patch, prefer_detail=True))
    # A new stage: other settings at the step that was made with the old ones.
    assert same(ahead.batch(4, batch=2, patch=24), sampler.batch(4, batch=2, patch=24))
    shuffled = ahead.batch(5, batch=2, patch=24, shuffle_channels=True)
    assert same(shuffled, sampler.batch(5, batch=2, patch=24, shuffle_channels=True))


def test_the_next_batches_are_made_beforehand_and_once(sampler):
    watched = Watched(sampler)
    ahead = ReadAhead(watched, CPU, ahead=3)  # type: ignore[arg-type]
    for step in range(5):
        ahead.batch(step, batch=2, patch=16)
    ahead._pool.shutdown(wait=True)
    assert sorted(watched.steps) == list(range(8))
    assert threading.current_thread() not in watched.threads


def test_errors_come_where_the_batch_is_asked_for(sampler):
    ahead = ReadAhead(sampler, CPU)
    with pytest.raises(DataError, match="use a smaller patch"):
        ahead.batch(0, batch=2, patch=500)
