"""Typed fields of plain values of JSON, TOML and ``--set``: read, converted, ranges checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from srcli.errors import RecipeError
from srcli.files import parse_text

Built = TypeVar("Built")
ROOT = "the recipe"
"""Name of the whole recipe in messages."""
Value = (
    bool
    | int
    | float
    | str
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | None
)
"""Values of the options of networks and losses."""
_USUAL_NAMES = {"lr": "learning_rate", "iterations": "steps"}
"""Other names that fields have in the literature."""
_SCALARS: Mapping[Any, tuple[type | tuple[type, ...], str]] = {
    bool: (bool, "true or false"), int: (int, "a whole number"), float: ((int, float), "a number"),
    str: (str, "a text"), Path: (str, "a path"),
}  # fmt: skip
"""Types of single values as TOML and JSON have them, and their names in messages."""


@dataclass(frozen=True)
class Range:
    """The values that a field may have, put beside its type by ``Annotated``."""

    words: str
    """The values in words, after "must be"."""
    holds: Callable[[Any], object]


POSITIVE = Range("above 0", lambda value: value > 0)
NOT_NEGATIVE = Range("at least 0", lambda value: value >= 0)
FRACTION = Range("in 0..1", lambda value: 0 <= value <= 1)
BELOW_ONE = Range("in [0, 1)", lambda value: 0 <= value < 1)
FRACTIONS = Range("in 0..1", lambda values: all(0 <= value <= 1 for value in values))


def unknown_name(
    noun: str, name: str, where: str, existing: Iterable[str]
) -> RecipeError:
    """Return the error for a name that does not exist, with the nearest one that does.

    Dotted names are of fields further inside, which may be meant as well.
    """
    paths = list(existing)
    path_of = {path.rpartition(".")[2]: path for path in reversed(paths)}
    names = [path for path in paths if "." not in path]
    usual = _USUAL_NAMES.get(name, name)
    near = get_close_matches(usual, path_of, 1) or get_close_matches(
        usual, names, 1, 0.5
    )
    if near:
        path = path_of[near[0]]
        if "." in path and where != ROOT:
            path = f"{where}.{path}"
        hint = f"did you mean {path!r}?"
    elif names:
        hint = f"there are: {', '.join(names)}"
    else:
        hint = "it takes none"
    return RecipeError(f"no {noun} {name!r} in {where}; {hint}")


def _field_paths(hint: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the dotted names of all fields in a type; 0 is any place in a list."""
    if isinstance(hint, type) and is_dataclass(hint):
        for name, inner in field_types(hint).items():
            yield name
            for path in _field_paths(inner):
                yield f"{name}.{path}"
    elif get_origin(hint) in (tuple, Annotated, Union, UnionType):
        prefix = "0." if get_origin(hint) is tuple else ""
        for inner in get_args(hint):
            for path in _field_paths(inner):
                yield prefix + path


@cache
def field_types(cls: type[Any]) -> Mapping[str, Any]:
    """Return names and types of a dataclass's fields, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def convert(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 - any field of any recipe
    """Check a plain value of JSON or TOML against a type and turn it into that type.

    Lists become tuples, tables become dataclasses, whole numbers become floats where
    floats are wanted. Types are dataclasses, tuples, mappings, Literals,
    unions, bool, int, float, str and Path; ``object`` takes any value as it is.
    RecipeError, with the name of the field (``where``), if it does not fit.
    """
    origin = get_origin(hint)
    inner = get_args(hint)
    if hint in (object, Any):
        return value
    if origin is Annotated:
        value = convert(value, inner[0], where)
        for mark in inner[1:]:
            if not mark.holds(value):
                raise RecipeError(f"{where} must be {mark.words}, got {value}")
        return value
    if is_dataclass(hint):
        return _record(value, hint, where)
    if origin is tuple:
        return _sequence(value, inner, where)
    if origin in (Union, UnionType):
        return _union(value, inner, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise RecipeError(
                f"{where} must be a table of names and values, got {value!r}"
            )
        table = {}
        for name, item in value.items():
            table[str(name)] = convert(item, inner[1], f"{where}.{name}")
        return table
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    """Convert a single value: one of a Literal, a bool, a number, a text or a path."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint) or isinstance(value, bool):
            raise RecipeError(
                f"{where} must be one of {', '.join(map(str, get_args(hint)))}; got {value!r}"
            )
        return value
    types, words = _SCALARS.get(hint, ((), hint))
    if not isinstance(value, types) or isinstance(value, bool) is not (hint is bool):
        raise RecipeError(f"{where} must be {words}, got {value!r}")
    if hint is float and not math.isfinite(value):
        raise RecipeError(f"{where} must be a finite number, got {value}")
    return hint(value)


