"""Settings of ``--set``, such as ``stages.0.batch=8``: read, and put into plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from srcli.errors import RecipeError
from srcli.files import parse_text
from srcli.recipes.fields import ROOT, Value, convert

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
