"""Training recipes as data: stages with weighted losses, optimiser, schedule and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from srcli.errors import RecipeError
from srcli.recipes.degradation import BICUBIC, Degradation

Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...]
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


_ADAMS = ("beta1", "beta2", "epsilon")
_UNUSED = {"adam": ("momentum",), "adamw": ("momentum",), "muon": ("momentum",), "sgd": _ADAMS}
"""Settings that a kind of optimiser does not know."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimiser and its settings; those that its kind does not know stay at their defaults."""

    kind: Literal["adam", "adamw", "muon", "sgd"] = "adam"
    """``muon`` makes the momentum of kernels orthogonal and is Adam for the rest; it takes two to
    four times Adam's learning rate."""
    learning_rate: float = 5e-4
    """Peak learning rate."""
    beta1: float = 0.9
    """Of Adam and AdamW, as ``beta2`` and ``epsilon``, and for the rest of Muon."""
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum: float = 0.9
    """Of SGD alone; Muon's own is 0.95."""
    nesterov: bool = False
    """SGD: take the gradient where the momentum is about to lead."""
    weight_decay: float = 0.0
    """Pull of the weights towards 0: ``adam`` and ``sgd`` add this times the weight to its
    gradient, ``adamw`` and ``muon`` shrink the weight itself by this times the learning rate."""
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        _above("learning_rate", self.learning_rate, 0)
        _above("epsilon", self.epsilon, 0)
        for name in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        for name in ("weight_decay", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise RecipeError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.nesterov and (self.kind != "sgd" or self.momentum == 0):
            raise RecipeError("nesterov needs kind sgd, set before it, and a momentum above 0")
        for name in _UNUSED[self.kind]:
            value, default = getattr(self, name), getattr(Optimizer, name)
            if value != default:
                raise RecipeError(
                    f"{name}={value} would change nothing with kind {self.kind}: set a kind that "
                    f"knows it before it, or {name}={default} before this kind"
                )


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """A discriminator that learns beside the network, and how it acts on it."""

    discriminator: Literal["ae", "fc"] = "ae"
    """``ae``: an auto-encoder, with the balance of BEGAN; ``fc``: a classifier, with binary
    cross-entropy."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the discriminator that differ from its defaults."""
    weight: float = 0.01
    """Weight of the term by which the discriminator acts on the network; 0 leaves it out."""
    optimizer: Optimizer = Optimizer(learning_rate=1e-4)
    """Of the discriminator; its rate follows the schedule of the stage."""
    jitter: int = 0
    """``ae``: patches are cut at a random place, by so many output pixels, before it sees them.
    Without, the network learns a grid that keeps step with the discriminator's strides."""
    gamma: float = 0.5
    """``ae``: aim of the balance, the network's quantity over the loss of real pictures."""
    balance_on: Literal["generator", "reconstruction"] = "generator"
    """``ae``: the network's quantity is its whole loss (L_G, as the paper writes), or the
    discriminator's error on its output (l(SR), as in BEGAN)."""
    balance_rate: float = 0.001
    """``ae``: how fast the balance k_t moves."""
    balance_start: float = 0.0
    """``ae``: k_t before the first iteration, 0..1."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("weight", "balance_rate", "jitter"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} must be at least 0, got {getattr(self, name)}")
        _above("gamma", self.gamma, 0)
        if not 0 <= self.balance_start <= 1:
            raise RecipeError(f"balance_start must be in 0..1, got {self.balance_start}")


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """A trained network, the teacher, whose pictures the network is to meet beside the HR ones.

    What HR holds and LR does not tell is noise to a small network; a teacher's pictures are free of
    it (knowledge distillation, as in FAKD, ICIP 2020, without its terms on features).
    """

    teacher: str
    """A name of ``srx models``, taken at the scale of the training, or a weights file."""
    share: float = 0.5
    """Share of the losses that compares with the teacher's picture, 0..1; HR has the rest."""
    tta: bool = False
    """Show the mean over the 8 flips and rotations: better pictures, for 8 times their cost."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if not 0 <= self.share <= 1:
            raise RecipeError(f"share is in 0..1, got {self.share}")

    @classmethod
    def named(cls, teacher: str) -> Distillation:
        """Return the default settings with a teacher: in recipes its name alone will do."""
        return cls(teacher=teacher)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over a stage, in fractions of the stage, so that it fits any budget."""

    kind: Literal["step", "halving", "cosine", "constant"] = "step"
    warmup: float = 0.0
    """Fraction of the stage over which the rate rises from 0 to its peak."""
    milestones: tuple[float, ...] = ()
    """``step``: after each of these fractions the rate is multiplied by ``gamma``."""
    every: float = 0.2
    """``halving``: so does the rate after every such fraction."""
    gamma: float = 0.5
    hold: float = 0.0
    """``cosine``: the rate stays at its peak until this fraction, and falls from there."""
    floor: float = 0.0
    """``cosine``: share of the peak that is left at the end."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for value in (self.warmup, self.hold, self.floor, *self.milestones):
            if not 0 <= value <= 1:
                raise RecipeError(
                    f"warmup, hold, floor and milestones are fractions in 0..1, got {value}"
                )
        if self.hold and self.kind != "cosine":
            raise RecipeError(
                f"hold={self.hold} would change nothing with kind {self.kind}: set hold=0 before it"
            )
        _above("gamma", self.gamma, 0)
        if not 0 < self.every <= 1:
            raise RecipeError(f"every must be a fraction in 0..1, above 0, got {self.every}")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of the optimiser with one loss."""

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
    shuffle_channels: bool = False
    """Put R, G and B of every patch into a random order."""
    vary_levels: float = 0.0
    """Share of the patches whose black and white come to lie up to 0.1 within or beyond 0 and 1."""
    reset_optimizer: bool = True
    """Begin from the averaged weights with a fresh optimiser; false goes on, weights and optimiser,
    where the stage before ended. The first stage has none to go on from."""
    attention_weight: float = 0.0
    """Weight of a term that shows attention maps, where the network has them, what to mark."""
    adversarial: Adversarial | None = None
    """Train against a discriminator; None trains by the losses alone."""
    distillation: Distillation | None = None
    """Learn from a larger network's pictures, too."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("steps", "batch", "patch"):
            _above(name, getattr(self, name), 0)
        if not 0 <= self.vary_levels <= 1:
            raise RecipeError(f"vary_levels is a share in 0..1, got {self.vary_levels}")
        if not self.losses:
            raise RecipeError("a stage needs at least one loss")
        if self.attention_weight < 0:
            raise RecipeError(f"attention_weight must be at least 0, got {self.attention_weight}")


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
    """Begin as an interpolation, where the network offers it; weights of ``--init`` replace what
    they hold of that."""
    degradation: Degradation = BICUBIC
    """How LR is made from HR; in files a name of ``DEGRADATIONS``, or a table."""
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
        for i, (before, stage) in enumerate(pairwise(self.stages), start=1):
            alike = before.optimizer.kind == stage.optimizer.kind
            if not stage.reset_optimizer and not (
                alike and before.adversarial is None and stage.adversarial is None
            ):
                raise RecipeError(
                    f"stages.{i}: cannot go on with the optimiser of the stage before, which is "
                    "of another kind or adversarial; set reset_optimizer=true"
                )
