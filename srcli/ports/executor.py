"""Where units of work run: this process, several ones, other machines; a unit is plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from srcli.ports.progress import Progress

Plain = Mapping[str, Any]
"""What JSON can hold: a unit of work, or what came of it."""

Work = Callable[[Plain, Progress, Callable[[], bool]], Plain]
"""A function of a module, so that its name finds it in another process. It is given a unit, whom to
tell of its progress, and what to ask whether to stop; it returns what came of the unit."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one unit ended."""

    index: int
    """Its place among the units."""
    result: Plain | None
    """What the work returned; None where its process died."""
    crash: str = ""
    """What is known of the death of the process."""


class Executor(Protocol):
    """Runs units of work, one after another or side by side."""

    def run(
        self,
        work: Work,
        units: Sequence[Plain],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Iterator[Ended]:
        """Run all units; give each as it ends, in any order.

        A unit that dies takes none of the others with it. Once ``stop`` says so, no further unit
        begins, and those that run are told to stop; they come out, too.

        Args:
            work: What to do with a unit.
            units: Plain data, each with a text ``label`` for people.
            progress: Told of what runs.
            stop: Asked often.
        """
