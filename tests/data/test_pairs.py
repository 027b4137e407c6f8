"""LR pictures; pictures beyond what memory may hold, in files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from srcli.data import pairs as module
from srcli.data.pairs import PictureStore, make_pairs
from srcli.imaging.resize import downscale


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sides_divide_and_lr_is_matlab_bicubic(astronaut, scale):
    images = [astronaut[:33, :50], astronaut[40:60, 30:47]]
    pairs = make_pairs(images, scale)
    for image, hr_image, lr_image in zip(images, pairs.hr, pairs.lr, strict=True):
        h, w = (side // scale for side in image.shape[:2])
        assert hr_image.shape == (h * scale, w * scale, 3)
        assert lr_image.shape == (h, w, 3)
        np.testing.assert_array_equal(lr_image, downscale(image, scale))


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
    assert os.name == "nt" or not list(tmp_path.rglob("*.*"))  # files without names


def test_a_part_of_a_picture_does_not_hold_all_of_it(pictures):
    kept = PictureStore().keep(pictures[0][:, :30])
    assert kept.base is None
    np.testing.assert_array_equal(kept, pictures[0][:, :30])


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
