"""The named training recipes."""

from __future__ import annotations

from dataclasses import replace

from srcli.recipes.baselines import BASELINES
from srcli.recipes.degradation import PHOTO
from srcli.recipes.training import Adversarial, LossTerm, Optimizer, Schedule, Stage, TrainRecipe

_G_IDRN_LOSS = (
    LossTerm(name="l1", weight=0.4),
    LossTerm(name="high-frequency", weight=0.6, options={"size": 9, "sigma": 1.5}),
)

G_IDRN = TrainRecipe(
    model="g-idrn",
    ema_decay=0.0,
    stages=(
        Stage(
            losses=_G_IDRN_LOSS,
            optimizer=Optimizer(learning_rate=5e-4),
            schedule=Schedule(kind="step", milestones=(0.2, 0.4, 0.6, 0.8), gamma=0.5),
            steps=1_000_000,
            batch=32,
            patch=64,
        ),
    ),
    paper="G-IDRN 2024: DIV2K 001-800, 10^6 iterations, Adam 5e-4 halved every 2*10^5",
    inferred=(
        "network.ds_self",
        "network.ds_initial",
        "stages.0.losses.1.options",
        "validate_every",
    ),
)

_SHORT = Stage(
    optimizer=Optimizer(learning_rate=1e-3, beta2=0.99, clip_norm=1.0),
    schedule=Schedule(kind="cosine", warmup=0.02),
    steps=12_000,
    batch=8,
    patch=48,
    prefer_detail=True,
)
"""One cycle for hours of a CPU, which the short recipes vary."""
_GENTLE = replace(_SHORT, optimizer=replace(_SHORT.optimizer, learning_rate=5e-4))


def _short(
    recipe: TrainRecipe, stage: Stage, of: str = "network and loss", *, from_bicubic: bool = True
) -> TrainRecipe:
    """Return a recipe with one stage instead of the paper's, for hours instead of days.

    Weights are averaged, and the network begins as bicubic interpolation: our choices.
    """
    return TrainRecipe(
        model=recipe.model,
        start_from_bicubic=from_bicubic,
        stages=(stage,),
        paper=f"the paper's {of}, a one-cycle schedule for hours instead of days",
    )


G_IDRN_SHORT = _short(G_IDRN, replace(_SHORT, losses=_G_IDRN_LOSS))

_RRLFN_STAGE = Stage(
    optimizer=Optimizer(learning_rate=5e-4),
    schedule=Schedule(kind="step", milestones=(0.25, 0.5, 0.75), gamma=0.5),
    steps=800_000,
    batch=64,
    patch=(128, 85, 64),
    augmentation="rotations",
    shuffle_channels=True,
)

RRLFN = TrainRecipe(
    model="rrlfn",
    ema_decay=0.0,
    stages=(
        _RRLFN_STAGE,
        _RRLFN_STAGE,
        replace(
            _RRLFN_STAGE,
            losses=(LossTerm(name="l1"), LossTerm(name="contrastive", weight=1e-4)),
        ),
    ),
    paper="RRLFN 2025: L1 twice, then with the contrastive loss, 8*10^5 iterations each, Adam 5e-4 "
    "halved every 2*10^5; rotated patches of 256x256 HR pixels; x4 begins from x2 (--init); its "
    "data are not named: DIV2K",
    inferred=(
        "stages.*.batch",
        "stages.*.patch",
        "stages.2.losses.1.weight",
        "stages.2.losses.1.options",
        "validate_every",
    ),
)

RRLFN_SHORT = _short(RRLFN, _SHORT, of="network and first loss")

DDSR = TrainRecipe(
    model="ddsr",
    ema_decay=0.0,
    stages=(
        Stage(
            losses=(LossTerm(name="l2"),),
            optimizer=Optimizer(learning_rate=1e-3),
            schedule=Schedule(kind="step", milestones=(0.6, 0.9), gamma=0.1),
            steps=100_000,
            batch=128,
            patch=(10, 7, 6),
            patch_stride=4,
            augmentation="none",
        ),
    ),
    paper="DDSR, about 2018: General-100, 91-images and BSD100 on Y, 10^5 iterations, Adam 1e-3, a "
    "tenth after 6*10^4 and 9*10^4; patches of 7x7 at x3, every 4 pixels",
    inferred=("stages.0.batch", "stages.0.patch", "degradation", "validate_every"),
)

DDSR_SHORT = _short(
    DDSR, replace(_SHORT, losses=(LossTerm(name="l2"),), patch=24), from_bicubic=False
)

NESTED_ATTN = TrainRecipe(
    model="nested-attn",
    ema_decay=0.0,
    stages=(
        Stage(
            optimizer=Optimizer(learning_rate=1e-3),
            schedule=Schedule(kind="cosine", warmup=0.001, floor=0.001),
            steps=1_000_000,
            batch=16,
            patch=48,
            augmentation="none",
        ),
    ),
    paper="nested attention 2023: DIV2K, 1000 epochs, Adam 1e-3, L1",
    inferred=(
        "network.channels",
        "network.branches",
        "network.ca_kernel",
        "network.accumulate",
        "network.activations",
        "stages.0.schedule",
        "stages.0.steps",
        "stages.0.batch",
        "stages.0.patch",
        "degradation",
        "validate_every",
    ),
)

NESTED_ATTN_SHORT = _short(NESTED_ATTN, _GENTLE)

_CONSTANT = Schedule(kind="constant")

