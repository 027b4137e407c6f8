"""Work beside the main thread, and settings of the process, which all threads share."""

from __future__ import annotations

import logging
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from threading import Lock, RLock
from typing import Any, TypeVar

from numpy.typing import NDArray

Write = Callable[[int, NDArray[Any]], object]
"""Takes rows (h, W, C) of an image and their first row, from top to bottom."""
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def read_ahead(
    function: Callable[[T], R], items: Iterable[T], *, ahead: int, workers: int = 1
) -> Iterator[Iterator[tuple[T, Future[R]]]]:
    """Yield an iterator over items and the results of a function, some computed ahead in threads.

    Each item comes with a future that is done: ``result()`` returns or raises what the
    function did. The order is that of the items. No thread ever waits for the user of
    the results, so that nothing hangs where that user stops early. The end of the block
    ends the threads.

    ``ahead`` results may be under way or waiting when one is asked for, at least that
    one.
    """
    pool = ThreadPoolExecutor(workers, "ahead")
    pending: deque[tuple[T, Future[R]]] = deque()

    def results() -> Iterator[tuple[T, Future[R]]]:
        waiting = iter(items)
        while True:
            for item in islice(waiting, max(ahead, 1) - len(pending)):
                pending.append((item, pool.submit(function, item)))
            if not pending:
                return
            wait([pending[0][1]])
            yield pending.popleft()

    try:
        yield results()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def write_behind(write: Write, limit_bytes: int) -> Iterator[Write]:
    """Yield what takes rows, which must not be changed afterwards, and writes them in a thread.

    All are written at the end of the block; where an exception leaves it, those that
    are being written. What writing fails of is raised by the next call and at the end;
    later rows are lost. Rows of so many bytes wait or are being written; one piece is
    always accepted.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
    pending: deque[tuple[int, Future[None]]] = deque()

    def settle(allowed: int) -> None:
        """Wait until no more than so many bytes are under way, or nothing at all."""
        while pending and (
            sum(size for size, _ in pending) > allowed or pending[0][1].done()
        ):
            pending[0][1].result()  # one that failed stays, to be raised again
            pending.popleft()

    def write_after(above: Future[None] | None, top: int, rows: NDArray[Any]) -> None:
        if above is not None:
            above.result()  # rows after a gap are worth nothing
        write(top, rows)

    def take(top: int, rows: NDArray[Any]) -> None:
        settle(limit_bytes - rows.nbytes)
        above = None
        if pending:
            _, above = pending[-1]
        pending.append((rows.nbytes, pool.submit(write_after, above, top, rows)))

    try:
        yield take
        settle(0)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_HELD: dict[tuple[int, str], list[object]] = {}
_HELD_LOCK = Lock()


@contextmanager
def hold_setting(owner: Any, name: str, value: object) -> Iterator[None]:  # noqa: ANN401
    """Hold an attribute that all threads share; the last of those that overlap puts it back.

    One that raises RuntimeError when it is read, as PyTorch's older settings do where a
    program has chosen by the newer ones, stays as it is.
    """
    key = (id(owner), name)
    with _HELD_LOCK:
        try:
            values = _HELD.get(key) or [getattr(owner, name)]
        except RuntimeError:
            values = []
        else:
            _HELD[key] = values
            values.append(value)
            setattr(owner, name, value)
    try:
        yield
    finally:
        with _HELD_LOCK:
            if values:
                values.remove(value)
                setattr(owner, name, values[-1])
            if len(values) == 1:
                del _HELD[key]


_WARNINGS_LOCK = RLock()


@contextmanager
def warnings_collected() -> Iterator[list[warnings.WarningMessage]]:
    """Collect all warnings instead of showing them; threads take turns: keep it short.

    Filters are of the process, and overlapping blocks of the standard library's
    ``catch_warnings`` would leave those of one of them behind. What Pillow logs before
    an error, such as "More samples per pixel than can be decoded", is shown to those
    alone who have set up logging: without a handler Python prints it.
    """
    logger = logging.getLogger("PIL")
    silent = logging.NullHandler()
    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logger.addHandler(silent)
        try:
            yield caught
        finally:
            logger.removeHandler(silent)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Let processes start without Ctrl-C, which is for the parent; not on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    interrupts = {signal.SIGINT, signal.SIGUSR1}  # the second by the watching process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, interrupts)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
