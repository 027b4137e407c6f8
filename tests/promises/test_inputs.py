"""An input that is missing, or whose output would be another's, leaves the others alone."""

from __future__ import annotations

import json

import pytest
from PIL import Image

SMALL = ("-m", "bicubic", "-s", 2)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Make pictures by their names in a folder that commands run in."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 5), "red").save(path)

    return make


def made(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_missing_input_among_several(srx, tmp_path, pictures):
    pictures("a.png", "b.png", "more/c.png")
    report = tmp_path / "report.jsonl"
    asked = ("upscale", "a.png", "nope.png", "b.png", "nowhere/", "more", "out", *SMALL)
    done = srx(*asked, "--report", report)
    assert (done.code, made(tmp_path / "out")) == (1, ["a.png", "b.png", "c.png"])
    for name in ("nope.png", "nowhere"):
        assert f"error: {name}: no such file or folder" in done.err
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["source"] for line in lines if line["state"] == "failed") == [
        "nope.png",
        "nowhere",
    ]
    plan = srx(*asked, "--overwrite", "--dry-run", code=1)
    assert "2 problems" in plan.out


@pytest.mark.parametrize("names", [["nope.png"], ["nope.png", "neither.png"]])
def test_nothing_but_missing_inputs_is_wrong_usage(srx, tmp_path, pictures, names):
    done = srx("upscale", *names, "out", *SMALL)
    assert (done.code, made(tmp_path / "out")) == (2, [])
    assert "nope.png: no such file or folder" in done.err


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
def test_two_inputs_for_one_output(srx, tmp_path, pictures, names, words, expected):
    pictures(*names)
    if len(made(tmp_path / "in")) < len(names):
        pytest.skip("this disk does not tell a.jpg from a.JPG")
    done = srx("upscale", "in", "out", *SMALL, *words)
    assert (done.code, made(tmp_path / "out")) == (1, expected)
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    for name in ("a.jpg", "a.JPG"):
        assert all(
            f"in/{name}" in line and "would both become" in line for line in errors
        )


def test_on_a_mac_names_of_two_cases_are_one_file(srx, pictures, monkeypatch):
    pictures("x/A.png", "y/a.png")
    monkeypatch.setattr("sys.platform", "darwin")
    done = srx("upscale", "x/A.png", "y/a.png", "out", *SMALL, code=2)
    assert "y/a.png and x/A.png would both become out/a.png" in done.err


def test_one_name_in_two_folders_and_outputs_that_are_inputs(srx, tmp_path, pictures):
    pictures("x/a.png", "y/a.png", "b.png", "out/c.png", "c.png")
    before = (tmp_path / "out" / "c.png").read_bytes()
    inputs = ("x/a.png", "y/a.png", "b.png", "c.png", "out/c.png")
    done = srx("upscale", *inputs, "out", *SMALL, "--overwrite", code=1)
    assert "x/a.png and y/a.png would both become out/a.png" in done.err
    assert "out/c.png: is itself an input and would be overwritten" in done.err
    assert "1 done" in done.out
    assert (tmp_path / "out" / "c.png").read_bytes() == before
