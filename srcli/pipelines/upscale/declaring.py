"""Declarations of options: names, help, values, inputs, and what outputs record of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal

Inputs = Literal["all", "photographs", "rasters"]
"""Inputs that an option is for."""
_DECLARATION = "declaration"


@dataclass(frozen=True, kw_only=True)
class Number:
    """Numbers of a range, ends included, and a word that stands for None."""

    least: int | None = None
    most: int | None = None
    is_whole: bool = True
    word: str = ""


@dataclass(frozen=True)
class Words:
    """The values that may be chosen from."""

    choices: tuple[str | int, ...]


@dataclass(frozen=True)
class File:
    """A path; ``is_text`` keeps it as it is typed, as a folder may be told by its slash."""

    is_text: bool = False


Takes = Number | Words | File | Callable[[str], Any]
"""Values of an option; a function reads them from a word, and raises ValueError."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record that outputs keep of an option that changes their pixels."""

    name: str = ""
    """As earlier versions have called it; empty is that of the field."""
    value: Callable[[Any], object] = lambda value: value
    """Makes what is recorded from the value; nothing is recorded of what is false."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """An option, as the command line, Python and records of outputs need it."""

    names: tuple[str, ...] = ()
    """Such as ``-b`` and ``--bidx``, for messages the last one. Empty for an option that
    several commands have: ``cli/options.py`` declares it."""
    help: str = ""
    heading: str = ""
    """Above this option and those that follow."""
    takes: Takes | None = None
    """None is any text; a flag, for a field that is True or False."""
    metavar: str | None = None
    count: int = 1
    """Words that follow the option."""
    joins: Callable[[tuple[Any, ...]], Any] | None = None
    """Makes one value of several, for an option that is given repeatedly."""
    changes_pixels: bool | Record | Literal["settled"]
    """Outputs are made again if it is given with another value. ``settled``: the record
    depends on other options, too; see ``Settled._own_records``."""
    inputs: Inputs = "all"
    only: object = None
    """The one value that shows what the inputs are; None for all but the default."""
    python: str = ""
    """Argument of ``srcli.upscale``; empty for an option that it lacks."""

    @property
    def name(self) -> str:
        """The name for messages; empty for an option that several commands have."""
        return self.names[-1].partition("/")[0] if self.names else ""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A field of a class of options, with its declaration."""

    field: str
    default: Any
    option: Declaration

    def is_given(self, options: object) -> bool:
        """Tell if options have another value than the default."""
        return bool(getattr(options, self.field) != self.default)

    def shows_inputs(self, options: object) -> bool:
        """Tell if a value that is given shows that inputs are of the option's kind."""
        if self.option.only is None:
            return self.is_given(options)
        return bool(getattr(options, self.field) == self.option.only)

    def record(self, options: object) -> tuple[str, object]:
        """Return name and value of what outputs record; a value is false for nothing."""
        record = self.option.changes_pixels
        if not isinstance(record, Record):
            record = Record()
        if not self.is_given(options):
            return self.field, None
        return record.name or self.field, record.value(getattr(options, self.field))


def declare(  # noqa: PLR0913 - an option has so many sides
    names: str = "",
    *,
    default: Any,  # noqa: ANN401 - of any option
    changes_pixels: bool | Record | Literal["settled"],
    help: str = "",
    heading: str = "",
    takes: Takes | None = None,
    metavar: str | None = None,
    count: int = 1,
    joins: Callable[[tuple[Any, ...]], Any] | None = None,
    inputs: Inputs = "all",
    only: object = None,
    python: str = "",
) -> Any:  # noqa: ANN401 - as dataclasses.field has it
    """Return the field of an option; see ``Declaration`` for the arguments.

    ``names`` are written as in the help: ``-b, --bidx``.
    """
    option = Declaration(
        names=tuple(filter(None, names.split(", "))),
        help=help,
        heading=heading,
        takes=takes,
        metavar=metavar,
        count=count,
        joins=joins,
        changes_pixels=changes_pixels,
        inputs=inputs,
        only=only,
        python=python,
    )
    metadata = {_DECLARATION: option}
    if isinstance(default, dict):  # dataclasses want one for each object
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def declared_fields(options_type: type[Any]) -> tuple[Declared, ...]:
    """Return the declared fields of a class of options, in the order of its help."""
    declared = []
    for entry in fields(options_type):
        if _DECLARATION in entry.metadata:
            option = entry.metadata[_DECLARATION]
            default = _default_of(entry)
            declared.append(Declared(field=entry.name, default=default, option=option))
    return tuple(declared)


def _default_of(entry: Field[Any]) -> Any:  # noqa: ANN401
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return entry.default
