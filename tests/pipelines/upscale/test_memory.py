"""Photographs in bounded memory: the same files, and a refusal where even one takes too much."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from srcli.imaging import mapped
from srcli.imaging.photograph import Picture
from srcli.pipelines.upscale import memory
from srcli.pipelines.upscale.estimate import estimate_files
from srcli.pipelines.upscale.memory import memory_budget, photograph_memory, portions
from srcli.pipelines.upscale.options import Naming, RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.raster_job import PROGRAM
from srcli.pipelines.upscale.run import upscale_files

OPTIONS = UpscaleOptions(model="bicubic", scale=2, tile=32, overlap=8)


@pytest.fixture
def folder(tmp_path, astronaut):
    """Pictures of all kinds that differ in how they are held."""
    place = tmp_path / "in"
    place.mkdir()
    image = Image.fromarray(astronaut[:70, :91])
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(place / f"{orientation}.jpg", exif=exif)
    image.convert("L").save(place / "gray.jpg")
    for name in ("a.png", "a.tif", "a.webp", "a.bmp"):
        image.save(place / name)
    image.putalpha(image.getchannel(0))
    image.save(place / "alpha.png")
    Image.fromarray(astronaut[:50, :60, 0].astype(np.uint16) * 257).save(place / "deep.png")
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    frames[0].save(place / "moving.gif", save_all=True, append_images=frames[1:])
    return place


@pytest.mark.parametrize("fmt", ["auto", "jpg"])
def test_results_do_not_depend_on_the_memory(folder, tmp_path, monkeypatch, fmt):
    options = replace(OPTIONS, naming=Naming(format=fmt))
    usual = upscale_files([folder], tmp_path / "usual", options)
    assert usual.count("done") == len(list(folder.iterdir()))
    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 1000)
    monkeypatch.setattr(memory, "memory_budget", lambda options: 300_000)
    bounded = upscale_files([folder], tmp_path / "bounded", options)
    assert bounded.count("done") == usual.count("done")
    for path in (tmp_path / "usual").iterdir():
        assert path.read_bytes() == (tmp_path / "bounded" / path.name).read_bytes(), path.name


def picture(path, pixels, **changes):
    return Picture(path=path, format="jpg", height=pixels, width=1, channels=3, bits=8, **changes)


def opened(path, pixels, fmt="jpg", **changes):
    return Item(source=path, target=path, format=fmt), picture(path, pixels, **changes)


def needed(path, pixels, fmt="jpg", **changes):
    item, header = opened(path, pixels, fmt, **changes)
    return photograph_memory(item, header, OPTIONS)


def test_no_more_are_held_than_fit_but_one(tmp_path, monkeypatch):
    sizes = [100, 200, 5000, 100, 100, 100, 400]
    each = needed(tmp_path, 100)
    monkeypatch.setattr(memory, "memory_budget", lambda options: 8 * each)
    pictures = [opened(tmp_path, size) for size in sizes]
    runs = [[one.height for _, one in run] for run in portions(pictures, OPTIONS)]
    assert runs == [[100, 200], [5000], [100, 100, 100, 400]]
    runs = [[one.height for _, one in run] for run in portions(pictures, OPTIONS, 2)]
    assert runs == [[100, 200], [5000], [100, 100, 100], [400]]


def test_large_results_that_are_written_from_a_file_take_no_memory(tmp_path):
    sizes = {fmt: needed(tmp_path, 10**8, fmt) for fmt in ("jpg", "png", "tif")}
    assert set(sizes.values()) == {9 * 10**8}
    assert needed(tmp_path, 10**8, "webp") > 4 * sizes["jpg"]
    assert needed(tmp_path, 10**8, "png", has_alpha=True) > 4 * sizes["jpg"]


def test_the_budget_is_the_limit_without_the_program_or_half_of_what_is_free(monkeypatch):
    limited = replace(OPTIONS, raster=RasterOptions(max_memory=2**30))
    assert memory_budget(limited) == 2**30 - PROGRAM
    assert memory_budget(replace(OPTIONS, raster=RasterOptions(max_memory=1))) == 0
    for free, expected in ((1000, 500), (None, sys.maxsize)):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert memory_budget(OPTIONS) == expected


def test_what_is_more_than_allowed_is_refused_as_the_dry_run_says(folder, tmp_path):
    inputs = [folder / "6.jpg", folder / "moving.gif"]
    limited = replace(OPTIONS, raster=RasterOptions(max_memory=PROGRAM + 50_000))
    done = {file.source: file for file in upscale_files(inputs, tmp_path / "out", limited).files}
    assert done[inputs[1]].state == "done"
    error = done[inputs[0]].error
    assert error.startswith(f"{inputs[0]}: takes about 550 MiB, more than --max-memory 550 MiB; ")
    (_, expected), (_, fits) = estimate_files(inputs, tmp_path / "new", limited).items
    assert expected == error
    assert not isinstance(fits, str)


def test_a_disk_without_room_fails_the_picture_alone(folder, tmp_path, monkeypatch):
    def reserve(stream, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 30_000)
    monkeypatch.setattr(mapped, "_reserve", reserve)
    inputs = [folder / "gray.jpg", folder / "a.png"]
    summary = upscale_files(inputs, tmp_path / "out", OPTIONS)
    errors = {file.source: file.error for file in summary.files}
    assert errors[inputs[0]] == ""
    assert "disk is full" in errors[inputs[1]]
