"""LR pictures and their cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srcli.data import pairs as module
from srcli.data.pairs import make_pairs
from srcli.imaging.resize import downscale


@pytest.fixture
def images(astronaut):
    return [astronaut[:33, :50], astronaut[40:60, 30:47]]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sides_divide_and_lr_is_matlab_bicubic(images, scale):
    pairs = make_pairs(images, scale)
    for image, hr_image, lr_image in zip(images, pairs.hr, pairs.lr, strict=True):
        h, w = (side // scale for side in image.shape[:2])
        assert hr_image.shape == (h * scale, w * scale, 3)
        assert lr_image.shape == (h, w, 3)
        np.testing.assert_array_equal(lr_image, downscale(image, scale))


def count_downscales(monkeypatch):
    calls = []

    def counting(image, scale):
        calls.append(scale)
        return downscale(image, scale)

    monkeypatch.setattr(module, "downscale", counting)
    return calls


def test_the_second_time_they_come_from_the_cache(images, tmp_path, monkeypatch):
    calls = count_downscales(monkeypatch)
    first = make_pairs(images, 2, cache=tmp_path / "new")
    second = make_pairs(images, 2, cache=tmp_path / "new")
    assert len(calls) == 2
    assert first.digest == second.digest
    for a, b in zip(first.lr, second.lr, strict=True):
        np.testing.assert_array_equal(a, b)
    make_pairs(images[:1], 2, cache=tmp_path / "new")
    make_pairs(images, 4, cache=tmp_path / "new")
    assert len(calls) == 5


@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_a_damaged_cache_is_made_again(images, tmp_path, damage, monkeypatch):
    expected = make_pairs(images, 2, cache=tmp_path).lr
    (file,) = tmp_path.iterdir()
    if damage == "other":
        wrong: dict[str, Any] = {"000000": np.zeros((2, 2, 3), np.uint8), "000001": expected[1]}
        np.savez(file, **wrong)
    else:
        file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:-30])
    calls = count_downscales(monkeypatch)
    for _ in range(2):
        found = make_pairs(images, 2, cache=tmp_path).lr
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_costs_nothing_else(images, tmp_path):
    (tmp_path / "file").touch()
    assert len(make_pairs(images, 2, cache=tmp_path / "file" / "cache").lr) == 2


def test_a_picture_below_the_scale_is_refused():
    with pytest.raises(ValueError, match="smaller than the scale"):
        make_pairs([np.zeros((1, 9, 3), np.uint8)], 2)
