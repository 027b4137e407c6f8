"""Read the next pictures of a set while the present one is worked on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")


class ReadAhead(Generic[T, R]):
    """Iterate over items and the futures of what is read for them, in order.

    Args:
        items: What is read.
        read: Reads one.
        pool: Where reading runs.
        depth: Items to read ahead whenever :meth:`ahead` is called.
    """

    def __init__(
        self, items: Iterable[T], read: Callable[[T], R], pool: Executor, depth: int
    ) -> None:
        self._rest = deque(items)
        self._read = read
        self._pool = pool
        self._depth = depth
        self._started: deque[tuple[T, Future[R]]] = deque()

    def __iter__(self) -> Iterator[tuple[T, Future[R]]]:
        while self._rest or self._started:
            if not self._started:
                self._submit()
            yield self._started.popleft()

    def ahead(self) -> None:
        """Start reading: a good moment, because nothing is being timed."""
        while self._rest and len(self._started) < self._depth:
            self._submit()

    def _submit(self) -> None:
        item = self._rest.popleft()
        self._started.append((item, self._pool.submit(self._read, item)))
