"""Pictures beyond what memory may hold: the same pixels, from a file that leaves nothing behind."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from srcli.data.store import PictureStore
from srcli.imaging import mapped as module


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    sizes = [(20, 31, 3), (9, 9, 3), (40, 12, 3), (1, 1, 3), (50, 50, 3), (7, 300, 3)]
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("smallest", [1, 5000, 2**20])
@pytest.mark.parametrize("limit", [0, 2500, 10**6])
def test_pictures_stay_what_they_are(pictures, tmp_path, smallest, limit):
    store = PictureStore(limit, tmp_path / "new", smallest=smallest)
    kept = [store.keep(picture) for picture in pictures]
    for a, b in zip(kept, pictures, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.flags["C_CONTIGUOUS"]
    assert store.in_memory <= limit
    assert store.in_memory + store.in_files == sum(picture.nbytes for picture in pictures)
    assert (store.in_files == 0) is (limit == 10**6)


def test_without_a_limit_the_pictures_themselves_are_kept(pictures, tmp_path):
    store = PictureStore(None, tmp_path / "never")
    assert all(store.keep(picture) is picture for picture in pictures)
    assert not (tmp_path / "never").exists()


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


def test_pixels_outlive_the_store(pictures, tmp_path):
    kept = PictureStore(0, tmp_path).keep(pictures[0])
    np.testing.assert_array_equal(kept, pictures[0])


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


def test_a_disk_that_fills_up_costs_no_picture(pictures, tmp_path, monkeypatch):
    told: list[str] = []
    reserve = module._reserve

    def small(stream, size):
        if size > 2**14:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(stream, size)

    monkeypatch.setattr(module, "_reserve", small)
    store = PictureStore(0, tmp_path, smallest=1, warn=told.append)
    many = pictures * 5
    kept = [store.keep(picture) for picture in many]
    for a, b in zip(kept, many, strict=True):
        np.testing.assert_array_equal(a, b)
    assert store.in_files > 0
    assert store.in_memory > 0
    assert len(told) == 1
    assert "No space left on device" in told[0]


def test_the_file_gets_its_bytes_at_once_where_the_system_cannot_promise_them(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    store = PictureStore(0, tmp_path, smallest=10_000)
    for picture in pictures:
        np.testing.assert_array_equal(store.keep(picture), picture)
    assert store.in_files > 10_000
