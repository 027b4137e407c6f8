"""Films of cameras, recorders and programs keep what the container says of them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fixtures.clips import (
    STEP,
    TIME_BASE,
    frames_of,
    gray_frames,
    sound_of,
    write_clip,
)

SMALL = "-m bicubic -s 2"
CORNERS = (40, 90, 150, 220)
"""Brightness of the four quarters of a frame, from the top left in lines."""


def quarters(size=(32, 24)):
    """A frame of gray whose quarters have a brightness each."""
    frame = av.VideoFrame(size[0], size[1], "yuv420p")
    for plane, values in zip(
        frame.planes, (CORNERS, (128,) * 4, (128,) * 4), strict=True
    ):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        middle = plane.width // 2
        for number, value in enumerate(values):
            half = rows[: plane.height // 2]
            if number > 1:
                half = rows[plane.height // 2 :]
            half[:, slice(middle, None) if number % 2 else slice(middle)] = value
        plane.update(rows.tobytes())
    return frame


def quarters_of(path):
    """Brightness of the quarters of the first frame, by the nearest of ``CORNERS``."""
    with av.open(path) as clip:
        luma = next(clip.decode(video=0)).to_ndarray(format="gray").astype(int)
    height, width = luma.shape
    found = []
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        level = luma[y * height // 4, x * width // 4]
        found.append(min(CORNERS, key=lambda corner: abs(corner - level)))
    return tuple(found)


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("a.m2ts", "libx264", "aac"),
        ("a.ts", "mpeg2video", "aac"),
        ("a.mpg", "mpeg2video", ""),
        ("a.flv", "flv", ""),
    ],
)
def test_recordings_begin_at_once(srx, name, codec, sound):
    hour = 3600 * TIME_BASE.denominator
    starts = range(hour, hour + 6 * STEP, STEP)
    base = Fraction(1, 25)
    write_clip(
        name,
        gray_frames(6),
        starts,
        codec=codec,
        options={},
        time_base=base,
        sound=sound,
    )
    srx(f"upscale {name} out.mkv", SMALL, code=0)
    before, _, _ = frames_of(name)
    after, _, _ = frames_of("out.mkv")
    with av.open(name) as clip:
        start = Fraction(clip.start_time, 1_000_000)
    assert start > 0.1
    for time, stored in zip(after, before, strict=True):
        assert abs(time - (stored - start)) < 0.002
    assert after[0] < 1
    if sound:
        for ours, theirs in zip(sound_of("out.mkv"), sound_of(name), strict=True):
            assert theirs[0].endswith(ours[0])  # without a header of ADTS
            assert abs(ours[1] - (theirs[1] - start)) < 0.002


A, B, C, D = CORNERS
SHOWN = {
    (1, 0, 0, 1): (A, B, C, D),
    (-1, 0, 0, 1): (B, A, D, C),
    (1, 0, 0, -1): (C, D, A, B),
    (-1, 0, 0, -1): (D, C, B, A),
    (0, 1, 1, 0): (A, C, B, D),
    (0, 1, -1, 0): (C, A, D, B),
    (0, -1, 1, 0): (B, D, A, C),
    (0, -1, -1, 0): (D, B, C, A),
}
"""Quarters as players show them, by a, b, c, d of the display matrix, which maps a point
(x, y) to (a x + c y, b x + d y)."""


@pytest.mark.parametrize("matrix", SHOWN)
def test_mirrored_clips_become_what_players_show(srx, matrix):
    write_clip("a.mp4", [quarters()] * 2)
    data = Path("a.mp4").read_bytes()
    start = data.index(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in matrix)
    stored = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    Path("b.mp4").write_bytes(data[:start] + stored + data[start + 36 :])
    srx("upscale b.mp4 c.mp4", SMALL, code=0)
    assert quarters_of("c.mp4") == SHOWN[matrix]
    with av.open("c.mp4") as clip:
        frame = next(clip.decode(video=0))
    assert (frame.width > frame.height) == (matrix[0] != 0)
    assert frame.rotation == 0
