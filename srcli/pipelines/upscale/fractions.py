"""Progress of ``srcli.upscale``: a fraction for the caller, lines for Python's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from srcli.pipelines.upscale.python_options import in_python
from srcli.ports.progress import Progress, Task

log = logging.getLogger(__name__)
ShowProgress = bool | Callable[[float], object]
"""A function of the fraction that is done; True draws a bar on standard error."""

ALMOST_ALL = 1 - 1e-9


class FractionTask(Task):
    """Gives a function the fraction of the tiles that is done; True draws a bar."""

    def __init__(self, progress: ShowProgress, tiles: float) -> None:
        self._show = progress
        if progress is True:
            self._show = _draw_bar
        self._tiles = tiles
        self._finished = 0.0
        self._shown = 0.0
        self.error: Exception | None = None
        """What the function has raised, to end the call."""

    def grow(self, amount: float) -> None:
        """Add to the total."""
        self._tiles += amount

    def advance(self, amount: float = 1.0) -> None:
        """Call the function, or draw the bar."""
        self._finished += amount
        if amount and callable(self._show):
            try:
                fraction = self._finished / self._tiles
                # shares of files that are written add up to nearly whole tiles
                is_all = fraction > ALMOST_ALL
                if not is_all:  # it does not go back where more work has become known
                    self._shown = max(self._shown, fraction)
                self._show(1.0 if is_all else self._shown)
            except Exception as error:
                self.error = error
                raise


class LoggedProgress(FractionTask, Progress):
    """Gives the lines on a raster to Python's log; its tiles are the only task."""

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Return itself."""
        return self

    def message(self, text: str) -> None:
        """Log a line."""
        log.info("%s", in_python(text))

    def warn(self, text: str) -> None:
        """Log a warning."""
        log.warning("%s", in_python(text))


def _draw_bar(fraction: float) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r[{'#' * round(40 * fraction):40}] {fraction:4.0%}{end}")
    sys.stderr.flush()
