"""Animations keep frames and durations, whatever their headers claim and machines lack."""

from __future__ import annotations

import errno
import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, ImageSequence

from srcli.inference.engine import TorchEngine

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
WORDS = ("-m", "bicubic", "-s", 2)


def gif_of(*frames):
    """A GIF of 4x4 pixels by its header, with frames of a side in pixels, black or white."""
    data = (
        b"GIF89a"
        + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0)
        + bytes([0, 0, 0, 255, 255, 255])
    )
    for side, packed in frames:
        data += b"\x21\xf9\x04\0\x0a\0\0\0"
        data += b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + packed
    return data + b"\x3b"


BLACK_PIXEL = (1, b"\2\2\x44\1\0")
BOMB = gif_of(BLACK_PIXEL, (65535, b"\2\2\x44\1\0"))


def write_frames(path, size=(8, 6), duration=80, **options):
    frames = [Image.new("RGB", size, colour) for colour in COLOURS]
    for frame in frames:
        frame.paste((250, 250, 250), (0, 0, 3, 2))  # so that each side is known
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=duration, **options
    )


def frames_of(path):
    with Image.open(path) as image:
        return [
            np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)
        ]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("fmt", [None, "webp", "png"])
def test_frames_and_durations_are_kept(srx, tmp_path, suffix, fmt):
    durations, found = [40, 80, 120], []
    write_frames(tmp_path / f"a{suffix}", duration=durations, loop=0)
    words = [*WORDS, "-f", fmt] if fmt else WORDS
    srx("upscale", tmp_path / f"a{suffix}", tmp_path / "out", *words, code=0)
    (made,) = (tmp_path / "out").iterdir()
    assert made.name == (f"a.{fmt}" if fmt else f"a{suffix}")
    with Image.open(made) as image:
        assert (image.size, image.info["loop"]) == ((16, 12), 0)
        for frame, colour in zip(ImageSequence.Iterator(image), COLOURS, strict=True):
            assert (
                np.abs(np.asarray(frame.convert("RGB"))[8, 12] - np.array(colour)).max()
                < 9
            )
            found.append(round(image.info["duration"]))
    assert found == durations


def test_a_format_without_frames_takes_the_first_and_tells(srx, tmp_path):
    write_frames(tmp_path / "a.gif")
    done = srx("upscale", tmp_path / "a.gif", tmp_path / "b.jpg", *WORDS)
    assert (done.code, "holds 3 pictures: only the first is used" in done.err) == (
        0,
        True,
    )


def test_an_animation_that_is_cut_short_fails_and_leaves_nothing(srx, tmp_path):
    write_frames(tmp_path / "a.webp")
    (tmp_path / "a.webp").write_bytes((tmp_path / "a.webp").read_bytes()[:-60])
    done = srx("upscale", tmp_path / "a.webp", tmp_path / "out", *WORDS)
    assert (done.code, "a.webp" in done.err) == (2, True)
    assert not list((tmp_path / "out").glob("*"))


def test_out_of_memory_starts_over_with_smaller_tiles(srx, tmp_path, monkeypatch):
    real = TorchEngine.start

    def small(self, tiles, *more):
        if tiles[0].shape[1] > 24:
            raise MemoryError
        return real(self, tiles, *more)

    write_frames(tmp_path / "a.gif", size=(30, 20))
    monkeypatch.setattr(TorchEngine, "start", small)
    words = (*WORDS, "--tile", 28, "--overlap", 4)
    srx("upscale", tmp_path / "a.gif", tmp_path / "b.gif", *words, code=0)
    assert len(frames_of(tmp_path / "b.gif")) == 3


