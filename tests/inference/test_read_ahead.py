"""Tiles read ahead: order, bounds, errors, and threads that always end."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from srcli.errors import PictureError
from srcli.inference.memory import ArraySource
from srcli.inference.read_ahead import ReadAhead
from srcli.inference.tiling import make_grid

PIXELS = np.random.default_rng(0).integers(0, 255, (50, 60, 2), dtype=np.uint8)
GRID = make_grid(50, 60, tile=16, overlap=4)


class Watched(ArraySource):
    """Counts what is read, by whom; nothing where a window is empty; breaks where told."""

    def __init__(self, broken=None, slow=0.0):
        super().__init__(PIXELS)
        self.reads, self.threads, self.broken, self.slow = 0, set(), broken, slow

    def read(self, window):
        time.sleep(self.slow)
        self.threads.add(threading.get_ident())
        if self.reads == self.broken:
            raise PictureError("a.tif: cannot be read")
        self.reads += 1
        return None if window.top == 0 else super().read(window)


def own_threads():
    return [each for each in threading.enumerate() if each.name.startswith("tiles")]


@pytest.mark.parametrize("ahead", [0, 1, 7, 1000])
def test_tiles_come_in_order_with_their_places(ahead):
    source, got = Watched(), []
    with ReadAhead(source, GRID.places(), ahead=ahead) as reader:
        got = list(reader)
    assert [place[:2] for place in got] == [place[:2] for place in GRID.places()]
    for (row, _, pixels), (_, _, window) in zip(got, GRID.places(), strict=True):
        if row == 0:
            assert pixels is None
        else:
            np.testing.assert_array_equal(pixels, ArraySource(PIXELS).read(window))
    assert (threading.get_ident() in source.threads) == (ahead == 0)
    assert len(source.threads) == 1
    assert own_threads() == []


@pytest.mark.parametrize("ahead", [1, 4])
def test_no_more_is_read_than_allowed(ahead):
    source = Watched()
    with ReadAhead(source, GRID.places(), ahead=ahead) as reader:
        for used, _ in enumerate(reader):
            time.sleep(0.003)
            assert source.reads <= used + ahead
        assert source.reads == GRID.count


def test_reading_goes_on_while_tiles_are_used():
    source = Watched(slow=0.004)
    with ReadAhead(source, GRID.places(), ahead=4) as reader:
        next(iter(reader))
        deadline = time.monotonic() + 5
        while source.reads < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert source.reads == 4
    with ReadAhead(Watched(slow=0.004), GRID.places(), ahead=0) as reader:
        assert len(list(reader)) == GRID.count
        assert reader.waited >= 0.004 * GRID.count


@pytest.mark.parametrize("ahead", [0, 1, 50])
@pytest.mark.parametrize("broken", [0, 6])
def test_errors_come_with_the_tile_that_they_belong_to(ahead, broken):
    got: list[tuple[int, int]] = []
    with (
        ReadAhead(Watched(broken), GRID.places(), ahead=ahead) as reader,
        pytest.raises(PictureError, match="cannot be read"),
    ):
        got.extend(tile[:2] for tile in reader)
    assert len(got) == broken
    assert own_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_thread_ends_where_the_user_stops_early(error):
    source = Watched(slow=0.002)

    def use():
        with ReadAhead(source, GRID.places(), ahead=8) as reader:
            for _ in reader:
                raise error

    with pytest.raises(error):
        use()
    assert own_threads() == []
    reads = source.reads
    assert reads < GRID.count
    time.sleep(0.01)
    assert source.reads == reads
