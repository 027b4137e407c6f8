"""Frames and threads of films do not pile up, however long and large they are."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import pytest

from srcli.imaging.films.reading import open_video
from srcli.imaging.films.writing import (
    SegmentEncoder,
    Segments,
    choose_animation_encoding,
    choose_encoding,
)
from tests.fixtures.clips import gray_frames, write_clip

THREADS = Path("/proc/self/task")
LENGTH = 45
"""Frames, less than those of a segment."""


@pytest.fixture
def clip(tmp_path):
    """A film, while Python does not look for circles: nothing may need that to be freed."""
    path = write_clip(tmp_path / "a.mp4", gray_frames(LENGTH))
    gc.collect()
    gc.disable()
    yield Path(path)
    gc.enable()


def living_frames():
    return sum(isinstance(tracked, av.VideoFrame) for tracked in gc.get_objects())


def test_frames_that_are_read_are_let_go(clip):
    before = living_frames()
    most = 0
    with open_video(clip) as video:
        for number, _ in enumerate(video.frames()):
            if number % 11 == 10:  # counting takes long
                most = max(most, living_frames() - before)
    assert most < 10


@pytest.mark.skipif(not THREADS.exists(), reason="threads are counted by Linux's /proc")
def test_threads_do_not_grow_with_the_frames(clip):
    counts = []
    with open_video(clip) as video:
        encoding = choose_encoding(video, "mp4", (24, 32), None)
        encoder = SegmentEncoder(encoding, Segments(clip.with_name("b.mp4")))
        for frame in video.frames():
            encoder.encode(frame)
            counts.append(len(list(THREADS.iterdir())))
    assert len(counts) == LENGTH
    assert counts[-1] <= counts[2] + 4


@pytest.mark.parametrize(
    ("size", "ahead"),
    [((1080, 1920), "40"), ((2160, 3840), "10"), ((8640, 15360), "4")],
)
def test_encoders_look_less_far_ahead_where_frames_are_large(size, ahead):
    # 40 is x264's own default, `x264 --fullhelp`
    encoding = choose_animation_encoding(Path("a.gif"), "mp4", size, None)
    assert encoding.settings["options"]["rc-lookahead"] == ahead
