"""Photographs become as large as was asked: between the scales of a model, beyond them, or at all.

What is not a scale of the model is made by the next scales, one after the other, and a
resize.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import srcli
from srcli.imaging.pixels.geometry import shrink
from tests.fixtures.files import json_lines
from tests.fixtures.geotiffs import FOUR_BANDS
from tests.fixtures.pictures import read_pixels, save_frames, size_of

ORIENTATION = 0x112
GRAY_16 = np.ascontiguousarray(data.camera()[:128, :128]).astype(np.uint16) * 257


@pytest.fixture
def source():
    pixels = np.ascontiguousarray(data.astronaut()[100:140, 150:203])
    Image.fromarray(pixels).save("a.png")
    return pixels


def by(scales, pixels, model="bicubic"):
    for scale in scales:
        pixels = srcli.upscale(pixels, model, scale)
    return pixels


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
        (["--size", "30x"], (23, 30), []),  # a resize alone
        (["--long-edge", "500"], (377, 500), [4, 3]),
        (["--long-edge", "901"], (680, 901), [4, 4]),  # the rest is interpolated
    ],
)
def test_the_next_scales_and_a_resize_make_any_size(srx, source, asked, size, scales):
    srx("upscale a.png b.png -m bicubic", *asked, code=0)
    np.testing.assert_array_equal(
        read_pixels("b.png"), shrink(by(scales, source), size)
    )
    assert "1 skipped" in srx("upscale a.png b.png -m bicubic", *asked).out


@pytest.fixture
def mixed_folder():
    """Make a folder of pictures of all kinds, larger and smaller than 64x64."""
    picture = Image.fromarray(data.astronaut())
    Path("in").mkdir()
    picture.resize((40, 30)).save("in/small.png")
    picture.resize((200, 100)).save("in/large.jpg")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture.resize((200, 100)).save("in/turned.jpg", exif=exif)
    Image.fromarray(GRAY_16).save("in/deep.png")
    clear = picture.resize((128, 128)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((128, 128)))
    clear.save("in/clear.png")
    frames = [picture.resize((128, 64)), picture.resize((128, 64)).rotate(90)]
    frames[0].save("in/moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save("in/pages.tif", save_all=True, append_images=frames[1:])


def test_what_becomes_no_larger_is_shrunk_by_a_plain_filter(srx, mixed_folder):
    run = srx("upscale in out --long-edge 64 -m quick --report r.jsonl", code=0)
    assert "7 done (1 by quick, 6 made no larger, without a network)" in run.out
    assert "smaller than the input" not in run.err
    for report in json_lines("r.jsonl"):
        assert bool(report["tiles"]) == ("small.png" in report["source"])
        assert max(size_of(report["target"])) == 64
    assert size_of("out/turned.jpg") == (32, 64)
    np.testing.assert_array_equal(
        read_pixels("out/deep.png"), shrink(GRAY_16, (64, 64))
    )
    by_pillow = Image.open("in/clear.png").resize((64, 64), Image.Resampling.BICUBIC)
    difference = read_pixels("out/clear.png").astype(int) - np.asarray(by_pillow)
    difference[..., :3] = difference[..., :3] * np.asarray(by_pillow)[..., 3:] / 255
    assert np.abs(difference[2:-2, 2:-2]).max() <= 4  # borders are mirrored
    assert "7 skipped" in srx("upscale in out --long-edge 64 -m quick").out
    assert "7 done" in srx("upscale in out --long-edge 63 -m quick").out


@pytest.mark.parametrize(
    "asked", ["--long-edge 20", "--size 20x20", "-s 2 --fit 20x20", "--size 53x40"]
)
def test_shrinking_needs_no_torch(source, asked):
    script = (
        "import sys; from srcli.cli.upscale import command; "
        "command(sys.argv[1:], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    words = ["a.png", "b.jpg", "-m", "fast", *asked.split()]
    subprocess.run([sys.executable, "-c", script, *words], check=True)
    assert max(size_of("b.jpg")) in (20, 53)


@pytest.mark.parametrize(("asked", "tiles"), [("-s 1", 1), ("-s 1 --fit 20x20", 1)])
def test_scale_1_cleans_up_by_a_network(srx, source, asked, tiles):
    srx(f"upscale a.png b.png -m quick {asked} --report r.jsonl", code=0)
    assert json_lines("r.jsonl")[0]["tiles"] == tiles


def test_depth_transparency_and_two_networks_go_through_both_passes(srx, source):
    deep = source[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save("deep.png")
    small = source[:20, :24]
    clear = Image.fromarray(small)
    clear.putalpha(
        Image.fromarray(np.where(small[..., 1] > 90, 255, 0).astype(np.uint8))
    )
    Path("in").mkdir()
    clear.save("in/clear.png")
    Image.fromarray(small).save("in/rough.jpg", quality=20)
    srx("upscale deep.png b.png -s 5 -m bicubic", code=0)
    expected = shrink(by([3, 2], deep), (200, 265))
    np.testing.assert_array_equal(read_pixels("b.png"), expected)
    srx("upscale in out -s 6", code=0)
    assert read_pixels("out/clear.png").shape == (120, 144, 4)
    assert set(np.unique(read_pixels("out/clear.png")[..., 3])) >= {0, 255}
    assert read_pixels("out/rough.jpg").shape == (120, 144, 3)


def test_a_size_bounds_what_fit_would(srx, source):
    asked = "upscale a.png b.png -m bicubic"
    srx(asked, "-s 2.5 --fit 100x", code=0)
    assert read_pixels("b.png").shape == (76, 100, 3)
    srx(asked, "-s 2.5 --fit 60 --overwrite", code=0)
    assert read_pixels("b.png").shape == (45, 60, 3)
    shown = srx(asked, "-s 6 --dry-run").out
    assert "318x240" in shown


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["-s", "0.5"], "1<=x<=16"),
        (["-s", "17"], "1<=x<=16"),
        (["-s", "x"], "'x' is not a valid number"),
        (["--size", "3000"], "no size such as"),
        (["-s", "3", "--size", "300x"], "give one of them"),
        (["--long-edge", "300", "--size", "300x"], "give one of them"),
        (["-s", "2.5", "--bidx", "1"], "2 or 3 or 4, not by 2.5; give --scale 4"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(srx, source, asked, words):
    result = srx("upscale a.png b.png -m bicubic", *asked, code=2)
    assert words in " ".join(result.err.split())
    assert not Path("b.png").exists()


def test_rasters_and_animations_say_what_they_take(srx, source, geotiffs):
    raster = geotiffs / FOUR_BANDS
    result = srx("upscale", raster, "out.tif", "-s 2.5 -m bicubic", code=2)
    assert "enlarges rasters by 2 or 3 or 4, not by 2.5; give --scale 4" in result.err
    frames = [Image.fromarray(source[i:]) for i in range(3)]
    save_frames("a.gif", frames)
    asked = "upscale a.gif b.gif -m bicubic"
    srx(asked, "-s 1.5", code=0)
    with Image.open("b.gif") as larger:
        assert larger.size == (80, 60)
    srx(asked, "-s 6 --overwrite", code=0)
    with Image.open("b.gif") as larger:
        assert larger.size == (318, 240)


ONLY_SMALLER = "-m bicubic --long-edge 40 --only-smaller"


@pytest.fixture
def two_sizes():
    """A folder with a picture that is large enough, and one that is not."""
    Path("in").mkdir()
    Image.new("RGB", (40, 30)).save("in/large.jpg", dpi=(240, 240))
    Image.new("RGB", (20, 30)).save("in/small.png")
    os.utime("in/large.jpg", (1e9, 1e9))


@pytest.mark.usefixtures("two_sizes")
def test_large_enough_pictures_are_copied_and_the_others_enlarged(srx):
    words = ("upscale in out --report report.jsonl", ONLY_SMALLER, "--format png")
    assert "large.jpg (copied as it is: has" in srx(*words, "--dry-run", code=0).out
    assert "1 done, 1 copied (large enough)" in srx(*words, code=0).out
    copied = json_lines("report.jsonl")[0]
    assert copied["state"] == "copied"
    assert copied["error"] == "has 40x30 pixels already"
    assert Path("out/large.jpg").read_bytes() == Path("in/large.jpg").read_bytes()
    assert Path("out/large.jpg").stat().st_mtime == 1e9
    assert size_of("out/small.png") == (27, 40)
    assert "2 skipped" in srx(*words, code=0).out


@pytest.mark.usefixtures("two_sizes")
def test_copies_replace_nothing_and_need_a_fitting_name(srx):
    Image.new("RGB", (9, 9)).save("in/other.png")
    other = srx("upscale in/large.jpg in/other.png", ONLY_SMALLER, "--overwrite")
    assert "give a folder as output" in other.err
    assert size_of("in/other.png") == (9, 9)
    Path("out").mkdir()
    Path("out/large.jpg").write_text("mine", encoding="utf-8")
    result = srx("upscale in out -f png", ONLY_SMALLER, code=1)
    assert "--overwrite replaces it" in result.err
    assert Path("out/large.jpg").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("options", ["-s 2", "--size 9x --strip-metadata"])
def test_copies_need_a_size_and_keep_metadata(srx, options):
    result = srx("upscale a.png b.png --only-smaller", options, code=2)
    assert "--only-smaller" in result.err
