"""A sink that writes in a thread, while the next rows are computed."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from srcli.ports.image import Sink


class WriteBehind:
    """Hand rows to another sink in a thread, in order; implements ``srcli.ports.image.Sink``.

    In a ``with`` statement it is closed at the end, or cancelled where an exception leaves it.

    Args:
        sink: Takes the rows; called from one thread only.
        limit_bytes: Of rows that wait or are being written. One piece is always accepted.
    """

    def __init__(self, sink: Sink, limit_bytes: int) -> None:
        self.waited = 0.0
        """Seconds for which the caller waited, until now."""
        self._sink = sink
        self._limit = limit_bytes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._bytes = 0
        self._stopped = False

    def __enter__(self) -> WriteBehind:
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
        """Wait until all rows are written, and end the thread.

        Raises:
            SrxError: Whatever writing failed of.
        """
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
        start = time.perf_counter()
        try:
            while self._pending and (self._bytes > allowed or self._pending[0][1].done()):
                size, future = self._pending[0]
                future.result()  # one that failed stays, to be raised by close() too
                self._pending.popleft()
                self._bytes -= size
        finally:
            self.waited += time.perf_counter() - start

    def _write(self, top: int, rows: NDArray[Any]) -> None:
        if self._stopped:
            return
        try:
            self._sink.write(top, rows)
        except BaseException:
            self._stopped = True  # rows after a gap are worth nothing
            raise