def _record(value: Any, cls: Any, where: str) -> Any:  # noqa: ANN401
    """Convert a table, or a name where the dataclass has named values, to a dataclass."""
    if isinstance(value, cls):
        return value
    if isinstance(value, str) and hasattr(cls, "named"):
        return cls.named(value)  # one of a table
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where} must be a table of fields, got {value!r}")
    types = field_types(cls)
    prefix = "" if where == ROOT else f"{where}."
    values = {}
    for name, item in value.items():
        if name in types:
            values[name] = convert(item, types[name], f"{prefix}{name}")
        else:
            raise unknown_name("field", str(name), where, _field_paths(cls))
    missing = []
    for field in fields(cls):
        is_needed = field.default is field.default_factory is MISSING
        if is_needed and field.name not in values:
            missing.append(repr(field.name))
    if missing:
        raise RecipeError(f"{where}: missing {', '.join(missing)}")
    return cls(**values)


def _sequence(value: Any, items: tuple[Any, ...], where: str) -> tuple[Any, ...]:  # noqa: ANN401
    """Convert a list to a tuple; ``items`` are the types of its items."""
    if isinstance(value, str) and hasattr(items[0], "named"):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        raise RecipeError(f"{where} must be a list, got {value!r}")
    if items[-1] is Ellipsis or len(set(items)) == 1:  # their owner checks the length
        items = items[:1] * len(value)
    if len(items) != len(value):
        raise RecipeError(
            f"{where} must be a list of {len(items)} values, got {value!r}"
        )
    items_of_type = []
    for number, item in enumerate(value):
        items_of_type.append(convert(item, items[number], f"{where}.{number}"))
    return tuple(items_of_type)


def _union(value: Any, choices: tuple[Any, ...], where: str) -> Any:  # noqa: ANN401
    """Convert to the type of several that the value fits."""
    options = [option for option in choices if option is not type(None)]
    if value is None and len(options) < len(choices):
        return None
    if len(options) == 1:
        return convert(value, options[0], where)  # its own message says more
    if isinstance(value, Mapping) and all(map(is_dataclass, options)):
        classes = {get_args(field_types(cls)["kind"])[0]: cls for cls in options}
        name = value.get("kind")
        if not isinstance(name, str):
            raise RecipeError(f"{where} needs a kind, one of {', '.join(classes)}")
        if name not in classes:
            raise unknown_name("kind", name, where, classes)
        return convert(value, classes[name], where)
    for option in options:
        # A whole number stays one where both would do.
        with suppress(RecipeError):
            if not (option is float and isinstance(value, int)):
                return convert(value, option, where)
    raise RecipeError(f"{where} cannot hold {value!r}")


def construct(
    constructor: type[Built], options: Mapping[str, Any], where: str, **further: object
) -> Built:
    """Call a constructor with options as arguments, checked and converted, and further values.

    The constructor is annotated with plain types; ``where`` names the options' owner in
    messages. RecipeError says which option does not exist, has another type, or cannot
    be used.
    """
    names = []
    for parameter in inspect.signature(constructor).parameters.values():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            names.append(parameter.name)
    hints = get_type_hints(vars(constructor).get("__init__", constructor))
    arguments = {}
    for name, value in options.items():
        if name not in names:
            raise unknown_name("option", name, where, names)
        arguments[name] = convert(value, hints.get(name, object), f"{name} of {where}")
    try:
        return constructor(**further, **arguments)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise RecipeError(f"{where}: {error}") from error


_CONSTANTS = {"True": True, "False": False, "None": None}
"""Values of ``--set`` as Python spells them."""


def read_arguments(settings: Iterable[str]) -> Mapping[str, Value]:
    """Return the arguments of a network that settings ``network.NAME=VALUE`` give.

    RecipeError if a value is of no kind that arguments have.
    """
    plain: dict[str, Any] = {"network": {}}
    arguments: Mapping[str, Value] = {}
    for setting in settings:
        apply_setting(plain, setting)
        arguments = convert(plain["network"], Mapping[str, Value], "network")
    return arguments


def apply_setting(plain: dict[str, Any], setting: str) -> None:
    """Set the field of a plain recipe that a setting names; RecipeError if it cannot be read."""
    path, equals, text = setting.partition("=")
    if not equals or "" in path.strip().split("."):
        raise RecipeError(
            f"--set {setting}: give a field and a value, such as stages.0.batch=8"
        )
    set_field(plain, path.strip(), text.strip())


def set_field(plain: dict[str, Any], path: str, value: object) -> None:
    """Set the field at a dotted path of a plain recipe."""
    table: Any = {ROOT: plain}
    key: Any = ROOT
    where = ""
    for name in path.split("."):
        if table[key] is None:  # not there: its other fields have defaults
            table[key] = {}
        table = table[key]
        key = name
        if isinstance(table, list):
            if not name.isdecimal() or int(name) >= len(table):
                raise RecipeError(
                    f"no entry {name!r} in {where}; there are: 0 to {len(table) - 1}"
                )
            key = int(name)
        elif isinstance(table, dict):
            table.setdefault(name, None)
        else:
            raise RecipeError(f"{where} is a single value; there is no {where}.{name}")
        where = f"{where}.{name}".lstrip(".")
    table[key] = _parse_value(value) if isinstance(value, str) else value


def _parse_value(text: str) -> Any:  # noqa: ANN401
    """Return the value that a text of ``--set`` stands for: JSON, a list by commas, or itself.

    Python's True, False and None are those of JSON.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text:
        for form in (text, f"[{text.rstrip(', ')}]"):
            with suppress(ValueError):
                return parse_text(form)
    return text
