"""Units of work of an ablation, as plain data: one training with its scores, or the costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from srcli.errors import RecipeError
from srcli.inference.device import Precision
from srcli.pipelines.ablate.figures import read_cost, read_scores, read_training
from srcli.recipes.fields import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from srcli.pipelines.ablate.figures import Figure


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """A set that a trained variant is measured on."""

    key: str
    """Of the figure."""
    dataset: str
    """As given: a name or a folder."""
    protocol: str


@dataclass(frozen=True, kw_only=True)
class TrainingUnit:
    """One variant with one seed."""

    kind: Literal["training"] = "training"
    label: str
    """For people."""
    key: str
    """Of the training and its figure."""
    store: str
    """Folder of the store."""
    recipe: str
    """Path of the recipe file."""
    scale: int
    seed: int
    budget: str | None
    data: tuple[str, ...]
    hold_out: tuple[str, ...] | None
    hold_out_listed: tuple[str, ...] = ()
    exclude: tuple[str, ...]
    validate: tuple[str, ...]
    """Sets for the curve, beside the held-out pictures."""
    measure: tuple[Measuring, ...]
    """What is not yet measured."""
    device: str
    precision: Precision
    threads: int

    def missing(self, get: Callable[[str], Figure]) -> list[str]:
        """Return the keys of what is not there: the training, then scores.

        Args:
            get: Gives the figure of a key; empty where there is none.
        """
        training = [self.key] if read_training(get(self.key)) is None else []
        return training + [each.key for each in self.measure if read_scores(get(each.key)) is None]


@dataclass(frozen=True, kw_only=True)
class CostUnit:
    """One variant's parameters, work and memory."""

    kind: Literal["cost"] = "cost"
    label: str
    key: str
    store: str
    recipe: str
    scale: int
    sizes: tuple[tuple[int, ...], ...]
    """LR (height, width) at which memory is measured."""
    gradients: bool
    """Measure it with gradients recorded."""
    device: str
    threads: int

    def missing(self, get: Callable[[str], Figure]) -> list[str]:
        """Return the key, if there are no costs.

        Args:
            get: Gives the figure of a key; empty where there is none.
        """
        return [self.key] if read_cost(get(self.key)) is None else []


def read_unit(plain: Mapping[str, Any]) -> TrainingUnit | CostUnit:
    """Return a unit from the plain data that ``dataclasses.asdict`` made of it.

    Raises:
        RecipeError: If it is none.
    """
    kinds: dict[str, type[TrainingUnit | CostUnit]] = {"training": TrainingUnit, "cost": CostUnit}
    kind = plain.get("kind")
    if kind not in kinds:
        raise RecipeError(f"no unit of work of kind {kind!r}")
    unit: TrainingUnit | CostUnit = convert(plain, kinds[kind], "the unit")
    return unit
