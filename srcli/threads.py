"""Compute or read in threads, ahead of the use of the results."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

T = TypeVar("T")
R = TypeVar("R")


class ReadAhead(Generic[T, R]):
    """Iterate over items and the results of a function, some of which are computed ahead.

    Each item comes with a future that is done: ``result()`` returns or raises what the function
    did. The order is that of the items. No thread ever waits for the user of the results, so that
    nothing hangs where that user stops early. A ``with`` statement ends the threads.

    Args:
        function: Called with one item.
        items: Taken one by one.
        ahead: Results that may be under way or waiting when one is asked for; with 0 there is no
            thread, and each is computed when it is asked for.
        workers: Threads.
        pool: Runs the function instead of threads of its own.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        ahead: int,
        workers: int = 1,
        pool: Executor | None = None,
    ) -> None:
        self.waited = 0.0
        """Seconds spent on waiting for results."""
        self._function = function
        self._items = iter(items)
        self._ahead = ahead
        self._own = ThreadPoolExecutor(workers, "ahead") if ahead and pool is None else None
        self._pool = pool or self._own
        self._pending: deque[tuple[T, Future[R]]] = deque()

    def fill(self) -> None:
        """Start all that may be computed ahead by now; asking for a result does so as well."""
        for item in islice(self._items, max(self._ahead - len(self._pending), 0)):
            self._pending.append((item, self._submit(item)))

    def _submit(self, item: T) -> Future[R]:
        if self._pool is not None:
            return self._pool.submit(self._function, item)
        future: Future[R] = Future()
        try:
            future.set_result(self._function(item))
        except Exception as error:  # noqa: BLE001 - raised by result(), as a pool's futures do
            future.set_exception(error)
        return future

    def __iter__(self) -> Iterator[tuple[T, Future[R]]]:
        return self

    def __next__(self) -> tuple[T, Future[R]]:
        self.fill()
        start = time.perf_counter()
        if not self._pending:
            item = next(self._items)
            self._pending.append((item, self._submit(item)))
        item, future = self._pending[0]
        wait([future])
        self._pending.popleft()
        self.waited += time.perf_counter() - start
        return item, future

    def close(self) -> None:
        """Cancel what was not begun, and wait for the end of own threads."""
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()
        if self._own is not None:
            self._own.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
