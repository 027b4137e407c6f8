"""`srx upscale --watch`: folders are looked at again and again, until a signal."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from srcli.inference import engines
from srcli.models.loading import load_model
from srcli.models.weights import weights_path
from srcli.pipelines.upscale import run
from tests.fixtures.files import json_lines, names_in, wait_until

SMALL = "-m bicubic -s 2 --watch"


@pytest.fixture
def watched(srx, monkeypatch):
    """Watch a folder, with what happens before each further look; return the result."""
    Path("in").mkdir()

    def run_with(*events, options=""):
        coming = iter(events)

        def wait(seconds):
            assert seconds == run.LOOK_SECONDS
            event = next(coming, None)
            if event is None:
                raise KeyboardInterrupt
            event()

        monkeypatch.setattr(run, "sleep", wait)
        words = f"upscale in out --report report.jsonl {SMALL} {options}"
        return srx(words, code=0)

    return run_with


def nothing():
    """Happen between two looks."""


def picture(name, size=(8, 6)):
    Image.new("RGB", size).save(f"in/{name}")


def states():
    return [(line["source"], line["state"]) for line in json_lines("report.jsonl")]


def test_pictures_are_enlarged_as_they_come(watched):
    result = watched(
        lambda: picture("a.png"), nothing, lambda: picture("b.png"), nothing
    )
    assert names_in("out") == ["a.png", "b.png"]
    assert "2 done; " in result.out
    assert "watching in; Ctrl-C ends" in result.err


def test_a_growing_file_is_waited_for(watched):
    picture("whole.png")
    content = Path("in/whole.png").read_bytes()

    def write(end):
        Path("in/b.png").write_bytes(content[:end])

    watched(lambda: write(60), lambda: write(90), lambda: write(None), nothing)
    assert states() == [("in/whole.png", "done"), ("in/b.png", "done")]


def test_a_bad_file_is_tried_again_once_it_has_changed(watched):
    Path("in/bad.png").write_bytes(b"no picture")
    result = watched(nothing, nothing, lambda: picture("bad.png"), nothing, nothing)
    assert states() == [("in/bad.png", "failed"), ("in/bad.png", "done")]
    assert len(result.errors) == 1


def test_a_changed_picture_is_made_again(watched):
    picture("a.png")
    watched(nothing, lambda: picture("a.png", (9, 9)), nothing)
    assert states() == [("in/a.png", "done")] * 2
    watched(nothing, nothing, nothing)
    assert states() == [("in/a.png", "skipped")]


def test_what_is_passed_over_or_collides_is_told_once(watched):
    Path("in/layers.psd").touch()
    picture("a.jpg")
    picture("a.png")
    result = watched(*[nothing] * 4, options="--format png")
    assert result.err.count("files that srx does not read: 1 .psd") == 1
    assert result.err.count("are named with the extensions") == 1
    assert names_in("out") == ["a_jpg.png", "a_png.png"]


def test_the_model_is_loaded_once(watched, monkeypatch):
    made = []

    def count(*arguments, **options):
        made.append(arguments)
        return load_model(*arguments, **options)

    monkeypatch.setattr(engines, "load_model", count)
    engines._kept_pool.cache_clear()
    picture("a.png")
    watched(nothing, lambda: picture("b.png"), nothing)
    assert len(made) == 1


def test_weights_that_are_written_over_meanwhile_end_no_watch(watched):
    shutil.copy(weights_path("quick", 2), "own.safetensors")

    def damage():
        Path("own.safetensors").write_bytes(b"half of it")
        picture("b.png")

    picture("a.png")
    watched(nothing, damage, nothing, options="-m own.safetensors")
    assert states() == [("in/a.png", "done"), ("in/b.png", "done")]


@pytest.mark.parametrize("option", ["--dry-run", "--mosaic", "--overwrite"])
def test_options_without_a_meaning_are_refused(srx, option):
    result = srx("upscale . out", SMALL, option, code=2)
    assert f"drop {option}" in result.err


def test_files_and_wrong_models_are_refused_at_once(srx):
    assert "is no folder" in srx("upscale a.png out", SMALL, code=2).err
    assert "no model 'no'" in srx("upscale . out -m no --watch", code=2).err


@pytest.mark.posix
@pytest.mark.slow
def test_a_signal_ends_a_watch_with_code_0():
    Path("in").mkdir()
    picture("a.png")
    command = [sys.executable, "-m", "srcli", "upscale", "in", "out", *SMALL.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_until(Path("out/a.png").exists, process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert "1 done" in out
