"""What a training is asked for, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srcli.inference.device import Precision


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What to train, on what, and how."""

    recipe: str
    """A name of the table, or a recipe file."""
    scale: int
    data: tuple[Path, ...]
    """Folders, zips, pictures."""
    out: Path
    overrides: tuple[str, ...] = ()
    """Changed fields of the recipe, ``path=value``."""
    seed: int = 0
    budget: str | None = None
    """Iterations or time; None for the recipe's iterations."""
    resume: bool = False
    init: Path | None = None
    """Weights to begin from, of any scale."""
    hold_out: tuple[str, ...] | None = None
    """Photographs for validation, all of which must be there; None for the committed list."""
    hold_out_listed: tuple[str, ...] = ()
    """More of them, of which some may be absent; without any of both there is no validation."""
    exclude: tuple[str, ...] = ()
    """Prefixes of names that are not used."""
    validate: tuple[str, ...] = ()
    """Sets to validate on beside the held-out pictures, as ``srx eval`` names them."""
    validate_leniently: bool = False
    """Leave pictures of these sets out that are of no use, with a warning; else they are errors."""
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
    """How a training ended."""

    finished: bool
    """Whether the budget is used up; else it was stopped and can be resumed."""
    weights: Path
    """The best weights, or the last ones where nothing was validated or nothing was finished."""
    iterations: int
    """In this and all former runs."""
    new_iterations: int
    """In this run."""
    best: float | None
    """Best validation PSNR-Y in dB; None without validation."""
    best_iteration: int = 0
    at_best: Mapping[str, float] = field(default_factory=dict)
    """PSNR-Y in dB of every set at that iteration; the first of them decided."""
