"""Back-projection: what is enlarged says of its LR picture what that says itself."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from srcli.imaging.resize import resize
from srcli.inference.back_projection import back_projected
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import enlarge_array
from srcli.inference.tiling import make_grid
from srcli.layers.network import Network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photo():
    """A photograph (96, 132, 3) with every kind of edge."""
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[100:196, 200:332])


def tensor_of(picture):
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()


def distance(sr_image, lr_image, scale):
    """Largest and mean distance of LR from what the array resize makes of SR."""
    made = resize(sr_image[0].permute(1, 2, 0).numpy(), Fraction(1, scale))
    apart = np.abs(made - lr_image[0].permute(1, 2, 0).numpy())
    return apart.max(), apart.mean()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_corrected_picture_gives_its_lr_picture(photo, scale):
    hr_image = tensor_of(photo / 255)
    lr_image = tensor_of(resize(photo / 255, Fraction(1, scale)))
    wrong = lr_image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    once = back_projected(wrong, lr_image)
    apart = [
        distance(picture, lr_image, scale)
        for picture in (wrong, once, back_projected(once, lr_image))
    ]
    for before, after in pairwise(apart):
        assert after[0] < 0.5 * before[0]
        assert after[1] < 0.4 * before[1]
    true = back_projected(hr_image, lr_image)
    assert (true - hr_image).abs().max() < 1e-5  # it says what is true: nothing is to correct


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiny_pictures_are_corrected_too(size, scale):
    lr_image = torch.full((1, 3, *size), 0.25)
    wrong = torch.full((1, 3, size[0] * scale, size[1] * scale), 0.75)
    torch.testing.assert_close(back_projected(wrong, lr_image), torch.full_like(wrong, 0.25))


class Dark(Network):
    """Pixels repeated, and darker than they should be."""

    scale = 2
    multiple_of = 4

    def forward(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) * 0.9


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_the_engine_corrects_odd_sizes_by_tiles_as_whole(photo, tta, half):
    picture = photo[:45, :61]
    plain = TorchEngine(Dark(), device=CPU, tta=tta, half=half)
    engine = TorchEngine(Dark(), device=CPU, tta=tta, half=half, back_project=True)
    tiles = make_grid(45, 61, tile=24, overlap=8)
    outs = [enlarge_array(*each) for each in ((engine, picture), (engine, picture, tiles))]
    for out in outs:
        assert np.abs(resize(out, Fraction(1, 2)).astype(int) - picture).mean() < 0.5
    assert np.abs(outs[0].astype(int) - outs[1]).max() <= 2
    darker = resize(enlarge_array(plain, picture), Fraction(1, 2)).astype(int)
    assert np.abs(darker - picture).mean() > 5
