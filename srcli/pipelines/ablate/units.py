"""Options of a run of ablations, and its units of work as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

from srcli.data.training_set import DataSelection
from srcli.errors import UsageError
from srcli.inference.device import Precision
from srcli.pipelines.ablate.results import COST, TRAINING, StoredResult
from srcli.pipelines.ablate.store import default_store
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import parse_budget


@dataclass(frozen=True, kw_only=True)
class AblateOptions(DataSelection):
    """Options of a run, the same for all variants; data may be left out if none is trained."""

    budget: str | None = None
    """Iterations (``5000``) or time (``20m``) for every variant and seed; None for the recipe's."""
    overrides: tuple[str, ...] = ()
    """``path=value`` for the recipes of all variants, as ``srx train --set`` takes them."""
    seeds: int = 1
    """Trainings of every variant, with the seeds 0, 1, ..."""
    train: bool = True
    """False measures parameters, work and memory only."""
    sets: tuple[str, ...] | None = None
    """Sets to measure on; None for those of each ablation that are available."""
    device: str = "auto"
    precision: Precision = "auto"
    """Number format of the trainings; quality is always measured in fp32."""
    threads: int = 0
    """Threads of each process; 0 leaves PyTorch's choice, or divides the processor."""
    processes: int = 1
    """Units at once; 1 works in this process, more give each GPU a process, or share the CPU."""
    store: Path = field(default_factory=default_store)
    """Folder of the results; stored ones are not computed again."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            UsageError: If a number is too small, or there is nothing to train on.
            RecipeError: If the budget cannot be read.
        """
        for name, least in (("seeds", 1), ("processes", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if self.budget is not None:
            parse_budget(self.budget)
        if self.sets is not None and not self.sets:
            raise UsageError("--sets: name at least one")
        if not self.train:
            return
        if not self.data:
            raise UsageError("--data: give pictures to train on, or --no-train")
        if self.precision == "fp16":
            raise UsageError("--precision fp16: gradients would vanish; train in bf16 or fp32")


@dataclass(frozen=True)
class MachineUnit:
    """The description of the machine that runs the units."""

    options: AblateOptions
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A set that a trained variant is measured on."""

    key: str
    """Key of the scores."""
    dataset: str
    """As given: a name or a folder."""
    protocol: str


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """All that units have in common."""

    label: str
    """Name for messages."""
    key: str
    """Key of the result."""
    options: AblateOptions
    scale: int
    measure: tuple[Measurement, ...] = ()
    """Scores that are not there yet."""
    first: ClassVar[tuple[str, ...]] = ()
    """Parts of the result that the unit makes before the scores."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the result that the unit makes, in order."""
        return (*self.first, *(each.key for each in self.measure))

    def remaining(self, result: StoredResult) -> Self | None:
        """Return the part of the unit that a result lacks; None if it is complete."""
        if all(map(result.has, self.parts)):
            return None
        return replace(self, measure=tuple(m for m in self.measure if not result.has(m.key)))


@dataclass(frozen=True, kw_only=True)
class TrainingUnit(_Unit):
    """The training of one variant with one seed, and its scores."""

    recipe: TrainRecipe
    seed: int
    validate: tuple[str, ...]
    """Sets for the curve, in place of the held-out pictures."""
    first = (TRAINING,)


@dataclass(frozen=True, kw_only=True)
class CostUnit(_Unit):
    """The parameters, work and memory of one variant."""

    recipe: TrainRecipe
    sizes: tuple[tuple[int, int], ...]
    """LR (height, width) at which memory is measured."""
    gradients: bool
    """Measure it with gradients recorded."""
    first = (COST,)


@dataclass(frozen=True, kw_only=True)
class BicubicUnit(_Unit):
    """The scores of bicubic interpolation, which verdicts need."""


Unit = BicubicUnit | CostUnit | TrainingUnit
