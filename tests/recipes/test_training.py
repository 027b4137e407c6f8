"""Recipes refuse impossible values themselves."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from srcli.errors import RecipeError
from srcli.recipes.training import Adversarial, LossTerm, Optimizer, Schedule, Stage, TrainRecipe


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stage(batch=0),
        lambda: Stage(patch=-1),
        lambda: Stage(patch=(8, 0, 8)),
        lambda: Stage(patch_stride=0),
        lambda: Stage(steps=0),
        lambda: Stage(losses=()),
        lambda: Stage(attention_weight=-0.1),
        lambda: Stage(vary_levels=1.1),
        lambda: Stage(recolour=-0.1),
        lambda: Adversarial(weight=-0.1),
        lambda: Adversarial(gamma=0),
        lambda: Adversarial(balance_rate=-0.1),
        lambda: Adversarial(balance_start=1.1),
        lambda: LossTerm(name="l1", weight=-0.1),
        lambda: Optimizer(learning_rate=0),
        lambda: Optimizer(learning_rate=float("nan")),
        lambda: Optimizer(beta1=1.0),
        lambda: Optimizer(beta2=-0.1),
        lambda: Optimizer(epsilon=0),
        lambda: Optimizer(momentum=1.0),
        lambda: Optimizer(clip_norm=-1),
        lambda: Optimizer(weight_decay=-0.1),
        lambda: Optimizer(weight_decay=float("nan")),
        lambda: Optimizer(nesterov=True),
        lambda: Optimizer(kind="adamw", nesterov=True),
        lambda: Optimizer(kind="sgd", nesterov=True, momentum=0),
        lambda: Optimizer(momentum=0.8),
        lambda: Optimizer(kind="adamw", momentum=0.8),
        lambda: Optimizer(kind="muon", momentum=0.95),
        lambda: Optimizer(kind="sgd", beta1=0.8),
        lambda: Optimizer(kind="sgd", beta2=0.99),
        lambda: Optimizer(kind="sgd", epsilon=1e-6),
        lambda: Schedule(every=0),
        lambda: Schedule(every=1.5),
        lambda: Schedule(warmup=1.1),
        lambda: Schedule(milestones=(0.5, -0.5)),
        lambda: Schedule(floor=2),
        lambda: Schedule(kind="cosine", hold=1.1),
        lambda: Schedule(kind="halving", hold=0.5),
        lambda: Schedule(gamma=0),
        lambda: TrainRecipe(model="m", ema_decay=1.0),
        lambda: TrainRecipe(model="m", stages=()),
        lambda: TrainRecipe(
            model="m",
            stages=(Stage(), Stage(optimizer=Optimizer(kind="sgd"), reset_optimizer=False)),
        ),
        lambda: TrainRecipe(
            model="m", stages=(Stage(), Stage(adversarial=Adversarial(), reset_optimizer=False))
        ),
        lambda: TrainRecipe(
            model="m", stages=(Stage(adversarial=Adversarial()), Stage(reset_optimizer=False))
        ),
        lambda: TrainRecipe(model="m", validate_every=0),
    ],
)
def test_impossible_values_are_refused(make):
    with pytest.raises(RecipeError):
        make()


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon", "sgd"])
def test_defaults_of_settings_that_a_kind_does_not_know_are_no_settings(kind):
    plain = Optimizer(kind=kind)
    assert (plain.momentum, plain.beta1, plain.beta2, plain.epsilon) == (0.9, 0.9, 0.999, 1e-8)


def test_a_setting_that_would_change_nothing_is_refused_in_one_line():
    with pytest.raises(RecipeError, match=r"^muon ignores momentum=0\.3; "):
        Optimizer(kind="muon", momentum=0.3)


def test_recipes_do_not_change():
    with pytest.raises(FrozenInstanceError):
        setattr(Stage(), "batch", 3)  # noqa: B010 - mypy knows better than to assign
