"""Options of a training, which its folder keeps so that none must be repeated, and its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from srcli.data.training_set import DataSelection
from srcli.errors import CheckpointError, RecipeError, UsageError
from srcli.files import parse_text
from srcli.inference.device import Precision
from srcli.recipes.fields import convert
from srcli.recipes.files import recipe_name
from srcli.training.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataSelection):
    """Recipe, data and settings of a training."""

    recipe: str
    """A name of the table, or a recipe file."""
    scale: int
    out: Path
    """Folder of weights, state, recipe and log."""
    name: str = ""
    """Name of the recipe in the metadata of weights; empty for that of ``recipe``."""
    overrides: tuple[str, ...] = ()
    """Changed fields of the recipe, ``path=value``."""
    seed: int = 0
    budget: str | None = None
    """Iterations or time; None for the recipe's iterations."""
    resume: bool = False
    init: Path | None = None
    """Weights to start from, of any scale."""
    validate: tuple[str, ...] = ()
    """Sets to validate on beside the held-out pictures, as ``srx eval`` names them."""
    tensorboard: Path | None = None
    """Folder for event files of TensorBoard."""
    checkpoint_every: str = "5m"
    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False
    threads: int = 0
    """Threads of the processor; 0 leaves PyTorch's choice."""

    @property
    def recipe_name(self) -> str:
        """Name of the recipe in the metadata of weights."""
        return self.name or recipe_name(self.recipe)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The end of a training, or of one run of it."""

    finished: bool
    """True if the budget is used up; else it was stopped and can be resumed."""
    weights: Path
    """The best weights, or the last ones if nothing was validated or finished."""
    iterations: int
    """Number of iterations in this and all former runs."""
    new_iterations: int
    """Number of iterations in this run."""
    best: float | None
    """Mean PSNR-Y of the best validation in dB; None without validation."""
    best_iteration: int = 0
    at_best: Mapping[str, float] = field(default_factory=dict)
    """Mean PSNR-Y in dB of every set at that iteration; the first of them decided."""


def plain_options(options: TrainOptions) -> dict[str, Any]:
    """Return the options that ``stored_options`` reads, as values of JSON; paths are absolute."""
    plain = vars(options) | {
        "name": options.recipe_name,
        "validate": [str(Path(n).absolute()) if Path(n).exists() else n for n in options.validate],
    }
    for name in ("recipe", "overrides", "out", "resume"):
        del plain[name]
    return dict(json.loads(json.dumps(plain, default=lambda path: str(path.absolute()))))


def stored_options(folder: Path, changes: Mapping[str, Any]) -> TrainOptions:
    """Return the options to go on with the training in a folder, with changed fields.

    Changes of what decides the outcome, other than the budget, are refused later.
    """
    own = RunFolder(folder)
    if not own.options.is_file():
        raise UsageError(
            f"--resume {folder}: holds no training (no {own.options.name}); give RECIPE, --scale, "
            "--data and --out to begin one"
        )
    try:
        stored = parse_text(own.options.read_text(encoding="utf-8"))
        for ended in ("samples", "wandb", "curve_only"):  # options of earlier versions
            stored.pop(ended, None)
        if own.state.is_file():
            stored["init"] = None  # the state came from there; the file may be gone
        fixed = {"recipe": str(own.recipe), "out": str(folder), "resume": True}
        options: TrainOptions = convert(stored | fixed, TrainOptions, str(own.options))
    except (OSError, ValueError, TypeError, RecipeError) as error:
        raise CheckpointError(
            f"{own.options}: cannot be read ({error})", advice="repeat all options with --resume"
        ) from error
    return replace(options, **changes)
