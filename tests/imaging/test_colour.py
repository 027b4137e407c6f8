from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr, ycbcr2rgb

from srcli.imaging.colour import luma, rgb_to_ycbcr, ycbcr_to_rgb


def test_ycbcr_equals_scikit_images(astronaut):
    # scikit-image gives the unrounded values on the 8-bit scale
    assert np.abs(rgb_to_ycbcr(astronaut) - rgb2ycbcr(astronaut)).max() <= 0.5 + 1e-9
    floats = astronaut / 255.0
    assert rgb_to_ycbcr(floats) * 255 == pytest.approx(rgb2ycbcr(floats), abs=1e-9)


def test_luma_equals_scikit_images_and_is_not_rounded(astronaut):
    y = luma(astronaut)
    assert y == pytest.approx(rgb2ycbcr(astronaut)[:, :, 0], abs=1e-9)
    assert np.any(y != np.rint(y))


def test_luma_spans_16_to_235():
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    assert luma(ends).ravel() == pytest.approx([16, 235])


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (81, 90, 240)),
        ((0, 255, 0), (145, 54, 34)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_known_colours(rgb, ycbcr):
    pixel = np.array([[rgb]], dtype=np.uint8)
    assert rgb_to_ycbcr(pixel).ravel().tolist() == list(ycbcr)


def test_the_way_back_equals_scikit_images(astronaut):
    ycbcr = rgb2ycbcr(astronaut)
    ours = ycbcr_to_rgb(ycbcr / 255.0)
    assert ours == pytest.approx(ycbcr2rgb(ycbcr), abs=1e-6)
    assert ours == pytest.approx(astronaut / 255.0, abs=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 2), (np.uint16, 2)])
def test_integers_there_and_back(dtype, tolerance):
    peak = int(np.iinfo(dtype).max)
    picture = np.random.default_rng(0).integers(0, peak, (31, 17, 3), endpoint=True).astype(dtype)
    back = ycbcr_to_rgb(rgb_to_ycbcr(picture))
    assert back.dtype == dtype
    assert np.abs(back.astype(int) - picture).max() <= tolerance


def test_16_bits_use_the_same_scale_as_8():
    pixel = np.array([[[200, 100, 50]]], dtype=np.uint8)
    deep = pixel.astype(np.uint16) * 257
    assert luma(deep) == pytest.approx(luma(pixel))
    assert np.abs(rgb_to_ycbcr(deep) / 257.0 - rgb_to_ycbcr(pixel)).max() <= 0.51


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_not_clipped_and_keep_their_dtype(dtype):
    beyond = np.array([[[0.9, 0.9, 0.1]]], dtype=dtype)
    rgb = ycbcr_to_rgb(beyond)
    assert rgb.dtype == dtype
    assert rgb.max() > 1
    assert rgb_to_ycbcr(rgb) == pytest.approx(beyond, abs=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 4)])
def test_other_layouts_are_refused(shape):
    with pytest.raises(ValueError, match="expected \\(H, W, 3\\)"):
        luma(np.zeros(shape))
