"""Colours under alpha: replaced with a line where they mean something, kept where asked to."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import srcli
from tests.fixtures.pictures import read_pixels

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
    assert "made again: was made with other options" in result.err


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
