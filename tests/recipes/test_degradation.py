"""Degradations as data: what a file may say, what is refused, what the table promises."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from srcli.errors import RecipeError
from srcli.recipes.degradation import (
    BICUBIC,
    DEGRADATIONS,
    Blur,
    Degradation,
    Jpeg,
    Noise,
)
from srcli.recipes.fields import ROOT, convert
from srcli.recipes.files import RECIPES, apply_overrides, plain_recipe, read_recipe
from srcli.recipes.training import TrainRecipe

AERIAL, PHOTO = DEGRADATIONS["aerial"], DEGRADATIONS["photo"]
SHORT = RECIPES["g-idrn-short"]


def test_recipes_learn_from_bicubic_unless_they_say_otherwise():
    assert TrainRecipe(model="g-idrn").degradation == BICUBIC
    assert BICUBIC.is_clean
    assert not PHOTO.is_clean
    assert not AERIAL.is_clean


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_name_stands_for_all_its_fields_and_is_found_again(name):
    recipe = apply_overrides(SHORT, [f"degradation={name}"])
    assert recipe.degradation == DEGRADATIONS[name]
    assert recipe.degradation.name == name
    plain = plain_recipe(recipe)
    assert plain["degradation"] == json.loads(json.dumps(asdict(DEGRADATIONS[name])))
    assert convert(plain, TrainRecipe, ROOT) == recipe


def test_single_fields_can_be_changed():
    recipe = apply_overrides(SHORT, ["degradation=photo", "degradation.after.1.quality=50,60"])
    assert recipe.degradation.name == "custom"
    noise, jpeg = recipe.degradation.after
    assert noise == PHOTO.after[0]
    assert jpeg == Jpeg(probability=0.9, quality=(50, 60), subsampling=0.5)


def test_a_file_may_give_a_name_or_pieces(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('model = "g-idrn"\ndegradation = "aerial"\n', encoding="utf-8")
    assert read_recipe(file).degradation == AERIAL
    file.write_text(
        """
        model = "g-idrn"
        [[degradation.before]]
        kind = "blur"
        sigma = [0, 0.5]
        [[degradation.after]]
        kind = "jpeg"
        quality = [60, 80]
        [[degradation.after]]
        kind = "noise"
        sigma = [1, 2]
        """,
        encoding="utf-8",
    )
    assert read_recipe(file).degradation == Degradation(
        before=(Blur(sigma=(0.0, 0.5)),), after=(Jpeg(quality=(60, 80)), Noise(sigma=(1.0, 2.0)))
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("foto", "did you mean 'photo'"),
        (3, "degradation must be a table"),
        ({"bfore": []}, "did you mean 'before'"),
        ({"clean": 1.5}, "clean of a degradation must be in 0..1"),
        ({"before": {}}, "degradation.before must be a list"),
        ({"before": ["blur"]}, "degradation.before.0 cannot hold 'blur'"),
        ({"before": [{"sigma": [0, 1]}]}, "needs a kind, one of blur, noise, jpeg"),
        ({"before": [{"kind": ["blur"]}]}, "needs a kind"),
        ({"before": [{"kind": "blr", "sigma": [0, 1]}]}, "did you mean 'blur'"),
        ({"before": [{"kind": "blur"}]}, "'sigma'"),
        ({"after": [{"kind": "jpeg", "qualty": [1, 2]}]}, "did you mean 'quality'"),
        ({"after": [{"kind": "jpeg", "quality": [75.5, 80]}]}, "after.0.quality.0 must be a whole"),
        ({"after": [{"kind": "jpeg", "quality": 75}]}, "quality must be a list"),
        ({"after": [{"kind": "jpeg", "quality": [75]}]}, "two numbers, low and high"),
        ({"after": [{"kind": "jpeg", "quality": [90, 75]}]}, "two numbers, low and high"),
        ({"after": [{"kind": "jpeg", "quality": [0, 75]}]}, "in 1..100"),
        ({"after": [{"kind": "jpeg", "quality": [75, 101]}]}, "in 1..100"),
        ({"after": [{"kind": "jpeg", "quality": [75, 80], "subsampling": 2}]}, "subsampling"),
        ({"after": [{"kind": "noise", "sigma": [-1, 2]}]}, "sigma of noise"),
        ({"after": [{"kind": "noise", "sigma": [1, 2], "shot": [0, 1.5]}]}, "shot of noise"),
        ({"after": [{"kind": "noise", "sigma": [1, 2], "gray": -0.5}]}, "gray of noise"),
        ({"after": [{"kind": "blur", "sigma": [0, 1], "probability": 1.5}]}, "probability of blur"),
        ({"after": [{"kind": "blur", "sigma": [0, 1], "aspect": [0, 1]}]}, "aspect of blur"),
        ({"after": [{"kind": "blur", "sigma": [0, 1], "angle": [0, 360]}]}, "angle of blur"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(value, words):
    with pytest.raises(RecipeError, match=words) as caught:
        convert({"model": "g-idrn", "degradation": value}, TrainRecipe, ROOT)
    assert "\n" not in str(caught.value)


def test_photo_is_milder_than_aerial_in_every_piece():
    (photo_blur,), (aerial_blur,) = PHOTO.before, AERIAL.before
    (photo_noise, photo_jpeg), (aerial_noise, aerial_jpeg) = PHOTO.after, AERIAL.after
    assert isinstance(photo_blur, Blur)
    assert isinstance(aerial_blur, Blur)
    assert isinstance(photo_noise, Noise)
    assert isinstance(aerial_noise, Noise)
    assert isinstance(photo_jpeg, Jpeg)
    assert isinstance(aerial_jpeg, Jpeg)
    assert PHOTO.clean > AERIAL.clean
    assert photo_blur.sigma[1] < aerial_blur.sigma[1]
    assert photo_blur.probability < aerial_blur.probability
    assert photo_noise.sigma[1] < aerial_noise.sigma[1]
    assert math.isclose(photo_jpeg.quality[0], aerial_jpeg.quality[0])
    assert photo_jpeg.quality[1] > aerial_jpeg.quality[1]


def test_a_copy_with_another_piece_is_custom():
    assert replace(PHOTO, before=()).name == "custom"
    assert Degradation().name == "bicubic"
