"""Reading ahead: order, bounds, errors, and threads that always end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from srcli.errors import PictureError
from srcli.inference.memory import ArraySource
from srcli.inference.tiling import make_grid
from srcli.threads import ReadAhead

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
    return [each for each in threading.enumerate() if each.name.startswith("ahead")]


def tiles_of(source, *, ahead):
    """Read the tiles of a source, whose place is row, column and window."""
    return ReadAhead(lambda place: source.read(place[2]), GRID.windows(), ahead=ahead)


@pytest.mark.parametrize("ahead", [0, 1, 7, 1000])
def test_tiles_come_in_order_with_their_places(ahead):
    source, got = Watched(), []
    with tiles_of(source, ahead=ahead) as reader:
        got = list(reader)
    assert [place for place, _ in got] == list(GRID.windows())
    for (row, _, window), reading in got:
        if row == 0:
            assert reading.result() is None
        else:
            np.testing.assert_array_equal(reading.result(), ArraySource(PIXELS).read(window))
    assert (threading.get_ident() in source.threads) == (ahead == 0)
    assert len(source.threads) == 1
    assert own_threads() == []


@pytest.mark.parametrize("ahead", [1, 4])
def test_no_more_is_read_than_allowed(ahead):
    source = Watched()
    with tiles_of(source, ahead=ahead) as reader:
        for used, _ in enumerate(reader):
            time.sleep(0.003)
            assert source.reads <= used + ahead
        assert source.reads == GRID.count


def test_reading_goes_on_while_tiles_are_used():
    source = Watched(slow=0.004)
    with tiles_of(source, ahead=4) as reader:
        next(iter(reader))
        deadline = time.monotonic() + 5
        while source.reads < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert source.reads == 4
    with tiles_of(Watched(slow=0.004), ahead=0) as reader:
        assert len(list(reader)) == GRID.count
        assert reader.waited >= 0.004 * GRID.count


@pytest.mark.parametrize("ahead", [0, 1, 50])
@pytest.mark.parametrize("broken", [0, 6])
def test_errors_come_with_the_tile_that_they_belong_to(ahead, broken):
    got: list[tuple[int, int]] = []

    def use(reader):
        for place, reading in reader:
            reading.result()
            got.append(place[:2])

    with (
        tiles_of(Watched(broken), ahead=ahead) as reader,
        pytest.raises(PictureError, match="cannot be read"),
    ):
        use(reader)
    assert len(got) == broken
    assert own_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_thread_ends_where_the_user_stops_early(error):
    source = Watched(slow=0.002)

    def use():
        with tiles_of(source, ahead=8) as reader:
            for _ in reader:
                raise error

    with pytest.raises(error):
        use()
    assert own_threads() == []
    reads = source.reads
    assert reads < GRID.count
    time.sleep(0.01)
    assert source.reads == reads


def test_a_shared_pool_is_filled_when_told_to_and_left_open():
    with ThreadPoolExecutor(2) as pool:
        seen = []
        with ReadAhead(lambda n: n * n, range(9), ahead=3, pool=pool) as reader:
            for item, future in reader:
                reader.fill()
                seen.append((item, future.result()))
        assert seen == [(n, n * n) for n in range(9)]
        assert pool.submit(int).result() == 0


def test_an_error_in_one_result_leaves_the_others():
    for ahead in (0, 2):
        with ReadAhead(lambda n: 6 // n, [1, 0, 3], ahead=ahead) as reader:
            found = [future.exception() or future.result() for _, future in reader]
        assert [found[0], found[2]] == [6, 2]
        assert isinstance(found[1], ZeroDivisionError)
