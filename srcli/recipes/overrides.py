"""Change single fields of a recipe from texts such as ``stages.0.batch=8``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from srcli.errors import RecipeError
from srcli.recipes.fields import ROOT, convert, field_types, read_text, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srcli.recipes.training import TrainRecipe


def apply_overrides(recipe: TrainRecipe, settings: Iterable[str]) -> TrainRecipe:
    """Return the recipe with fields replaced, one after the other.

    Args:
        recipe: The recipe to change.
        settings: ``path=value``; the path's parts are field names, indices into lists and names of
            options, joined by dots; the value is read by the field's type.

    Raises:
        RecipeError: If a field does not exist or the value does not fit it.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        parts = path.strip().split(".")
        if not equals or "" in parts:
            raise RecipeError(
                f"--set {setting}: give a field and a value, such as stages.0.batch=8"
            )
        recipe = _replaced(recipe, type(recipe), parts, text.strip(), "")
    return recipe


def _replaced(value: Any, hint: Any, parts: list[str], text: str, where: str) -> Any:  # noqa: ANN401
    """Return ``value`` with the field at the path ``parts`` replaced by ``text``."""
    if not parts:
        return convert(read_text(text, hint), hint, where)
    name, rest = parts[0], parts[1:]
    inside = f"{where}.{name}" if where else name
    table = _table_of(hint) if value is None else type(value)
    if is_dataclass(table):
        types = field_types(table)
        if name not in types:
            raise unknown("field", name, where or ROOT, types)
        new = _replaced(getattr(value, name, None), types[name], rest, text, inside)
        if value is None:  # its other fields keep their defaults
            return convert({name: new}, table, where)
        return replace(value, **{name: new})
    if isinstance(value, tuple):
        index = _index(name, len(value), where)
        new = _replaced(value[index], get_args(hint)[0], rest, text, inside)
        return (*value[:index], new, *value[index + 1 :])
    if isinstance(value, Mapping):
        # Which names a network or a loss knows is checked when it is built.
        return {**value, name: _replaced(value.get(name), get_args(hint)[1], rest, text, inside)}
    raise RecipeError(f"{where} is a single value; there is no {inside}")


def _table_of(hint: Any) -> Any:  # noqa: ANN401
    """Return the dataclass that an optional field may hold; None for other fields."""
    tables = [option for option in get_args(hint) if is_dataclass(option)]
    return tables[0] if len(tables) == 1 else None


def _index(name: str, length: int, where: str) -> int:
    if not name.isdecimal() or int(name) >= length:
        raise RecipeError(f"no entry {name!r} in {where}; there are: 0 to {length - 1}")
    return int(name)
