"""Convert plain values of JSON and TOML into typed fields, and check their ranges."""

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

Made = TypeVar("Made")
ROOT = "the recipe"
"""Name of the whole recipe in messages."""
_USUAL_NAMES = {"lr": "learning_rate", "iterations": "steps"}
"""Other names that fields have in the literature."""
_GONE: Mapping[str, object] = {
    "attention_weight": 0.0, "distillation": None, "exclude": [], "excluded": 0,
    "hold_out_listed": [], "vary_levels": 0.0,
}  # fmt: skip
"""Fields in files of former versions, with the values that left them out."""
_PLAIN: Mapping[Any, tuple[type | tuple[type, ...], str]] = {
    bool: (bool, "true or false"), int: (int, "a whole number"), float: ((int, float), "a number"),
    str: (str, "a text"), Path: (str, "a path"),
}  # fmt: skip
"""Types in files of plain fields, and their names in messages."""


@dataclass(frozen=True)
class Range:
    """The values that a field may have, as a mark of its type."""

    words: str
    """The values in words, after "must be"."""
    holds: Callable[[Any], object]


POSITIVE = Range("above 0", lambda value: value > 0)
NOT_NEGATIVE = Range("at least 0", lambda value: value >= 0)
FRACTION = Range("in 0..1", lambda value: 0 <= value <= 1)
BELOW_ONE = Range("in [0, 1)", lambda value: 0 <= value < 1)
FRACTIONS = Range("in 0..1", lambda values: all(0 <= value <= 1 for value in values))


def unknown(kind: str, name: str, where: str, known: Iterable[str]) -> RecipeError:
    """Return the error for a name that does not exist, with the nearest one that does.

    Dotted names are of fields further inside, which may be meant as well.
    """
    paths = list(known)
    inner = {path.rpartition(".")[2]: path for path in reversed(paths)}
    names = [path for path in paths if "." not in path]
    wanted = _USUAL_NAMES.get(name, name)
    near = get_close_matches(wanted, inner, n=1) or get_close_matches(
        wanted, names, 1, 0.5
    )
    hint = f"there are: {', '.join(names)}" if names else "it takes none"
    if near:
        path = inner[near[0]]
        hint = f"did you mean {f'{where}.{path}' if '.' in path and where != ROOT else path!r}?"
    return RecipeError(f"no {kind} {name!r} in {where}; {hint}")


def _paths(hint: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the dotted names of all fields in a type; 0 stands for any place in a list."""
    if isinstance(hint, type) and is_dataclass(hint):
        for name, own in field_types(hint).items():
            yield name
            yield from (f"{name}.{path}" for path in _paths(own))
    elif get_origin(hint) in (tuple, Annotated, Union, UnionType):
        place = "0." if get_origin(hint) is tuple else ""
        yield from (
            f"{place}{path}" for each in get_args(hint) for path in _paths(each)
        )


@cache
def field_types(kind: type[Any]) -> Mapping[str, Any]:
    """Names and types of a dataclass's fields, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def convert(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 - any field of any recipe
    """Check a plain value of JSON or TOML against a type and turn it into that type.

    Lists become tuples, tables become dataclasses, whole numbers become floats where
    floats are wanted. Types are dataclasses, tuples, mappings, Literals, unions, bool,
    int, float, str and Path; ``object`` takes any value as it is. RecipeError, with the
    name of the field (``where``), if it does not fit.
    """
    origin, inner = get_origin(hint), get_args(hint)
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
        return {
            str(k): convert(part, inner[1], f"{where}.{k}") for k, part in value.items()
        }
    return _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    if get_origin(hint) is Literal:
        if value not in get_args(hint) or isinstance(value, bool):
            raise RecipeError(
                f"{where} must be one of {', '.join(get_args(hint))}; got {value!r}"
            )
        return value
    kinds, words = _PLAIN.get(hint, ((), hint))
    if not isinstance(value, kinds) or isinstance(value, bool) is not (hint is bool):
        raise RecipeError(f"{where} must be {words}, got {value!r}")
    if hint is float and not math.isfinite(value):
        raise RecipeError(f"{where} must be a finite number, got {value}")
    return hint(value)


def _record(value: Any, kind: Any, where: str) -> Any:  # noqa: ANN401
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and hasattr(kind, "named"):
        return kind.named(value)  # one of a table
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where} must be a table of fields, got {value!r}")
    types, inside = field_types(kind), "" if where == ROOT else f"{where}."
    for name, part in value.items():
        if name not in types and (name, part) not in _GONE.items():
            raise unknown("field", str(name), where, _paths(kind))
    made = {
        k: convert(v, types[k], f"{inside}{k}") for k, v in value.items() if k in types
    }
    without = [
        each for each in fields(kind) if each.default is each.default_factory is MISSING
    ]
    if missing := [repr(each.name) for each in without if each.name not in made]:
        raise RecipeError(f"{where}: missing {', '.join(missing)}")
    return kind(**made)


def _sequence(value: Any, items: tuple[Any, ...], where: str) -> tuple[Any, ...]:  # noqa: ANN401
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
    pairs = enumerate(zip(value, items, strict=True))
    return tuple(convert(part, item, f"{where}.{i}") for i, (part, item) in pairs)


def _union(value: Any, choices: tuple[Any, ...], where: str) -> Any:  # noqa: ANN401
    options = [option for option in choices if option is not type(None)]
    if value is None and len(options) < len(choices):
        return None
    if len(options) == 1:
        return convert(value, options[0], where)  # its own message says more
    if isinstance(value, Mapping) and all(
        map(is_dataclass, options)
    ):  # the one of this kind
        kinds = {get_args(field_types(table)["kind"])[0]: table for table in options}
        kind = value.get("kind")
        if not isinstance(kind, str):
            raise RecipeError(f"{where} needs a kind, one of {', '.join(kinds)}")
        if kind not in kinds:
            raise unknown("kind", kind, where, kinds)
        return convert(value, kinds[kind], where)
    for option in options:
        # A whole number stays one where both would do.
        with suppress(RecipeError):
            if not (option is float and isinstance(value, int)):
                return convert(value, option, where)
    raise RecipeError(f"{where} cannot hold {value!r}")


def construct(
    constructor: type[Made], options: Mapping[str, Any], where: str, **further: object
) -> Made:
    """Construct by options, checked against names and types and converted, and further values.

    The constructor is annotated with plain types; ``where`` names the options' owner in
    messages. RecipeError says which option does not exist, has another type, or cannot
    be used.
    """
    given = inspect.signature(constructor).parameters.values()
    names = [
        each.name
        for each in given
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    hints = get_type_hints(vars(constructor).get("__init__", constructor))
    made = {}
    for name, value in options.items():
        if name not in names:
            raise unknown("option", name, where, names)
        made[name] = convert(value, hints.get(name, object), f"{name} of {where}")
    try:
        return constructor(**further, **made)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise RecipeError(f"{where}: {error}") from error
