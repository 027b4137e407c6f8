"""Pixel losses by hand, the high-pass loss against scikit-image too; weighted sums of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from skimage.filters import gaussian as blur
from skimage.metrics import structural_similarity

from srcli.errors import RecipeError
from srcli.layers.resize import bicubic_resize
from srcli.losses import (
    LOSSES,
    ContrastiveLoss,
    FeatureLoss,
    WeightedLoss,
    gaussian,
    high_pass,
    texture,
)
from srcli.recipes.training import LossTerm


@pytest.mark.parametrize("name", LOSSES)
def test_every_name_builds_and_is_zero_for_equal_pictures(name):
    loss = WeightedLoss([LossTerm(name=name)])
    hr = torch.rand(2, 3, 64, 64) / 50
    lr = torch.rand(2, 3, 32, 32)
    least = 1e-3 if name == "charbonnier" else 0
    assert float(loss(hr, hr, lr)) == pytest.approx(least)
    assert float(loss(torch.rand(2, 3, 64, 64), hr, lr)) > 0


def test_terms_are_weighted_and_added():
    loss = WeightedLoss(
        [LossTerm(name="l1", weight=0.4), LossTerm(name="l2", weight=0.6)]
    )
    sr = torch.full((1, 3, 2, 2), 0.5)
    hr = torch.zeros(1, 3, 2, 2)
    assert float(loss(sr, hr, sr)) == pytest.approx(0.4 * 0.5 + 0.6 * 0.25)


@pytest.fixture
def half_flat():
    """A picture whose left half is flat and whose right half is noise."""
    picture = torch.zeros(1, 3, 40, 60)
    picture[..., 30:] = torch.rand(1, 3, 40, 30)
    return picture


def test_texture_grows_with_slopes(half_flat):
    levels = torch.linspace(0, 1, 101)[:60]  # 2.55 levels a pixel
    ramp = levels.expand(1, 3, 40, 60).clone()
    expected = (0.01 - 0.008) / 0.03
    assert float(texture(ramp)[..., 20, 30]) == pytest.approx(expected, rel=1e-3)
    share = texture(half_flat)
    assert share[..., :20].max() == 0
    assert share[..., 40:].min() == 1


def test_the_loss_of_flat_places_leaves_texture_out(half_flat):
    loss = WeightedLoss([LossTerm(name="l1-flat")])
    sr = half_flat.clone()
    sr[..., 40:] += 0.5
    assert float(loss(sr, half_flat, half_flat)) == 0
    sr[..., :20] += 0.3
    assert float(loss(sr, half_flat, half_flat)) == pytest.approx(0.3 * 20 / 60)


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
    sigmas = (0, 0, 1.5, 1.5)
    blurred = torch.from_numpy(blur(x.numpy(), sigmas, mode="mirror", truncate=2.7))
    out = high_pass(x, gaussian(9, 1.5).double())
    torch.testing.assert_close(out, x - blurred, atol=1e-6, rtol=0)


def test_the_gradient_of_the_high_pass_is_the_numerical_one():
    x = torch.rand(1, 1, 9, 10, dtype=torch.float64, requires_grad=True)
    kernel = gaussian(9, 1.5)
    assert torch.autograd.gradcheck(lambda images: high_pass(images, kernel), x)


def test_ssim_is_that_of_scikit_image():
    sr = torch.rand(1, 3, 24, 31)
    hr = torch.rand(1, 3, 24, 31)
    expected = structural_similarity(
        sr[0].double().numpy(),
        hr[0].double().numpy(),
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    loss = WeightedLoss([LossTerm(name="ssim")])
    assert float(loss(sr, hr, sr)) == pytest.approx(1 - expected, abs=1e-6)
    twice = loss(torch.cat([sr, hr]), torch.cat([hr, hr]), sr)
    assert float(twice) == pytest.approx((1 - expected) / 2, abs=1e-6)


def test_charbonnier_is_what_numpy_finds():
    sr = torch.rand(2, 3, 16, 21)
    hr = torch.rand(2, 3, 16, 21)
    term = LossTerm(name="charbonnier", options={"epsilon": 0.1})
    difference = (sr - hr).double().numpy()
    expected = np.sqrt(difference**2 + 0.1**2).mean()
    assert float(WeightedLoss([term])(sr, hr, sr)) == pytest.approx(expected)


def test_the_loss_of_amplitudes_is_what_numpy_finds():
    sr = torch.rand(2, 3, 16, 21)
    hr = torch.rand(2, 3, 16, 21)
    sr_amplitudes = np.abs(np.fft.rfft2(sr.numpy(), norm="ortho"))
    hr_amplitudes = np.abs(np.fft.rfft2(hr.numpy(), norm="ortho"))
    expected = np.abs(sr_amplitudes - hr_amplitudes).mean()
    loss = WeightedLoss([LossTerm(name="fft")])
    assert float(loss(sr, hr, sr)) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def pictures():
    """SR, HR (2, 3, 12, 8) and LR (2, 3, 6, 4)."""
    random = torch.Generator().manual_seed(5)
    sr = torch.rand(2, 3, 12, 8, generator=random)
    hr = torch.rand(2, 3, 12, 8, generator=random)
    return sr, hr, torch.rand(2, 3, 6, 4, generator=random)


def test_it_is_the_formula(pictures):
    sr, hr, lr = pictures
    loss = ContrastiveLoss(channels=(4, 5))

    def features(x):
        shallow = F.conv2d(F.pad(x, (1, 1, 1, 1)), loss.first)
        deep = F.conv2d(F.pad(shallow.tanh(), (1, 1, 1, 1)), loss.second)
        return shallow, deep

    expected = 0.0
    bicubic = bicubic_resize(lr, 2)
    for anchor, near, far in zip(
        features(sr), features(hr), features(bicubic), strict=True
    ):
        expected += float((anchor - near).abs().mean() / (anchor - far).abs().mean())
    assert float(loss(sr, hr, lr)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": (64,)}, "two numbers"),
        ({"channels": (64, 0)}, "two numbers"),
        ({"chanels": (8, 8)}, "did you mean 'channels'"),
    ],
)
def test_impossible_values_are_refused(options, words):
    with pytest.raises(RecipeError, match=words):
        WeightedLoss([LossTerm(name="contrastive", options=options)])


def test_dots_cost_the_same_wherever_they_stand():
    picture = torch.from_numpy(
        data.astronaut()[:128, :128].transpose(2, 0, 1) / np.float32(255)
    )
    hr = picture.expand(4, -1, -1, -1)
    loss = FeatureLoss()
    losses = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        dotted = picture.clone()
        dotted[:, row::2, column::2] += 0.05
        losses.append(float(loss(dotted.expand(4, -1, -1, -1), hr)))
    assert min(losses) > 0.1
    assert max(losses) < 1.01 * min(losses)
