"""Ablations as data: what fits together, what is refused, printed differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from srcli.errors import RecipeError
from srcli.recipes.ablations import Ablation, Variant


def variant(name="a", **fields):
    return Variant(name=name, sentence="what it is", **fields)


def ablation(**fields):
    given: dict[str, Any] = {
        "name": "mine/one",
        "question": "What?",
        "recipe": "ddsr-short",
        "scale": 3,
        "base": "a",
        "variants": (variant("a"), variant("b")),
    }
    return Ablation(**(given | fields))


@pytest.mark.parametrize("name", ["RFDB+dual+ANRB", "S=50", "0.8 0.2", "3x3+1x1, BN", "80w2t_cls"])
def test_names_of_variants_are_short_texts(name):
    assert variant(name).name == name


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "a\nb", "a|b", "<b>", "é"])
def test_other_names_of_variants_are_refused(name):
    with pytest.raises(RecipeError, match=r"letters, digits, blanks"):
        variant(name)


@pytest.mark.parametrize(
    "key",
    [
        "parameters",
        "training.seconds",
        "memory.128x128",
        "Set5.psnr",
        "B100.ssim",
        "My set.seconds",
        "Set5.psnr.difference",
    ],
)
def test_printed_figures_have_known_keys(key):
    assert variant(published={key: 1.0}).published == {key: 1.0}


@pytest.mark.parametrize(
    "key",
    ["psnr", "Set5", "Set5.ifc", "memory.128", "memory.0x8", "Set5.seconds.difference", ".psnr"],
)
def test_other_keys_are_refused_with_the_forms_there_are(key):
    with pytest.raises(RecipeError, match=r"memory\.HEIGHTxWIDTH"):
        variant(published={key: 1.0})


@pytest.mark.parametrize("name", ["one", "g-idrn/blocks", "a.b/c_d-2"])
def test_names_of_ablations_have_at_most_one_slash(name):
    assert ablation(name=name).name == name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Mine"}, "small letters"),
        ({"name": "a/b/c"}, "one /"),
        ({"name": "../a"}, "small letters"),
        ({"scale": 5}, "scale must be 2, 3 or 4, got 5"),
        ({"variants": (variant(),)}, "at least two"),
        ({"variants": (variant(), variant())}, "'a' is there twice"),
        ({"base": "c"}, "base 'c' is none of the variants: a, b"),
        ({"memory_sizes": ((0, 4),)}, "pairs of height and width"),
        ({"memory_sizes": ((4,),)}, "pairs of height and width"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields, message):
    with pytest.raises(RecipeError, match=message):
        ablation(**fields)


@pytest.mark.parametrize("fields", [{"variants": (variant(),)}, {"base": "c"}, {"scale": 5}])
def test_a_refusal_names_the_ablation(fields):
    with pytest.raises(RecipeError, match=r"^mine/one: "):
        ablation(**fields)


def test_a_printed_difference_is_that_of_the_values():
    each = ablation(
        variants=(
            variant("a", published={"Set5.psnr": 37.893}),
            variant("b", published={"Set5.psnr": 37.931, "Set5.ssim": 0.9}),
        )
    )
    assert each.printed_difference("b", "Set5") == 0.038  # free of binary dust
    assert each.printed_difference("b", "Set5", "ssim") is None  # the base has none
    assert each.printed_difference("b", "Set14") is None
    assert each.printed_difference("a", "Set5") is None
    other = replace(each, base="b")
    assert other.printed_difference("a", "Set5") == -0.038


def test_a_difference_that_is_printed_itself_is_taken():
    each = ablation(
        variants=(variant("a"), variant("b", published={"Set5.psnr.difference": -0.09}))
    )
    assert each.printed_difference("b", "Set5") == -0.09
    assert each.printed_difference("b", "Set5", "ssim") is None
