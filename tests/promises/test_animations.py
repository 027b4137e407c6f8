"""Animations keep frames and durations, whatever their headers claim and machines lack."""

from __future__ import annotations

import errno
import re
import shutil
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps, ImageSequence

from srcli.imaging.files import stored_parts
from srcli.imaging.files.stored_parts import PictureRows
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs.animations import encode_animation
from srcli.inference.engine import TorchEngine
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.clips import flat_frame, write_clip
from tests.fixtures.files import json_lines, names_in
from tests.fixtures.pictures import flat_frames, save_frames, turned_exif

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
WORDS = "-m bicubic -s 2"


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
CLAIM = gif_of(BLACK_PIXEL, (99, b"\2\2\x44\1\0"))
"""Its second frame holds two bytes for 99x99 pixels."""


def write_frames(path, size=(8, 6), duration=80, **options):
    frames = flat_frames(size, COLOURS)
    for frame in frames:
        frame.paste((250, 250, 250), (0, 0, 3, 2))  # so that each side is known
    save_frames(path, frames, duration=duration, **options)


def frames_of(path):
    with Image.open(path) as image:
        return [
            np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)
        ]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("fmt", ["auto", "webp", "png"])
def test_frames_and_durations_are_kept(srx, suffix, fmt):
    durations = [40, 80, 120]
    kept_durations = []
    write_frames(f"a{suffix}", duration=durations, loop=0)
    srx(f"upscale a{suffix} out {WORDS} -f {fmt}", code=0)
    (enlarged,) = Path("out").iterdir()
    assert enlarged.name == f"a.{fmt}".replace(".auto", suffix)
    with Image.open(enlarged) as image:
        assert (image.size, image.info["loop"]) == ((16, 12), 0)
        for frame, colour in zip(ImageSequence.Iterator(image), COLOURS, strict=True):
            assert (
                np.abs(np.asarray(frame.convert("RGB"))[8, 12] - np.array(colour)).max()
                < 9
            )
            kept_durations.append(round(image.info["duration"]))
    assert kept_durations == durations


def test_gray_frames_of_16_bits_are_rounded(srx):
    with Path("a.png").open("wb") as stream:
        encode_animation(
            stream,
            np.full((2, 6, 8, 1), 40 * 257 + 60, np.uint16),
            milliseconds=[80, 80],
            plays=0,
            metadata=Metadata(),
            fmt="png",
        )
    assert "rounded to 8" in srx(f"upscale a.png b.png {WORDS}", code=0).err
    assert np.equal(frames_of("b.png"), 40).all()


def test_a_format_without_frames_takes_the_first_and_tells(srx):
    write_frames("a.gif")
    result = srx(f"upscale a.gif b.jpg {WORDS}", code=0)
    assert "holds 3 pictures: only the first is used" in result.err


def test_an_animation_that_is_cut_short_fails_and_leaves_nothing(srx):
    write_frames("a.webp")
    Path("a.webp").write_bytes(Path("a.webp").read_bytes()[:-60])
    assert "a.webp" in srx(f"upscale a.webp out {WORDS}", code=2).err
    assert not list(Path("out").glob("*"))


def test_out_of_memory_starts_over_with_smaller_tiles(srx, monkeypatch):
    real = TorchEngine.start

    def small(self, tiles, *arguments):
        if tiles[0].shape[1] > 24:
            raise MemoryError
        return real(self, tiles, *arguments)

    write_frames("a.gif", size=(30, 20))
    monkeypatch.setattr(TorchEngine, "start", small)
    words = f"{WORDS} --tile 28 --overlap 4"
    srx("upscale a.gif b.gif", words, code=0)
    assert len(frames_of("b.gif")) == 3


