"""Photographs become as large as was asked: between the scales of a model, beyond them, or at all.

What is not a scale of the model is made by the next scales, one after the other, and a
resize.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

import srcli
from srcli.imaging.resize import shrink
from tests.fixtures.geotiffs import FOUR_BANDS


@pytest.fixture
def source(tmp_path):
    pixels = np.ascontiguousarray(data.astronaut()[100:140, 150:203])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return pixels


def by(scales, pixels, model="bicubic"):
    for scale in scales:
        pixels = srcli.upscale(pixels, model, scale)
    return pixels


def read(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    ("asked", "size", "scales"),
    [
        (["-s", "1"], (40, 53), [2]),
        (["-s", "1.5"], (60, 80), [2]),
        (["-s", "3"], (120, 159), [3]),
        (["-s", "3.3"], (132, 175), [4]),
        (["-s", "6"], (240, 318), [3, 2]),
        (["-s", "8"], (320, 424), [4, 2]),
        (["--size", "100x"], (75, 100), [2]),
        (["--size", "x100"], (100, 132), [3]),
        (["--size", "300x100"], (100, 132), [3]),
        (["--size", "30x"], (23, 30), [2]),
        (["--long-edge", "500"], (377, 500), [4, 3]),
        (["--long-edge", "901"], (680, 901), [4, 4]),  # the rest is interpolated
    ],
)
def test_the_next_scales_and_a_resize_make_any_size(
    srx, tmp_path, source, asked, size, scales
):
    srx(
        "upscale",
        tmp_path / "a.png",
        tmp_path / "b.png",
        "-m",
        "bicubic",
        *asked,
        code=0,
    )
    np.testing.assert_array_equal(
        read(tmp_path / "b.png"), shrink(by(scales, source), size)
    )
    again = srx(
        "upscale", tmp_path / "a.png", tmp_path / "b.png", "-m", "bicubic", *asked
    )
    assert "1 skipped" in again.out


def test_depth_transparency_and_two_networks_go_through_both_passes(
    srx, tmp_path, source
):
    deep = source[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    small = source[:20, :24]
    clear = Image.fromarray(small)
    clear.putalpha(
        Image.fromarray(np.where(small[..., 1] > 90, 255, 0).astype(np.uint8))
    )
    (tmp_path / "in").mkdir()
    clear.save(tmp_path / "in" / "clear.png")
    Image.fromarray(small).save(tmp_path / "in" / "rough.jpg", quality=20)
    made = srx(
        "upscale", tmp_path / "deep.png", tmp_path / "b.png", "-s", "5", "-m", "bicubic"
    )
    assert made.code == 0, made
    expected = shrink(by([3, 2], deep), (200, 265))
    np.testing.assert_array_equal(read(tmp_path / "b.png"), expected)
    srx("upscale", tmp_path / "in", tmp_path / "out", "-s", "6", code=0)
    assert read(tmp_path / "out" / "clear.png").shape == (120, 144, 4)
    assert set(np.unique(read(tmp_path / "out" / "clear.png")[..., 3])) >= {0, 255}
    assert read(tmp_path / "out" / "rough.jpg").shape == (120, 144, 3)


def test_a_size_bounds_what_fit_would(srx, tmp_path, source):
    asked = ("upscale", tmp_path / "a.png", tmp_path / "b.png", "-m", "bicubic")
    srx(*asked, "-s", "2.5", "--fit", "100x", code=0)
    assert read(tmp_path / "b.png").shape == (76, 100, 3)
    shown = srx(*asked, "-s", "6", "--dry-run").out
    assert "318x240" in shown


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["-s", "0.5"], "1<=x<=16"),
        (["-s", "17"], "1<=x<=16"),
        (["-s", "x"], "not a valid float"),
        (["--size", "3000"], "no size such as"),
        (["-s", "3", "--size", "300x"], "give one of them"),
        (["--long-edge", "300", "--size", "300x"], "give one of them"),
        (["-s", "2.5", "--bidx", "1"], "upscale them in two runs"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(srx, tmp_path, source, asked, words):
    made = srx(
        "upscale",
        tmp_path / "a.png",
        tmp_path / "b.png",
        "-m",
        "bicubic",
        *asked,
        code=2,
    )
    assert words in " ".join(made.err.split())
    assert not (tmp_path / "b.png").exists()


def test_rasters_and_animations_say_what_they_take(srx, tmp_path, source, geotiffs):
    raster = geotiffs / FOUR_BANDS
    made = srx(
        "upscale", raster, tmp_path / "out.tif", "-s", "2.5", "-m", "bicubic", code=2
    )
    assert "give -s 4" in made.err
    frames = [Image.fromarray(source[i:]) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    asked = ("upscale", tmp_path / "a.gif", tmp_path / "b.gif", "-m", "bicubic")
    srx(*asked, "-s", "1.5", code=0)
    with Image.open(tmp_path / "b.gif") as larger:
        assert larger.size == (80, 60)
    assert "is an animation" in srx(*asked, "-s", "6", "--overwrite").err
