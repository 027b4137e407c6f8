"""Run a function over many items in shares, so that workers read ahead within each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from srcli.ports.executor import Executor, Unit, UnitResult, Work

T = TypeVar("T")
LARGEST_SHARE = 16
"""Items; reading the first and writing the last of so many costs little beside all of them."""


def run_in_shares(
    executor: Executor,
    work: Work,
    items: Sequence[T],
    unit_of: Callable[[Sequence[T]], Unit],
    **context: Any,  # noqa: ANN401 - keyword arguments of ``run``
) -> Iterator[tuple[Sequence[T], UnitResult]]:
    """Run units that hold several items each; yield each share with its result.

    The items of a share whose process died are run again, one by one, so that one that kills its
    process takes no other with it.

    Args:
        executor: Runs the units.
        work: The function that does a unit.
        items: Plain values.
        unit_of: Makes the unit of a share.
        context: ``progress``, ``stop`` and ``shared`` of :meth:`Executor.run`.
    """
    groups = shares(items, executor.slots)
    units = [unit_of(group) for group in groups]
    for done in executor.run(work, units, **context):
        group = groups[done.index]
        if done.result is None and len(group) > 1:
            groups += [[item] for item in group]
            units += [unit_of([item]) for item in group]
        else:
            yield group, done


def shares(items: Sequence[T], slots: int) -> list[Sequence[T]]:
    """Cut items into runs that become shorter, so that all workers end at about the same time."""
    groups: list[Sequence[T]] = []
    at = 0
    while at < len(items):
        size = max(1, min(LARGEST_SHARE, (len(items) - at) // (2 * max(slots, 1))))
        groups.append(items[at : at + size])
        at += size
    return groups
