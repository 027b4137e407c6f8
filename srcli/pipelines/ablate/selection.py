"""Ablations by what a user calls them: for a run, and among the results that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import SrxError, UsageError
from srcli.recipes.ablations import ABLATIONS, load_ablations, select_ablations
from srcli.recipes.fields import unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from srcli.recipes.ablation import Ablation


def select_checked(names: Sequence[str]) -> list[Ablation]:
    """Return the ablations that are asked for; those of files with networks and losses that exist.

    Args:
        names: Names of the table, names of networks (all of their ablations), or ``.toml`` files.

    Raises:
        RecipeError: If one does not exist, its file is damaged, or two files use one name.
        SrxError: If a variant of a file cannot be trained; it names file, ablation and variant.
    """
    found = select_ablations(names)
    for name in filter(_is_file, names):
        from srcli.pipelines.ablate.plan import checked_recipes  # torch: the table needs no check

        try:
            for ablation in load_ablations(Path(name)):
                checked_recipes(ablation)
        except SrxError as error:
            text = str(error)
            raise type(error)(text if text.startswith(name) else f"{name}: {text}") from error
    return found


def select_stored(names: Iterable[str], there: Collection[str]) -> list[str]:
    """Return the names of those ablations with results that are asked for.

    Args:
        names: Names of ablations, names of networks (all of theirs), or ``.toml`` files.
        there: Names of the ablations with results.

    Raises:
        RecipeError: If there is no such ablation at all; the message names the nearest.
        UsageError: If there are no results of one.
    """
    found: list[str] = []
    for name in names:
        present = [each for each in _called(name, there) if each in there]
        if not present:
            raise UsageError(f"no results of {name} in the store; 'srx ablate run' makes them")
        found += present
    return list(dict.fromkeys(found))


def _called(name: str, there: Collection[str]) -> list[str]:
    if _is_file(name):
        return [each.name for each in load_ablations(Path(name))]
    known = dict.fromkeys((*there, *ABLATIONS))
    own = [each for each in known if each == name or each.startswith(f"{name}/")]
    if not own:
        raise unknown("ablation", name, "the store or the table", known)
    return own


def _is_file(name: str) -> bool:
    return Path(name).suffix.lower() == ".toml"
