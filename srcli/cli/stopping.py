"""Stop a long command in order after Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Self


class StopSignals:
    """A context manager that turns Ctrl-C and SIGTERM into a request to stop.

    Call it to ask for the request. A second signal aborts, and so does one that arrives before the
    first call, when nothing would react to the request yet.

    Args:
        silent: Print nothing when a signal arrives.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._asked = self._stop = False
        self._former: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Return True after a signal."""
        self._asked = True
        return self._stop

    def __enter__(self) -> Self:
        """Install the signal handlers."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the former handlers."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stop or not self._asked:
            raise KeyboardInterrupt
        self._stop = True
        if self._silent:
            return
        # written directly: the interrupted code may be using the buffered stream
        os.write(2, b"\nsrx: stopping after this iteration; once more aborts\n")
