"""Crops where models differ or as asked, and their figure."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from srcli.errors import UsageError
from srcli.evaluation.sets import Pair
from srcli.imaging.resize import mod_crop, resize
from srcli.pipelines.evaluate.crops import (
    CROP,
    CropPlace,
    cut_crops,
    cut_places,
    find_window,
    write_figure,
)
from srcli.pipelines.evaluate.run import ScoredPicture
from tests.fixtures.pictures import shifted


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_crops_are_of_one_place(photograph, scale):
    hr = mod_crop(photograph, scale)
    lr = resize(hr, 1 / scale)
    sr = {"a": hr, "b": shifted(hr, slice(100, 200), slice(200, 300))}
    pair = Pair(name="a", hr=hr, lr=lr, gray=False, full_size=hr.shape[:2])
    found = cut_crops(ScoredPicture(scale, "set", "a", pair=pair, sr=sr, psnr={"a": 30.0}))
    top, left, high, wide = found.window
    assert np.array_equal(found.hr, hr[top : top + high, left : left + wide])
    assert np.array_equal(found.sr["b"], sr["b"][top : top + high, left : left + wide])
    assert found.lr.shape == (high // scale, wide // scale, 3)
    assert np.array_equal(found.lr[0, 0], lr[top // scale, left // scale])
    assert not np.shares_memory(found.hr, hr)
    assert list(found.sr) == ["a", "b"]
    assert max(found.overview.shape) == 160


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


@pytest.fixture
def enlarged(astronaut):
    """A picture of 80x60 pixels enlarged by two models."""
    hr = np.ascontiguousarray(astronaut[:60, :80])
    pair = Pair(name="face", hr=hr, lr=hr[::4, ::4], gray=False, full_size=hr.shape[:2])
    sr = {"a": hr, "b": hr // 2}
    psnr = {"a": float("inf"), "b": 12.0}
    return ScoredPicture(4, "set", "face", pair=pair, sr=sr, psnr=psnr)


@pytest.mark.parametrize("text", ["face", "face:1,2,3", "face:1,2,3,x", "face:1,2,0,4", "1,2,3,4"])
def test_places_of_another_form_are_refused(srx, text):
    done = srx("eval", "--figure", "a.png", "--crop", text, code=2)
    assert text.rpartition(":")[2] in done.err
    assert "--crop" in done.err


def test_a_place_is_widened_to_multiples_of_the_scale(enlarged):
    (crop,) = cut_places(enlarged, [CropPlace("face", 10, 5, 20, 9), CropPlace("a", 0, 0, 9, 9)])
    assert crop.window == (4, 8, 12, 24)
    assert np.array_equal(crop.sr["b"], crop.hr // 2)


def test_a_place_outside_and_a_name_that_is_not_there(enlarged, tmp_path):
    with pytest.raises(UsageError, match="ends at 84, 8; the picture has 80x60 pixels at x4"):
        cut_places(enlarged, [CropPlace("face", 70, 0, 12, 8)])
    places = [CropPlace("a:b", 0, 0, 8, 8)]  # names may have colons
    with pytest.raises(UsageError, match="--crop a:b: no such picture; there are: face"):
        write_figure(tmp_path / "figure.png", [], places, ["face", "face"])


def test_the_figure_has_a_row_for_each_place_and_a_column_for_each_picture(enlarged, tmp_path):
    crops = [*cut_places(enlarged, []), *cut_places(enlarged, [])]
    for name in ("figure.png", "again.png"):
        write_figure(tmp_path / name, crops, [], ["face"])
    content = (tmp_path / "figure.png").read_bytes()
    assert content == (tmp_path / "again.png").read_bytes()
    shown = Image.open(io.BytesIO(content))
    assert shown.size == (4 * 300, round(2 * 2.35 * 150))
