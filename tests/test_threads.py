"""Reading ahead: order, bounds, errors, and threads that always end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from srcli.errors import PictureError
from srcli.threads import hold_setting, read_ahead, write_behind

COUNT = 30


class Watched:
    """Doubles numbers; counts what is done, by whom; breaks where told."""

    def __init__(self, broken=None):
        self.calls = 0
        self.threads = set()
        self.broken = broken

    def __call__(self, number):
        self.threads.add(threading.get_ident())
        if number == self.broken:
            raise PictureError("a.tif: cannot be read")
        self.calls += 1
        return 2 * number


def own_threads():
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith(("ahead", "rows"))
    ]


@pytest.mark.parametrize("ahead", [0, 1, 7, 1000])
def test_results_come_in_order_and_no_more_is_done_than_allowed(ahead):
    double = Watched()
    begun = []
    got = []

    def items():
        for number in range(COUNT):
            begun.append(number)
            yield number

    with read_ahead(double, items(), ahead=ahead) as reader:
        for used, (number, result) in enumerate(reader):
            assert len(begun) == min(used + max(ahead, 1), COUNT)
            got.append((number, result.result()))
    assert got == [(number, 2 * number) for number in range(COUNT)]
    assert len(double.threads) == 1
    assert own_threads() == []


@pytest.mark.parametrize("ahead", [0, 1, 50])
@pytest.mark.parametrize("broken", [0, 6])
def test_errors_come_with_the_item_that_they_belong_to(ahead, broken):
    got: list[int] = []
    with (
        pytest.raises(PictureError, match="cannot be read"),
        read_ahead(Watched(broken), range(COUNT), ahead=ahead) as reader,
    ):
        got.extend(result.result() for _, result in reader)
    assert len(got) == broken
    assert own_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_thread_ends_where_the_user_stops_early(error):
    double = Watched()

    def use():
        with read_ahead(double, range(COUNT), ahead=8) as reader:
            next(reader)
            raise error

    with pytest.raises(error):
        use()
    assert own_threads() == []
    assert 0 < double.calls <= 8


class Slow:
    """A sink that waits to be let through, and breaks where told."""

    def __init__(self, broken=None, is_open=True):
        self.tops = []
        self.broken = broken
        self.gate = threading.Event()
        self.started = threading.Event()
        if is_open:
            self.gate.set()

    def write(self, top, rows):
        self.started.set()
        self.gate.wait()
        if top == self.broken:
            raise PictureError("a.tif: the disk is full")
        assert (rows == top % 256).all()
        self.tops.append(top)


def rows_of(top, size=100):
    return np.full((1, size, 1), top % 256, np.uint8)


@pytest.mark.parametrize("limit", [0, 100, 250, 10**6])
def test_rows_arrive_in_order_before_close_returns(limit):
    sink = Slow()
    with write_behind(sink.write, limit) as write:
        for top in range(40):
            write(top, rows_of(top))
    assert sink.tops == list(range(40))
    assert own_threads() == []


@pytest.mark.parametrize(
    ("limit", "accepted"), [(0, 1), (99, 1), (100, 1), (250, 2), (400, 4)]
)
def test_no_more_waits_than_allowed_but_always_one(limit, accepted):
    sink = Slow(is_open=False)
    with write_behind(sink.write, limit) as write:
        for top in range(accepted):
            write(top, rows_of(top))
        assert not sink.gate.is_set()
        late = threading.Timer(0.02, sink.gate.set)
        late.start()
        write(accepted, rows_of(accepted))
        assert sink.gate.is_set()
    assert sink.tops == list(range(accepted + 1))
    late.join()


def write_twenty(write):
    """Write more than may wait, so that earlier rows must have been written."""
    for _ in range(20):
        write(9, rows_of(9))


def test_an_error_is_raised_by_the_next_write_and_at_the_end():
    sink = Slow(broken=2)

    def use():
        with write_behind(sink.write, 1000) as write:
            for top in range(3):
                write(top, rows_of(top))
            with pytest.raises(PictureError, match="disk is full"):
                write_twenty(write)

    with pytest.raises(PictureError, match="disk is full"):
        use()
    assert sink.tops == [0, 1]
    assert own_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_abort_only_what_is_being_written_is_finished(error, monkeypatch):
    sink = Slow(is_open=False)

    class Executor(ThreadPoolExecutor):
        """Lets the sink go on once it has cancelled what it is asked to."""

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            sink.gate.set()
            super().shutdown(wait)

    monkeypatch.setattr("srcli.threads.ThreadPoolExecutor", Executor)

    def use():
        with write_behind(sink.write, 10**6) as write:
            for top in range(20):
                write(top, rows_of(top))
            sink.started.wait()
            raise error

    with pytest.raises(error):
        use()
    assert sink.tops == [0]
    assert own_threads() == []


def test_a_setting_is_put_back_by_the_last_that_held_it():
    owner = SimpleNamespace(exact=False)
    first, second = (hold_setting(owner, "exact", True) for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert owner.exact
    second.__exit__(None, None, None)
    assert not owner.exact


def test_a_setting_that_cannot_be_read_stays():
    class Mixed:
        @property
        def exact(self):
            raise RuntimeError("mix of the legacy and new APIs")

    with hold_setting(Mixed(), "exact", True):
        pass
