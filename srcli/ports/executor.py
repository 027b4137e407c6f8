"""Executor: runs units of work in this process, in several processes or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from srcli.ports.progress import Progress

JsonDict = Mapping[str, Any]
"""Names and values that JSON can hold: a unit of work, or its result."""

Work = Callable[[JsonDict, Progress, Callable[[], bool]], JsonDict]
"""A function of a module, which another process can import: it takes a unit, the progress to report
to and a function that tells whether to stop, and returns the result of the unit."""


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """The result of one unit, or the reason why there is none."""

    index: int
    """Place of the unit in the sequence that was run."""
    result: JsonDict | None
    """The value that the work returned; None if its process failed."""
    failure: str = ""
    """Why the process failed; empty if it did not."""


class Executor(Protocol):
    """Runs units of work, one after another or side by side."""

    def run(
        self,
        work: Work,
        units: Sequence[JsonDict],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Iterator[UnitResult]:
        """Run all units and yield each result when it is there, in any order.

        A unit whose process fails does not affect the others. Once ``stop`` returns true, no
        further unit begins and running ones are asked to stop; their results are yielded, too.

        Args:
            work: The function that does a unit.
            units: Plain data, each with a text ``label`` for people.
            progress: Receives the progress of all units.
            stop: Called often; true ends the run.
        """
