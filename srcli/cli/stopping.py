"""Signals that ask a long command for an orderly end."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Self


class StopSignals:
    """Ctrl-C and SIGTERM ask for an orderly end; a second one aborts.

    Use as a context manager; call it to learn whether to stop. A signal that comes before it was
    ever called aborts, too: nobody would hear the question yet.

    Args:
        silent: Say nothing when a signal comes.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._asked = self._stop = False
        self._former: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        self._asked = True
        return self._stop

    def __enter__(self) -> Self:
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stop or not self._asked:
            raise KeyboardInterrupt
        self._stop = True
        if self._silent:
            return
        # Written directly: the interrupted code may be inside the buffered stream.
        os.write(2, b"\nsrx: stopping after this iteration; once more aborts\n")
