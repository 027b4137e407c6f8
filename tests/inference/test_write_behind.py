"""Rows written behind: order, bounds, errors, and threads that always end."""

from __future__ import annotations

import threading
import time
import weakref

import numpy as np
import pytest

from srcli.errors import PictureError
from srcli.inference.write_behind import WriteBehind


class Slow:
    """A sink that waits to be let through, and breaks where told."""

    def __init__(self, broken=None, is_open=True):
        self.tops, self.broken, self.gate = [], broken, threading.Event()
        self.started = threading.Event()
        if is_open:
            self.gate.set()

    def write(self, top, rows):
        self.started.set()
        self.gate.wait(10)
        if top == self.broken:
            raise PictureError("a.tif: the disk is full")
        assert (rows == top % 256).all()
        self.tops.append(top)


def rows_of(top, size=100):
    return np.full((1, size, 1), top % 256, np.uint8)


def own_threads():
    return [each for each in threading.enumerate() if each.name.startswith("rows")]


@pytest.mark.parametrize("limit", [0, 100, 250, 10**6])
def test_rows_arrive_in_order_before_close_returns(limit):
    sink = Slow()
    with WriteBehind(sink, limit) as behind:
        for top in range(40):
            behind.write(top, rows_of(top))
    assert sink.tops == list(range(40))
    assert own_threads() == []


@pytest.mark.parametrize(("limit", "accepted"), [(0, 1), (99, 1), (100, 1), (250, 2), (400, 4)])
def test_no_more_waits_than_allowed_but_always_one(limit, accepted):
    sink = Slow(is_open=False)
    behind = WriteBehind(sink, limit)
    for top in range(accepted):
        behind.write(top, rows_of(top))
    assert not sink.gate.is_set()
    late = threading.Timer(0.02, sink.gate.set)
    late.start()
    behind.write(accepted, rows_of(accepted))
    assert sink.gate.is_set()
    assert behind.waited > 0
    behind.close()
    assert sink.tops == list(range(accepted + 1))
    late.join()


def keep_writing(behind):
    """Until something goes wrong, but not for ever."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        behind.write(9, rows_of(9))
        time.sleep(0.001)


def test_an_error_is_raised_by_the_next_write_and_by_close():
    sink = Slow(broken=2)
    behind = WriteBehind(sink, 10**6)
    for top in range(3):
        behind.write(top, rows_of(top))
    with pytest.raises(PictureError, match="disk is full"):
        keep_writing(behind)
    with pytest.raises(PictureError, match="disk is full"):
        behind.write(10, rows_of(10))
    with pytest.raises(PictureError, match="disk is full"):
        behind.close()
    assert sink.tops == [0, 1]
    assert own_threads() == []


def test_an_error_of_the_last_rows_is_raised_by_close():
    sink = Slow(broken=1)
    behind = WriteBehind(sink, 10**6)
    behind.write(0, rows_of(0))
    behind.write(1, rows_of(1))
    with pytest.raises(PictureError, match="disk is full"):
        behind.close()
    assert own_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_abort_only_what_is_being_written_is_finished(error):
    sink = Slow(is_open=False)

    def use():
        with WriteBehind(sink, 10**6) as behind:
            for top in range(20):
                behind.write(top, rows_of(top))
            sink.started.wait(5)
            threading.Timer(0.02, sink.gate.set).start()
            raise error

    with pytest.raises(error):
        use()
    assert sink.tops == [0]
    assert own_threads() == []


def test_rows_are_freed_while_others_wait():
    sink = Slow()
    behind = WriteBehind(sink, 10**6)
    rows = rows_of(0)
    freed = weakref.ref(rows)
    behind.write(0, rows)
    del rows
    deadline = time.monotonic() + 5
    while freed() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert freed() is None
    behind.close()
