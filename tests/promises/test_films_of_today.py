"""Films whose colours, eyes or aspects are not those of every decoder."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.fixtures.clips import STEP, gray_frames, write_clip
from tests.promises.test_films import ENTRY, box, change_clip

SMALL = "-m bicubic -s 2"


def dolby_vision(profile, compatibility):
    """Content of a box ``dvcC``: version 1.0, level 6, with a base layer and its data."""
    profile_and_layers = struct.pack(">H", profile << 9 | 6 << 3 | 0b101)
    return bytes([1, 0]) + profile_and_layers + bytes([compatibility << 4]) + bytes(19)


def copy_clip(source, target):
    with av.open(source) as clip, av.open(target, "w") as output:
        stream = clip.streams.video[0]
        copied = output.add_stream_from_template(stream)
        for packet in clip.demux(stream):
            if packet.size:
                packet.stream = copied
                output.mux(packet)


@pytest.mark.parametrize(
    ("profile", "compatibility", "name", "code"),
    [(5, 0, "a.mp4", 2), (5, 0, "a.mkv", 2), (8, 4, "a.mp4", 0), (10, 1, "a.mp4", 0)],
)
def test_colours_for_dolby_vision_alone_are_refused(
    srx, profile, compatibility, name, code
):
    write_clip("a.mp4", gray_frames(2))
    added = box(b"dvcC", dolby_vision(profile, compatibility))
    change_clip("a.mp4", ENTRY, lambda boxes: boxes + added)
    if name != "a.mp4":
        copy_clip("a.mp4", name)
    told = srx(f"upscale {name} out.mp4", SMALL, code=code).err
    assert ("stored for Dolby Vision alone" in told) == (code == 2)


def test_the_other_eye_of_spatial_video_is_told(srx):
    write_clip("a.mp4", gray_frames(2))
    eyes = box(b"eyes", box(b"stri", bytes(4), b"\3"), box(b"hero", bytes(4), b"\1"))
    change_clip("a.mp4", ENTRY, lambda boxes: boxes + box(b"vexu", eyes))
    told = srx("upscale a.mp4 out.mp4", SMALL, code=0).err
    assert "the picture of the other eye (spatial video) is left out" in told
    with av.open("out.mp4") as clip:
        side_data: Any = next(clip.decode(video=0)).side_data
        assert "STEREO3D" not in [data.type.name for data in side_data]


def test_the_aspect_is_that_of_the_first_frame(srx):
    """H.264 of a broadcast that goes on in another aspect, which FFmpeg tells from the start."""
    parts = b""
    for number, aspect in enumerate(("12/11", "16/11")):
        starts = range(6 * number * STEP, (6 * number + 6) * STEP, STEP)
        write_clip(
            "part.ts",
            gray_frames(6),
            starts,
            options={"bf": "0"},
            sample_aspect_ratio=Fraction(aspect),
        )
        parts += Path("part.ts").read_bytes()
    Path("a.ts").write_bytes(parts)
    told = srx("upscale a.ts out.mkv", SMALL, code=0).err
    assert "fitted into the first size" in told
    with av.open("out.mkv") as clip:
        assert clip.streams.video[0].sample_aspect_ratio == Fraction(12, 11)


def test_tracks_of_data_are_told_by_their_titles(srx):
    write_clip("clip.mp4", gray_frames(2))
    with av.open("clip.mp4") as clip, av.open("a.mp4", "w") as output:
        video = output.add_stream_from_template(clip.streams.video[0])
        data = output.add_data_stream("bin_data")
        data.metadata["handler_name"] = "GoPro MET"
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        telemetry = av.Packet(b"DEVC")
        telemetry.stream = data
        telemetry.pts = telemetry.dts = 0
        output.mux(telemetry)
    told = srx("upscale a.mp4 out.mp4", SMALL, code=0).err
    assert "(GoPro MET) left out" in told
