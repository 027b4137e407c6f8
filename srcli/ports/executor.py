"""Executor: runs units of work in this process, in several processes or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from srcli.ports.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.ports.progress import Task

JsonDict = Mapping[str, Any]
"""Names and plain values, which can be sent to another process."""
Unit = Any
"""A unit of work: a frozen dataclass of plain values, which can be sent to another process. Its
``label`` names it in messages; it is empty for one whose progress is part of the progress of all.
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The share of a machine that one unit at a time may use."""

    device: str
    """``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``."""
    threads: int
    """Threads of the processor; 0 leaves PyTorch's choice."""


Work = Callable[[Any, Place, Progress, Callable[[], bool]], JsonDict]
"""A function of a module, which another process can import: it takes a unit, its place, the
progress to report to and a function that tells whether to stop, and returns the result."""


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """The result of one unit, or the reason why there is none."""

    index: int
    """Place of the unit in the sequence that was run."""
    result: JsonDict | None
    """The value that the work returned; None if it failed, or its process did."""
    failure: str = ""
    """Reason why it failed; empty if it did not."""


class Executor(Protocol):
    """Runs units of work, one after another or side by side."""

    @property
    def slots(self) -> int:
        """Units that can run at once, at present."""

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool] = lambda: False,
        task: Task | None = None,
        shared: Sequence[Path] = (),
    ) -> Iterator[UnitResult]:
        """Run all units and yield each result when it is there, in any order.

        A unit that fails unexpectedly, or whose process does, does not affect the others. Once
        ``stop`` returns true, no further unit begins and running ones are asked to stop; their
        results are yielded, too.

        Args:
            work: Does a unit.
            units: More may be appended while results are taken.
            progress: Receives the progress of all units.
            stop: Called often; true ends the run.
            task: Shows the progress of all units, in the place of their own tasks. A unit is
                interrupted when it advances after a stop; others ask for themselves.
            shared: Files and folders that all workers must see. A folder that is made first gets
                the results; the others are inputs.

        Raises:
            SrxError: Raised by the work: a reason for which no unit can be done.
        """
