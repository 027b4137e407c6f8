"""Ablations of the table and of files, their selection by name, and the recipes of variants."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import RecipeError
from srcli.files import parse_text, read_input
from srcli.recipes.ablation import Ablation, Variant
from srcli.recipes.fields import convert, unknown
from srcli.recipes.files import SUFFIXES, apply_overrides, load_recipe
from srcli.recipes.table import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from srcli.recipes.training import TrainRecipe

_STAGE = re.compile(r"stages\.(\d+)(?:\.|$)")


def select_ablations(names: Iterable[str]) -> list[Ablation]:
    """Return the ablations that are asked for, in that order, each once.

    Args:
        names: Names of the table, names of networks (all of their ablations), or ``.toml`` files.

    Raises:
        RecipeError: If one does not exist (the message names the nearest, or all there are), its
            file is damaged, or two files use one name.
    """
    found: dict[str, Ablation] = {}
    for name in names:
        for each in _called(name):
            if found.setdefault(each.name, each) != each:
                raise RecipeError(f"{name}: another file holds an ablation {each.name!r}, too")
    return list(found.values())


def is_file(name: str) -> bool:
    """Return whether a name means a file with ablations."""
    return Path(name).suffix.lower() == ".toml"


def load_ablations(path: Path) -> tuple[Ablation, ...]:
    """Read ablations from a file in the form of the table's own, ``srcli/recipes/ablations.toml``.

    The path of a recipe file is relative to this file.

    Raises:
        RecipeError: If the file is missing or damaged, has an unknown key or a wrong value, or
            names an ablation that is in the table. The message names the file and the key.
    """
    try:
        text = read_input(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise RecipeError(f"{path}: cannot be read ({reason})") from error
    try:
        found = [_beside(path, ablation) for ablation in parse_ablations(text)]
        for ablation in found:
            if ablation.name in ABLATIONS:
                raise RecipeError(f"{ablation.name}: this name is taken; choose another")
            check_ablation(ablation)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return tuple(found)


def parse_ablations(text: str) -> tuple[Ablation, ...]:
    """Read ablations from TOML; :func:`check_ablation` checks the values of their changes.

    Raises:
        RecipeError: If it is not TOML, has unknown keys, wrong values or a name twice.
    """
    try:
        plain = parse_text(text, tomllib.loads)
    except ValueError as error:
        raise RecipeError(f"not TOML ({error})") from error
    for key in plain:
        if key != "ablation":
            raise unknown("table", key, "the file", ("ablation",))
    found: tuple[Ablation, ...]
    found = convert(plain.get("ablation", []), tuple[Ablation, ...], "ablation")
    names = [ablation.name for ablation in found]
    if not names:
        raise RecipeError("the file holds no [[ablation]]")
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"ablation {name!r} is there twice")
    return found


def resolve(ablation: Ablation, variant: Variant, settings: Sequence[str] = ()) -> TrainRecipe:
    """Return the recipe of a variant: the ablation's recipe with all changes.

    Options of networks and losses are checked when these are built, as with ``srx train --set``.

    Args:
        ablation: The ablation.
        variant: One of its variants.
        settings: ``path=value`` for all variants, applied before the changes of the ablation, so
            that they hold for stages which those add by copying.

    Raises:
        RecipeError: If a field does not exist or a value does not fit; or if the ablation changes
            the field of a setting itself. The message names the variant or the setting.
    """
    for setting in settings:
        _check_setting(ablation, setting.partition("=")[0].strip())
    recipe = apply_overrides(load_recipe(ablation.recipe), settings)
    try:
        for path, value in (*ablation.changes.items(), *variant.changes.items()):
            recipe = apply_overrides(_with_stage(recipe, path), [f"{path}={_text(path, value)}"])
    except RecipeError as error:
        raise RecipeError(f"{ablation.name}, variant {variant.name!r}: {error}") from error
    return recipe


def _check_setting(ablation: Ablation, path: str) -> None:
    changed = {each for variant in ablation.variants for each in variant.changes}
    for own in (*ablation.changes, *changed):
        if f"{own}.".startswith(f"{path}.") or f"{path}.".startswith(f"{own}."):
            raise RecipeError(f"--set {path}: {ablation.name} changes {own} itself")


def check_ablation(ablation: Ablation) -> None:
    """Check that all variants have a recipe, and no two the same one.

    Raises:
        RecipeError: If a change does not fit, or two variants are the same.
    """
    recipes = {variant.name: resolve(ablation, variant) for variant in ablation.variants}
    for (a, first), (b, second) in combinations(recipes.items(), 2):
        if first == second:
            raise RecipeError(f"{ablation.name}: variants {a!r} and {b!r} are the same")


def _called(name: str) -> tuple[Ablation, ...]:
    if is_file(name):
        return load_ablations(Path(name))
    found = [each for key, each in ABLATIONS.items() if f"{key}/".startswith(f"{name}/")]
    if not found:
        raise unknown("ablation", name, "the table", ABLATIONS)
    return tuple(found)


def _with_stage(recipe: TrainRecipe, path: str) -> TrainRecipe:
    """Append a copy of the last stage, if the path points one past it."""
    found = _STAGE.match(path)
    if found and int(found[1]) == len(recipe.stages):
        return replace(recipe, stages=(*recipe.stages, recipe.stages[-1]))
    return recipe


def _text(path: str, value: object) -> str:
    """Write a plain value as ``--set`` takes it."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError as error:  # TOML knows dates, too
        raise RecipeError(f"{path} cannot hold {value!r}") from error


def _beside(path: Path, ablation: Ablation) -> Ablation:
    recipe = Path(ablation.recipe)
    if ablation.recipe in RECIPES or recipe.suffix.lower() not in SUFFIXES:
        return ablation
    return replace(ablation, recipe=str(path.parent / recipe))


_OWN = files("srcli.recipes").joinpath("ablations.toml").read_text(encoding="utf-8")
ABLATIONS: dict[str, Ablation] = {ablation.name: ablation for ablation in parse_ablations(_OWN)}
"""Ablations of the papers and our own, by name."""
