"""The named training recipes."""

from __future__ import annotations

from dataclasses import replace

from srcli.errors import RecipeError
from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage, TrainRecipe

_G_IDRN_LOSS = (
    LossTerm(name="l1", weight=0.4),
    LossTerm(name="high-frequency", weight=0.6, options={"size": 9, "sigma": 1.5}),
)

G_IDRN = TrainRecipe(
    model="g-idrn",
    start_from_bicubic=True,
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
)

G_IDRN_SHORT = replace(
    G_IDRN,
    stages=(
        Stage(
            losses=_G_IDRN_LOSS,
            optimizer=Optimizer(learning_rate=1e-3, beta2=0.99, clip_norm=1.0),
            schedule=Schedule(kind="cosine", warmup=0.02),
            steps=12_000,
            batch=8,
            patch=48,
            prefer_detail=True,
        ),
    ),
    paper="the paper's network and loss, a one-cycle schedule for hours instead of days",
)

RECIPES: dict[str, TrainRecipe] = {
    "g-idrn": G_IDRN,
    "g-idrn-short": G_IDRN_SHORT,
}


def find_recipe(name: str) -> TrainRecipe:
    """Return the recipe called ``name``.

    Raises:
        RecipeError: If there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise RecipeError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
