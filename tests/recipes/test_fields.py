"""Plain values become typed fields, or are refused by name."""

from __future__ import annotations

from typing import Literal

import pytest

from srcli.errors import RecipeError
from srcli.recipes.degradation import DEGRADATIONS, Degradation, Jpeg
from srcli.recipes.fields import ROOT, check_options, convert, read_text
from srcli.recipes.training import Adversarial, Stage, TrainRecipe, Value


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (True, bool, True),
        ("a", str, "a"),
        ("a", Literal["a", "b"], "a"),
        ([1, 2.5], tuple[float, ...], (1.0, 2.5)),
        ({"a": 1, "b": [1, 2]}, dict[str, Value], {"a": 1, "b": (1, 2)}),
        (True, Value, True),
        (3, Value, 3),
        (3.5, Value, 3.5),
        (None, int | None, None),
    ],
)
def test_values_that_fit_are_converted(value, hint, expected):
    found = convert(value, hint, "x")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3.0, int),
        (True, int),
        (True, float),
        (1, bool),
        ("3", int),
        (3, str),
        (float("nan"), float),
        (float("inf"), float),
        ("c", Literal["a", "b"]),
        (True, Literal[1, 2]),
        (3, tuple[int, ...]),
        ("ab", tuple[str, ...]),
        ([1, "a"], tuple[int, ...]),
        ([1], dict[str, Value]),
        ({"a": {"b": 1}}, dict[str, Value]),
        (None, int),
        (3, Stage),
    ],
)
def test_values_of_another_type_are_refused_by_name(value, hint):
    with pytest.raises(RecipeError, match="field_x"):
        convert(value, hint, "field_x")


def test_an_optional_table_is_as_strict_as_the_others():
    assert convert({"adversarial": None}, Stage, ROOT) == Stage()
    stage = convert({"adversarial": {"discriminator": "fc"}}, Stage, ROOT)
    assert stage == Stage(adversarial=Adversarial(discriminator="fc"))
    with pytest.raises(RecipeError, match=r"no field 'gama' in adversarial; did you mean 'gamma'"):
        convert({"adversarial": {"gama": 1.0}}, Stage, ROOT)
    with pytest.raises(RecipeError, match=r"adversarial\.discriminator must be one of ae, fc"):
        convert({"adversarial": {"discriminator": "vgg"}}, Stage, ROOT)


def test_tables_become_dataclasses_and_unknown_keys_are_refused():
    recipe = convert({"model": "m", "stages": [{"batch": 4}]}, TrainRecipe, ROOT)
    assert recipe == TrainRecipe(model="m", stages=(Stage(batch=4),))
    with pytest.raises(RecipeError, match=r"no field 'bach' in stages\.0; did you mean 'batch'\?"):
        convert({"model": "m", "stages": [{"bach": 4}]}, TrainRecipe, ROOT)
    with pytest.raises(RecipeError, match=r"stages\.0\.losses\.0: missing 'name'"):
        convert({"model": "m", "stages": [{"losses": [{"weight": 1}]}]}, TrainRecipe, ROOT)
    with pytest.raises(RecipeError, match=r"the recipe: missing 'model'"):
        convert({}, TrainRecipe, ROOT)
    with pytest.raises(RecipeError, match="there are: model, network"):
        convert({"model": "m", "qqqq": 4}, TrainRecipe, ROOT)


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("7", str, "7"),
        ("7", int, 7),
        ("1e-3", float, 1e-3),
        ("true", bool, True),
        ("0.2,0.4", tuple[float, ...], [0.2, 0.4]),
        ("8,", tuple[int, ...], [8]),
        ("[1, 2]", tuple[int, ...], [1, 2]),
        ("1,3", Value, [1, 3]),
        ("rfdb", Value, "rfdb"),
        ("a,b", Value, "a,b"),
        ("eight", int, "eight"),
        ("1,2", int, "1,2"),
    ],
)
def test_texts_are_read_by_type(text, hint, value):
    assert read_text(text, hint) == value


def test_options_are_checked_against_a_constructor():
    class Part:
        def __init__(self, *, size: int = 3, sigma: float = 1.0, free=None) -> None:
            self.all = (size, sigma, free)

    assert check_options(Part, {"sigma": 2, "free": "x"}, "part") == {"sigma": 2.0, "free": "x"}
    with pytest.raises(RecipeError, match="no option 'sise' in part; did you mean 'size'"):
        check_options(Part, {"sise": 1}, "part")
    with pytest.raises(RecipeError, match="size of part must be a whole number"):
        check_options(Part, {"size": 1.5}, "part")


def test_whatever_arguments_are_no_options():
    class Open:
        def __init__(self, *args, size: int = 3, **kwargs) -> None:
            self.all = (args, size, kwargs)

    class Plain(Open):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)

    with pytest.raises(RecipeError, match=r"no option 'args' in part; there are: size$"):
        check_options(Open, {"args": 1}, "part")
    with pytest.raises(RecipeError, match=r"^no option 'size' in part; it takes none$"):
        check_options(Plain, {"size": 1}, "part")
    assert check_options(Plain, {}, "part") == {}


def test_one_of_several_tables_is_chosen_by_its_kind_and_a_name_may_stand_for_a_table():
    made = convert({"after": [{"kind": "jpeg", "quality": [1, 2]}]}, Degradation, "x")
    assert made == Degradation(after=(Jpeg(quality=(1, 2)),))
    assert convert("photo", Degradation, "x") == DEGRADATIONS["photo"]
    with pytest.raises(RecipeError, match=r"x\.after\.0 needs a kind, one of blur, noise, jpeg"):
        convert({"after": [{"quality": [1, 2]}]}, Degradation, "x")
    with pytest.raises(RecipeError, match=r"no kind 'jpg' in x\.after\.0; did you mean 'jpeg'"):
        convert({"after": [{"kind": "jpg"}]}, Degradation, "x")
