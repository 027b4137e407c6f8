"""Ablations as data: a recipe, variants that differ in single fields, and printed figures."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from srcli.errors import RecipeError
from srcli.files import shipped_text
from srcli.recipes.fields import Range, convert, unknown_name
from srcli.recipes.files import (
    SUFFIXES,
    apply_changes,
    apply_overrides,
    load_recipe,
    read_table,
)
from srcli.recipes.plugins import allow_code, codes_in, short_code
from srcli.recipes.published import name_key
from srcli.recipes.training import TrainRecipe

PRINTED_METRICS = ("psnr", "ssim")
_FIGURE_KEY = re.compile(
    r"parameters|gflops|training\.seconds|memory\.[1-9]\d*x[1-9]\d*"
    r"|[^.]+\.(?:seconds|(?:psnr|ssim)(?:\.difference)?)"
)
_FIGURES = Range(
    "figures by parameters, gflops, training.seconds, memory.HEIGHTxWIDTH, SET.seconds, SET.psnr, "
    "SET.ssim, SET.psnr.difference, SET.ssim.difference",
    lambda figures: all(map(_FIGURE_KEY.fullmatch, figures)),
)
_ABLATION = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)?")
_VARIANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .,:;=+_-]*[A-Za-z0-9])?")
_SIZES = Range(
    "pairs of height and width",
    lambda sizes: all(len(size) == 2 and min(size) > 0 for size in sizes),
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One line of an ablation: a recipe with single fields changed."""

    name: Annotated[
        str, Range("letters, digits, blanks and .,:;=+_- only", _VARIANT.fullmatch)
    ]
    """Short name for tables."""
    changes: Mapping[str, object] = field(default_factory=dict)
    """Changes of the ablation's recipe, in order: dotted fields as ``srx train --set``
    takes them (``network.block``, ``stages.0.losses``), each with a plain value, the
    text ``null`` for none. A stage one past the last is a copy of the last one."""
    sentence: str
    """Description, a sentence without a full stop."""
    published: Annotated[Mapping[str, float], _FIGURES] = field(default_factory=dict)
    """Printed figures by the keys of ``_FIGURE_KEY``: ``parameters`` in thousands, of the form
    that runs (``rrlfn``: the deployed one), ``gflops`` of an LR picture of 256x256 as
    efficient-SR challenges count them, ``memory.128x128`` in the paper's MB,
    ``SET.psnr`` in dB, ``SET.seconds`` a picture, ``training.seconds`` of 100
    iterations; ``.difference`` is a printed difference to the base, where no value is
    printed."""
    note: str = ""
    """Doubts about a printed figure; empty for most."""

    @property
    def folder(self) -> str:
        """The name as that of a folder: a colon, which Windows takes in none, is ``%3A``."""
        return self.name.replace(":", "%3A")


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A question to a network, and the variants that answer it."""

    name: Annotated[
        str,
        Range("small letters, digits and ._- with at most one /", _ABLATION.fullmatch),
    ]
    """Name, such as ``g-idrn/blocks``."""
    question: str
    """Question that it answers, ending with a question mark."""
    recipe: str
    """Recipe that all variants start from: a name of the recipe table, or the path of a
    file."""
    scale: Annotated[int, Range("2, 3 or 4", lambda scale: scale in (2, 3, 4))]
    base: str
    """Name of the variant that the others are compared with."""
    variants: tuple[Variant, ...]
    changes: Mapping[str, object] = field(default_factory=dict)
    """Changes of the recipe for all variants, before their own."""
    sets: tuple[str, ...] = ()
    """Evaluation sets of the paper, the first of them decides; a set that is not
    available shows a dash. Each a name below ``$SRX_DATA/benchmarks``, a folder or
    ``built-in``."""
    source: str = ""
    """Paper and table; empty for an ablation of our own."""
    own: bool = False
    """True if no paper has it; variants may still have printed figures from
    elsewhere."""
    protocol: str = "y"
    """Name of the measurement protocol."""
    memory_sizes: Annotated[tuple[tuple[int, int], ...], _SIZES] = ()
    """(height, width) of LR inputs, in pixels, at which the peak memory is measured."""
    memory_gradients: bool = False
    """Measure it with gradients recorded, as the paper did."""
    note: str = ""
    """Differences from the paper, and doubtful figures."""

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if len(names) < 2 or len(names) > len(set(names)):
            raise RecipeError(
                f"{self.name}: give two variants or more, each with its own name"
            )
        if self.base not in names:
            have = ", ".join(names)
            raise RecipeError(
                f"{self.name}: base {self.base!r} is none of the variants: {have}"
            )

    def variant(self, name: str) -> Variant:
        """Return the variant called ``name``."""
        return next(variant for variant in self.variants if variant.name == name)

    def printed(self, name: str, dataset: str, figure: str = "psnr") -> float | None:
        """Return a printed figure of a variant on a set, by any spelling of the set."""
        for key, value in self.variant(name).published.items():
            set_name, _, figure_name = key.partition(".")
            if figure_name == figure and name_key(set_name) == name_key(dataset):
                return value
        return None

    def printed_difference(
        self, name: str, dataset: str, metric: str = "psnr"
    ) -> float | None:
        """Return the printed difference of a variant to the base, printed or computed.

        Rounded to six digits where it is computed; None where the paper prints neither
        the difference nor both figures, and for the base itself.
        """
        if name == self.base:
            return None
        difference = self.printed(name, dataset, f"{metric}.difference")
        if difference is not None:
            return difference
        value = self.printed(name, dataset, metric)
        base = self.printed(self.base, dataset, metric)
        if value is None or base is None:
            return None
        return round(value - base, 6)


def changes_text(changes: Mapping[str, object]) -> list[str]:
    """Return changes of a recipe as ``srx train --set`` takes them."""
    texts = []
    for path, value in changes.items():
        text = value if isinstance(value, str) else json.dumps(value)
        texts.append(f"{path}={text}")
    return texts


def select_ablations(names: Iterable[str]) -> list[Ablation]:
    """Return the ablations that are asked for, in that order, each once.

    ``names`` are those of the table, of networks (all of their ablations), or ``.toml``
    files.
    """
    selected: dict[str, Ablation] = {}
    for name in names:
        if Path(name).suffix.lower() == ".toml":
            ablations = load_ablations(Path(name))
        else:
            ablations = []
            for key, ablation in ABLATIONS.items():
                if f"{key}/".startswith(f"{name}/"):
                    ablations.append(ablation)
        if not ablations:
            raise unknown_name("ablation", name, "the table", ABLATIONS)
        for ablation in ablations:
            if selected.setdefault(ablation.name, ablation) != ablation:
                raise RecipeError(
                    f"{name}: there is another ablation {ablation.name!r}"
                )
    return list(selected.values())


def load_ablations(path: Path) -> list[Ablation]:
    """Read ablations from a file in the form of ``srcli/recipes/ablations.toml``.

    The path of a recipe file is relative to this file. Messages name the file and the
    key.
    """
    plain = read_table(path)
    ablations = []
    try:
        for ablation in parse_ablations(plain):
            if Path(ablation.recipe).suffix.lower() in SUFFIXES:
                ablation = replace(ablation, recipe=str(path.parent / ablation.recipe))
            if ablation.name in ABLATIONS:
                raise RecipeError(
                    f"{ablation.name}: this name is taken; choose another"
                )
            for variant in ablation.variants:
                variant_recipe(ablation, variant)
            ablations.append(ablation)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return ablations


def parse_ablations(plain: Mapping[str, Any]) -> tuple[Ablation, ...]:
    """Read ablations from a table of TOML; the values of their changes are not checked yet."""
    for key in plain:
        if key != "ablation":
            raise unknown_name("table", key, "the file", ("ablation",))
    ablations: tuple[Ablation, ...]
    ablations = convert(plain.get("ablation", []), tuple[Ablation, ...], "ablation")
    if not ablations:
        raise RecipeError("the file holds no [[ablation]]")
    return ablations


def further_settings(ablation: Ablation, settings: Iterable[str]) -> tuple[str, ...]:
    """Allow code that settings (``path=value``) name, and return those that change recipes.

    A value that is code of a variant names that code alone, so that it may be run.
    """
    changes = [variant.changes for variant in ablation.variants]
    own = set(map(short_code, codes_in([ablation.changes, *changes])))
    further = []
    for setting in settings:
        allow_code(setting)
        if own.isdisjoint(map(short_code, codes_in(setting.partition("=")[2]))):
            further.append(setting)
    return tuple(further)


def variant_recipe(
    ablation: Ablation, variant: Variant, settings: Sequence[str] = ()
) -> TrainRecipe:
    """Return the recipe of a variant: the ablation's recipe with all changes.

    Options of networks and losses are checked when these are built, as with
    ``srx train --set``.

    ``settings`` (``path=value``) are for all variants, and applied before the changes
    of the ablation, so that they hold for stages which those add by copying. They may
    not be of fields that the ablation changes itself.
    """
    changes = dict(ablation.changes)
    for other_variant in ablation.variants:
        changes |= other_variant.changes
    for setting in settings:
        path = setting.partition("=")[0].strip()
        for changed in changes:
            if f"{changed}.".startswith(f"{path}.") or f"{path}.".startswith(
                f"{changed}."
            ):
                raise RecipeError(
                    f"--set {path}: {ablation.name} changes {changed} itself"
                )
    recipe = apply_overrides(load_recipe(ablation.recipe), settings)
    try:
        return apply_changes(apply_changes(recipe, ablation.changes), variant.changes)
    except RecipeError as error:
        raise RecipeError(
            f"{ablation.name}, variant {variant.name!r}: {error}"
        ) from error


ABLATIONS: dict[str, Ablation] = {
    ablation.name: ablation
    for ablation in parse_ablations(tomllib.loads(shipped_text("ablations.toml")))
}
"""Ablations of the papers and our own, by name."""
