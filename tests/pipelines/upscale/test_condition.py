"""What a photograph has gone through is found in its pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data

from srcli.data.degrading import add_noise, blur, round_levels
from srcli.imaging.pixels.resize import downscale
from srcli.pipelines.upscale.choosing import (
    VISIBLE_BLOCKINESS,
    blockiness,
    classify_condition,
    is_noisy,
    is_print,
    look_at_noise,
    ripples,
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
def test_noise_is_measured_and_smooth_pictures_have_none(sigma):
    smooth = blur(data.astronaut(), source(), sigma=12)
    noisy = add_noise(smooth, source(), sigma=sigma, gray=True).astype(np.float32)
    look = look_at_noise(noisy)
    assert look
    assert look.level == pytest.approx(sigma, rel=0.25)
    assert is_noisy(noisy)
    assert not is_noisy(smooth.astype(np.float32))
    assert look_at_noise(np.full((80, 80, 3), 255, np.float32)) is None


def draw_strokes(plant, colour, seed=0):
    """Draw leaves or blades four times as large, and make them smaller: no noise at all."""
    chance = np.random.default_rng(seed)
    large = Image.new("RGB", (640, 640), tuple(channel // 2 for channel in colour))
    drawing = ImageDraw.Draw(large)
    for _ in range(24_000):
        x, y = chance.integers(0, 640, 2)
        light = chance.uniform(0.3, 1.2)
        fill = tuple(int(light * channel) for channel in colour)
        if plant == "leaves":
            wide, high = chance.uniform(3, 14), chance.uniform(2, 8)
            drawing.ellipse((x - wide, y - high, x + wide, y + high), fill=fill)
        else:
            aside, up = chance.normal(0, 5), chance.uniform(10, 40)
            drawing.line((x, y, x + aside, y - up), fill=fill, width=3)
    return np.asarray(large.resize((160, 160), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("plant", ["leaves", "grass"])
@pytest.mark.parametrize("colour", [(90, 140, 50), (150, 110, 60)])
def test_leaves_and_grass_are_no_noise(plant, colour):
    assert classify_condition(draw_strokes(plant, colour)) == "clean"


@pytest.mark.parametrize("size", [0.6, 1.0])
def test_grain_that_spans_pixels_is_noise(size):
    """As film has it, and what noise reduction leaves; ``size`` is that of its blur."""
    picture = data.rocket()[:320, :480]
    grain = ndimage.gaussian_filter(source().normal(size=picture.shape[:2]), size)
    grain *= 9 / grain.std()
    grainy = (picture + grain[..., None]).clip(0, 255).astype(np.float32)
    assert is_noisy(grainy)
    assert not is_noisy(picture.astype(np.float32))


def test_a_gray_photograph_on_white_is_no_drawing():
    """Gray has 256 colours at most, whatever it shows."""
    photo = gray(data.astronaut()[:200, 120:320])
    down, right = np.mgrid[:200, :200] - 100
    cut_out = np.where(np.hypot(down, right) < 60, photo, 255)
    assert classify_condition(cut_out.round().astype(np.uint8)[..., None]) != "drawing"
    letters = np.asarray(draw_letters("black", "white").convert("L"))[..., None]
    assert classify_condition(letters) == "drawing"


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


def small(pixels):
    return np.asarray(Image.fromarray(pixels).resize((120, 120), Image.Resampling.BOX))


@pytest.mark.parametrize("name", ["astronaut", "camera", "coffee", "brick", "rocket"])
def test_small_clean_pictures_have_no_blocks_and_no_noise(name):
    """One of eight columns is higher than the others by chance where pixels are few."""
    picture = getattr(data, name)()
    edge = min(picture.shape[:2])
    pixels = np.atleast_3d(small(picture[:edge, :edge]))
    assert classify_condition(pixels) == "clean"


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
def test_grain_of_gray_pictures_is_noise(name):
    values = gray(getattr(data, name)()[:360, :360])
    grain = ndimage.gaussian_filter(source().normal(size=values.shape), 0.7)
    grainy = values + grain * 9 / grain.std()
    assert is_noisy(grainy[..., None])
    assert not is_noisy(values[..., None])


def test_what_repeats_within_blocks_is_no_blocks():
    """As dots of a print do."""
    ramps = np.tile(np.arange(128, dtype=np.float32) % 4, (128, 1))
    assert blockiness(ramps + ramps.T) < VISIBLE_BLOCKINESS


def draw_map():
    """Roads of eight colours with smoothed edges: as many colours as a photograph has."""
    chance = np.random.default_rng(4)
    large = Image.new("RGB", (640, 640), "#f2efe9")
    drawing = ImageDraw.Draw(large)
    for _ in range(40):
        line = chance.integers(0, 640, 4).tolist()
        fill = tuple(chance.integers(0, 256, 3).tolist())
        drawing.line(line, fill=fill, width=int(chance.integers(8, 30)))
    return np.asarray(large.reduce(4))


def test_a_map_of_many_colours_is_a_drawing_and_as_jpeg_has_blocks():
    """Colours of smoothed edges are many, but lie along lines; blocks do not show as steps."""
    drawn = draw_map()
    colours = np.unique(drawn.reshape(-1, 3), axis=0)
    assert len(colours) > 512
    assert classify_condition(drawn) == "drawing"
    for quality in (90, 60):
        pixels = as_jpeg(drawn, quality)
        assert classify_condition(pixels) == "blocks"
        assert classify_condition(pixels[3:, 5:]) == "blocks"


@pytest.mark.parametrize("quality", [90, 75])
def test_a_jpeg_has_set_ripples_of_its_blocks_to_nothing(picture, quality):
    shares = ripples(gray(picture))
    assert shares.min() > 0.9 * np.median(shares)
    shares = ripples(gray(as_jpeg(picture, quality))[3:, 5:])
    assert [*np.unravel_index(shares.argmin(), shares.shape)] == [5, 3]
    assert shares.min() < 0.6 * np.median(shares)


def test_dots_of_a_print_are_clean_and_strong_noise_is_none():
    down, right = np.mgrid[:1024, :1024] * np.pi / 16
    ink = Image.fromarray(np.cos(down + right) + np.cos(down - right) > 0.3)
    printed = np.asarray(ink.convert("L").reduce(8))[..., None]
    assert is_print(gray(printed))
    assert classify_condition(printed) == "clean"
    noisy = source().normal(128, 30, (128, 128, 1)).clip(0, 255).astype(np.float32)
    assert not is_print(gray(noisy))
    assert is_noisy(noisy)


@pytest.mark.parametrize("depth", [8, 16])
def test_noise_of_a_sensor_is_seen_by_its_colours(depth):
    """Under forms beside which its level in gray is not even."""
    forms = ndimage.gaussian_filter(source().normal(size=(160, 160)), 1)
    forms = 100 + np.linspace(5, 15, 160) * forms / forms.std()
    noise = np.random.default_rng(1).normal(0, 6, (160, 160, 3))
    words = []
    for values in (forms[..., None] * (0.8, 1, 0.5), forms[..., None] + noise):
        levels = (values * (2**depth - 1) / 255).clip(0, 2**depth - 1)
        words.append(classify_condition(levels.astype(f"uint{depth}")))
    assert words == ["soft", "noise"]


def test_texture_without_steep_edges_is_not_soft():
    fine = ndimage.gaussian_filter(source().normal(size=(160, 160)), 0.5)
    hills = ndimage.gaussian_filter(source().normal(size=(160, 160)), 6)
    values = 128 + 250 * hills / np.ptp(hills) * 0.4 + 14 * fine / fine.std()
    pixels = values.clip(0, 255).astype(np.uint8)[..., None]
    assert classify_condition(pixels) != "soft"
    blurred = ndimage.gaussian_filter(values, 1.2).clip(0, 255).astype(np.uint8)
    assert classify_condition(blurred[..., None]) == "soft"
