"""Work in threads beside the main one: results computed ahead, rows written behind."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from numpy.typing import NDArray


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
        if not self._pending:
            item = next(self._items)
            self._pending.append((item, self._submit(item)))
        item, future = self._pending[0]
        wait([future])
        self._pending.popleft()
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


class WriteBehind:
    """Write rows in a thread, in order.

    In a ``with`` statement it is closed at the end, or cancelled where an exception leaves it.

    Args:
        sink_write: Takes the first row and the rows (h, W, C); called from one thread only.
        limit_bytes: Of rows that wait or are being written. One piece is always accepted.
    """

    def __init__(self, sink_write: Callable[[int, NDArray[Any]], None], limit_bytes: int) -> None:
        self._sink_write = sink_write
        self._limit = limit_bytes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._bytes = 0
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is None:
            self.close()
        else:
            self.cancel()

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Take rows; they must not be changed afterwards.

        Raises:
            SrxError: Whatever writing rows failed of before; those after them are lost.
        """
        self._settle(self._limit - rows.nbytes)
        self._pending.append((rows.nbytes, self._pool.submit(self._write, top, rows)))
        self._bytes += rows.nbytes

    def close(self) -> None:
        """Wait until all rows are written, and end the thread."""
        try:
            self._settle(0)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the thread as soon as the rows it is writing are written; the others are lost."""
        self._stopped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def _settle(self, allowed: int) -> None:
        """Wait until no more than ``allowed`` bytes are under way, or nothing at all."""
        while self._pending and (self._bytes > allowed or self._pending[0][1].done()):
            size, future = self._pending[0]
            future.result()  # one that failed stays, to be raised by close() too
            self._pending.popleft()
            self._bytes -= size

    def _write(self, top: int, rows: NDArray[Any]) -> None:
        if self._stopped:
            return
        try:
            self._sink_write(top, rows)
        except BaseException:
            self._stopped = True  # rows after a gap are worth nothing
            raise


_HELD: dict[tuple[int, str], list[object]] = {}
_HELD_LOCK = Lock()


@contextmanager
def hold_setting(owner: Any, name: str, value: object) -> Iterator[None]:  # noqa: ANN401
    """Hold an attribute that all threads share; the last of those that overlap puts it back.

    One that raises RuntimeError when it is read, as PyTorch's older settings do where a program has
    chosen by the newer ones, stays as it is.
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
