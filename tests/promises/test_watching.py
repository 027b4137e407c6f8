"""`srx upscale --watch`: folders are looked at again and again, until a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from srcli.inference.building import EnginePool
from srcli.pipelines.upscale import watch
from tests.fixtures.files import json_lines, names_in

SMALL = "-m bicubic -s 2 --watch"


@pytest.fixture
def watched(srx, monkeypatch, tmp_path):
    """Watch a folder, with what happens before each further look; return the result."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()

    def run_with(*events, options=""):
        coming = iter(events)

        def wait(seconds):
            assert seconds == watch.LOOK_SECONDS
            event = next(coming, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        monkeypatch.setattr(watch, "sleep", wait)
        return srx(
            "upscale in out --report report.jsonl", SMALL, *options.split(), code=0
        )

    return run_with


def nothing():
    """Happen between two looks."""


def picture(name, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(values).save(f"in/{name}")


def states():
    return [(line["source"], line["state"]) for line in json_lines("report.jsonl")]


def test_pictures_are_enlarged_as_they_come(watched):
    result = watched(
        lambda: picture("a.png"), nothing, lambda: picture("b.png"), nothing
    )
    assert names_in("out") == ["a.png", "b.png"]
    assert "2 done; " in result.out
    assert "watching in; Ctrl-C ends" in result.err


def test_a_growing_file_is_waited_for(watched, tmp_path):
    picture("whole.png")
    content = (tmp_path / "in/whole.png").read_bytes()
    growing = tmp_path / "in/b.png"

    def write(end):
        growing.write_bytes(content[:end])

    watched(lambda: write(60), lambda: write(90), lambda: write(None), nothing)
    assert states() == [("in/whole.png", "done"), ("in/b.png", "done")]


def test_a_bad_file_is_tried_again_once_it_has_changed(watched, tmp_path):
    bad = tmp_path / "in/bad.png"
    bad.write_bytes(b"no picture")
    result = watched(nothing, nothing, lambda: picture("bad.png"), nothing, nothing)
    assert states() == [("in/bad.png", "failed"), ("in/bad.png", "done")]
    assert len(result.errors) == 1


def test_a_changed_picture_is_made_again(watched):
    picture("a.png")
    watched(nothing, lambda: picture("a.png", seed=1), nothing)
    assert states() == [("in/a.png", "done")] * 2


def test_what_is_passed_over_or_collides_is_told_once(watched, tmp_path):
    (tmp_path / "in/film.mp4").touch()
    (tmp_path / "in/.hidden").mkdir()
    picture("a.jpg")
    picture("a.png")
    result = watched(*[nothing] * 4, options="--format png")
    assert result.err.count("1 file is no picture") == 1
    assert result.err.count("are named with the extensions") == 1
    assert names_in("out") == ["a_jpg.png", "a_png.png"]


def test_finished_outputs_are_skipped_once(watched):
    picture("a.png")
    watched(nothing)
    watched(nothing, nothing, nothing)
    assert states() == [("in/a.png", "skipped")]


def test_the_model_is_loaded_once(watched, monkeypatch):
    made = []

    def count(*arguments):
        made.append(arguments)
        return EnginePool(*arguments)

    monkeypatch.setattr(watch, "EnginePool", count)
    picture("a.png")
    watched(nothing, lambda: picture("b.png"), nothing)
    assert len(made) == 1


@pytest.mark.parametrize("option", ["--dry-run", "--mosaic", "--overwrite"])
def test_options_without_a_meaning_are_refused(srx, tmp_path, option):
    result = srx("upscale", tmp_path, tmp_path / "out", SMALL, option, code=2)
    assert f"drop {option}" in result.err


def test_files_and_wrong_models_are_refused_at_once(srx, tmp_path):
    file = tmp_path / "a.png"
    file.touch()
    assert "is no folder" in srx("upscale", file, tmp_path / "out", SMALL, code=2).err
    result = srx("upscale", tmp_path, tmp_path / "out", "-m no --watch", code=2)
    assert "no" in result.err


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_watch_with_code_0(tmp_path, number):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (8, 6)).save(folder / "a.png")
    command = [sys.executable, "-m", "srcli", "upscale", folder, tmp_path / "out"]
    process = subprocess.Popen(
        [*command, *SMALL.split()], stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not (tmp_path / "out/a.png").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "1 done" in out
    assert names_in(tmp_path / "out") == ["a.png"]
