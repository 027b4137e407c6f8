"""Progress of long work: pipelines report it, the command line draws it, tests record it.

By default nothing is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Stop = Callable[[], bool]
"""Returns True once the user has asked to stop; called often by long work."""


class Task:
    """One running piece of work, shown as a bar or a line."""

    def advance(self, amount: float = 1.0) -> None:
        """Add to the work that is done, in the unit of the task."""

    def grow(self, amount: float) -> None:
        """Add to the total: work on one more thing, such as a picture, begins."""

    def extend(self, amount: float) -> None:
        """Add to the total, or take from it: more has become known of what has begun."""
        self.grow(amount)

    def describe(self, text: str) -> None:
        """Replace the text shown beside the bar."""

    def add_waiting(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds for which work stood still, by what it waited for."""

    def close(self) -> None:
        """End the task, done or not."""


class Progress:
    """Receives the reports of pipelines."""

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a piece of work of ``total`` units (None: unknown).

        The unit ``"%"`` shows the share that is done, where amounts mean nothing to users.
        """
        return Task()

    def message(self, text: str) -> None:
        """Report something worth a line."""

    def warn(self, text: str) -> None:
        """Report something that the user should act on."""

    def detail(self, *lines: str) -> None:
        """Report something for --verbose, such as the lines of a traceback."""


class ForwardedProgress(Progress):
    """Passes all reports on to another progress; for subclasses that change some of them."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a piece of work; see ``Progress``."""
        return self.progress.task(label, total=total, unit=unit)

    def reword(self, text: str) -> str:
        """Return the words in which a line is passed on."""
        return text

    def message(self, text: str) -> None:
        """Pass a message on."""
        self.progress.message(self.reword(text))

    def warn(self, text: str) -> None:
        """Pass a warning on."""
        self.progress.warn(self.reword(text))

    def detail(self, *lines: str) -> None:
        """Pass lines for --verbose on."""
        self.progress.detail(*map(self.reword, lines))
