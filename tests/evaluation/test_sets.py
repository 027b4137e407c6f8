"""Sets as people keep them on disk: HR alone, HR beside LR, pairs by suffix, names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.errors import DataError
from srcli.evaluation.pairs import KERNELS
from srcli.evaluation.sets import find_set, match_files


def put(path, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((size, size, 3), np.uint8)).save(path)


LAYOUTS = {
    "EDSR's benchmark sets": ("HR/baby.png", "LR_bicubic/X4/babyx4.png"),
    "BasicSR's": ("GTmod12/baby.png", "LRbicx4/baby.png"),
    "DIV2K's": ("DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X4/0801x4.png"),
    "plain": ("HR/a.png", "LR/x4/a.png"),
    "plainer": ("GT/a.png", "LR_x4/a.png"),
    "by scale": ("original/a.png", "x4/a.png"),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_lr_pictures_are_found_where_the_field_keeps_them(tmp_path, layout):
    for file in LAYOUTS[layout]:
        put(tmp_path / "MySet" / file)
    pictures = find_set(str(tmp_path / "MySet"), 4)
    (item,) = pictures.items
    assert pictures.name == "MySet"
    assert item.path == tmp_path / "MySet" / LAYOUTS[layout][0]
    assert item.lr == tmp_path / "MySet" / LAYOUTS[layout][1]
    assert pictures.size == 1
    assert (
        layout == "plainer" or find_set(str(tmp_path / "MySet"), 2).items[0].lr is None
    )


def test_other_degradations_are_not_taken_for_bicubic(tmp_path):
    put(tmp_path / "HR/a.png")
    put(tmp_path / "LR_unknown/X4/ax4.png")
    pictures = find_set(str(tmp_path), 4)
    assert pictures.lr_folder is None
    (note,) = pictures.notes
    assert "LR is made from HR" in note
    assert "LR_unknown left out for x4 (srx eval --lr takes it)" in note
    assert find_set(str(tmp_path), 4, lr_folder=tmp_path / "LR_unknown/X4").items[0].lr


def test_a_plain_folder_of_lr_is_taken(tmp_path):
    put(tmp_path / "HR/a.png")
    put(tmp_path / "LR/a.png")
    pictures = find_set(str(tmp_path), 4)
    assert pictures.lr_folder == tmp_path / "LR"
    assert pictures.notes == ()
    put(tmp_path / "LR/X4/b.png")
    assert find_set(str(tmp_path), 4).lr_folder == tmp_path / "LR/X4"


@pytest.mark.parametrize(
    ("folder", "hr", "lr"),
    [
        ("image_SRF_4", "{}_SRF_4_HR.png", "{}_SRF_4_LR.png"),
        (".", "{}_HR.png", "{}_LR4.png"),
    ],
    ids=["SelfExSR", "RealSR"],
)
def test_pairs_by_suffix_are_read_and_one_without_partner_is_told(
    tmp_path, folder, hr, lr
):
    parent = tmp_path / "Urban" / folder
    for file in (hr.format("img_001"), lr.format("img_001"), hr.format("img_002")):
        put(parent / file)
    pictures = find_set(str(tmp_path / "Urban"), 4)
    assert [(item.name, item.lr) for item in pictures.items] == [
        ("img_001", parent / lr.format("img_001"))
    ]
    assert pictures.size == 2
    ((name, reason),) = pictures.missing.items()
    assert name == "img_002"
    assert lr.format("img_002") in reason


def test_what_has_no_partner_is_named_on_both_sides(tmp_path):
    for file in (
        "HR/a.png",
        "HR/b.png",
        "LR_bicubic/X2/ax2.png",
        "LR_bicubic/X2/cx2.png",
    ):
        put(tmp_path / file)
    pictures = find_set(str(tmp_path), 2)
    assert [item.name for item in pictures.items] == ["a"]
    assert list(pictures.missing) == ["b"]
    assert list(pictures.orphans) == ["cx2.png"]
    assert pictures.size == 2


def test_lr_pictures_may_lie_anywhere(tmp_path):
    put(tmp_path / "here/a.png")
    put(tmp_path / "there/a_x3.png")
    (item,) = find_set(str(tmp_path / "here"), 3, lr_folder=tmp_path / "there").items
    assert item.lr == tmp_path / "there/a_x3.png"


def test_pictures_of_one_stem_keep_their_whole_names_and_hidden_files_are_none(
    tmp_path,
):
    for file in ("a.png", "a.jpg", "b.png", "._b.png"):
        put(tmp_path / file)
    assert [i.name for i in find_set(str(tmp_path), 2).items] == ["a.jpg", "a.png", "b"]


@pytest.mark.parametrize("suffix", ["heic", "JXL", "mpo", "tga"])
def test_pictures_that_no_set_is_read_from_are_not_passed_over(tmp_path, suffix):
    put(tmp_path / "a.png")
    for name in (f"b.{suffix}", "c.mp4", "d.mbtiles", "e.txt"):
        (tmp_path / name).touch()
    names = [item.path.name for item in find_set(str(tmp_path), 2).items]
    assert names == ["a.png", f"b.{suffix}"]


def test_a_name_is_looked_up_among_the_benchmarks(tmp_path, monkeypatch):
    put(tmp_path / "benchmarks/Urban100/a.png")
    monkeypatch.setenv("SRX_DATA", str(tmp_path))
    assert find_set("urban100", 2).name == find_set("Urban100/", 2).name == "Urban100"
    with pytest.raises(
        DataError, match=r"there are: Urban100; .* \$SRX_DATA/benchmarks/B100"
    ):
        find_set("B100", 2)


def test_ambiguous_folders_are_refused_by_name(tmp_path):
    put(tmp_path / "HR/a.png")
    put(tmp_path / "GT/a.png")
    with pytest.raises(DataError, match=r"several folders of HR pictures \(GT, HR\)"):
        find_set(str(tmp_path), 2)
    shutil.rmtree(tmp_path / "GT")
    put(tmp_path / "LR_x2/a.png")
    put(tmp_path / "LR_bicubic/X2/a.png")
    with pytest.raises(DataError, match=r"several folders of x2 LR pictures .* --lr"):
        find_set(str(tmp_path), 2)


def test_a_file_and_an_empty_folder_are_refused(tmp_path):
    put(tmp_path / "a.png")
    with pytest.raises(DataError, match="give the folder"):
        find_set(str(tmp_path / "a.png"), 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        find_set(str(tmp_path / "empty"), 2)


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
    match = match_files(["baby", "img_001", "0801"], [Path("sr") / file], 4, kind="SR")
    assert match.files == ({stem: Path("sr") / file} if stem else {})
    assert (file in match.orphans) == (stem is None)


def test_names_that_end_like_an_ending_are_still_found_whole():
    match = match_files(
        ["scene_HR", "x4"], [Path("scene_HR.png"), Path("x4.png")], 4, kind="LR"
    )
    assert set(match.files) == {"scene_HR", "x4"}
    match = match_files(["a"], [Path("ax4.png"), Path("a.png")], 4, kind="LR")
    assert match.files["a"].name == "a.png"


def test_a_missing_partner_says_what_was_expected_and_two_are_named():
    match = match_files(
        ["a", "b"], [Path("lr/b_x4.png"), Path("lr/b_SR.png")], 4, kind="LR"
    )
    assert "ax4.png" in match.missing["a"]
    assert "several LR pictures (b_SR.png, b_x4.png)" in match.missing["b"]


@pytest.mark.parametrize("scale", [2, 4])
def test_the_box_is_the_mean_rounded_once(scale, astronaut):
    from skimage.measure import block_reduce

    expected = np.floor(block_reduce(astronaut, (scale, scale, 1), np.mean) + 0.5)
    assert np.array_equal(KERNELS["box"].shrink(astronaut, scale), expected)
