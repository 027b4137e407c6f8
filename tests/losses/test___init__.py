"""Pixel losses by hand, the high-pass loss against scikit-image too; weighted sums of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import gaussian as blur
from skimage.metrics import structural_similarity

from srcli.errors import RecipeError
from srcli.losses import LOSSES, WeightedLoss, gaussian, high_pass, texture
from srcli.recipes.training import LossTerm


@pytest.mark.parametrize("name", LOSSES)
def test_every_name_builds_and_is_zero_for_equal_pictures(name):
    loss = WeightedLoss([LossTerm(name=name)])
    x, lr_image = torch.rand(2, 3, 64, 64) / 50, torch.rand(2, 3, 32, 32)
    assert float(loss(x, x, lr_image)) == pytest.approx(
        1e-3 if name == "charbonnier" else 0
    )
    assert float(loss(torch.rand(2, 3, 64, 64), x, lr_image)) > 0


def test_terms_are_weighted_and_added():
    loss = WeightedLoss(
        [LossTerm(name="l1", weight=0.4), LossTerm(name="l2", weight=0.6)]
    )
    sr, hr = torch.full((1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2)
    assert float(loss(sr, hr, sr)) == pytest.approx(0.4 * 0.5 + 0.6 * 0.25)


def test_texture_is_what_slopes_and_the_loss_of_flat_places_leaves_it_out():
    ramp = (
        torch.linspace(0, 1, 101)[:60].expand(1, 3, 40, 60).clone()
    )  # 2.55 levels a pixel
    assert texture(ramp)[..., 20, 30].item() == pytest.approx(
        (0.01 - 0.008) / 0.03, rel=1e-3
    )
    picture = torch.zeros(1, 3, 40, 60)
    picture[..., 30:] = torch.rand(1, 3, 40, 30)
    share = texture(picture)
    assert share[..., :20].max() == 0
    assert share[..., 40:].min() == 1
    loss = WeightedLoss([LossTerm(name="l1-flat")])
    sr = picture.clone()
    sr[..., 40:] += 0.5
    assert float(loss(sr, picture, picture)) == 0
    sr[..., :20] += 0.3
    assert float(loss(sr, picture, picture)) == pytest.approx(0.3 * 20 / 60)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (LossTerm(name="l3"), "no loss 'l3'"),
        (LossTerm(name="features", options={"blocks": (16,)}), "from 0 to 15"),
        (LossTerm(name="l1", options={"sigma": 1.0}), "no option 'sigma'"),
        (
            LossTerm(name="high-frequency", options={"sigm": 1.0}),
            "did you mean 'sigma'",
        ),
        (LossTerm(name="high-frequency", options={"size": 8}), "odd size"),
        (LossTerm(name="high-frequency", options={"size": 9.5}), "whole number"),
        (LossTerm(name="high-frequency", options={"sigma": -1.0}), "sigma above 0"),
    ],
)
def test_what_does_not_exist_is_refused(term, words):
    with pytest.raises(RecipeError, match=words):
        WeightedLoss([term])


def test_it_is_the_picture_minus_its_blur():
    x = torch.rand(2, 3, 16, 21, dtype=torch.float64)
    # Cut at 2.7 sigma, the kernel has a radius of 4.
    blurred = [
        [blur(plane, 1.5, mode="mirror", truncate=2.7) for plane in picture]
        for picture in x.numpy()
    ]
    found = high_pass(x, gaussian(9, 1.5).double())
    torch.testing.assert_close(
        found, x - torch.from_numpy(np.array(blurred)), atol=1e-6, rtol=0
    )
    small = x[:1, :1, :9, :10].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda each: high_pass(each, gaussian(9, 1.5)), small
    )


def test_ssim_is_that_of_scikit_image():
    x, y = torch.rand(2, 3, 24, 31), torch.rand(2, 3, 24, 31)
    found = float(WeightedLoss([LossTerm(name="ssim")])(x, y, x))
    settings = {
        "channel_axis": 0,
        "data_range": 1,
        "gaussian_weights": True,
        "sigma": 1.5,
    }
    expected = [
        structural_similarity(*pair, use_sample_covariance=False, **settings)
        for pair in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    assert found == pytest.approx(1 - np.mean(expected), abs=1e-6)


def test_charbonnier_and_fft_are_what_numpy_finds():
    x, y = torch.rand(2, 3, 16, 21), torch.rand(2, 3, 16, 21)
    term = LossTerm(name="charbonnier", options={"epsilon": 0.1})
    difference = (x - y).double().numpy()
    expected = np.sqrt(difference**2 + 0.1**2).mean()
    assert float(WeightedLoss([term])(x, y, x)) == pytest.approx(expected)
    own, other = (np.abs(np.fft.rfft2(each.numpy(), norm="ortho")) for each in (x, y))
    found = float(WeightedLoss([LossTerm(name="fft")])(x, y, x))
    assert found == pytest.approx(np.abs(own - other).mean(), rel=1e-5)
