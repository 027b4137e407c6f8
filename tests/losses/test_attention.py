"""Supervised attention: the wanted map and the weights of the steps."""

from __future__ import annotations

import pytest
import torch

from srcli.layers.resize import bicubic_resize
from srcli.losses.attention import attention_loss, interpolation_error


def test_the_wanted_map_is_the_mean_error_over_each_lr_pixel():
    lr_image = torch.full((1, 3, 2, 2), 0.5)  # bicubic of a flat picture is flat
    hr_image = torch.full((1, 3, 4, 4), 0.5)
    hr_image[0, 0, 0, 0] = 0.8  # 0.3 over 3 channels and 4 pixels: 0.025
    hr_image[0, :, 2:, 2:] = 0.6  # 0.1 everywhere
    expected = torch.tensor([[0.25, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(interpolation_error(lr_image, hr_image)[0, 0], expected)


def test_each_picture_is_divided_by_its_own_maximum():
    torch.manual_seed(0)
    lr_image, hr_image = torch.rand(3, 3, 5, 4), torch.rand(3, 3, 15, 12)
    hr_image[1] *= 0.1
    found = interpolation_error(lr_image, hr_image)
    assert found.shape == (3, 1, 5, 4)
    torch.testing.assert_close(found.amax(dim=(1, 2, 3)), torch.ones(3))
    torch.testing.assert_close(interpolation_error(lr_image[1:2], hr_image[1:2]), found[1:2])


def test_a_picture_that_bicubic_gets_right_wants_no_attention():
    lr_image = torch.rand(1, 3, 4, 4)
    assert not interpolation_error(lr_image, bicubic_resize(lr_image, 2)).any()


def test_later_maps_count_more():
    torch.manual_seed(0)
    lr_image, hr_image = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 8, 8)
    wanted = interpolation_error(lr_image, hr_image)
    maps = [wanted + 0.1, wanted - 0.2, wanted + 0.3]
    expected = 0.64 * 0.01 + 0.8 * 0.04 + 0.09
    assert float(attention_loss(maps, lr_image, hr_image)) == pytest.approx(expected, rel=1e-4)
    found = attention_loss(maps, lr_image, hr_image, decay=0.5)
    assert float(found) == pytest.approx(0.25 * 0.01 + 0.5 * 0.04 + 0.09, rel=1e-4)


def test_no_maps_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        attention_loss([], torch.rand(1, 3, 4, 4), torch.rand(1, 3, 8, 8))