ATTENTIVE_GAN = TrainRecipe(
    model="attentive-gan",
    ema_decay=0.0,
    stages=(
        Stage(
            optimizer=Optimizer(learning_rate=1e-4),
            schedule=_CONSTANT,
            steps=125_000,
            batch=16,
            patch=24,
            augmentation="none",
        ),
        Stage(
            optimizer=Optimizer(learning_rate=1e-4),
            schedule=_CONSTANT,
            steps=1_125_000,
            batch=16,
            patch=24,
            augmentation="none",
            adversarial=Adversarial(),
        ),
    ),
    paper="attentive GAN 2020: 100,000 pictures of ImageNet for 200 epochs, Adam 1e-4, constant; "
    "the generator alone for the first tenth",
    inferred=(
        "network",
        "stages.0",
        "stages.1.steps",
        "stages.1.batch",
        "stages.1.patch",
        "stages.1.adversarial.options",
        "stages.1.adversarial.weight",
        "stages.1.adversarial.optimizer",
        "stages.1.adversarial.gamma",
        "stages.1.adversarial.balance_rate",
        "stages.1.adversarial.balance_start",
        "validate_every",
    ),
)

_GENERATOR_ALONE = replace(_GENTLE, patch=32)

_AGAINST_SMALL = Stage(
    optimizer=Optimizer(learning_rate=1e-4, beta2=0.99, clip_norm=1.0),
    schedule=Schedule(kind="cosine", warmup=0.02),
    steps=1_200,
    batch=8,
    patch=24,
    prefer_detail=True,
    adversarial=Adversarial(
        # Small and with a wide middle: it rebuilds photographs within minutes. As large
        # and narrow as the paper's, it takes all detail for an error for hours.
        options={"widths": (32, 64, 64, 64), "strides": (1, 2, 1, 1), "decoder": (32,)},
        weight=0.2,
        optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
        jitter=8,
        gamma=1.0,
        balance_on="reconstruction",
        balance_rate=0.02,
        balance_start=0.6,
    ),
)

ATTENTIVE_GAN_SHORT = TrainRecipe(
    model="attentive-gan",
    start_from_bicubic=True,
    stages=(replace(_GENERATOR_ALONE, steps=3_500), _AGAINST_SMALL),
    ema_decay=0.98,
    paper="the paper's generator, a smaller auto-encoder, one-cycle schedules for hours instead of "
    "days; the balance as in BEGAN itself",
)

ATTENTIVE_GAN_ADVERSARIAL = TrainRecipe(
    model="attentive-gan",
    degradation=PHOTO,
    stages=(
        Stage(
            optimizer=Optimizer(learning_rate=2e-4, beta2=0.99, clip_norm=1.0),
            schedule=Schedule(kind="cosine", warmup=0.02, hold=0.5),
            steps=1_000,
            batch=8,
            patch=32,
            prefer_detail=True,
            recolour=0.1,
            adversarial=Adversarial(
                discriminator="patch",
                weight=0.02,
                optimizer=Optimizer(learning_rate=4e-4, beta1=0.5, beta2=0.99),
                jitter=8,
            ),
        ),
    ),
    paper="for a network that L1 has trained: against a classifier of patches (PatchGAN, which the "
    "paper does not have), on LR as cameras save it",
)

ATTENTIVE_GAN_L1 = TrainRecipe(
    model="attentive-gan",
    start_from_bicubic=True,
    stages=(_GENERATOR_ALONE,),
    paper="the paper's generator alone, by L1: a start for the adversarial stage, and the one with "
    "the higher PSNR",
)


def _by_muon(recipe: TrainRecipe, rate: float, weight_decay: float = 0.0) -> TrainRecipe:
    """The same by Muon; rates without a remark are the best of ``benchmarks/choices.toml``."""
    (stage,) = recipe.stages
    optimizer = replace(stage.optimizer, kind="muon", learning_rate=rate, weight_decay=weight_decay)
    return replace(
        recipe,
        start_from_bicubic=True,
        stages=(replace(stage, optimizer=optimizer),),
        paper=f"{recipe.paper}, by Muon (2024) instead of Adam",
    )


RECIPES: dict[str, TrainRecipe] = {
    "g-idrn": G_IDRN,
    "g-idrn-short": G_IDRN_SHORT,
    "g-idrn-muon": _by_muon(G_IDRN_SHORT, 4e-3),
    "g-idrn-adversarial": replace(
        ATTENTIVE_GAN_ADVERSARIAL, model="g-idrn", start_from="g-idrn-photo"
    ),
    "rrlfn": RRLFN,
    "rrlfn-short": RRLFN_SHORT,
    # At 4e-3 without decay the ReLUs of whole blocks died (benchmarks/dead_channels.py).
    "rrlfn-muon": _by_muon(RRLFN_SHORT, 2e-3, weight_decay=0.1),
    "ddsr": DDSR,
    "ddsr-short": DDSR_SHORT,
    "ddsr-muon": _by_muon(DDSR_SHORT, 2e-3),
    "attentive-gan": ATTENTIVE_GAN,
    "attentive-gan-short": ATTENTIVE_GAN_SHORT,
    "attentive-gan-l1": ATTENTIVE_GAN_L1,
    "attentive-gan-adversarial": ATTENTIVE_GAN_ADVERSARIAL,
    "attentive-gan-l1-muon": _by_muon(ATTENTIVE_GAN_L1, 2e-3),
    "nested-attn": NESTED_ATTN,
    "nested-attn-short": NESTED_ATTN_SHORT,
    "nested-attn-muon": _by_muon(NESTED_ATTN_SHORT, 2e-3),
    **BASELINES,
}