def test_a_bomb_among_animations_stops_none_of_them(srx, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    write_frames(source / "a.gif")
    (source / "bomb.gif").write_bytes(BOMB)
    write_frames(source / "c.webp", lossless=True)
    dry = srx("upscale", source, tmp_path / "out", *WORDS, "--dry-run")
    assert (dry.code, "1 problems" in dry.out) == (1, True)
    report = tmp_path / "report.jsonl"
    done = srx("upscale", source, tmp_path / "out", *WORDS, "--report", report, code=1)
    assert "bomb.gif: the file is damaged or cut short: 2 bytes cannot hold" in done.err
    assert "defect" not in done.err
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    states = {Path(line["source"]).name: line["state"] for line in lines}
    assert states == {"a.gif": "done", "bomb.gif": "failed", "c.webp": "done"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.gif",
        "c.webp",
    ]
    assert len(frames_of(tmp_path / "out" / "a.gif")) == 3


def test_frames_of_a_gif_that_are_larger_than_it_are_cut(srx, tmp_path):
    white = Image.new("P", (6, 6), 1)
    white.putpalette([0, 0, 0, 255, 255, 255])
    white.putpixel((5, 5), 0)
    white.save(tmp_path / "white.gif")
    data = (tmp_path / "white.gif").read_bytes()
    packed = data[data.index(b"\x2c") + 10 : -1]
    (tmp_path / "a.gif").write_bytes(gif_of(BLACK_PIXEL, (6, packed)))
    done = srx("upscale", tmp_path / "a.gif", tmp_path / "b.gif", *WORDS)
    assert (done.code, "beyond the animation are cut" in done.err) == (0, True)
    frames = frames_of(tmp_path / "b.gif")
    assert [frame.shape for frame in frames] == [(8, 8, 3)] * 2
    assert (frames[1] == 255).all()


@pytest.mark.parametrize("stated", [2, 7, 2**31, 2**32 - 1])
def test_an_animated_png_is_taken_by_the_frames_that_it_holds(srx, tmp_path, stated):
    write_frames(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    place = data.index(b"acTL")
    data[place + 4 : place + 8] = struct.pack(">I", stated)
    data[place + 12 : place + 16] = struct.pack(
        ">I", zlib.crc32(bytes(data[place : place + 12]))
    )
    (tmp_path / "a.png").write_bytes(data)
    done = srx("upscale", tmp_path / "a.png", tmp_path / "b.png", *WORDS, code=0)
    assert (f"an animation of {stated} pictures" in done.err) == (stated > 3)
    found = frames_of(tmp_path / "b.png")
    count = min(stated, 3) if stated <= 2**31 else 1
    assert [tuple(frame[8, 12]) for frame in found] == COLOURS[:count]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_frames_of_a_turned_animation_are_turned(srx, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    lossless = {"lossless": True} if suffix == ".webp" else {}
    write_frames(tmp_path / f"a{suffix}", exif=exif, **lossless)
    srx("upscale", tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", *WORDS, code=0)
    with Image.open(tmp_path / f"a{suffix}") as image:
        first = ImageOps.exif_transpose(image.convert("RGB"))
    found = frames_of(tmp_path / f"b{suffix}")
    assert [frame.shape for frame in found] == [(16, 12, 3)] * 3
    small = found[0].reshape(8, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - np.asarray(first)).mean() < 8


def test_an_animation_without_room_on_the_disk_says_how_much_it_takes(
    srx, tmp_path, monkeypatch
):
    write_frames(tmp_path / "a.gif")
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    for dry in ([], ["--dry-run"]):
        done = srx("upscale", tmp_path / "a.gif", tmp_path / "b.gif", *WORDS, *dry)
        assert done.code == 2
        said = done.err + done.out
        assert re.search(
            r"a\.gif: its 3 pictures take .* when enlarged, and .* are free in ", said
        )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "b.gif: the disk is full; make room"),
        (
            errno.EFBIG,
            "b.gif: larger than a file may be here (by the file system or 'ulimit -f')",
        ),
    ],
)
def test_the_true_reason_why_frames_cannot_be_kept(
    srx, tmp_path, monkeypatch, code, words
):
    def fail(*_):
        raise OSError(code, "no")

    write_frames(tmp_path / "a.gif")
    monkeypatch.setattr("srcli.imaging.photograph.LARGEST_IN_MEMORY", 1)
    monkeypatch.setattr("os.posix_fallocate", fail)
    done = srx("upscale", tmp_path / "a.gif", tmp_path / "b.gif", *WORDS, code=2)
    assert words in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
