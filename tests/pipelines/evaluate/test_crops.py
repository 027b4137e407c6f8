"""Crops where models differ or as asked, and their figure."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from srcli.evaluation.pairs import Pair
from srcli.imaging.pixels.resize import mod_crop, resize
from srcli.pipelines.evaluate.report import (
    CROP_SIDE,
    ZOOM,
    compare_crops,
    draw_figure,
    find_window,
)
from srcli.pipelines.evaluate.scoring import ScoredPicture
from tests.fixtures.pictures import shifted


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_crops_are_of_one_place(photograph, scale):
    hr = mod_crop(photograph, scale)
    lr = resize(hr, 1 / scale)
    sr = {"a": hr, "b": shifted(hr, slice(100, 200), slice(200, 300))}
    pair = Pair(name="a", hr=hr, lr=lr, gray=False, full_size=hr.shape[:2])
    comparison = compare_crops(ScoredPicture(scale, "set", "a", pair=pair, sr=sr))
    top, left, high, wide = comparison.window
    assert np.array_equal(comparison.hr, hr[top : top + high, left : left + wide])
    assert np.array_equal(
        comparison.sr["b"], sr["b"][top : top + high, left : left + wide]
    )
    assert comparison.lr.shape == (high // scale, wide // scale, 3)
    assert np.array_equal(comparison.lr[0, 0], lr[top // scale, left // scale])
    assert not np.shares_memory(comparison.hr, hr)
    assert list(comparison.sr) == ["a", "b"]
    assert max(comparison.overview.shape) == 160


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_window_covers_a_planted_difference(photograph, scale):
    hr = mod_crop(photograph, scale)
    changed = shifted(hr, slice(171, 251), slice(43, 143))
    top, left, high, wide = find_window(hr, {"a": hr, "b": changed}, scale=scale)
    assert (high, wide) == (CROP_SIDE, CROP_SIDE)
    assert top <= 171
    assert top + high >= 251
    assert left <= 43
    assert left + wide >= 143
    assert top % scale == left % scale == 0


def test_one_model_is_compared_with_hr(photograph):
    changed = shifted(photograph, slice(0, 60), slice(330, 400))
    top, left, high, wide = find_window(photograph, {"a": changed}, scale=4)
    assert (top, left, high, wide) == (0, 280, 120, 120)


def test_what_is_wrong_in_every_model_alike_does_not_count(photograph):
    wrong = shifted(photograph, slice(0, 100), slice(0, 100))
    changed = shifted(wrong, slice(220, 300), slice(300, 380))
    top, left, *_ = find_window(photograph, {"a": wrong, "b": changed}, scale=4)
    assert top > 100
    assert left > 100


@pytest.mark.parametrize(
    ("scale", "expected"), [(2, (34, 70)), (3, (33, 69)), (4, (32, 68))]
)
def test_small_pictures_give_all_they_have(photograph, scale, expected):
    hr = mod_crop(photograph[100:135, 100:171], scale)
    window = find_window(hr, {"a": hr, "b": 255 - hr}, scale=scale)
    assert window == (0, 0, *expected)


def test_the_figure_has_a_row_for_each_picture(srx, tmp_path, astronaut):
    (tmp_path / "set").mkdir()
    for name in "ab":
        Image.fromarray(astronaut).save(tmp_path / "set" / f"{name}.png")
    command = "eval -m bicubic -m rrlfn -s 4 --metrics psnr --no-cost -q"
    srx(command, "--data", tmp_path / "set", "--figure", tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.size == (4 * (ZOOM * CROP_SIDE + 8), 2 * (ZOOM * CROP_SIDE + 26))


def test_a_figure_shows_pixels_as_they_are(astronaut):
    hr = np.ascontiguousarray(astronaut[:60, :80])
    pair = Pair(name="face", hr=hr, lr=hr[::4, ::4], gray=False, full_size=hr.shape[:2])
    scored = ScoredPicture(4, "set", "face", pair=pair, sr={"b": hr // 2})
    figure = draw_figure([compare_crops(scored)])
    lr = figure[4:184, 4:244]
    sr = figure[4:184, 372:612]
    original = figure[4:184, 740:980]
    assert np.array_equal(lr[::12, ::12], pair.lr)
    assert np.array_equal(sr[::3, ::3], hr // 2)
    assert np.array_equal(original[1::3, 2::3], hr)
