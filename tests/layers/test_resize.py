"""The tensor resize is the twin of the array resize."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from srcli.imaging.pixels.resize import resize
from srcli.layers.resize import BicubicEnlargement, bicubic_resize

each_scale = pytest.mark.parametrize("scale", [2, 3, 4])


@pytest.mark.parametrize(
    "scale", [2, 3, 4, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4)]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 7), (4, 12), (24, 36)])
def test_it_equals_the_resize_of_arrays(scale, size):
    picture = np.random.default_rng(0).random((*size, 2))
    expected = resize(picture, scale)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    out = bicubic_resize(x, scale)[0].permute(1, 2, 0).numpy()
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, atol=1e-5)


@each_scale
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (61, 47)])
def test_with_levels_it_is_the_resize_of_integers(scale, dtype, size):
    peak = np.iinfo(dtype).max
    # Few values, far apart: ties between two levels and overshoot at both ends come up
    # often.
    picture = np.random.default_rng(1).choice([0, 1, 2, 64, 128, peak], size=(*size, 3))
    expected = resize(picture.astype(dtype), scale)
    x = torch.from_numpy(picture / peak).permute(2, 0, 1)[None].float()
    out = bicubic_resize(x, scale, levels=int(peak))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(np.rint(out * peak), expected)
    assert {0, peak} <= set(expected.ravel()) or max(size) < 20


@each_scale
@pytest.mark.parametrize("levels", [None, 255, 65535])
def test_without_gradients_it_is_the_same(scale, levels):
    pictures = torch.rand(2, 3, 31, 18, generator=torch.Generator().manual_seed(2))
    x = pictures
    if levels:
        x = x.mul(levels).round().div(levels)
    expected = bicubic_resize(x, scale, levels=levels)
    for layout in (torch.contiguous_format, torch.channels_last):
        with torch.inference_mode():
            out = bicubic_resize(x.to(memory_format=layout), scale, levels=levels)
        assert torch.equal(out, expected)


def test_gradients_flow_and_dtypes_stay():
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: bicubic_resize(t, 2), x)
    assert bicubic_resize(torch.rand(1, 1, 4, 4).half(), 2).dtype == torch.float16


@each_scale
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 5), (9, 12)])
def test_the_enlargement_of_networks_is_matlab_s_resize(scale, size):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    enlarged = BicubicEnlargement(scale=scale)(x)
    torch.testing.assert_close(enlarged, bicubic_resize(x, scale), atol=1e-6, rtol=0)
