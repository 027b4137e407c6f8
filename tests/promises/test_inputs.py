"""An input that is missing, or whose output would be another's, leaves the others alone."""

from __future__ import annotations

from pathlib import Path

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
def test_nothing_but_missing_inputs_is_wrong_usage(srx, pictures, names):
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
