"""Photographs: bounded memory, JPEG blocks that choose the model, one share of progress."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data

from srcli.imaging.photographs import writing
from srcli.imaging.photographs.photograph import Picture
from srcli.inference import stream
from srcli.pipelines.upscale import kinds, photographs, reporter
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.kinds import (
    Kind,
    Opened,
    photograph_memory,
    split_by_memory,
)
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.reporter import Item
from srcli.pipelines.upscale.run import upscale_files

OPTIONS = settle(Asked(model="bicubic", scale=2, tile=32, overlap=8))


@pytest.fixture
def folder(tmp_path, astronaut):
    """Pictures of all kinds that differ in how they are held."""
    folder = tmp_path / "in"
    folder.mkdir()
    image = Image.fromarray(astronaut[:70, :91])
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"{orientation}.jpg", exif=exif)
    image.convert("L").save(folder / "gray.jpg")
    for name in ("a.png", "a.tif", "a.webp", "a.bmp"):
        image.save(folder / name)
    image.putalpha(image.getchannel(0))
    image.save(folder / "alpha.png")
    Image.fromarray(astronaut[:50, :60, 0].astype(np.uint16) * 257).save(
        folder / "deep.png"
    )
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    return folder


@pytest.mark.parametrize("fmt", ["auto", "jpg"])
def test_results_do_not_depend_on_the_memory(folder, tmp_path, monkeypatch, fmt):
    options = replace(OPTIONS, format=fmt)
    usual = upscale_files([folder], tmp_path / "usual", options)
    assert usual.counts["done"] == len(list(folder.iterdir()))
    monkeypatch.setattr("srcli.imaging.pixels.arrays.LARGEST_IN_MEMORY", 1000)
    monkeypatch.setattr(kinds, "free_memory", lambda: 600_000)
    bounded = upscale_files([folder], tmp_path / "bounded", options)
    assert bounded.counts["done"] == usual.counts["done"]
    for path in (tmp_path / "usual").iterdir():
        assert path.read_bytes() == (tmp_path / "bounded" / path.name).read_bytes(), (
            path.name
        )


def opened(path, pixels, fmt="jpg", **changes):
    shape = {"height": pixels, "width": 1, "channels": 3, "bits": 8}
    picture = Picture(path=path, format="jpg", **shape, **changes)
    item = Item(source=path, target=path, format=fmt)
    return Opened(item, Kind.PHOTOGRAPH, picture)


def needed(*arguments, **changes):
    photograph = opened(*arguments, **changes)
    return photograph_memory(photograph.item, photograph.picture, OPTIONS)


def test_no_more_are_held_than_fit_but_one(tmp_path, monkeypatch):
    memory = needed(tmp_path, 100)
    monkeypatch.setattr(kinds, "free_memory", lambda: 16 * memory)
    pictures = [opened(tmp_path, size) for size in (100, 200, 5000, 100, 100, 100, 400)]
    for processes, expected in (
        (1, [[100, 200], [5000], [100, 100, 100, 400]]),
        (2, [[100, 200], [5000], [100, 100, 100], [400]]),
    ):
        runs = split_by_memory(pictures, OPTIONS, processes)
        for run, heights in zip(runs, expected, strict=True):
            assert [photograph.picture.height for photograph in run] == heights


def test_a_picture_that_cannot_fit_into_memory_is_not_decoded(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(kinds, "free_memory", lambda: 100_000)
    summary = upscale_files(
        [folder / "a.png", folder / "deep.png"], tmp_path / "out", OPTIONS
    )
    failed, finished = summary.files
    assert (failed.source.name, finished.state) == ("a.png", "done")
    assert "of memory when enlarged, and 98 KiB are free; crop it" in failed.error


def test_what_a_photograph_went_through_decides_on_its_model(tmp_path, notes):
    astronaut = data.astronaut()[100:164, 200:264]
    image = Image.fromarray(astronaut)
    image.save(tmp_path / "clean.png")
    image.save(tmp_path / "fine.jpg", quality=98)
    image.save(tmp_path / "rough.jpg", quality=30)
    with Image.open(tmp_path / "rough.jpg") as rough:
        rough.save(tmp_path / "disguised.png")
    image.filter(ImageFilter.GaussianBlur(1.2)).save(tmp_path / "soft.png")
    noise = np.random.default_rng(0).normal(0, 8, astronaut.shape)
    noisy = np.clip(astronaut + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    drawn = image.quantize(4).convert("RGB").filter(ImageFilter.ModeFilter(5))
    for name in ("drawn.png", "drawn.jpg"):
        drawn.save(tmp_path / name, quality=100)
    inputs = sorted(tmp_path.iterdir())
    options = settle(Asked(model="auto", scale=2))
    files = upscale_files(inputs, tmp_path / "out", options, progress=notes).files
    assert {file.source.name: (file.condition, file.model) for file in files} == {
        "clean.png": ("clean", "g-idrn"),
        "disguised.png": ("blocks", "g-idrn-photo"),
        "drawn.jpg": ("drawing", "g-idrn-photo"),
        "drawn.png": ("drawing", "g-idrn-photo"),
        "fine.jpg": ("saved", "g-idrn-photo"),
        "noisy.png": ("noise", "g-idrn-photo"),
        "rough.jpg": ("blocks", "g-idrn-photo"),
        "soft.png": ("soft", "g-idrn-photo"),
    }
    assert notes.messages == []
    # each as by its model alone
    for file, strength in ((files[0], None), (files[-1], 1.0)):
        options = settle(Asked(model=file.model, scale=2, strength=strength))
        (alone,) = upscale_files([file.source], tmp_path / "alone", options).files
        pixels = np.asarray(Image.open(file.target))
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(alone.target)))


@pytest.mark.parametrize("scale", [3, 4])
def test_degraded_pictures_get_a_model_of_their_own_at_all_scales(
    tmp_path, astronaut, scale
):
    Image.fromarray(astronaut[:72, :72]).save(tmp_path / "rough.jpg", quality=30)
    options = settle(Asked(model="auto", scale=scale))
    (file,) = upscale_files([tmp_path / "rough.jpg"], tmp_path / "out", options).files
    assert (file.condition, file.model) == ("blocks", "g-idrn-photo")


def test_a_picture_of_two_passes_counts_the_tiles_of_both(folder, tmp_path, notes):
    options = replace(OPTIONS, size=Fraction(6))
    (file,) = upscale_files(
        [folder / "a.png"], tmp_path / "out", options, progress=notes
    ).files
    assert file.size == (420, 546)
    assert file.tiles > 2 * 4
    of_all, correction = notes.closed[0][2][:2]
    # 70x91 pixels, then 140x182 or more, with overlaps of 8 between tiles of 32
    assert float(of_all.split()[-1]) == pytest.approx(notes.closed[0][1], rel=0.2)
    assert abs(float(correction.split()[-1])) < 0.2 * notes.closed[0][1]


@pytest.mark.parametrize(("name", "code"), [("a.png", 0), ("a.webp", 2), ("a.avif", 2)])
def test_memory_of_encoders_counts(srx, tmp_path, monkeypatch, name, code):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(pixels).save("in.png")
    # libwebp and libaom take over 12 bytes for a byte of an output, which has four times
    # the pixels here
    monkeypatch.setattr(kinds, "free_memory", lambda: 12 * 4 * pixels.nbytes)
    text = srx(f"upscale in.png {name} -s 2 -m bicubic", code=code).err
    assert ("of memory when enlarged" in text) == (code == 2)


class StandingClock:
    """A clock that goes on only where a test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def test_seconds_of_a_photograph_are_those_of_its_own_work(tmp_path, monkeypatch):
    clock = StandingClock()
    monkeypatch.setattr(photographs, "time", clock)
    monkeypatch.setattr(stream, "time", clock)
    monkeypatch.setattr(reporter, "time", clock)
    write = writing.write_photograph

    def write_slowly(target, *arguments, **options):
        if target.name == "a.png":
            clock.now += 100
        write(target, *arguments, **options)

    monkeypatch.setattr(photographs, "write_photograph", write_slowly)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (9, 8)).save(tmp_path / "in" / name)
    seconds = {}
    upscale_files(
        [tmp_path / "in"],
        tmp_path / "out",
        settle(Asked(model="bicubic", scale=2, workers=1)),
        on_file=lambda file: seconds.update({file.source.name: file.seconds}),
    )
    assert seconds == {"a.png": 100, "b.png": 0, "c.png": 0}


def test_the_work_that_is_left_is_counted_by_pixels(tmp_path, notes):
    (tmp_path / "in").mkdir()
    for name, side in (("a.png", 16), ("b.png", 16), ("c.png", 160)):
        Image.new("RGB", (side, side)).save(tmp_path / "in" / name)
    options = settle(Asked(model="bicubic", scale=2, workers=1))
    upscale_files([tmp_path / "in"], tmp_path / "out", options, progress=notes)
    ((_, done, texts),) = notes.closed
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert sum(grown) == pytest.approx(done)
    # by the header of c.png, before it has begun; a few pixels around each are computed, too
    assert grown[0] == pytest.approx(done, rel=0.6)
