"""Convert plain values of JSON and the command line into typed fields, and check their ranges."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from srcli.errors import RecipeError
from srcli.files import parse_text

if TYPE_CHECKING:
    from collections.abc import Iterable

AnyFloat = Annotated[float, "infinite, too"]
"""Type of fields that take infinity and NaN, which others refuse."""
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def unknown(kind: str, name: str, where: str, known: Iterable[str]) -> RecipeError:
    """Return the error for a name that does not exist, with the nearest one that does."""
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    return RecipeError(f"no {kind} {name!r} in {where}; {hint}")


def require_positive(settings: object, *names: str) -> None:
    """Raise RecipeError for the first of these fields that is not above 0."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise RecipeError(f"{name} must be above 0, got {getattr(settings, name)}")


def require_not_negative(settings: object, *names: str) -> None:
    """Raise RecipeError for the first of these fields that is below 0."""
    for name in names:
        if not getattr(settings, name) >= 0:
            raise RecipeError(f"{name} must be at least 0, got {getattr(settings, name)}")


def require_fraction(settings: object, *names: str, of: str = "", below_one: bool = False) -> None:
    """Raise RecipeError for the first of these fields, or of their items, outside 0..1.

    Args:
        settings: Their owner.
        names: Fields that hold a number or a tuple of numbers.
        of: Name of the owner in messages.
        below_one: Refuse 1 as well.
    """
    for name in names:
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if not 0 <= each <= 1 or (below_one and each == 1):
                wanted = "[0, 1)" if below_one else "0..1"
                raise RecipeError(f"{name}{of and f' of {of}'} must be in {wanted}, got {each}")


def field_types(kind: type) -> dict[str, Any]:
    """Names and types of a dataclass's fields, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def convert(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 - any field of any recipe
    """Check a plain value against a type and turn it into that type.

    Args:
        value: From ``json.loads`` or ``tomllib.loads``.
        hint: A dataclass, tuple, mapping, Literal, union, bool, int, float, str or Path; ``object``
            takes any value as it is.
        where: Name of the field in the message.

    Returns:
        The value; lists become tuples, tables become dataclasses, whole numbers become floats
        where floats are wanted.

    Raises:
        RecipeError: If it does not fit.
    """
    if hint is object:
        return value
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return _record(value, hint, where)
    if origin is tuple:
        return _sequence(value, hint, where)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(value, hint, where)
    if origin is Literal:
        if value not in get_args(hint) or isinstance(value, bool):
            allowed = ", ".join(map(str, get_args(hint)))
            raise RecipeError(f"{where} must be one of {allowed}; got {value!r}")
        return value
    if origin in (Union, UnionType):
        return _union(value, hint, where)
    return _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    whole = isinstance(value, int) and not isinstance(value, bool)
    if hint in (float, AnyFloat) and (whole or isinstance(value, float)):
        if hint is float and not math.isfinite(value):
            raise RecipeError(f"{where} must be a finite number, got {value}")
        return float(value)
    if hint is int and whole:
        return value
    if hint in (bool, str) and isinstance(value, hint):
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    raise RecipeError(f"{where} must be {_WORDS.get(hint, hint)}, got {value!r}")


def _record(value: Any, kind: Any, where: str) -> Any:  # noqa: ANN401
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and hasattr(kind, "named"):
        return kind.named(value)  # one of a table
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where} must be a table of fields, got {value!r}")
    types = field_types(kind)
    for name in value:
        if name not in types:
            raise unknown("field", name, where, types)
    inside = "" if where == ROOT else f"{where}."
    missing = [
        repr(each.name)
        for each in fields(kind)
        if each.name not in value and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing:
        raise RecipeError(f"{where}: missing {', '.join(missing)}")
    return kind(**{k: convert(v, types[k], f"{inside}{k}") for k, v in value.items()})


ROOT = "the recipe"
"""Name of the whole recipe in messages."""


def _sequence(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    if not isinstance(value, list | tuple):
        raise RecipeError(f"{where} must be a list, got {value!r}")
    items = get_args(hint)
    if items[-1] is Ellipsis or len(set(items)) == 1:  # their owner checks the length
        items = items[:1] * len(value)
    if len(items) != len(value):
        raise RecipeError(f"{where} must be a list of {len(items)} values, got {value!r}")
    pairs = enumerate(zip(value, items, strict=True))
    return tuple(convert(part, item, f"{where}.{i}") for i, (part, item) in pairs)


def _mapping(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where} must be a table of names and values, got {value!r}")
    item = get_args(hint)[1]
    return {str(name): convert(part, item, f"{where}.{name}") for name, part in value.items()}


def _union(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401
    if value is None and type(None) in get_args(hint):
        return None
    options = [option for option in get_args(hint) if option is not type(None)]
    if len(options) == 1:
        return convert(value, options[0], where)  # its own message says more
    tables = [option for option in options if is_dataclass(option)]
    if tables and isinstance(value, Mapping):
        return convert(value, _of_kind(value, tables, where), where)
    for option in options:
        if option is float and isinstance(value, int):
            continue  # a whole number stays one where both would do
        try:
            return convert(value, option, where)
        except RecipeError:
            continue
    raise RecipeError(f"{where} cannot hold {value!r}")


def _of_kind(value: Mapping[str, Any], tables: list[Any], where: str) -> Any:  # noqa: ANN401
    """Return the dataclass whose ``kind``, a Literal of one word, the value names."""
    kinds = {get_args(field_types(table)["kind"])[0]: table for table in tables}
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise RecipeError(f"{where} needs a kind, one of {', '.join(kinds)}")
    if kind not in kinds:
        raise unknown("kind", kind, where, kinds)
    return kinds[kind]


def read_text(text: str, hint: Any) -> Any:  # noqa: ANN401
    """Parse the text of a ``--set`` into a plain value by the type of its field.

    Texts and choices are taken as they stand; everything else is JSON, and ``0.2,0.4`` is a list.
    """
    if hint is str or get_origin(hint) is Literal:
        return text
    listed = get_origin(hint) is tuple or get_origin(hint) in (Union, UnionType)
    try:
        return parse_text(text)
    except ValueError:
        parts = [part for part in text.split(",") if part.strip()]
    if not listed or "," not in text:
        return text
    try:
        return [parse_text(part) for part in parts]
    except ValueError:
        return text


def check_options(constructor: type, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check keyword arguments against a constructor's names and types.

    Args:
        constructor: A class whose ``__init__`` is annotated with plain types.
        options: The keyword arguments.
        where: Name of their owner in messages.

    Returns:
        The options, converted.

    Raises:
        RecipeError: If a name does not exist or a value has another type.
    """
    parameters = inspect.signature(constructor).parameters
    whatever = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [name for name, each in parameters.items() if each.kind not in whatever]
    hints = get_type_hints(vars(constructor).get("__init__", constructor))
    for name in options:
        if not names:
            raise RecipeError(f"no option {name!r} in {where}; it takes none")
        if name not in names:
            raise unknown("option", name, where, names)
    return {
        name: convert(value, hints[name], f"{name} of {where}") if name in hints else value
        for name, value in options.items()
    }