def test_a_claim_among_animations_stops_none_of_them(srx, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    write_frames(source / "a.gif")
    (source / "claim.gif").write_bytes(CLAIM)
    write_frames(source / "c.webp", lossless=True)
    result = srx(f"upscale {source} out {WORDS} --report report.jsonl", code=1)
    assert "claim.gif: the file is damaged or cut short" in result.err
    assert "defect" not in result.err
    lines = json_lines("report.jsonl")
    states = {Path(line["source"]).name: line["state"] for line in lines}
    assert states == {"a.gif": "done", "claim.gif": "failed", "c.webp": "done"}
    assert names_in("out") == ["a.gif", "c.webp"]
    assert len(frames_of("out/a.gif")) == 3


def test_frames_of_a_gif_that_are_larger_than_it_are_cut(srx):
    white = Image.new("P", (6, 6), 1)
    white.putpalette([0, 0, 0, 255, 255, 255])
    white.putpixel((5, 5), 0)
    white.save("white.gif")
    data = Path("white.gif").read_bytes()
    packed = data[data.index(b"\x2c") + 10 : -1]
    Path("a.gif").write_bytes(gif_of(BLACK_PIXEL, (6, packed)))
    srx(f"upscale a.gif b.gif {WORDS}", code=0)
    frames = frames_of("b.gif")
    assert [frame.shape for frame in frames] == [(8, 8, 3)] * 2
    assert (frames[1] == 255).all()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_finished_frames_are_kept_when_a_run_is_interrupted(srx, monkeypatch, suffix):
    write_frames(f"a{suffix}", size=(64, 200), duration=[40, 80, 120])
    srx(f"upscale a{suffix} whole{suffix} {WORDS}", code=0)
    real = PictureRows.write
    calls = []

    def stop(self, run, top, rows):
        calls.append(top)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(self, run, top, rows)

    monkeypatch.setattr(stored_parts, "_LEAST_PIXELS", 1)
    monkeypatch.setattr(PictureRows, "write", stop)
    srx(f"upscale a{suffix} out/ {WORDS}", code=130)
    assert names_in("out") == [f".a{suffix}.parts"]
    result = srx(f"upscale a{suffix} out/ {WORDS}", code=0)
    assert "1 of 3 frames are kept from an earlier run" in result.err
    assert names_in("out") == [f"a{suffix}"]
    enlarged = Path(f"out/a{suffix}").read_bytes()
    assert enlarged == Path(f"whole{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_the_bar_counts_frames_and_tells_of_writing_them(notes, suffix):
    write_frames(f"a{suffix}", size=(64, 48))
    options = settle(Asked(model="bicubic", scale=2))
    upscale_files([Path(f"a{suffix}")], Path("out"), options, progress=notes)
    ((_, done, texts),) = notes.closed
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert done == sum(grown) == pytest.approx(3 * 64 * 48 / 1e6)
    assert f"a{suffix}: writing 3 frames" in texts


@pytest.mark.parametrize("stated", [2, 7, 2**31 + 1])
def test_an_animated_png_is_taken_by_the_frames_that_it_holds(srx, stated):
    write_frames("a.png")
    data = bytearray(Path("a.png").read_bytes())
    offset = data.index(b"acTL")
    data[offset + 4 : offset + 8] = struct.pack(">I", stated)
    data[offset + 12 : offset + 16] = struct.pack(
        ">I", zlib.crc32(bytes(data[offset : offset + 12]))
    )
    Path("a.png").write_bytes(data)
    result = srx(f"upscale a.png b.png {WORDS}", code=0)
    assert (f"an animation of {stated} pictures" in result.err) == (stated > 3)
    frames = frames_of("b.png")
    count = min(stated, 3) if stated <= 2**31 else 1
    assert [tuple(frame[8, 12]) for frame in frames] == COLOURS[:count]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_frames_of_a_turned_animation_are_turned(srx, suffix):
    exif = turned_exif(6)
    lossless = {"lossless": True} if suffix == ".webp" else {}
    write_frames(f"a{suffix}", exif=exif, **lossless)
    srx(f"upscale a{suffix} b{suffix} {WORDS}", code=0)
    with Image.open(f"a{suffix}") as image:
        upright = ImageOps.exif_transpose(image.convert("RGB"))
    frames = frames_of(f"b{suffix}")
    assert [frame.shape for frame in frames] == [(16, 12, 3)] * 3
    small = frames[0].reshape(8, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - np.asarray(upright)).mean() < 8


def test_an_animation_without_room_on_the_disk_says_how_much_it_takes(
    srx, tmp_path, monkeypatch
):
    write_frames("a.gif")
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    for dry in ([], ["--dry-run"]):
        result = srx(f"upscale a.gif b.gif {WORDS}", *dry, code=2)
        printed = result.err + result.out
        assert re.search(
            r"a\.gif: its 3 pictures take .* when enlarged, and .* are free in ",
            printed,
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
def test_the_true_reason_why_frames_cannot_be_kept(srx, monkeypatch, code, words):
    def fail(*_):
        raise OSError(code, "no")

    write_frames("a.gif")
    monkeypatch.setattr("os.posix_fallocate", fail)
    assert words in srx(f"upscale a.gif b.gif {WORDS}", code=2).err
    assert names_in() == ["a.gif"]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("fmt", ["mp4", "webm", "mkv", "mov"])
def test_animations_become_videos(srx, suffix, fmt):
    write_frames(f"a{suffix}", size=(33, 24), duration=[40, 80, 120])
    result = srx(f"upscale a{suffix} b.{fmt} {WORDS}", code=0)
    assert "an odd row" not in result.err
    with av.open(f"b.{fmt}") as clip:
        frames = list(clip.decode(video=0))
        times = [float(frame.time) for frame in frames]
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        length = (clip.duration or 0) / 1_000_000
    assert times == pytest.approx([0, 0.04, 0.12])
    assert length == pytest.approx(0.24, abs=0.002)
    for picture, colour in zip(pictures, COLOURS, strict=True):
        assert picture.shape == (48, 66, 3)
        assert np.abs(picture[24, 33].astype(int) - colour).max() < 12
    assert "1 skipped" in srx(f"upscale a{suffix} b.{fmt} {WORDS}", code=0).out


def test_transparent_animations_are_put_on_white_in_videos(srx):
    frame = Image.new("RGBA", (32, 24), (0, 0, 0, 0))
    frame.paste((200, 30, 30, 255), (16, 0, 32, 24))
    save_frames("a.png", [frame, ImageOps.mirror(frame)], duration=80)
    told = srx(f"upscale a.png b.mp4 {WORDS}", code=0).err
    assert "mp4 has no transparency: the picture is put on white" in told
    with av.open("b.mp4") as clip:
        picture = next(clip.decode(video=0)).to_ndarray(format="rgb24")
    assert picture[24, 12].min() > 246
    assert np.abs(picture[24, 52].astype(int) - COLOURS[0]).max() < 12


def test_only_animations_that_are_named_become_videos(srx):
    Path("in").mkdir()
    write_frames("in/a.gif")
    Image.new("RGB", (8, 6)).save("in/b.png")
    srx(f"upscale in out -f mp4 {WORDS}", code=0)
    assert names_in("out") == ["a.gif", "b.png"]
    srx(f"upscale in/a.gif in/b.png videos -f mp4 {WORDS}", code=0)
    assert names_in("videos") == ["a.mp4", "b.png"]
    result = srx(f"upscale in/b.png c.mp4 {WORDS}", code=2)
    assert "c.mp4: is the name of a video" in result.err


@pytest.mark.parametrize("option", ["-srcwin 0 0 4 4", "--nodata 0"])
@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.webp", "a.mp4"])
def test_films_with_options_of_rasters_are_refused_and_in_folders_told(
    srx, name, option
):
    Path("in").mkdir()
    if name == "a.mp4":
        write_clip(f"in/{name}", [flat_frame((90, 90, 90))] * 2)
    else:
        save_frames(f"in/{name}", flat_frames((16, 12), COLOURS))
    refused = srx(f"upscale in/{name} {name} {WORDS} {option}", code=2)
    kind = "a video" if name == "a.mp4" else "an animation"
    assert f"in/{name}: is {kind}, which --" in refused.err
    assert not Path(name).exists()
    told = srx(f"upscale in out {WORDS} {option}", code=0)
    kinds = "videos" if name == "a.mp4" else "photographs"
    assert f"{kinds} are upscaled without --" in told.err
