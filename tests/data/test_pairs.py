"""LR pictures and their cache; pictures beyond what memory may hold, in files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from srcli.data import pairs as module
from srcli.data.pairs import PictureStore, make_pairs
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


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    sizes = [(20, 31, 3), (9, 9, 3), (40, 12, 3), (1, 1, 3), (50, 50, 3), (7, 300, 3)]
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("size", [1, 5000, 2**20])
@pytest.mark.parametrize("limit", [0, 2500, 10**6])
def test_pictures_stay_what_they_are(pictures, tmp_path, monkeypatch, size, limit):
    monkeypatch.setattr(module, "FILE_BYTES", size)
    store = PictureStore(limit, tmp_path / "new")
    kept = [store.keep(picture) for picture in pictures]
    for a, b in zip(kept, pictures, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.flags["C_CONTIGUOUS"]
    assert store.in_memory <= limit
    assert store.in_memory + store.in_files == sum(picture.nbytes for picture in pictures)
    assert (store.in_files == 0) is (limit == 10**6)


def test_a_part_of_a_picture_does_not_hold_all_of_it(pictures):
    kept = PictureStore().keep(pictures[0][:, :30])
    assert kept.base is None
    np.testing.assert_array_equal(kept, pictures[0][:, :30])


@pytest.mark.skipif(os.name == "nt", reason="an open file keeps its name on Windows")
def test_nothing_is_left_behind_however_it_ends(pictures, tmp_path):
    store = PictureStore(0, tmp_path)
    store.keep(pictures[0])
    assert store.in_files == pictures[0].nbytes
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_made_all_stay_in_memory_and_it_is_told(pictures, tmp_path):
    told: list[str] = []
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    store = PictureStore(2000, blocked / "cache", warn=told.append)
    for picture in pictures:
        np.testing.assert_array_equal(store.keep(picture), picture)
    assert store.in_files == 0
    assert len(told) == 1
    assert "SRX_CACHE" in told[0]
    assert str(blocked) in told[0]
