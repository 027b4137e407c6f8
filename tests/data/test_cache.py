"""Decoded pictures are found again by path, size and time of their files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.data import pictures
from srcli.data.cache import PictureCache
from srcli.data.training_set import DataSelection
from srcli.imaging.pixels.resize import downscale
from srcli.pipelines.train.data import load_data
from srcli.recipes.degradation import BICUBIC
from tests.fixtures.files import names_in


@pytest.fixture
def photographs(tmp_path, astronaut):
    """A folder of six pictures of different sizes."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(astronaut[:, number:]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def load(photographs, tmp_path, notes, monkeypatch):
    """Load the pictures with a cache; return the data and the number of decoded ones."""
    real = pictures.decode_picture
    selection = DataSelection(data=(photographs,))

    def load(limit=None):
        decoded = []

        def decode(ref, *arguments):
            decoded.append(ref)
            return real(ref, *arguments)

        monkeypatch.setattr(pictures, "decode_picture", decode)
        cache = PictureCache(tmp_path / "cache", limit)
        return load_data(selection, 2, BICUBIC, notes, cache=cache), len(decoded)

    return load


def test_the_second_start_decodes_nothing(load, photographs, notes):
    selection = DataSelection(data=(photographs,))
    plain = load_data(selection, 2, BICUBIC, notes)
    data, count = load()
    for is_first in (True, False):
        assert count == (6 if is_first else 0)
        assert data.digest == plain.digest
        for ours, theirs in (
            (data.train, plain.train),
            (data.held_out, plain.held_out),
        ):
            for name in ("hr", "lr"):
                for a, b in zip(
                    getattr(ours, name), getattr(theirs, name), strict=True
                ):
                    np.testing.assert_array_equal(a, b)
        data, count = load()
    assert any("6 decoded pictures" in text for text in notes.messages)


def test_a_file_that_has_changed_is_decoded(load, photographs):
    load()
    path = photographs / "3.png"
    with Image.open(path) as image:
        changed = 255 - np.asarray(image)
    Image.fromarray(changed).save(path)
    os.utime(path, ns=(1, 1))
    data, count = load()
    assert count == 1
    expected = changed[:, : changed.shape[1] // 2 * 2]
    assert any(np.array_equal(hr, expected) for hr in data.train.hr)
    lr = downscale(np.ascontiguousarray(expected), 2)
    assert any(np.array_equal(small, lr) for small in data.train.lr)


def _cut_off(content):
    return content[: len(content) // 2]


def _empty(content):
    """Return what a power cut leaves of a file that was just written."""
    return content[:0]


def _close_no_bracket(content):
    return content.replace(b"), }", b" , }", 1)


def _swap_rows_and_columns(content):
    return content.replace(b"'fortran_order': False", b"'fortran_order': True ", 1)


@pytest.mark.parametrize(
    "damage",
    [
        _cut_off,
        _empty,
        _close_no_bracket,
        _swap_rows_and_columns,
    ],
)
def test_a_damaged_file_of_the_cache_is_made_again(load, tmp_path, notes, damage):
    before, _ = load()
    for path in (tmp_path / "cache").iterdir():
        content = path.read_bytes()
        damaged = damage(content)
        assert damaged != content
        path.write_bytes(damaged)
    after, count = load()
    assert not notes.warnings
    assert count == 6
    assert after.digest == before.digest
    assert load()[1] == 0


def test_the_cache_keeps_to_its_limit(load, tmp_path):
    folder = tmp_path / "cache"
    data, _ = load(limit=200_000)
    assert 0 < sum(path.stat().st_size for path in folder.iterdir()) < 201_000
    small, count = load(limit=200_000)
    assert 0 < count < 6
    assert small.digest == data.digest
    whole, count = load()
    assert whole.digest == data.digest
    assert len(names_in(folder)) == 12


@pytest.mark.posix
def test_more_pictures_are_kept_than_files_may_be_open(load, photographs, astronaut):
    import resource

    for number in range(60):
        Image.fromarray(astronaut[:16, number:]).save(photographs / f"s{number}.png")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, limits[1]))
    try:
        load()
        data, count = load()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert count == 0
    assert len(data.train.hr) + len(data.held_out.hr) == 66


def test_a_full_cache_is_emptied(load, tmp_path):
    load()
    before = names_in(tmp_path / "cache")
    load(limit=200_000)
    assert len(names_in(tmp_path / "cache")) < len(before)


def test_without_a_place_for_it_pictures_are_decoded(load, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    data, count = load()
    assert count == 6
    assert len(data.train.hr) == 5
