"""Recipes by name and from files: loaded, changed by ``--set``, made plain and compared."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from srcli.errors import RecipeError, did_you_mean
from srcli.files import parse_text, read_input, shipped_text
from srcli.recipes.fields import ROOT, apply_setting, convert, set_field
from srcli.recipes.plugins import (
    code_arguments,
    installed_plugins,
    load_code,
    short_code,
    split_code,
)
from srcli.recipes.training import TrainRecipe

SUFFIXES = (".json", ".toml")


def load_recipe(name: str) -> TrainRecipe:
    """Return a recipe of the table or an installed package, or read it from a file.

    A network of the user's code, or of a package, has a plain recipe. RecipeError if
    there is none.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if path.suffix.lower() in SUFFIXES:
        return read_recipe(path)
    if name in installed_plugins("recipes"):
        recipe: TrainRecipe = convert(load_code(name, "recipes"), TrainRecipe, name)
        return recipe
    code, _ = split_code(name)
    if code or name in installed_plugins("networks"):
        model = short_code(code or name)
        return replace(DEFAULT_RECIPE, model=model, network=code_arguments(name))
    raise RecipeError(
        f"no recipe {name!r}{did_you_mean(name, RECIPES)}; there are: {', '.join(RECIPES)}, "
        "the path of a .toml or .json file, or your own network, FILE.py:CLASS"
    )


def read_recipe(path: Path) -> TrainRecipe:
    """Read a recipe file; fields that are left out keep their defaults.

    RecipeError if it is missing or damaged, or has an unknown field or a wrong value.
    """
    plain = read_table(path)
    try:
        recipe: TrainRecipe = convert(plain, TrainRecipe, ROOT)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def read_table(path: Path) -> Any:  # noqa: ANN401 - what the file holds
    """Read a file of TOML or, by its name, JSON."""
    language = "TOML"
    parse: Callable[[str], Any] = tomllib.loads
    if path.suffix.lower() == ".json":
        language = "JSON"
        parse = json.loads
    try:
        return parse_text(read_input(path).decode(), parse)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{path}: not {language} ({reason})") from error


def apply_overrides(recipe: TrainRecipe, settings: Iterable[str]) -> TrainRecipe:
    """Return the recipe with the fields of ``--set`` replaced, one after the other.

    Settings are ``path=value`` as ``srx train --set`` takes them; RecipeError if a
    field does not exist or the value does not fit it.
    """
    for setting in settings:
        plain = plain_recipe(recipe)
        apply_setting(plain, setting)
        recipe = convert(plain, TrainRecipe, ROOT)
    return recipe


def apply_changes(recipe: TrainRecipe, changes: Mapping[str, Any]) -> TrainRecipe:
    """Return the recipe with fields replaced, as TOML files of recipes and ablations say.

    A stage one past the last begins as a copy of the last one. Changes are plain values
    by path: field names, indices into lists and names of options, joined by dots; texts
    are read as ``srx train --set`` reads them. RecipeError if a field does not exist or
    the value does not fit it.
    """
    plain = plain_recipe(recipe)
    for path, value in changes.items():
        if f"{path}.".startswith(f"stages.{len(plain['stages'])}."):
            plain["stages"].append(copy.deepcopy(plain["stages"][-1]))
        set_field(plain, path, value)
    changed: TrainRecipe = convert(plain, TrainRecipe, ROOT)
    return changed


def plain_recipe(recipe: TrainRecipe) -> dict[str, Any]:
    """Return a recipe as plain tables, lists and values, as in JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain


def first_difference(a: Any, b: Any, where: str = "") -> str | None:  # noqa: ANN401
    """Describe the first difference of two plain values; None if they are equal."""
    if a == b:
        return None
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        a = dict(enumerate(a))
        b = dict(enumerate(b))
    if isinstance(a, dict) and isinstance(b, dict):
        prefix = f"{where}." if where else ""
        for key in {**a, **b}:
            difference = first_difference(a.get(key), b.get(key), f"{prefix}{key}")
            if difference:
                return difference
        return None
    return f"{where} is {json.dumps(a)} there, {json.dumps(b)} now"


def _load_recipes() -> dict[str, TrainRecipe]:
    """Read ``recipes.toml``, where a recipe may be changes of one before it."""
    recipes: dict[str, TrainRecipe] = {}
    for name, plain in tomllib.loads(shipped_text("recipes.toml")).items():
        base = plain.pop("base", "")
        if base:
            recipes[name] = apply_changes(recipes[base], plain)
        else:
            recipes[name] = convert(plain, TrainRecipe, name)
    return recipes


EXAMPLE = shipped_text("example.toml")
"""A recipe with comments, to begin from."""
RECIPES = _load_recipes()
"""Training recipes by name."""
DEFAULT_RECIPE = RECIPES.pop("plain")
"""Recipe of networks without one of their own."""
