"""Inputs that are missing, mistyped or passed over leave the others alone, and get a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.files import json_lines, names_in

SMALL = "-m bicubic -s 2"


@pytest.fixture
def pictures():
    """Make pictures by their names in a folder that commands run in."""

    def make(*names: str) -> None:
        for name in names:
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 5), "red").save(path)

    return make


def made(folder) -> list[str]:
    return names_in(folder) if Path(folder).exists() else []


def test_a_missing_input_among_several(srx, pictures):
    pictures("a.png", "b.png", "more/c.png")
    asked = f"upscale a.png nope.png b.png nowhere/ more out {SMALL}"
    result = srx(asked, "--report report.jsonl", code=1)
    assert made("out") == ["a.png", "b.png", "c.png"]
    for name in ("nope.png", "nowhere"):
        assert f"error: {name}: no such file or folder" in result.err
    lines = json_lines("report.jsonl")
    assert sorted(line["source"] for line in lines if line["state"] == "failed") == [
        "nope.png",
        "nowhere",
    ]
    assert "2 problems" in srx(asked, "--overwrite --dry-run", code=1).out


@pytest.mark.parametrize("names", [["nope.png"], ["nope.png", "neither.png"]])
def test_nothing_but_missing_inputs_is_wrong_usage(srx, names):
    result = srx("upscale", *names, "out", SMALL, code=2)
    assert made("out") == []
    assert "nope.png: no such file or folder" in result.err


@pytest.mark.parametrize(
    ("names", "words", "expected"),
    [
        (
            ("in/a.jpg", "in/a.JPG", "in/a.png", "in/b.png"),
            ("-f", "png"),
            ["a_png.png", "b.png"],
        ),
        (("in/a.jpg", "in/a.JPG", "in/b.png"), ("-f", "png"), ["b.png"]),
    ],
)
def test_two_inputs_for_one_output(srx, pictures, names, words, expected):
    pictures(*names)
    if len(made("in")) < len(names):
        pytest.skip("this disk does not tell a.jpg from a.JPG")
    result = srx(f"upscale in out {SMALL}", *words, code=1)
    assert made("out") == expected
    errors = result.errors
    assert len(errors) == 2
    for name in ("a.jpg", "a.JPG"):
        for line in errors:
            assert f"in/{name}" in line
            assert "would both become" in line


def test_on_a_mac_names_of_two_cases_are_one_file(srx, pictures, monkeypatch):
    pictures("x/A.png", "y/a.png")
    monkeypatch.setattr("sys.platform", "darwin")
    result = srx(f"upscale x/A.png y/a.png out {SMALL}", code=2)
    assert "y/a.png and x/A.png would both become out/a.png" in result.err


def test_one_name_in_two_folders_and_outputs_that_are_inputs(srx, pictures):
    pictures("x/a.png", "y/a.png", "b.png", "out/c.png", "c.png")
    before = Path("out/c.png").read_bytes()
    inputs = ("x/a.png", "y/a.png", "b.png", "c.png", "out/c.png")
    result = srx("upscale", *inputs, "out", SMALL, "--overwrite", code=1)
    assert "x/a.png and y/a.png would both become out/a.png" in result.err
    assert "out/c.png: is itself an input and would be overwritten" in result.err
    assert "1 done" in result.out
    assert Path("out/c.png").read_bytes() == before


def picture(path):
    """Write a small picture, with its folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 9, 3), 90, np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with a picture, and files and folders that are none of the user's pictures.

    What reads videos is not installed.
    """
    monkeypatch.setattr("srcli.pipelines.upscale.inputs.can_read_videos", lambda: False)
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
    return sorted(
        path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.*")
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("larger.pgn", "did you mean .png?"),
        ("larger.tfi", "did you mean .tif?"),
        ("larger.jpgg", "did you mean .jpg?"),
        ("a.mp4", "a.mp4: is the name of a video, which"),
        ("tiles.pmtiles", ".pmtiles is not written here; give png"),
        ("a.mpg", ".mpg is not written here"),
        ("a.xyzw", ".xyzw is not written here; give png"),
    ],
)
def test_a_mistyped_output_is_refused(tmp_path, srx, name, words):
    result = srx("upscale", picture("a.png"), tmp_path / name, "-m bicubic", code=2)
    assert words in result.err
    assert not (tmp_path / name).exists()


def test_a_folder_is_not_named_like_a_format_by_mistake(srx, photos):
    result = srx("upscale", photos, "larger.pgn", "-m bicubic", code=2)
    assert "did you mean .png?" in result.err


@pytest.mark.parametrize("name", ["larger.pgn", "b.png", "a.mp4"])
def test_a_slash_makes_a_folder_of_any_name(tmp_path, srx, name):
    source = picture("a.png")
    srx(f"upscale {source} {tmp_path / name}/ -m bicubic", code=0)
    assert (tmp_path / name / "a.png").is_file()


@pytest.mark.parametrize("name", ["photos.2024", "photos.new", "photos.large"])
def test_folders_of_pictures_may_have_dots(tmp_path, srx, photos, name):
    srx("upscale", photos, tmp_path / name, "-m bicubic", code=0)
    assert (tmp_path / name / "a.png").is_file()


def test_a_folder_that_exists_may_have_any_name(srx):
    Path("larger.pgn").mkdir()
    source = picture("a.png")
    srx(f"upscale {source} -o larger.pgn -m bicubic", code=0)
    assert Path("larger.pgn/a.png").is_file()


def test_files_that_are_no_pictures_are_counted(srx, photos):
    result = srx("upscale", photos, "out", "-m bicubic", code=0)
    assert (
        "files that srx does not read: 2 .mp4, 1 .svg; "
        'pip install "srcli[video]" reads videos\n'
    ) in result.err
    assert "drawing.svg" not in result.err


def test_files_that_are_no_pictures_are_named_by_verbose(srx, photos):
    result = srx("upscale", photos, "out", "-m bicubic -v", code=0)
    assert f"{photos / 'drawing.svg'}: no picture that srx reads" in result.err
    assert "notes.txt" not in result.err


def test_a_dry_run_names_files_that_are_no_pictures(srx, photos):
    result = srx("upscale", photos, "out", "-m bicubic --dry-run", code=0)
    assert f"{photos / 'film2.MP4'}: no picture that srx reads" in result.out


def test_the_report_names_files_that_are_no_pictures(srx, photos):
    srx("upscale", photos, "out", "-m bicubic --report report.jsonl", code=0)
    lines = json_lines("report.jsonl")
    states = {Path(line["source"]).name: line["state"] for line in lines}
    left_out = dict.fromkeys(("drawing.svg", "film.mp4", "film2.MP4"), "left out")
    assert states == {"a.png": "done", **left_out}
    assert len(lines) == len(states)


def test_folders_of_other_programs_are_left_out(srx, photos):
    result = srx("upscale", photos, "out", "-m bicubic -r", code=0)
    assert outputs("out") == ["a.png", "trip/b.png", "trip/raw.png"]
    assert (
        "folders of other programs left out (@eaDir, Old.photoslibrary)" in result.err
    )


def test_a_folder_of_another_program_is_read_by_its_name(srx, photos):
    srx("upscale", photos / "@eaDir", "out", "-m bicubic", code=0)
    assert outputs("out") == ["a.png"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["trip"], ["a.png"]),
        (["trip/r*"], ["a.png", "trip/b.png"]),
        (["a.*", "raw.png"], ["trip/b.png"]),
    ],
)
def test_exclude_leaves_files_and_folders_out(srx, photos, globs, expected):
    options = [f"--exclude {glob}" for glob in globs]
    srx("upscale", photos, "out", "-m bicubic -r", *options, code=0)
    assert outputs("out") == expected
