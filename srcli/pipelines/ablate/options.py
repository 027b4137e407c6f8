"""Options of a run of ablations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from srcli.data.pairs import cache_folder
from srcli.data.training_set import DataSelection
from srcli.errors import UsageError
from srcli.inference.device import Precision
from srcli.training.budget import parse_budget


def default_store() -> Path:
    """Return the folder where results are kept unless another one is named."""
    return cache_folder() / "ablations"


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
