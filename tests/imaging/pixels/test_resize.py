from __future__ import annotations

import csv
import hashlib
import math
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from srcli.imaging.pixels.geometry import shrink, shrink_mask
from srcli.imaging.pixels.resize import downscale, mod_crop, resize, to_dtype
from srcli.pipelines.upscale.declaring import read_box

DIGESTS = Path(__file__).with_name("lr_sha256.tsv")
"""Digests of MATLAB's LR pictures of Set5 and Set14, and of what our code made of
Chelsea."""


def rows_of(dataset):
    with DIGESTS.open(encoding="utf-8") as stream:
        return [row for row in csv.reader(stream, delimiter="\t") if row[0] == dataset]


def differing(dataset, read):
    """Names of LR pictures of a set that are not those of the table."""
    wrong = []
    for _, picture, scale, height, width, channels, digest in rows_of(dataset):
        lr_image = downscale(read(picture), int(scale))
        shape = (int(height), int(width), int(channels))
        if (lr_image.shape, hashlib.sha256(lr_image.tobytes()).hexdigest()) != (
            shape,
            digest,
        ):
            wrong.append(f"{picture} x{scale}")
    return wrong


def pixels_of(path):
    with Image.open(path) as image:
        pixels = np.array(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


@pytest.mark.parametrize(("dataset", "count"), [("Set5", 15), ("Set14", 42)])
def test_lr_pictures_equal_matlabs_bit_for_bit(srx_data, dataset, count):
    folder = srx_data / "benchmarks" / dataset
    assert len(rows_of(dataset)) == count
    assert (
        differing(dataset, lambda picture: pixels_of(folder / f"{picture}.png")) == []
    )


def test_lr_of_a_photograph_is_what_it_was_when_it_equalled_matlabs():
    assert len(rows_of("scikit-image")) == 3
    assert differing("scikit-image", lambda picture: getattr(data, picture)()) == []


@pytest.mark.parametrize("scale", [Fraction(1, 3), 1, 1.5, 4])
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 7), (7, 1, 1)])
def test_tiny_pictures_of_one_colour_stay_so(shape, scale):
    result = resize(np.full(shape, 77, dtype=np.uint8), scale)
    expected = (
        tuple(math.ceil(Fraction(scale) * side) for side in shape[:2]) + shape[2:]
    )
    assert result.shape == expected
    assert np.all(result == 77)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.3, 2.5])
