"""Which pictures are validated on: by name, by rule, not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from srcli.data.held_out import (
    HELD_OUT,
    MOST_CROPS,
    choose_split,
    next_by_rule,
    split_held_out,
)
from srcli.data.pictures import PictureRef, photograph_of
from srcli.errors import DataError


def refs(*names):
    return [PictureRef(path=Path(f"{name}.png")) for name in names]


def names(part):
    return [ref.name for ref in part]


CROPS = refs("a-1_00", "a-1_01", "a-1s_00", "b-2_01", "b-2_00", "kde-3_00", "c-4_00")


def test_crops_of_a_held_out_photograph_are_in_neither_training_nor_twice():
    split = choose_split(CROPS, ["a-1", "b-2", "z"], excluded=["kde-"])
    train, held = split.train, split.held_out
    assert names(train) == ["c-4_00"]
    assert names(held) == ["a-1_00", "a-1_01", "a-1s_00", "b-2_00", "b-2_01"]
    many = refs(*(f"m-1_{i:02d}" for i in range(99)))
    assert names(split_held_out(many, ["m-1"])[1]) == names(many[:MOST_CROPS])


def test_single_pictures_may_be_named():
    train, held = split_held_out(CROPS, ["a-1_01"])
    assert names(held) == ["a-1_01"]
    assert "a-1_00" in names(train)


def test_the_rule_takes_a_fiftieth_of_the_photographs():
    many = refs(*(f"p-{i:03d}_{j:02d}" for i in range(150) for j in range(2)))
    split = choose_split(many, HELD_OUT)
    assert names(split.held_out) == [
        "p-000_00",
        "p-000_01",
        "p-001_00",
        "p-001_01",
        "p-002_00",
        "p-002_01",
    ]
    assert len(split.train) == 294
    assert "by rule" in split.reason
    few = choose_split(many[:20], HELD_OUT)
    assert names(few.held_out) == ["p-000_00", "p-000_01"]
    thousand = choose_split(refs(*(f"q{i:04d}" for i in range(2000))), HELD_OUT)
    assert len(thousand.held_out) == 16


def test_numbered_pictures_of_a_camera_are_photographs_of_their_own():
    split = choose_split(refs(*(f"IMG_{i:04d}" for i in range(8))), HELD_OUT)
    assert names(split.held_out) == ["IMG_0000"]
    assert len(split.train) == 7


def test_too_few_pictures_train_without_validation():
    split = choose_split(refs("a", "b", "c", "d"), HELD_OUT)
    assert split.held_out == []
    assert len(split.train) == 4
    assert "no validation" in split.reason


def test_names_that_were_asked_for_must_be_there():
    with pytest.raises(DataError, match=r"--hold-out a-2: .*no file of names; did you mean .*a-1"):
        choose_split(CROPS, ["b-2", "a-2"], required=True)
    with pytest.raises(DataError, match=r"^--hold-out x: .* \(nor are 2 more\)$"):
        choose_split(CROPS, ["x", "y", "b-2", "z"], required=True)
    with pytest.raises(DataError, match="--hold-out kde-3: --exclude leaves it out"):
        choose_split(CROPS, ["kde-3"], required=True, excluded=["kde-"])
    assert choose_split(CROPS, [], required=True).held_out == []


def test_names_of_a_shared_list_may_be_absent_and_those_that_are_there_are_counted():
    split = choose_split(CROPS, ["c-4"], listed=["a-1", "x", "y"], required=True)
    assert names(split.held_out) == ["a-1_00", "a-1_01", "a-1s_00", "c-4_00"]
    assert split.reason == "held out by name: 4 (1 of 3 in the list are in the data)"
    assert choose_split(CROPS, ["c-4"], required=True).reason == "held out by name: 1"
    with pytest.raises(DataError, match="none of the pictures to hold out is in the data: x, y"):
        choose_split(CROPS, [], listed=["x", "y"], required=True)


def test_what_is_excluded_is_counted_and_prefixes_of_nothing_are_known():
    split = choose_split(CROPS, ["c-4"], excluded=["kde-", "plasma-", "a-1_"])
    assert split.excluded == 3
    assert split.unmatched == ("plasma-",)
    assert names(split.train) == ["a-1s_00", "b-2_01", "b-2_00"]
    by_rule = choose_split(refs("a", "b", "c", "d", "e", "f"), HELD_OUT, excluded=["f", "g"])
    following = next_by_rule(by_rule)
    assert following is not None
    assert (following.excluded, following.unmatched) == (1, ("g",))


def test_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match="no training pictures"):
        choose_split(CROPS, ["c-4"], excluded=["a-", "b-", "kde-"])


def test_the_committed_list_is_found_by_name():
    split = choose_split([*refs(*(f"{name}_00" for name in HELD_OUT)), *CROPS], HELD_OUT)
    assert len(split.held_out) == 16
    assert len(split.train) == len(CROPS)
    assert split.reason == "held out by name: 16 (16 of 16 in the list are in the data)"


def test_the_next_by_name_are_held_out_where_the_first_cannot_be():
    split = choose_split(refs("a", "b", "c", "d", "e"), HELD_OUT)
    after = next_by_rule(split)
    assert after is not None
    assert names(after.held_out) == ["b"]
    assert names(after.train) == ["c", "d", "e"]
    assert after.reason.endswith("1 by name after those that cannot be read: b")
    last = after
    while following := next_by_rule(last):
        last = following
    assert names(last.train) == ["e"]


@pytest.mark.parametrize("asked", [["a"], [], ["nobody"]])
def test_there_is_no_next_but_by_rule(asked):
    few = refs("a", "b", "c", "d") if asked == ["nobody"] else refs("a", "b", "c", "d", "e")
    assert next_by_rule(choose_split(few, asked)) is None


def test_the_list_names_photographs_not_crops_and_none_that_is_excluded():
    assert len(HELD_OUT) == len(set(HELD_OUT)) == 16
    assert all(photograph_of(name) == name for name in HELD_OUT)
    assert not any(name.startswith(("kde-", "plasma-")) for name in HELD_OUT)  # LGPL, GPL
