"""The baseline network equals the array implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.imaging.resize import resize
from srcli.models.bicubic import Bicubic


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_the_resize_of_arrays(astronaut, scale):
    picture = astronaut[:31, :47].astype(np.float64) / 255
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    out = Bicubic(scale=scale)(x)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(out, resize(picture, scale), atol=1e-5)


def test_autocast_does_not_touch_it():
    x = torch.rand(1, 3, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = Bicubic(scale=2)(x)
    assert torch.equal(out, Bicubic(scale=2)(x))
