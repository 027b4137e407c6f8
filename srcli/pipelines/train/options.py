"""Options and result of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srcli.data.training_set import DataSelection
from srcli.inference.device import Precision


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataSelection):
    """Recipe, data and settings of a training."""

    recipe: str
    """A name of the table, or a recipe file."""
    scale: int
    out: Path
    """Folder of weights, state, recipe and log."""
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
    validate_leniently: bool = False
    """Leave out unusable pictures of these sets with a warning; else they are errors."""
    tensorboard: Path | None = None
    """Folder for event files of TensorBoard."""
    checkpoint_every: str = "5m"
    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False
    threads: int = 0
    """Threads of the processor; 0 leaves PyTorch's choice."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The end of a training, or of one run of it."""

    finished: bool
    """True if the budget is used up; else it was stopped and can be resumed."""
    weights: Path
    """The best weights, or the last ones if nothing was validated or finished."""
    iterations: int
    """In this and all former runs."""
    new_iterations: int
    """In this run."""
    best: float | None
    """Best validation PSNR-Y in dB; None without validation."""
    best_iteration: int = 0
    at_best: Mapping[str, float] = field(default_factory=dict)
    """PSNR-Y in dB of every set at that iteration; the first of them decided."""
