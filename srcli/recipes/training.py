"""Training recipes as data: stages with weighted losses, optimiser, schedule and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from srcli.errors import RecipeError

Value = bool | int | float | str | tuple[int, ...]
"""What a field of a network or a loss may hold."""


def _above(name: str, value: float, bound: float) -> None:
    if not value > bound:
        raise RecipeError(f"{name} must be above {bound}, got {value}")


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """One weighted term of the loss."""

    name: str
    """A name from ``srcli.losses.LOSSES``."""
    weight: float = 1.0
    options: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the loss, such as ``sigma``."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.weight < 0:
            raise RecipeError(f"the weight of a loss must be at least 0, got {self.weight}")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Adam and its settings."""

    learning_rate: float = 5e-4
    """Peak learning rate."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _above("learning_rate", self.learning_rate, 0)
        _above("epsilon", self.epsilon, 0)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.clip_norm < 0:
            raise RecipeError(f"clip_norm must be at least 0, got {self.clip_norm}")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over a stage, in fractions of the stage, so that it fits any budget."""

    kind: Literal["step", "cosine", "constant"] = "step"
    warmup: float = 0.0
    """Fraction of the stage over which the rate rises from 0 to its peak."""
    milestones: tuple[float, ...] = ()
    """``step``: after each of these fractions the rate is multiplied by ``gamma``."""
    gamma: float = 0.5
    floor: float = 0.0
    """``cosine``: share of the peak that is left at the end."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for value in (self.warmup, self.floor, *self.milestones):
            if not 0 <= value <= 1:
                raise RecipeError(
                    f"warmup, floor and milestones are fractions in 0..1, got {value}"
                )
        _above("gamma", self.gamma, 0)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of the optimiser with one loss, from a fresh optimiser."""

    losses: tuple[LossTerm, ...] = (LossTerm(name="l1"),)
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    steps: int = 1_000_000
    """Iterations; ``--budget`` replaces them, in proportion where there are several stages."""
    batch: int = 32
    """Patches per iteration."""
    patch: int = 64
    """Edge of a patch in LR pixels."""
    prefer_detail: bool = False
    """Of two random places take the one with more gradient energy."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("steps", "batch", "patch"):
            _above(name, getattr(self, name), 0)
        if not self.losses:
            raise RecipeError("a stage needs at least one loss")


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """Everything that decides the outcome of a training, apart from the data."""

    model: str
    """A name from ``srcli.models.MODELS``."""
    network: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the network that differ from its defaults."""
    stages: tuple[Stage, ...] = (Stage(),)
    ema_decay: float = 0.999
    """Decay of the averaged weights that are validated and saved; 0 turns averaging off."""
    start_from_bicubic: bool = False
    """Begin as an interpolation, where the network offers it."""
    validate_every: int = 1000
    """Iterations between validations."""
    paper: str = ""
    """Where the settings come from, and what the paper trained on."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if not 0 <= self.ema_decay < 1:
            raise RecipeError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if not self.stages:
            raise RecipeError("a recipe needs at least one stage")
        _above("validate_every", self.validate_every, 0)
