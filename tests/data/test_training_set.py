"""What is validated on, how pairs are made, what lies in files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from srcli.data import training_set as module
from srcli.data.pictures import PictureRef, photograph_of
from srcli.data.training_set import (
    MOST_CROPS,
    OUR_HELD_OUT,
    DataSelection,
    PictureStore,
    choose_split,
    pair_up,
)
from srcli.errors import DataError
from srcli.imaging.pixels.resize import downscale


def refs(*names):
    return [PictureRef(path=Path(f"{name}.png")) for name in names]


def names(references):
    return [ref.name for ref in references]


CROPS = refs("a-1_00", "a-1_01", "a-1s_00", "b-2_01", "b-2_00", "kde-3_00", "c-4_00")


def split(references=CROPS, hold_out=None, **options):
    return choose_split(references, DataSelection(hold_out=hold_out, **options))


def test_crops_of_a_held_out_photograph_are_not_trained_on():
    result = split(hold_out=("a-1", "b-2"))
    assert names(result.train) == ["kde-3_00", "c-4_00"]
    assert names(result.held_out) == ["a-1_00", "a-1_01", "a-1s_00", "b-2_00", "b-2_01"]
    many = refs(*(f"m-1_{i:02d}" for i in range(99)), "z")
    assert names(split(many, ("m-1",)).held_out) == names(many[:MOST_CROPS])
    single = split(hold_out=("a-1_01",))
    assert names(single.held_out) == ["a-1_01"]
    assert "a-1_00" in names(single.train)


def test_a_share_of_the_photographs_is_held_out_at_even_distances():
    many = []
    for number in range(30):
        many += refs(f"p-{number:02d}_00", f"p-{number:02d}_01")
    result = split(many, ("10%",))
    places = [int(ref.name[2:4]) for ref in result.held_out]
    assert places == [5, 5, 15, 15, 25, 25]
    assert len(result.train) == 54
    assert "3 of 30" in result.reason
    assert names(split(refs("a", "b"), ("10%",)).held_out) == ["b"]
    for share in ("0%", "110%"):
        with pytest.raises(DataError, match=f"--hold-out {share}: give a share"):
            split(many, (share,))
    assert names(split(refs("a", "b"), ("100%",)).train) == ["a"]


def test_the_rule_takes_a_fiftieth_of_the_photographs():
    many = []
    for number in range(150):
        many += refs(f"p-{number:03d}_00", f"p-{number:03d}_01")
    result = split(many)
    assert result.held_out == many[:6]
    assert len(result.train) == 294
    assert "by rule" in result.reason
    assert names(split(many[:20]).held_out) == ["p-000_00", "p-000_01"]
    assert len(split(refs(*(f"q{i:04d}" for i in range(2000)))).held_out) == 16
    # all of one photograph by name
    camera = split(refs(*(f"IMG_{i:04d}" for i in range(8))))
    assert names(camera.held_out) == ["IMG_0000"]
    few = split(refs("a", "b", "c", "d"))
    assert few.held_out == []
    assert "no validation" in few.reason


def test_names_that_were_asked_for_must_be_there():
    with pytest.raises(
        DataError, match=r"--hold-out kd-3: .*data \(did you mean kde-3"
    ):
        split(hold_out=("b-2", "kd-3"))
    with pytest.raises(DataError, match=r"^--hold-out x: .* \(nor are 2 more\)$"):
        split(hold_out=("x", "y", "b-2", "z"))
    assert split(hold_out=()).held_out == []


def test_something_must_be_left_to_train_on():
    with pytest.raises(DataError, match="no training pictures"):
        split(hold_out=("a-1", "b-2", "kde-3", "c-4"))


def test_the_built_in_list_names_photographs_that_are_found():
    result = split([*refs(*(f"{name}_00" for name in OUR_HELD_OUT)), *CROPS])
    assert (len(result.held_out), len(result.train)) == (16, len(CROPS))
    assert (
        result.reason == "held out by name: 16 (16 of 16 in the list are in the data)"
    )
    for name in OUR_HELD_OUT:
        assert photograph_of(name) == name
        assert not name.startswith(("kde-", "plasma-"))  # LGPL, GPL


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sides_divide_and_lr_is_matlab_bicubic(astronaut, scale):
    (ref,) = refs("a")
    for image in (astronaut[:33, :50], astronaut[40:60, 30:47]):
        hr_image, lr_image = pair_up(ref, image, scale)
        h = image.shape[0] // scale
        w = image.shape[1] // scale
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
    stored = [store.keep(picture) for picture in pictures]
    for a, b in zip(stored, pictures, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.flags["C_CONTIGUOUS"]
    assert store.in_memory <= limit
    assert store.in_memory + store.in_files == sum(
        picture.nbytes for picture in pictures
    )
    assert (store.in_files == 0) is (limit == 10**6)
    assert os.name == "nt" or not list(tmp_path.rglob("*.*"))  # files without names


def test_a_part_of_a_picture_does_not_hold_all_of_it(pictures):
    stored = PictureStore().keep(pictures[0][:, :30])
    assert stored.base is None
    np.testing.assert_array_equal(stored, pictures[0][:, :30])


def test_where_no_file_can_be_made_it_is_told(pictures, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    store = PictureStore(2000, blocked / "cache")
    with pytest.raises(DataError, match=rf"{blocked}.*SRX_CACHE"):
        list(map(store.keep, pictures))
