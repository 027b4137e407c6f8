"""Budgets: parsing, progress, division among stages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srcli.errors import RecipeError
from srcli.recipes.files import RECIPES
from srcli.training.budget import Budget, parse_budget, parse_interval, stage_budgets

G_IDRN = RECIPES["g-idrn"]


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("40000", Budget(40000)),
        (" 7 ", Budget(7)),
        ("90s", Budget(90, timed=True)),
        ("25m", Budget(1500, timed=True)),
        ("1.5h", Budget(5400, timed=True)),
        ("2d", Budget(172800, timed=True)),
    ],
)
def test_iterations_and_times_are_read(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-3", "1.5", "10 apples", "m", "1e3", "5M"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(RecipeError, match="give iterations"):
        parse_budget(text)


def test_a_time_needs_a_unit():
    assert parse_interval("5m") == 300
    for text in ("300", "x"):
        with pytest.raises(
            RecipeError, match=f"--checkpoint-every {text}: give a time"
        ):
            parse_interval(text)


def test_stages_share_a_budget_by_their_iterations():
    stage = G_IDRN.stages[0]
    recipe = replace(
        G_IDRN, stages=(replace(stage, steps=300), replace(stage, steps=100))
    )
    assert stage_budgets(recipe, None) == [Budget(300), Budget(100)]
    assert stage_budgets(recipe, "40") == [Budget(30), Budget(10)]
    assert stage_budgets(recipe, "8s") == [Budget(6, timed=True), Budget(2, timed=True)]
    assert stage_budgets(recipe, "2")[1].length == 1


@pytest.mark.parametrize(
    ("whole", "parts", "shares"),
    [
        (500, (80_000, 80_000, 140_000), [134, 133, 233]),
        (5, (1, 1), [3, 2]),
        (5, (1,), [5]),
        (4, (1, 1, 1000), [1, 1, 2]),
        (3, (1, 1, 1000), [1, 1, 1]),
        (10, (9, 45, 46), [1, 4, 5]),
    ],
)
def test_the_iterations_of_all_stages_are_those_of_the_budget(whole, parts, shares):
    stage = G_IDRN.stages[0]
    recipe = replace(
        G_IDRN, stages=tuple(replace(stage, steps=steps) for steps in parts)
    )
    totals = [budget.length for budget in stage_budgets(recipe, str(whole))]
    assert totals == shares
    assert sum(shares) == whole


def test_fewer_iterations_than_stages_are_refused():
    stage = G_IDRN.stages[0]
    recipe = replace(G_IDRN, stages=(stage, stage))
    with pytest.raises(
        RecipeError, match=r"budget 1: fewer iterations than the 2 stages .* 2$"
    ):
        stage_budgets(recipe, "1")
