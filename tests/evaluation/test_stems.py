"""Partners by name, in the naming habits of the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from srcli.evaluation.stems import base_names, match


@pytest.mark.parametrize(
    ("file", "stem"),
    [
        ("baby.png", "baby"),
        ("babyx4.png", "baby"),
        ("baby_x4.png", "baby"),
        ("BABYX4.PNG", "baby"),
        ("img_001_SRF_4_LR.png", "img_001"),
        ("0801x4m.png", "0801"),
        ("0801x4models.png", None),
        ("baby_SR.png", "baby"),
        ("baby_LR_x4.png", "baby"),
        ("baby_out.png", "baby"),
        ("baby_g-idrn-v2.png", "baby"),
        ("babylon.png", None),
        ("höhe x4.png", None),
    ],
)
def test_a_file_belongs_to_the_picture_that_its_name_means(file, stem):
    found = match(["baby", "img_001", "0801"], [Path("sr") / file], 4, what="SR")
    assert found.files == ({stem: Path("sr") / file} if stem else {})
    assert (file in found.orphans) == (stem is None)


def test_a_longer_name_is_not_taken_for_a_shorter_one():
    files = [Path("img_1.png"), Path("img_10.png"), Path("img_1_x4_SR.png")]
    found = match(["img_1", "img_10", "img_1_x4"], files, 4, what="SR")
    assert {stem: path.name for stem, path in found.files.items()} == {
        "img_1": "img_1.png",
        "img_10": "img_10.png",
        "img_1_x4": "img_1_x4_SR.png",
    }


def test_names_that_end_like_an_ending_are_still_found_whole():
    found = match(["scene_HR", "x4"], [Path("scene_HR.png"), Path("x4.png")], 4, what="LR")
    assert set(found.files) == {"scene_HR", "x4"}
    assert base_names("x4") == ["x4"]


def test_a_missing_partner_says_what_was_expected_and_two_are_named():
    found = match(["a", "b"], [Path("lr/b_x4.png"), Path("lr/b_SR.png")], 4, what="LR")
    assert "ax4.png" in found.missing["a"]
    assert "several LR pictures (b_SR.png, b_x4.png)" in found.missing["b"]


def test_the_exact_name_wins_over_names_with_endings():
    found = match(["a"], [Path("ax4.png"), Path("a.png")], 4, what="LR")
    assert found.files["a"].name == "a.png"
