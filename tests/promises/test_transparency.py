"""Colours that are not seen do not come out in the edges of what is seen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageSequence

import srcli
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


LINE = "colours that alpha hides are replaced"


@pytest.fixture
def gloss():
    """A texture whose alpha, mostly 0, is no transparency; return its colours."""
    y, x = np.mgrid[0:48, 0:64]
    rgb = np.dstack([x * 4, y * 5, (x + y) * 2]).astype(np.uint8)
    alpha = np.zeros((48, 64), np.uint8)
    alpha[12:36, 16:48] = 200
    Image.fromarray(np.dstack([rgb, alpha])).save("gloss.png")
    return rgb


@pytest.mark.parametrize("scale", [2, 6])
def test_keep_hidden_keeps_colours_under_alpha(srx, gloss, scale):
    words = f"upscale gloss.png out.png -m bicubic -s {scale} --keep-hidden"
    result = srx(words, code=0)
    expected = srcli.upscale(gloss, "bicubic", scale)
    np.testing.assert_array_equal(read_pixels("out.png")[:, :, :3], expected)
    array = srcli.upscale(read_pixels("gloss.png"), "bicubic", scale, keep_hidden=True)
    np.testing.assert_array_equal(array[:, :, :3], expected)
    assert LINE not in result.err


def test_a_cut_out_with_soft_edges_gets_no_line(srx):
    y, x = np.mgrid[0:80, 0:80]
    alpha = np.clip((30 - np.hypot(x - 40, y - 40)) * 80, 0, 255)
    colours = np.dstack([x * 3, y * 3, x + y, alpha]) * (alpha > 0)[:, :, None]
    Image.fromarray(colours.astype(np.uint8)).save("a.png")
    assert LINE not in srx("upscale a.png out.png -m bicubic", code=0).err


@pytest.mark.usefixtures("gloss")
def test_hidden_colours_are_told_of_and_kept_if_asked_for(srx):
    words = "upscale gloss.png out.png -m bicubic -s 2"
    result = srx(words, code=0)
    assert LINE in result.err
    assert "--keep-hidden" in result.err
    result = srx(words, "--keep-hidden", code=0)
    assert "made again: it was made with other options" in result.err


@pytest.mark.parametrize("options", ["-s 2", "-s 6", "--size 100x", "-s 3 --wrap x"])
def test_colours_that_nobody_sees_are_repeated(srx, options):
    rng = np.random.default_rng(0)
    sheet = np.zeros((40, 64, 4), np.uint8)
    sheet[:, :, :3] = rng.integers(0, 255, (5, 8, 3)).repeat(8, 0).repeat(8, 1)
    sheet[14:20, 30:36] = (250, 10, 10, 255)
    Image.fromarray(sheet).save("a.png")
    srx("upscale a.png out.png -m bicubic", options, code=0)
    enlarged = read_pixels("out.png")
    height, width = enlarged.shape[:2]
    rows = np.arange(height) * 40 // height
    columns = np.arange(width) * 64 // width
    nearest = sheet[rows][:, columns]
    far = np.ones((height, width), bool)
    far[(rows >= 14 - 4) & (rows < 20 + 4)] = (columns < 30 - 4) | (columns >= 36 + 4)
    np.testing.assert_array_equal(enlarged[far], nearest[far])
    near = (enlarged[:, :, 3] > 0) & (nearest[:, :, 3] == 0)
    assert near.any()
    assert np.abs(enlarged[near, :3].astype(int) - (250, 10, 10)).max() <= 2


def test_gray_that_hides_colours_keeps_both(srx):
    sheet = np.zeros((24, 48, 4), np.uint8)
    sheet[:, :24] = (90, 90, 90, 255)
    sheet[:, 24:] = (0, 200, 30, 0)
    Image.fromarray(sheet).save("a.png")
    srx("upscale a.png out.png -m bicubic -s 2", code=0)
    enlarged = read_pixels("out.png")
    assert (enlarged[:, :44] == (90, 90, 90, 255)).all()
    assert (enlarged[:, 56:] == (0, 200, 30, 0)).all()