def test_other_scales_keep_a_ramp(scale):
    length = 40
    ramp = np.tile(np.arange(length, dtype=np.float64), (length, 1))
    result = resize(ramp, scale)
    size = math.ceil(scale * length)
    assert result.shape == (size, size)
    centres = (np.arange(size) + 0.5) / scale - 0.5
    inside = slice(math.ceil(3 * max(scale, 1)) + 2, -math.ceil(3 * max(scale, 1)) - 2)
    # cubic convolution reproduces straight lines; antialiased weights nearly do
    assert result[size // 2, inside] == pytest.approx(centres[inside], abs=0.05)


def test_floats_keep_their_dtype_and_are_neither_rounded_nor_clipped():
    picture = np.zeros((8, 8), dtype=np.float32)
    picture[:, 4:] = 1
    result = resize(picture, 2)
    assert result.dtype == np.float32
    assert result.min() < 0
    assert result.max() > 1


def test_integers_are_rounded_half_away_from_zero_and_clipped():
    values = np.array([-0.5, 0.4, 0.5, 1.5, 2.5, 254.5, 300.0])
    assert to_dtype(values, np.dtype(np.uint8)).tolist() == [0, 0, 1, 2, 3, 255, 255]
    assert to_dtype(values, np.dtype(np.int16)).tolist() == [-1, 0, 1, 2, 3, 255, 300]


def test_mod_crop_cuts_below_and_right():
    picture = np.arange(7 * 8).reshape(7, 8)
    assert np.array_equal(mod_crop(picture, 3), picture[:6, :6])
    with pytest.raises(ValueError, match="smaller than the scale"):
        mod_crop(picture, 9)


def test_large_pictures_take_little_memory_besides_themselves():
    """In float64 as a whole, a photograph of 100 megapixels would take 10 GB."""
    picture = np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), dtype=np.uint8)
    tracemalloc.start()
    resize(picture, Fraction(1, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * picture.nbytes


def test_strips_meet_as_in_the_whole(monkeypatch, astronaut):
    for image in (astronaut, astronaut[..., 0], astronaut / 255):
        for scale in (Fraction(1, 3), 2):
            expected = resize(image, scale)
            with monkeypatch.context() as patch:
                patch.setattr("srcli.imaging.pixels.resize.STRIP", 1000)
                np.testing.assert_array_equal(resize(image, scale), expected)


@pytest.mark.parametrize(
    "text", ["", "x", "3840", "0x5", "-3x5", "3.5x2", "50%", "5x5x5", "a x b"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="3840x2160"):
        read_box(text)


@pytest.mark.parametrize(
    ("box", "size", "fitted"),
    [
        ("100x100", (200, 400), (50, 100)),
        ("100X", (400, 200), (200, 100)),
        (" x100 ", (400, 200), (100, 50)),
        ("100×100", (400, 200), (100, 50)),
        ("100x100", (100, 100), (100, 100)),
        ("100x100", (60, 40), (60, 40)),  # never enlarged
        ("100x100", (1, 4000), (1, 100)),
        ("1x1", (17, 4000), (1, 1)),
        ("1920x1080", (1365, 2048), (1080, 1620)),
    ],
)
def test_sizes_keep_their_shape_and_fit(box, size, fitted):
    assert read_box(box).fitted(size) == fitted


@pytest.mark.parametrize(
    "size", [(128, 128), (100, 77), (255, 256), (37, 256), (20, 19)]
)
def test_pixels_are_those_of_pillow(astronaut, size):
    image = astronaut[:256, :256, 1].astype(np.float32)
    expected = np.asarray(
        Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
    )
    got = shrink(image, size)
    assert got.shape == size
    assert got.dtype == np.float32
    # Edges are mirrored here and left out there.
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(
        got[inner], expected.clip(image.min(), image.max())[inner], atol=0.01
    )
    differences = np.abs(
        shrink(astronaut[:256, :256], size)[:, :, 1][inner] - expected[inner]
    )
    assert differences.mean() < 0.5  # rounded and clipped after each of the two passes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_sharp_edges_stay_within_the_range_of_the_picture(dtype):
    image = np.full((40, 40), 200, dtype)
    image[:20] = 10
    smaller = shrink(image, (27, 27))
    assert smaller.dtype == dtype
    assert (smaller.min(), smaller.max()) == (10, 200)


def test_no_part_of_a_mask_is_lost():
    mask = np.zeros((10, 12), bool)
    mask[9, 0] = mask[4, 7] = True
    smaller = shrink_mask(mask, (4, 5))
    assert smaller.shape == (4, 5)
    assert np.argwhere(smaller).tolist() == [[1, 3], [3, 0]]
    assert shrink_mask(mask, (10, 12)).sum() == 2
    assert shrink_mask(mask, (1, 1)).all()
    assert not shrink_mask(np.zeros((10, 12), bool), (3, 3)).any()


def test_infinities_stay_where_they_are_without_a_warning():
    ramp = np.tile(np.arange(24, dtype=np.float32), (24, 1))
    holed = ramp.copy()
    holed[10, 10] = np.inf
    holed[10, 11] = -np.inf
    enlarged = resize(holed, 2)
    assert not np.isfinite(enlarged[20:22, 20:24]).any()
    far = np.s_[30:, :]
    np.testing.assert_array_equal(enlarged[far], resize(ramp, 2)[far])
