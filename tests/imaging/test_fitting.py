"""Pictures made smaller to fit: sizes by hand, pixels as Pillow makes them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.fitting import Box, parse_box, shrink, shrink_mask


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("3840x2160", Box(width=3840, height=2160)),
        ("3840X", Box(width=3840)),
        (" x2160 ", Box(height=2160)),
        ("1×1", Box(width=1, height=1)),
    ],
)
def test_bounds_are_read(text, box):
    assert parse_box(text) == box


@pytest.mark.parametrize("text", ["", "x", "3840", "0x5", "-3x5", "3.5x2", "50%", "5x5x5", "a x b"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="3840x2160"):
        parse_box(text)


@pytest.mark.parametrize(
    ("box", "size", "fitted"),
    [
        ("100x100", (400, 200), (100, 50)),
        ("100x100", (200, 400), (50, 100)),
        ("100x", (400, 200), (200, 100)),
        ("x100", (400, 200), (100, 50)),
        ("100x100", (100, 100), (100, 100)),
        ("100x100", (60, 40), (60, 40)),  # never enlarged
        ("100x100", (1, 4000), (1, 100)),
        ("1x1", (17, 4000), (1, 1)),
        ("1920x1080", (1365, 2048), (1080, 1620)),
    ],
)
def test_sizes_keep_their_shape_and_fit(box, size, fitted):
    assert parse_box(box).fitted(*size) == fitted


def test_no_bounds_change_nothing():
    assert Box().fitted(7, 9) == (7, 9)


@pytest.mark.parametrize("size", [(128, 128), (100, 77), (255, 256), (37, 256), (20, 19)])
def test_pixels_are_those_of_pillow(astronaut, size):
    image = astronaut[:256, :256, 1].astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    got = shrink(image, size)
    assert got.shape == size
    assert got.dtype == np.float32
    # Edges are mirrored here and left out there.
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(
        got[inner], expected.clip(image.min(), image.max())[inner], atol=0.01
    )
    whole = np.abs(shrink(astronaut[:256, :256], size)[:, :, 1][inner] - expected[inner])
    assert whole.mean() < 0.5  # rounded and clipped after each of the two passes


def test_down_to_a_single_pixel(astronaut):
    smallest = shrink(astronaut[:256, :256], (1, 1))
    assert smallest.shape == (1, 1, 3)
    mean = astronaut[:256, :256].mean(axis=(0, 1))
    assert np.abs(smallest[0, 0] - mean).max() < 12  # of the middle more than of the corners


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_sharp_edges_stay_within_the_range_of_the_picture(dtype):
    image = np.full((40, 40), 200, dtype)
    image[:20] = 10
    smaller = shrink(image, (27, 27))
    assert smaller.dtype == dtype
    assert (smaller.min(), smaller.max()) == (10, 200)


def test_what_fits_is_the_same_picture():
    image = np.zeros((5, 6, 3), np.uint8)
    assert shrink(image, (5, 6)) is image


def test_no_part_of_a_mask_is_lost():
    mask = np.zeros((10, 12), bool)
    mask[9, 0] = mask[4, 7] = True
    smaller = shrink_mask(mask, (4, 5))
    assert smaller.shape == (4, 5)
    assert np.argwhere(smaller).tolist() == [[1, 3], [3, 0]]
    assert shrink_mask(mask, (10, 12)).sum() == 2
    assert shrink_mask(mask, (1, 1)).all()
    assert not shrink_mask(np.zeros((10, 12), bool), (3, 3)).any()
