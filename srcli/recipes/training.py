"""Training recipes as data: stages with weighted losses, optimiser, schedule and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from srcli.errors import RecipeError
from srcli.recipes.degradation import BICUBIC, Degradation
from srcli.recipes.fields import require_fraction, require_not_negative, require_positive

Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...]
"""Values of the options of networks and losses."""


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
        require_not_negative(self, "weight")


_IGNORED = {
    "adam": {"momentum": "sgd"},
    "adamw": {"momentum": "sgd"},
    "muon": {"momentum": "sgd"},
    "sgd": dict.fromkeys(("beta1", "beta2", "epsilon"), "adam, adamw or muon"),
}
"""Settings that a kind of optimiser ignores, with the kinds that use them."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimiser and its settings; those that its kind ignores must keep their defaults."""

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
    """SGD: Nesterov's momentum, the gradient where the momentum leads."""
    weight_decay: float = 0.0
    """Pull of the weights towards 0: ``adam`` and ``sgd`` add this times the weight to its
    gradient, ``adamw`` and ``muon`` shrink the weight itself by this times the learning rate."""
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Factors on the learning rate of single layers, by the beginning of the names of their
    weights, such as ``{"up": 0.1}``."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_positive(self, "learning_rate", "epsilon")
        if self.rates and self.kind == "muon":
            raise RecipeError("muon ignores rates; set the kind to adam, adamw or sgd before them")
        if not all(factor >= 0 for factor in self.rates.values()):
            raise RecipeError(f"rates must be at least 0, got {dict(self.rates)}")
        require_fraction(self, "beta1", "beta2", "momentum", below_one=True)
        require_not_negative(self, "weight_decay", "clip_norm")
        if self.nesterov and (self.kind != "sgd" or self.momentum == 0):
            raise RecipeError("nesterov needs kind=sgd, set before it, and a momentum above 0")
        for name, kinds in _IGNORED[self.kind].items():
            value, default = getattr(self, name), getattr(Optimizer, name)
            if value != default:
                raise RecipeError(
                    f"{self.kind} ignores {name}={value}; set the kind to {kinds} before it, or "
                    f"{name}={default} before kind={self.kind}"
                )


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """A discriminator that is trained with the network, and its part in the loss."""

    discriminator: Literal["ae", "fc", "patch"] = "ae"
    """``ae``: an auto-encoder, with the balance of BEGAN; ``fc``: a classifier, ``patch``: a
    classifier of patches, both with binary cross-entropy."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the discriminator that differ from its defaults."""
    weight: float = 0.01
    """Weight of the adversarial term in the network's loss; 0 leaves it out."""
    optimizer: Optimizer = Optimizer(learning_rate=1e-4)
    """Of the discriminator; its rate follows the schedule of the stage."""
    jitter: int = 0
    """``ae``, ``patch``: output pixels by which pictures are randomly shifted before the
    discriminator. Without it the network learns a grid of the discriminator's strides."""
    gamma: float = 0.5
    """``ae``: target ratio of the network's quantity to the loss of real pictures."""
    balance_on: Literal["generator", "reconstruction"] = "generator"
    """``ae``: the network's quantity is its whole loss (L_G, as the paper writes), or the
    discriminator's error on its output (l(SR), as in BEGAN)."""
    balance_rate: float = 0.001
    """``ae``: rate at which the balance k_t moves."""
    balance_start: float = 0.0
    """``ae``: k_t before the first iteration, 0..1."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_not_negative(self, "weight", "balance_rate", "jitter")
        require_positive(self, "gamma")
        require_fraction(self, "balance_start")


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Knowledge distillation: the output of a trained network, the teacher, as a target beside HR.

    Detail of HR that LR does not determine is noise to a small network; a teacher's output is free
    of it (as in FAKD, ICIP 2020, without its terms on features).
    """

    teacher: str
    """A name of ``srx models``, taken at the scale of the training, or a weights file."""
    share: float = 0.5
    """Share of the losses that compares with the teacher's output, 0..1; HR has the rest."""
    tta: bool = False
    """Average the teacher over the 8 flips and rotations: better, at 8 times the cost."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "share")

    @classmethod
    def named(cls, teacher: str) -> Distillation:
        """Return the default settings with a teacher; recipes may give its name alone."""
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
    """``halving``: the rate is multiplied by ``gamma`` after every such fraction."""
    gamma: float = 0.5
    hold: float = 0.0
    """``cosine``: the rate stays at its peak until this fraction, and falls from there."""
    floor: float = 0.0
    """``cosine``: share of the peak that is left at the end."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "warmup", "hold", "floor", "milestones", "every")
        require_positive(self, "gamma", "every")
        if self.hold and self.kind != "cosine":
            raise RecipeError(
                f"{self.kind} ignores hold={self.hold}; set kind=cosine before it, or hold=0 "
                f"before kind={self.kind}"
            )


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
    patch: int | tuple[int, int, int] = 64
    """Edge of a patch in LR pixels; three numbers are those at x2, x3 and x4."""
    patch_stride: int = 1
    """Patches lie at multiples of so many LR pixels from the picture's corner."""
    augmentation: Literal["d8", "rotations", "none"] = "d8"
    """Turns of the patches: the 8 flips and rotations, the 4 rotations, or as they are."""
    prefer_detail: bool = False
    """Take the one with more gradient energy of two random places."""
    shuffle_channels: bool = False
    """Put R, G and B of every patch into a random order."""
    vary_levels: float = 0.0
    """Share of the patches whose black and white are moved by up to 0.1 from 0 and 1."""
    recolour: float = 0.0
    """Share of the patches that are moved to a random colour, with less contrast, down to flat."""
    reset_optimizer: bool = True
    """Begin from the averaged weights with a fresh optimiser; false goes on with weights and
    optimiser of the stage before. No effect on the first stage."""
    attention_weight: float = 0.0
    """Weight of the supervision of attention maps, for networks that have them."""
    adversarial: Adversarial | None = None
    """Train against a discriminator; None trains by the losses alone."""
    distillation: Distillation | None = None
    """Learn from the output of a larger network, too."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_positive(self, "steps", "batch", "patch_stride")
        edges = self.patch if isinstance(self.patch, tuple) else (self.patch,)
        if len(edges) not in (1, 3) or min(edges) < 1:
            raise RecipeError(
                f"patch must be above 0, or three such numbers for x2, x3 and x4, got {self.patch}"
            )
        require_fraction(self, "vary_levels")
        require_fraction(self, "recolour")
        require_not_negative(self, "attention_weight")
        if not self.losses:
            raise RecipeError("a stage needs at least one loss")

    def edge(self, scale: int) -> int:
        """Return the edge of a patch in LR pixels at a scale of 2, 3 or 4."""
        return self.patch[scale - 2] if isinstance(self.patch, tuple) else self.patch


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
    """Begin as bicubic interpolation, for networks that can; weights of ``--init`` override it."""
    start_from: str = ""
    """Begin from trained weights: a name of ``srx models``, taken at the scale of the training, or
    a weights file; weights of ``--init`` override it. Empty for new weights."""
    degradation: Degradation = BICUBIC
    """Makes LR from HR; in files a name of ``DEGRADATIONS``, or a table."""
    validate_every: int = 1000
    """Iterations between validations."""
    paper: str = ""
    """Source of the settings, and the paper's training data."""
    inferred: tuple[str, ...] = ()
    """Fields of a recipe called a paper's that the paper does not state: our choices. ``*`` is any
    stage."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "ema_decay", below_one=True)
        require_positive(self, "validate_every")
        if not self.stages:
            raise RecipeError("a recipe needs at least one stage")
        for i, (before, stage) in enumerate(pairwise(self.stages), start=1):
            alike = before.optimizer.kind == stage.optimizer.kind
            if not stage.reset_optimizer and not (
                alike and before.adversarial is None and stage.adversarial is None
            ):
                raise RecipeError(
                    f"stages.{i}: cannot go on with the optimiser of the stage before, which is "
                    "of another kind or adversarial; set reset_optimizer=true"
                )
