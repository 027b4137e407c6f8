"""Recipe files, and where they differ."""

from __future__ import annotations

import pytest

from srcli.errors import RecipeError
from srcli.recipes.files import (
    first_difference,
    load_recipe,
    plain_recipe,
    read_recipe,
    recipe_name,
    write_json,
)
from srcli.recipes.table import RECIPES
from srcli.recipes.training import LossTerm, Stage, TrainRecipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_a_file(tmp_path, name):
    file = tmp_path / "mine.json"
    write_json(file, plain_recipe(RECIPES[name]))
    assert read_recipe(file) == RECIPES[name]
    assert load_recipe(str(file)) == RECIPES[name]
    assert load_recipe(name) == RECIPES[name]
    assert recipe_name(str(file)) == "mine"
    assert recipe_name(name) == name


def test_toml_is_read_too(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'model = "g-idrn"\n[network]\nanrb_bins = [1, 2]\n'
        '[[stages]]\nbatch = 4\n[[stages.losses]]\nname = "l2"\nweight = 1\n',
        encoding="utf-8",
    )
    assert read_recipe(file) == TrainRecipe(
        model="g-idrn",
        network={"anrb_bins": (1, 2)},
        stages=(Stage(batch=4, losses=(LossTerm(name="l2"),)),),
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "not a recipe file"),
        ("a.toml", "model = ", "not a recipe file"),
        ("a.json", "[]", "must be a table"),
        ("a.json", '{"model": "m", "stage": []}', "did you mean 'stages'"),
        ("a.json", '{"model": "m", "ema_decay": NaN}', "finite"),
        ("a.json", '{"model": "m", "ema_decay": 2}', "ema_decay"),
        ("a.json", b"\xff\xfe", "not a recipe file"),
    ],
)
def test_damaged_files_are_refused_with_their_name(tmp_path, name, text, words):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(str(file))
    assert str(file) in str(caught.value)


def test_missing_recipes_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="there are: g-idrn, g-idrn-short"):
        load_recipe("g-idn")
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"x": 1}, {"x": 1}, None),
        ({"x": {"y": [1, 2]}}, {"x": {"y": [1, 3]}}, "x.y.1 is 2 there, 3 now"),
        ({"x": 1}, {}, "x is 1 there, null now"),
        ({}, {"x": 1}, "x is null there, 1 now"),
        ({"x": [1]}, {"x": [1, 2]}, "x is [1] there, [1, 2] now"),
    ],
)
def test_the_first_difference_is_named(a, b, words):
    assert first_difference(a, b) == words
