"""Animations keep their frames, durations and repetitions, in each format that holds them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from srcli.inference.engine import TorchEngine
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.run import upscale_files
from srcli.ports.image import OutOfMemory

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def options(fmt="auto"):
    return UpscaleOptions(model="bicubic", scale=2, tile=16, overlap=4, format=fmt, overwrite=True)


def animation(path):
    frames = [Image.new("RGB", (30, 20), colour) for colour in COLOURS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 80, 120], loop=0)
    return path


def frames_of(path):
    """Return (colour, duration) of all frames."""
    found = []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            colour = np.array(image.convert("RGB"))[10:-10, 10:-10].mean((0, 1)).round(-1)
            found.append((tuple(int(c) for c in colour), round(image.info.get("duration", 0))))
        assert image.size == (60, 40)
    return found


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("fmt", ["auto", "webp", "png"])
def test_frames_and_durations_are_kept(tmp_path, suffix, fmt):
    source = animation(tmp_path / f"a{suffix}")
    summary = upscale_files([source], tmp_path / "out", options(fmt))
    (report,) = summary.files
    assert report.state == "done", report.error
    assert report.size == (40, 60)
    expected = suffix if fmt == "auto" else f".{fmt}"
    assert report.target.suffix == expected
    assert frames_of(report.target) == list(zip(COLOURS, [40, 80, 120], strict=True))
    with Image.open(report.target) as image:
        assert image.info["loop"] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"a{expected}"]


def test_a_format_without_frames_takes_the_first_and_tells(tmp_path):
    source = animation(tmp_path / "a.gif")
    (report,) = upscale_files([source], tmp_path / "out", options("jpg")).files
    assert "holds 3 pictures: only the first is used" in report.warnings
    still, moving = (
        upscale_files([source], tmp_path / "x", given, dry_run=True).files[0]
        for given in (options("jpg"), options())
    )
    assert moving.bytes == 3 * still.bytes


def test_an_animation_that_is_cut_short_fails_and_leaves_nothing(tmp_path):
    source = animation(tmp_path / "a.webp")
    source.write_bytes(source.read_bytes()[:-60])
    (report,) = upscale_files([source], tmp_path / "out", options()).files
    assert report.state == "failed"
    assert "a.webp" in report.error
    assert not list((tmp_path / "out").glob("*"))


def test_out_of_memory_starts_over_with_smaller_tiles(tmp_path, monkeypatch):
    source, run = animation(tmp_path / "a.gif"), TorchEngine.run

    def small(self, tiles, *more):
        if tiles.shape[2] > 24:
            raise OutOfMemory
        return run(self, tiles, *more)

    monkeypatch.setattr(TorchEngine, "run", small)
    large = UpscaleOptions(model="bicubic", scale=2, tile=28, overlap=4)
    (report,) = upscale_files([source], tmp_path / "out", large).files
    assert report.state == "done", report.error
    assert len(frames_of(report.target)) == 3
