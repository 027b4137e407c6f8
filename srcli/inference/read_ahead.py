"""Read the tiles of an image in a thread, some of them ahead of their use."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

    from numpy.typing import NDArray

    from srcli.ports.image import Source, Window

    Place = tuple[int, int, Window]
    Pixels = NDArray[Any] | None


class ReadAhead:
    """The tiles of an image in order; use it in a ``with`` statement, which ends the thread.

    Errors of the source arrive with the tile that they belong to. The thread never waits for the
    user of the tiles: what is read ahead is asked for one by one. So nothing hangs where that user
    stops early.

    Args:
        source: Read by one thread at a time.
        places: Row, column and window of the tiles.
        ahead: Tiles that may be read before they are asked for; with 0 there is no thread.
    """

    def __init__(self, source: Source, places: Iterable[Place], *, ahead: int) -> None:
        self.waited = 0.0
        """Seconds for which tiles were waited for, until now."""
        self._source = source
        self._places = iter(places)
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tiles") if ahead else None

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, at the latest when the tile it is reading is there."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[int, int, Pixels]]:
        """Yield (row, column, pixels); None instead of pixels where none is valid.

        Raises:
            SrxError: Whatever reading a tile failed of.
        """
        pool = self._pool
        if pool is None:
            for row, column, window in self._places:
                start = time.perf_counter()
                pixels = self._source.read(window)
                self.waited += time.perf_counter() - start
                yield row, column, pixels
            return
        pending: deque[tuple[int, int, Future[Pixels]]] = deque()
        while True:
            while len(pending) < self._ahead and (place := next(self._places, None)):
                row, column, window = place
                pending.append((row, column, pool.submit(self._source.read, window)))
            if not pending:
                return
            row, column, future = pending.popleft()
            start = time.perf_counter()
            pixels = future.result()
            self.waited += time.perf_counter() - start
            yield row, column, pixels
