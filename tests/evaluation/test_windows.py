"""The window that is shown lies where models differ."""

from __future__ import annotations

import pytest

from srcli.evaluation.windows import CROP, find_window
from srcli.imaging.resize import mod_crop
from tests.fixtures.pictures import shifted


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_window_covers_a_planted_difference(photograph, scale):
    hr = mod_crop(photograph, scale)
    other = shifted(hr, slice(171, 251), slice(43, 143))
    top, left, high, wide = find_window(hr, {"a": hr, "b": other}, scale=scale)
    assert (high, wide) == (CROP, CROP)
    assert top <= 171
    assert top + high >= 251
    assert left <= 43
    assert left + wide >= 143
    assert top % scale == left % scale == 0


def test_one_model_is_compared_with_hr(photograph):
    other = shifted(photograph, slice(0, 60), slice(330, 400))
    top, left, high, wide = find_window(photograph, {"a": other}, scale=4)
    assert (top, left, high, wide) == (0, 280, 120, 120)


def test_models_that_agree_are_compared_with_hr(photograph):
    other = shifted(photograph, slice(200, 300), slice(300, 400))
    sr = {"a": other, "b": other.copy(), "c": other.copy()}
    top, left, high, wide = find_window(photograph, sr, scale=4)
    assert (top, left, high, wide) == (180, 280, 120, 120)


def test_what_is_wrong_in_every_model_alike_does_not_count(photograph):
    wrong = shifted(photograph, slice(0, 100), slice(0, 100))
    other = shifted(wrong, slice(220, 300), slice(300, 380))
    top, left, *_ = find_window(photograph, {"a": wrong, "b": other}, scale=4)
    assert top > 100
    assert left > 100


@pytest.mark.parametrize(("scale", "expected"), [(2, (34, 70)), (3, (33, 69)), (4, (32, 68))])
def test_small_pictures_give_all_they_have(photograph, scale, expected):
    hr = mod_crop(photograph[100:135, 100:171], scale)
    window = find_window(hr, {"a": hr, "b": 255 - hr}, scale=scale)
    assert window == (0, 0, *expected)


def test_a_crop_that_the_scale_does_not_divide_is_made_smaller(photograph):
    hr = mod_crop(photograph, 3)
    window = find_window(hr, {"a": hr, "b": 255 - hr}, scale=3, edge=50)
    assert window[2:] == (48, 48)
    assert all(each % 3 == 0 for each in window)
