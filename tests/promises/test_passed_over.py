"""Mistyped outputs, and what a search of a folder passes over: nothing without a word."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


def picture(path):
    """Write a small picture, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 9, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """A folder with a picture, and files and folders that are none of the user's pictures."""
    for name in (
        "a.png",
        "@eaDir/a.png",
        "trip/b.png",
        "trip/raw.png",
        "Old.photoslibrary/c.png",
    ):
        picture(tmp_path / "photos" / name)
    for name in ("film.mp4", "film2.MP4", "drawing.svg", "notes.txt"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    return tmp_path / "photos"


def outputs(folder):
    """Return the names below a folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("larger.pgn", "did you mean .png?"),
        ("larger.tfi", "did you mean .tif?"),
        ("larger.jpgg", "did you mean .jpg?"),
        ("a.mp4", ".mp4 is not written here; give png"),
        ("a.xyzw", ".xyzw is not written here; give png"),
    ],
)
def test_a_mistyped_output_is_refused(tmp_path, srx, name, words):
    result = srx(
        "upscale", picture(tmp_path / "a.png"), tmp_path / name, "-m", "bicubic", code=2
    )
    assert words in result.err
    assert not (tmp_path / name).exists()


def test_a_folder_is_not_named_like_a_format_by_mistake(tmp_path, srx, photos):
    result = srx("upscale", photos, tmp_path / "larger.pgn", "-m", "bicubic", code=2)
    assert "did you mean .png?" in result.err


@pytest.mark.parametrize("name", ["larger.pgn", "b.png", "a.mp4"])
def test_a_slash_makes_a_folder_of_any_name(tmp_path, srx, name):
    source = picture(tmp_path / "a.png")
    srx("upscale", source, f"{tmp_path / name}/", "-m", "bicubic", code=0)
    assert (tmp_path / name / "a.png").is_file()


@pytest.mark.parametrize("name", ["photos.2024", "photos.new", "photos.large"])
def test_folders_of_pictures_may_have_dots(tmp_path, srx, photos, name):
    srx("upscale", photos, tmp_path / name, "-m", "bicubic", code=0)
    assert (tmp_path / name / "a.png").is_file()


def test_a_folder_that_exists_may_have_any_name(tmp_path, srx):
    (tmp_path / "larger.pgn").mkdir()
    source = picture(tmp_path / "a.png")
    srx("upscale", source, "-o", tmp_path / "larger.pgn", "-m", "bicubic", code=0)
    assert (tmp_path / "larger.pgn" / "a.png").is_file()


def test_files_that_are_no_pictures_are_counted(tmp_path, srx, photos):
    result = srx("upscale", photos, tmp_path / "out", "-m", "bicubic", code=0)
    assert "3 files are no pictures that srx reads: 2 .mp4, 1 .svg\n" in result.err
    assert "drawing.svg" not in result.err


def test_files_that_are_no_pictures_are_named_by_verbose(tmp_path, srx, photos):
    result = srx("upscale", photos, tmp_path / "out", "-m", "bicubic", "-v", code=0)
    assert f"{photos / 'drawing.svg'}: no picture that srx reads" in result.err
    assert "notes.txt" not in result.err


def test_a_dry_run_names_files_that_are_no_pictures(tmp_path, srx, photos):
    result = srx(
        "upscale", photos, tmp_path / "out", "-m", "bicubic", "--dry-run", code=0
    )
    assert f"{photos / 'film2.MP4'}: no picture that srx reads" in result.out


def test_the_report_names_files_that_are_no_pictures(tmp_path, srx, photos):
    report = tmp_path / "report.jsonl"
    srx(
        "upscale", photos, tmp_path / "out", "-m", "bicubic", "--report", report, code=0
    )
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    left_out = sorted(line["source"] for line in lines if line["state"] == "left out")
    assert left_out == [
        str(photos / name) for name in ("drawing.svg", "film.mp4", "film2.MP4")
    ]
    assert [line["state"] for line in lines].count("done") == 1


def test_folders_of_other_programs_are_left_out(tmp_path, srx, photos):
    result = srx("upscale", photos, tmp_path / "out", "-m", "bicubic", "-r", code=0)
    assert outputs(tmp_path / "out") == ["a.png", "trip/b.png", "trip/raw.png"]
    assert (
        "2 folders of other programs left out (@eaDir, Old.photoslibrary)" in result.err
    )


def test_a_folder_of_another_program_is_read_by_its_name(tmp_path, srx, photos):
    srx("upscale", photos / "@eaDir", tmp_path / "out", "-m", "bicubic", code=0)
    assert outputs(tmp_path / "out") == ["a.png"]


@pytest.mark.parametrize(
    ("globs", "kept"),
    [
        (["trip"], ["a.png"]),
        (["trip/r*"], ["a.png", "trip/b.png"]),
        (["a.*", "raw.png"], ["trip/b.png"]),
    ],
)
def test_exclude_leaves_files_and_folders_out(tmp_path, srx, photos, globs, kept):
    options = [word for glob in globs for word in ("--exclude", glob)]
    srx("upscale", photos, tmp_path / "out", "-m", "bicubic", "-r", *options, code=0)
    assert outputs(tmp_path / "out") == kept
