"""What stands still in a film stays as it is when it is enlarged, what moves is not held."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from srcli.imaging.photographs.writing import write_photograph
from tests.fixtures.clips import write_clip

CRF = {"options": {"crf": "23"}}


def film_of(scenes, noise=5):
    """Frames with noise of (H, W, 3) each."""
    chance = np.random.default_rng(0)
    frames = []
    for scene in scenes:
        noisy = scene + chance.normal(0, noise, scene.shape)
        pixels = noisy.round().clip(0, 255).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frames.append(frame.reformat(format="yuv420p"))
    return frames


def frames_in(folder):
    files = sorted(Path(folder).glob("*.png"))
    return np.stack([np.asarray(Image.open(file)) for file in files]).astype(int)


def flicker(frames):
    return np.abs(np.diff(frames, axis=0)).mean()


@pytest.fixture
def still_film(astronaut):
    write_clip("a.mp4", film_of([astronaut[:80, :96]] * 6), **CRF)


def test_a_still_scene_flickers_less_than_before(srx, still_film):
    with av.open("a.mp4") as clip:
        before = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    srx("upscale a.mp4 out/ -f png -m fast -s 2", code=0)
    srx("upscale a.mp4 single/ -f png -m quick-photo -s 2", code=0)
    most = flicker(np.stack(before).astype(int))
    assert flicker(frames_in("out")) <= most < flicker(frames_in("single"))


def test_no_frame_of_a_pan_is_held(srx, astronaut):
    scenes = [astronaut[:80, 3 * index : 3 * index + 96] for index in range(4)]
    write_clip("a.mp4", film_of(scenes), **CRF)
    srx("upscale a.mp4 out/ -f png -m fast -s 2", code=0)
    srx("upscale a.mp4 single/ -f png -m quick-photo -s 2", code=0)
    assert np.array_equal(frames_in("out"), frames_in("single"))


def test_what_moves_over_a_still_scene_is_new(srx, astronaut):
    scenes = []
    for index in range(3):
        scene = astronaut[:80, :96].copy()
        scene[20:60, 10 * index : 10 * index + 40] = astronaut[60:100, 100:140]
        scenes.append(scene)
    write_clip("a.mp4", film_of(scenes), **CRF)
    srx("upscale a.mp4 out/ -f png -m fast -s 2", code=0)
    srx("upscale a.mp4 single/ -f png -m quick-photo -s 2", code=0)
    differences = np.abs(frames_in("out") - frames_in("single"))
    for index in (1, 2):
        inner = differences[index, 52:108, 20 * index + 12 : 20 * index + 68]
        assert (inner > 0).mean() < 0.02
        assert differences[index].max() > 0  # the scene around is held


def test_held_frames_go_on_as_they_began(srx, still_film, monkeypatch):
    srx("upscale a.mp4 whole/ -f png -m fast -s 2", code=0)

    def write_three(path, *args, **kwargs):
        if path.name == "a_000004.png":
            raise OSError(28, "No space left on device")
        write_photograph(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("srcli.imaging.films.frames.write_photograph", write_three)
        srx("upscale a.mp4 out/ -f png -m fast -s 2", code=2)
    told = srx("upscale a.mp4 out/ -f png -m fast -s 2", code=0).err
    assert "3 of 6 frames are kept" in told
    assert np.array_equal(frames_in("out"), frames_in("whole"))
