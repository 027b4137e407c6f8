"""Read recipes from JSON and TOML, write them as JSON, and compare them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import RecipeError
from srcli.files import write_whole
from srcli.recipes.fields import ROOT, convert
from srcli.recipes.table import RECIPES
from srcli.recipes.training import TrainRecipe

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIXES = (".json", ".toml")


def load_recipe(name: str) -> TrainRecipe:
    """Return a recipe of the table, or read it from a file.

    Args:
        name: A name of the table, or the path of a ``.json`` or ``.toml`` file.

    Raises:
        RecipeError: If there is no such recipe or the file does not hold one.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix.lower() in SUFFIXES:
        return read_recipe(path)
    raise RecipeError(
        f"no recipe {name!r}; there are: {', '.join(RECIPES)}, or the path of a .json or .toml file"
    )


def recipe_name(name: str) -> str:
    """Return the name of a recipe of the table, or the stem of a recipe file."""
    return name if name in RECIPES else Path(name).stem


def read_recipe(path: Path) -> TrainRecipe:
    """Read a recipe file; fields that are left out keep their defaults.

    Raises:
        RecipeError: If the file is missing or damaged, or has an unknown field or a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        plain = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not a recipe file ({error})") from error
    try:
        recipe: TrainRecipe = convert(plain, TrainRecipe, ROOT)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def plain_recipe(recipe: TrainRecipe) -> dict[str, Any]:
    """Return a recipe as plain tables, lists and values, as in JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an indented JSON file atomically."""
    write_whole(path, (json.dumps(dict(content), indent=2) + "\n").encode())


def first_difference(a: Any, b: Any, where: str = "") -> str | None:  # noqa: ANN401
    """Describe the first difference of two plain values; None if they are equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            found = first_difference(
                a.get(key), b.get(key), f"{where}.{key}" if where else str(key)
            )
            if found:
                return found
        return None
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            found = first_difference(left, right, f"{where}.{i}")
            if found:
                return found
        return None
    return None if a == b else f"{where} is {json.dumps(a)} there, {json.dumps(b)} now"
