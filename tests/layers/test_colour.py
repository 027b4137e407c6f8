"""Colours of tensors are those of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr, ycbcr2rgb

from srcli.imaging.pixels.resize import resize
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import enlarge_array
from srcli.layers.colour import LumaOnGray, as_gray_network
from srcli.layers.network import Network
from srcli.models import build_network

CPU = torch.device("cpu")


class Nearest(Network):
    """Repeats pixels of Y and makes them a little brighter; remembers what it was given."""

    colour = "y"
    scale = 2

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append((x.dtype, tuple(x.shape), torch.is_autocast_enabled("cpu")))
        return 1.02 * x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.fixture(scope="module")
def photo():
    """RGB uint8, 57x83."""
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[120:177, 200:283])


def by_arrays(picture):
    """What must come out for (H, W, 3) floats, computed without torch."""
    ycbcr = rgb2ycbcr(picture.astype(np.float64)) / 255
    y = 1.02 * ycbcr[:, :, :1].repeat(2, 0).repeat(2, 1)
    return ycbcr2rgb(255 * np.concatenate([y, resize(ycbcr[:, :, 1:], 2)], axis=2))


def test_it_is_what_arrays_give(photo):
    picture = (photo / 255).astype(np.float32)
    out = enlarge_array(TorchEngine(Nearest(), device=CPU), picture)
    np.testing.assert_allclose(out, by_arrays(picture), atol=1e-5)
    levels = enlarge_array(TorchEngine(Nearest(), device=CPU), photo)
    expected = np.clip(by_arrays(picture), 0, 1) * 255
    assert np.abs(levels - expected).max() <= 0.501
    assert levels.dtype == np.uint8


def test_gray_comes_out_as_its_rgb_copy_in_the_range_of_y(photo):
    gray = photo[:, :, :1]
    network = Nearest()
    out = enlarge_array(TorchEngine(network, device=CPU), gray)
    copy = enlarge_array(TorchEngine(network, device=CPU), gray.repeat(3, axis=2))
    assert out.shape == (114, 166, 1)
    assert np.ptp(copy, axis=2).max() == 0
    np.testing.assert_array_equal(out[:, :, 0], copy[:, :, 0])
    y = rgb2ycbcr(gray.repeat(3, axis=2))[:, :, 0].repeat(2, 0).repeat(2, 1)
    expected = np.clip((1.02 * y - 16) * 255 / 219, 0, 255)
    assert np.abs(out[:, :, 0] - expected).max() <= 0.501


def test_in_half_precision_only_the_network_is_coarse(photo):
    picture = (photo / 255).astype(np.float32)
    network = Nearest()
    half = enlarge_array(TorchEngine(network, device=CPU, half=torch.bfloat16), picture)
    assert network.seen == [(torch.float32, (1, 1, 57, 83), True)]
    np.testing.assert_allclose(half, by_arrays(picture), atol=1e-5)


def test_sizes_that_a_network_cannot_take_are_padded(photo):
    class Picky(Nearest):
        multiple_of = 8
        minimum = 32

        def forward(self, x):
            assert x.shape[2] % 8 == 0
            assert min(x.shape[2:]) >= 32
            return super().forward(x)

    out = enlarge_array(TorchEngine(Picky(), device=CPU), photo[:13, :45])
    expected = enlarge_array(TorchEngine(Nearest(), device=CPU), photo[:13, :45])
    # Bicubic Cb and Cr mirror at a border, padding repeats it: two pixels may differ.
    np.testing.assert_array_equal(out[:-4, :-4], expected[:-4, :-4])


def test_pictures_of_y_reach_the_network_as_they_are(photo):
    network = as_gray_network(Nearest())
    assert isinstance(network, LumaOnGray)
    y = np.repeat((photo[:, :, :1] / 255).astype(np.float32), 3, axis=2)
    out = enlarge_array(TorchEngine(network, device=CPU), y)
    np.testing.assert_allclose(out, 1.02 * y.repeat(2, 0).repeat(2, 1), rtol=1e-6)
    bicubic = build_network("bicubic", scale=2)
    assert as_gray_network(bicubic) is bicubic
