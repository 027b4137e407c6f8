"""Training recipes as data: stages with weighted losses, optimiser, schedule and budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal

from srcli.errors import RecipeError
from srcli.recipes.degradation import BICUBIC, Degradation
from srcli.recipes.fields import (
    BELOW_ONE,
    FRACTION,
    FRACTIONS,
    NOT_NEGATIVE,
    POSITIVE,
    Range,
    Value,
)

_RATES = Range("at least 0", lambda rates: all(rate >= 0 for rate in rates.values()))


def _is_edge(edge: int | tuple[int, ...]) -> bool:
    if isinstance(edge, int):
        return edge > 0
    return len(edge) == 3 and min(edge) > 0


_PATCH = Range("above 0, or three such numbers for x2, x3 and x4", _is_edge)


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """One weighted term of the loss."""

    name: str
    """A name from ``srcli.losses.LOSSES`` or of an installed package, or
    FILE.py:CLASS."""
    weight: Annotated[float, NOT_NEGATIVE] = 1.0
    options: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the loss, such as ``sigma``."""

    @classmethod
    def named(cls, name: str) -> LossTerm:
        """Return a term of weight 1; recipes may give its name alone."""
        return cls(name=name)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimiser and its settings; a kind ignores those of others."""

    kind: Literal["adam", "adamw", "muon", "sgd"] = "adam"
    """``muon`` makes the momentum of kernels orthogonal and is Adam for the rest; it
    takes two to four times Adam's learning rate."""
    learning_rate: Annotated[float, POSITIVE] = 5e-4
    """Peak learning rate."""
    beta1: Annotated[float, BELOW_ONE] = 0.9
    """Of Adam and AdamW, as ``beta2`` and ``epsilon``, and for the rest of Muon."""
    beta2: Annotated[float, BELOW_ONE] = 0.999
    epsilon: Annotated[float, POSITIVE] = 1e-8
    momentum: Annotated[float, BELOW_ONE] = 0.9
    """Of SGD alone; Muon's own is 0.95."""
    nesterov: bool = False
    """SGD: Nesterov's momentum, the gradient where the momentum leads."""
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    """Pull of the weights towards 0: ``adam`` and ``sgd`` add this times the weight to
    its gradient, ``adamw`` and ``muon`` shrink the weight itself by this times the
    learning rate."""
    clip_norm: Annotated[float, NOT_NEGATIVE] = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""
    rates: Annotated[Mapping[str, float], _RATES] = field(default_factory=dict)
    """Factors on the learning rate of single layers, by the beginning of the names of
    their weights, such as ``{"up": 0.1}``."""

    def __post_init__(self) -> None:
        if self.rates and self.kind == "muon":
            raise RecipeError(
                "muon ignores rates; set the kind to adam, adamw or sgd before them"
            )
        if self.nesterov and self.momentum == 0:
            raise RecipeError("nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """A discriminator that is trained with the network, and its part in the loss."""

    discriminator: Literal["ae", "fc", "patch", "unet", "features"] = "ae"
    """``ae``: an auto-encoder, with the balance of BEGAN; ``fc``: a classifier,
    ``patch``, ``unet`` and ``features``: classifiers of patches, of pixels and of
    features of photographs, all with binary cross-entropy."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the discriminator that differ from its defaults."""
    weight: Annotated[float, NOT_NEGATIVE] = 0.01
    """Weight of the adversarial term in the network's loss; 0 leaves it out."""
    optimizer: Optimizer = Optimizer(learning_rate=1e-4)
    """Of the discriminator; its rate follows the schedule of the stage."""
    textured: bool = False
    """The discriminator teaches only where HR has texture, so that flat places stay
    clean."""
    jitter: Annotated[int, NOT_NEGATIVE] = 0
    """All but ``fc``: output pixels by which pictures are randomly shifted before the
    discriminator. Without it the network learns a grid of the discriminator's
    strides."""
    gamma: Annotated[float, POSITIVE] = 0.5
    """``ae``: target ratio of the network's quantity to the loss of real pictures."""
    balance_on: Literal["generator", "reconstruction"] = "generator"
    """``ae``: the network's quantity is its whole loss (L_G, as the paper writes), or
    the discriminator's error on its output (l(SR), as in BEGAN)."""
    balance_rate: Annotated[float, NOT_NEGATIVE] = 0.001
    """``ae``: rate at which the balance k_t moves."""
    balance_start: Annotated[float, FRACTION] = 0.0
    """``ae``: k_t before the first iteration, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over a stage, in fractions of it, so that it fits any budget."""

    kind: Literal["step", "halving", "cosine", "constant"] = "step"
    warmup: Annotated[float, FRACTION] = 0.0
    """Fraction of the stage over which the rate rises from 0 to its peak."""
    milestones: Annotated[tuple[float, ...], FRACTIONS] = ()
    """``step``: after each of these fractions the rate is multiplied by ``gamma``."""
    every: Annotated[float, FRACTION, POSITIVE] = 0.2
    """``halving``: the rate is multiplied by ``gamma`` after every such fraction."""
    gamma: Annotated[float, POSITIVE] = 0.5
    hold: Annotated[float, FRACTION] = 0.0
    """``cosine``: the rate stays at its peak until this fraction, and falls from
    there."""
    floor: Annotated[float, FRACTION] = 0.0
    """``cosine``: share of the peak that is left at the end."""
    restarts: Annotated[tuple[float, ...], FRACTIONS] = ()
    """``cosine``: at each of these fractions the rate is at its peak again, and has
    fallen to its floor just before."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of the optimiser with one loss."""

    losses: tuple[LossTerm, ...] = (LossTerm(name="l1"),)
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    steps: Annotated[int, POSITIVE] = 1_000_000
    """Iterations; ``--budget`` replaces them, in proportion where there are several
    stages."""
    batch: Annotated[int, POSITIVE] = 32
    """Patches per iteration."""
    accumulate: Annotated[int, POSITIVE] = 1
    """Equal parts of a batch that are computed one after the other, their gradients
    added: takes less memory, not other steps, but where layers normalise by the
    batch."""
    patch: Annotated[int | tuple[int, int, int], _PATCH] = 64
    """Edge of a patch in LR pixels; three numbers are those at x2, x3 and x4, half at
    x8."""
    patch_stride: Annotated[int, POSITIVE] = 1
    """Patches lie at multiples of so many LR pixels from the picture's corner."""
    augmentation: Literal["d8", "rotations", "none"] = "d8"
    """Turns of the patches: the 8 flips and rotations, the 4 rotations, or as they
    are."""
    prefer_detail: bool = False
    """Take the one with more gradient energy of two random places."""
    shuffle_channels: bool = False
    """Put R, G and B of every patch into a random order."""
    recolour: Annotated[float, FRACTION] = 0.0
    """Share of the patches that are moved to a random colour, with less contrast, down
    to flat."""
    reset_optimizer: bool = True
    """Begin from the averaged weights with a fresh optimiser; false goes on with
    weights and optimiser of the stage before. No effect on the first stage."""
    adversarial: Adversarial | None = None
    """Train against a discriminator; None trains by the losses alone."""

    def __post_init__(self) -> None:
        if not self.losses:
            raise RecipeError("a stage needs at least one loss")
        if self.adversarial and self.accumulate > 1:
            raise RecipeError("accumulate is not for stages against a discriminator")

    def patch_edge(self, scale: int) -> int:
        """Return the edge of a patch in LR pixels at a scale of 2, 3, 4 or 8."""
        if isinstance(self.patch, int):
            return self.patch
        return self.patch[2] // 2 if scale == 8 else self.patch[scale - 2]


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """Everything that decides the outcome of a training, apart from the data."""

    model: str
    """A name from ``srcli.models.MODELS``, or FILE.py:CLASS."""
    network: Mapping[str, Value] = field(default_factory=dict)
    """Keyword arguments of the network that differ from its defaults."""
    stages: tuple[Stage, ...] = (Stage(),)
    ema_decay: Annotated[float, BELOW_ONE] = 0.999
    """Decay of the averaged weights that are validated and saved; 0 turns averaging
    off."""
    start_from_bicubic: bool = False
    """Begin as bicubic interpolation, for networks that can; weights of ``--init``
    override it."""
    start_from: str = ""
    """Begin from trained weights: a name of ``srx models``, taken at the scale of the
    training, or a weights file; weights of ``--init`` override it. Empty for new
    weights."""
    degradation: Degradation = BICUBIC
    """Makes LR from HR; in files a name of ``DEGRADATIONS``, or a table."""
    validate_every: Annotated[int, POSITIVE] = 1000
    """Iterations between validations."""
    paper: str = ""
    """Source of the settings, and the paper's training data."""
    inferred: tuple[str, ...] = ()
    """Fields of a recipe called a paper's that the paper does not state: our choices.
    ``*`` is any stage."""

    def __post_init__(self) -> None:
        if not self.stages:
            raise RecipeError("a recipe needs at least one stage")
        for number, (before, stage) in enumerate(pairwise(self.stages), start=1):
            if stage.reset_optimizer:
                continue
            if (
                before.adversarial
                or stage.adversarial
                or before.optimizer.kind != stage.optimizer.kind
            ):
                raise RecipeError(
                    f"stages.{number}: cannot go on with the optimiser of the stage before, which "
                    "is of another kind or adversarial; set reset_optimizer=true"
                )
