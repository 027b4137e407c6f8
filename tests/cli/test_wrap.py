"""`--wrap`: pictures whose opposite borders meet are enlarged as if they went on there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

import srcli
from srcli.errors import UsageError
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.fixtures.pictures import read_pixels


@pytest.fixture(scope="module")
def texture(request):
    """Return a picture (20, 32, 3) whose borders do not meet by themselves."""
    astronaut = request.getfixturevalue("astronaut")
    return np.ascontiguousarray(astronaut[60:80, 50:82])


def middle_of(enlarged):
    """Return the middle one of three by three repetitions."""
    height, width = (side // 3 for side in enlarged.shape[:2])
    return enlarged[height : 2 * height, width : 2 * width]


@pytest.fixture
def enlarge(srx, tmp_path):
    """Return a function that upscales an array of 8 bits as a PNG."""

    def run(pixels, *words):
        Image.fromarray(pixels).save(tmp_path / "in.png")
        out = tmp_path / "out.png"
        srx("upscale", tmp_path / "in.png", out, "--overwrite", *words, code=0)
        return read_pixels(out)

    return run


@pytest.mark.parametrize(
    ("words", "tolerance"),
    [
        ("-s 2", 0),
        ("-s 2 --tile 24 --overlap 8", 0),
        ("-s 8", 0),
        ("-s 2.5", 1),  # halves are rounded either way
        ("--size 48x", 1),
    ],
)
def test_a_texture_goes_on_at_its_borders(enlarge, texture, words, tolerance):
    alpha = np.arange(20, dtype=np.uint8)[:, None].repeat(32, axis=1) * 12
    pixels = np.dstack([texture, alpha])
    repeated = np.tile(pixels, (3, 3, 1))
    of_repeated = words.replace("48x", "144x")
    expected = middle_of(enlarge(repeated, "-m bicubic --keep-hidden", of_repeated))
    wrapped = enlarge(pixels, "-m bicubic --keep-hidden --wrap both", words)
    assert wrapped.shape == expected.shape
    assert np.abs(wrapped.astype(int) - expected).max() <= tolerance
    ended = enlarge(pixels, "-m bicubic --keep-hidden", words)
    assert np.abs(ended.astype(int) - expected).max() > 10


@pytest.mark.parametrize(("wrap", "axis"), [("x", 1), ("y", 0)])
def test_one_axis_goes_on_and_the_other_ends(enlarge, texture, wrap, axis):
    repeated = np.concatenate([texture] * 3, axis=axis)
    expected = enlarge(repeated, "-s 2 -m bicubic")
    length = 2 * texture.shape[axis]
    middle = np.arange(length, 2 * length)
    wrapped = enlarge(texture, "-s 2 -m bicubic --wrap", wrap)
    assert_array_equal(wrapped, expected.take(middle, axis=axis))


def test_no_step_is_seen_where_a_panorama_of_a_network_meets(enlarge, texture):
    def step_at_border(enlarged):
        """Step across the border beside those within the 8 columns next to it, in levels."""
        turned = np.roll(enlarged.astype(int), 8, axis=1)[:, :16]
        steps = np.abs(np.diff(turned, axis=1)).mean(axis=(0, 2))
        return steps[7] / np.delete(steps, 7).mean()

    # borders that meet in the picture itself, as those of a panorama do
    panorama = np.concatenate([texture, texture[:, ::-1]], axis=1)
    panorama = np.roll(panorama, 20, axis=1)
    ended = step_at_border(enlarge(panorama, "-s 2 -m g-idrn"))
    wrapped = step_at_border(enlarge(panorama, "-s 2 -m g-idrn --wrap x"))
    seamless = enlarge(np.tile(panorama, (1, 3, 1)), "-s 2 -m g-idrn")
    width = 2 * panorama.shape[1]
    within = step_at_border(seamless[:, width : 2 * width])
    assert abs(wrapped - within) < 0.1 * within
    assert ended > 1.2 * within


def test_a_raster_goes_on_at_its_borders(srx, texture, tmp_path):
    def enlarge(name, pixels, *words):
        path = write_by_gdal(tmp_path / name, pixels, **PLACE)
        out = tmp_path / f"x2_{name}"
        common = ("-s 2 -m bicubic --tile 24 --overlap 8", *words)
        printed = srx("upscale", path, out, *common, code=0)
        return read_by_gdal(out), printed.out + printed.err

    repeated, _ = enlarge("repeated.tif", np.tile(texture, (3, 3, 1)))
    ended, _ = enlarge("world.tif", texture)
    wrapped, printed = enlarge("world.tif", texture, "--wrap both")
    assert "made again: it was made with other options" in printed
    assert_array_equal(wrapped, middle_of(repeated))
    assert not np.array_equal(ended, wrapped)


def test_a_sparse_raster_goes_on_at_its_borders(srx, texture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((256, 320), np.uint8)
    pixels[-20:, -32:] = texture[:, :, 0]
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    for name, sparse in (("sparse.tif", True), ("dense.tif", False)):
        write_by_gdal(name, pixels, sparse_ok=sparse, **tiles, **PLACE)
    assert Path("sparse.tif").stat().st_size < 9_000 < Path("dense.tif").stat().st_size
    # beside so bright a corner 0 would be a code
    command = "upscale sparse.tif dense.tif out -s 2 -m bicubic --wrap both -t 64 --nodata none"
    srx(command, code=0)
    enlarged = read_by_gdal("out/sparse.tif")
    assert_array_equal(enlarged, read_by_gdal("out/dense.tif"))
    assert enlarged[:2, :2].any()


def test_in_python_as_on_the_command_line(enlarge, texture):
    wrapped = srcli.upscale(texture, "bicubic", 2, wrap="both")
    assert_array_equal(wrapped, enlarge(texture, "-s 2 -m bicubic --wrap both"))
    with pytest.raises(UsageError, match="give one of x, y, both"):
        srcli.upscale(texture, "bicubic", wrap="z")
