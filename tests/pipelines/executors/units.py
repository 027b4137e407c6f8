"""Units of work of the tests, and what came of them."""

from __future__ import annotations

from operator import attrgetter
from types import SimpleNamespace as Unit


def make_units(count, label="unit {}", folder=None):
    """Make units with the numbers from 0 as values, and in their labels."""
    return [Unit(label=label.format(i), value=i, folder=folder) for i in range(count)]


def run_units(executor, units, work, notes, stop=lambda: False):
    """Run units; return what came of them in their own order."""
    outcomes = list(
        executor.run(
            work, units, progress=notes, stop=stop, label_of=attrgetter("label")
        )
    )
    return sorted(outcomes, key=lambda outcome: units.index(outcome.unit))


def column(outcomes, name):
    """One value of all results."""
    return [outcome.result[name] for outcome in outcomes]


def have_met(folder):
    """Return a function that tells whether two units have left a file in a folder."""
    return lambda: len(list(folder.iterdir())) >= 2
