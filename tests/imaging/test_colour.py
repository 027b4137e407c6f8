from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from srcli.imaging.colour import luma


def test_luma_equals_scikit_images_and_is_not_rounded(astronaut):
    y = luma(astronaut)
    assert y == pytest.approx(rgb2ycbcr(astronaut)[:, :, 0], abs=1e-9)
    assert np.any(y != np.rint(y))


def test_luma_spans_16_to_235():
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    assert luma(ends).ravel() == pytest.approx([16, 235])


def test_16_bits_use_the_same_scale_as_8():
    pixel = np.array([[[200, 100, 50]]], dtype=np.uint8)
    assert luma(pixel.astype(np.uint16) * 257) == pytest.approx(luma(pixel))
