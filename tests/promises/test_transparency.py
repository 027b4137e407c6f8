"""Colours that are not seen do not come out in the edges of what is seen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.fixtures.pictures import read_pixels, save_frames

GARBAGE = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 2), (0, 255, 0, 4)]


def disc(background: tuple[int, int, int, int]) -> Image.Image:
    """A red disc on a background."""
    row, column = np.mgrid[:24, :24]
    values = np.full((24, 24, 4), background, np.uint8)
    inside = (row - 12) ** 2 + (column - 12) ** 2 < 49
    values[inside] = (255, 0, 0, 255)
    return Image.fromarray(values)


@pytest.mark.parametrize("background", GARBAGE)
def test_nearly_transparent_pixels_do_not_bleed(srx, background):
    disc(background).save("disc.png")
    srx("upscale disc.png out.png -m bicubic", code=0)
    enlarged = read_pixels("out.png").astype(int)
    check_red(enlarged)


def check_red(pixels):
    """Check that all that is seen of a disc is red."""
    opaque = pixels[:, :, 3] >= 64
    assert pixels[opaque, 0].min() >= 240
    assert pixels[opaque, 1:3].max() <= 15


@pytest.mark.parametrize("shift", [0, 16])
def test_a_sprite_takes_no_colour_of_a_farther_one(srx, shift):
    sheet = np.zeros((8, 32, 4), np.uint8)
    sheet[:, 6:11, 2:] = 255  # blue
    sheet[:, 16:19, ::3] = 255  # red
    Image.fromarray(np.roll(sheet, shift, 1)).save("a.png")
    srx("upscale a.png out.png -m bicubic -s 2 --wrap x", code=0)
    check_red(np.roll(read_pixels("out.png"), -2 * shift, 1)[:, 24:])


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_nor_do_they_in_animations(srx, suffix):
    frames = [disc(GARBAGE[2]), disc((0, 0, 255, 3))]
    source = f"a.{suffix}"
    target = f"out.{suffix}"
    save_frames(source, frames, duration=50, lossless=True, exact=True)  # as WebP
    srx(f"upscale {source} {target} -m bicubic -s 2", code=0)
    with Image.open(target) as image:
        enlarged = ImageSequence.all_frames(image)
    assert len(enlarged) == 2
    for frame in enlarged:
        check_red(np.asarray(frame.convert("RGBA")))
    result = srx(f"upscale {source} b.webp -m bicubic --keep-hidden", code=0)
    assert "webp loses colours that alpha hides" in result.err


def test_half_transparent_pictures_keep_their_detail(srx):
    """A checkerboard of alpha 128 beside an opaque field is not blurred into it."""
    values = np.zeros((16, 16, 4), np.uint8)
    values[:, 8:] = (0, 0, 255, 255)
    values[::2, :8:2, :3] = values[1::2, 1:8:2, :3] = 255
    results = []
    for alpha in (128, 255):
        values[:, :8, 3] = alpha
        Image.fromarray(values).save("a.png")
        srx("upscale a.png out.png -m bicubic --overwrite", code=0)
        results.append(read_pixels("out.png")[:, :, :3])
    assert np.array_equal(*results)
