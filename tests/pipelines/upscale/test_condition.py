"""What a photograph has gone through is found in its pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from srcli.data.degrading import add_noise, blur, round_levels
from srcli.imaging.pixels.resize import downscale
from srcli.pipelines.upscale.choosing import (
    VISIBLE_BLOCKINESS,
    blockiness,
    classify_condition,
    noise_level,
    sharpness,
)
from tests.fixtures.letters import draw_letters
from tests.fixtures.pictures import read_pixels


def source():
    return np.random.default_rng(0)


def as_jpeg(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return read_pixels(stream)


def gray(pixels):
    return pixels.mean(axis=2, dtype=np.float32)


@pytest.fixture
def picture():
    return downscale(data.astronaut(), 2)


def test_only_compression_shows_blocks_wherever_they_begin(picture):
    assert blockiness(gray(picture)) < 1.15
    assert blockiness(gray(as_jpeg(picture, 98))) < VISIBLE_BLOCKINESS
    figures = [blockiness(gray(as_jpeg(picture, quality))) for quality in (85, 75, 50)]
    assert VISIBLE_BLOCKINESS < figures[0] < figures[1] < figures[2]
    pixels = gray(as_jpeg(picture, 60))
    assert blockiness(pixels[3:, 5:]) == pytest.approx(blockiness(pixels), rel=0.1)
    assert blockiness(pixels[::-1, ::-1]) == pytest.approx(blockiness(pixels), rel=0.1)
    assert blockiness(np.zeros((80, 80), np.float32)) < VISIBLE_BLOCKINESS


def test_blur_takes_sharpness_and_noise_does_not(picture):
    blurred = [blur(picture, source(), sigma=sigma) for sigma in (0.6, 0.9, 1.4)]
    figures = [sharpness(gray(version)) for version in (picture, *blurred)]
    assert figures == sorted(figures, reverse=True)
    noisy = add_noise(picture, source(), sigma=5)
    assert sharpness(gray(noisy)) == pytest.approx(figures[0], abs=0.05)
    steps = np.repeat(
        np.repeat(np.eye(16, dtype=np.float32) * 200, 8, axis=0), 8, axis=1
    )
    assert sharpness(steps) == pytest.approx(1)
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.float32), (64, 1))
    assert sharpness(ramp) == pytest.approx(0.25)


@pytest.mark.parametrize("sigma", [3.0, 6.0, 12.0])
def test_noise_is_measured_and_texture_is_none(sigma):
    smooth = blur(data.astronaut(), source(), sigma=12)
    noisy = add_noise(smooth, source(), sigma=sigma, gray=True)
    assert noise_level(gray(noisy)) == pytest.approx(sigma, rel=0.25)
    assert noise_level(gray(smooth)) < 0.5
    assert noise_level(np.full((80, 80), 255, np.float32)) == 0


@pytest.mark.parametrize("degradation", ["gray", "16 bits", "large"])
def test_one_word_for_every_kind_of_picture(picture, degradation):
    def stored(pixels):
        pixels = round_levels(pixels)
        if degradation == "gray":
            return pixels[..., :1]
        if degradation == "large":
            return np.pad(pixels, ((400, 400), (520, 520), (0, 0)), mode="symmetric")
        return pixels.astype(np.uint16) * 257

    assert classify_condition(stored(picture)) == "clean"
    assert classify_condition(stored(as_jpeg(picture, 50))) == "blocks"
    assert classify_condition(stored(blur(picture, source(), sigma=1.2))) == "soft"
    assert (
        classify_condition(stored(add_noise(picture, source(), sigma=8, gray=True)))
        == "noise"
    )
    assert classify_condition(stored(picture // 64 * 64)) == "drawing"


@pytest.mark.parametrize("size", [(1, 1), (63, 99), (64, 64)])
def test_tiny_and_flat_pictures_need_nothing(size):
    assert classify_condition(np.zeros((*size, 3), np.uint8)) in {"clean", "drawing"}


@pytest.mark.parametrize(("ink", "paper"), [("black", "white"), ("red", "white")])
def test_few_letters_are_a_drawing(ink, paper):
    """Their smoothed edges have as many colours as those of a page."""
    letters = np.asarray(draw_letters(ink, paper))
    assert classify_condition(letters) == "drawing"
    photograph = data.astronaut()[:64, :96]
    assert classify_condition(photograph) != "drawing"
