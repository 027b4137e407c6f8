"""Colours that are not seen do not come out in the edges of what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

GARBAGE = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 2), (0, 255, 0, 4)]


def disc(background: tuple[int, int, int, int]) -> Image.Image:
    """A red disc on a background."""
    row, column = np.mgrid[:24, :24]
    values = np.full((24, 24, 4), background, np.uint8)
    values[(row - 12) ** 2 + (column - 12) ** 2 < 49] = (255, 0, 0, 255)
    return Image.fromarray(values)


@pytest.mark.parametrize("background", GARBAGE)
def test_nearly_transparent_pixels_do_not_bleed(srx, tmp_path, background):
    disc(background).save(tmp_path / "disc.png")
    srx("upscale", tmp_path / "disc.png", tmp_path / "out.png", "-m", "bicubic", code=0)
    made = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    seen = made[made[:, :, 3] >= 64]
    assert seen[:, 0].min() >= 240
    assert seen[:, 1:3].max() <= 15


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_nor_do_they_in_animations(srx, tmp_path, suffix):
    frames = [disc(GARBAGE[2]), disc((0, 0, 255, 3))]
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"out.{suffix}"
    more: dict[str, Any] = {"append_images": frames[1:], "duration": 50}
    frames[0].save(source, save_all=True, lossless=True, exact=True, **more)  # as WebP
    srx("upscale", source, target, "-m", "bicubic", "-s", "2", code=0)
    with Image.open(target) as image:
        made_frames = [
            np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)
        ]
        assert len(made_frames) == 2
        for made in made_frames:
            seen = made[made[:, :, 3] >= 64]
            assert seen[:, 0].min() >= 240
            assert seen[:, 1:3].max() <= 15


def test_half_transparent_pictures_keep_their_detail(srx, tmp_path):
    """A checkerboard of alpha 128 beside an opaque field is not blurred into it."""
    values = np.zeros((16, 16, 4), np.uint8)
    values[:, 8:] = (0, 0, 255, 255)
    values[:, :8, 3] = 128
    values[::2, :8:2, :3] = values[1::2, 1:8:2, :3] = 255
    opaque = values.copy()
    opaque[:, :, 3] = 255
    results = []
    for name, content in (("half", values), ("opaque", opaque)):
        Image.fromarray(content).save(tmp_path / f"{name}.png")
        target = tmp_path / f"{name}_out.png"
        srx("upscale", tmp_path / f"{name}.png", target, "-m", "bicubic", code=0)
        results.append(np.asarray(Image.open(target))[:, :, :3])
    assert np.array_equal(results[0], results[1])
