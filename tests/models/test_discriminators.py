"""The discriminators: derived counts, shapes, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from srcli.errors import RecipeError
from srcli.metrics.efficiency import count_parameters
from srcli.models.discriminators import (
    AutoEncoder,
    Classifier,
    PatchClassifier,
    build_discriminator,
)
from tests.fixtures.cases import without_gradient

WIDTHS = (4, 4, 6, 6, 8, 8, 8)


def test_they_have_the_derived_parameters():
    with torch.device("meta"):
        assert count_parameters(AutoEncoder()) == 3_360_259
        assert count_parameters(Classifier(size=96)) == 39_486_273


@pytest.mark.parametrize("size", [(8, 8), (16, 40)])
def test_the_auto_encoder_keeps_the_size_of_pictures(size):
    torch.manual_seed(0)
    network = AutoEncoder(widths=WIDTHS, decoder=(8, 4, 4))
    x = torch.rand(2, 3, *size)
    out = network(x)
    assert out.shape == x.shape
    out.square().mean().backward()
    assert without_gradient(network) == set()


@pytest.mark.parametrize(("size", "hidden"), [(16, 5), (20, 5), (20, 0)])
def test_the_classifier_gives_one_number_a_picture(size, hidden):
    torch.manual_seed(0)
    network = Classifier(size=size, widths=WIDTHS, hidden=hidden)
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == (2 if hidden else 1)
    out = network(torch.rand(3, 3, size, size))
    assert out.shape == (3, 1)
    out.square().mean().backward()
    assert without_gradient(network) == set()


@pytest.mark.parametrize(("size", "patches"), [((8, 8), (1, 1)), ((33, 40), (4, 5))])
def test_the_classifier_of_patches_gives_a_number_for_each(size, patches):
    torch.manual_seed(0)
    network = PatchClassifier(widths=(4, 6, 8))
    x = torch.rand(2, 3, *size, requires_grad=True)
    out = network(x)
    assert out.shape == (2, 1, *patches)
    out.square().mean().backward()
    assert without_gradient(network) == set()
    assert x.grad is not None
    assert x.grad[..., : size[0] // 8 * 8, :].ne(0).all()


def test_the_classifier_of_patches_is_spectrally_normalised():
    torch.manual_seed(0)
    network = PatchClassifier(widths=(4, 6))
    for convolution in (*network.encoder, network.middle, network.last):
        convolution.parametrizations.weight.original.data *= 100
    for _ in range(50):
        network(torch.rand(1, 3, 16, 16))
    for convolution in (*network.encoder, network.middle, network.last):
        largest = torch.linalg.matrix_norm(convolution.weight.detach().flatten(1), 2)
        assert float(largest) == pytest.approx(1, rel=1e-3)


def test_the_classifier_of_features_sees_the_picture_and_lr():
    torch.manual_seed(0)
    options = {"blocks": [0, 2], "widths": [4, 6, 6], "seen": 5}
    network: Any = build_discriminator("features", size=40, options=options)
    x = torch.rand(2, 6, 40, 37, requires_grad=True)
    out = network(x)
    assert out.shape == (2, 3, 20, 18)
    out.square().mean().backward()
    frozen = {f"features.{name}" for name, _ in network.features.named_parameters()}
    assert without_gradient(network) == frozen
    assert x.grad is not None
    assert x.grad[:, :3].any()
    assert x.grad[:, 3:].any()


@pytest.mark.parametrize(
    ("name", "size", "options", "words"),
    [
        ("features", 28, {}, "features: .*at least 32"),
        ("features", 64, {"widths": [4]}, "expected 5 widths"),
        (
            "vgg",
            96,
            {},
            "no discriminator 'vgg' in the recipe; there are: ae, fc, patch",
        ),
        ("ae", 92, {}, "divide by 8, got 92x92"),
        ("ae", 96, {"decoder": [8, 8]}, "enlarges by 4"),
        ("fc", 96, {"widths": [8, 8]}, "as many widths as strides"),
        (
            "fc",
            96,
            {"hidden": "x"},
            "hidden of discriminator fc must be a whole number",
        ),
        ("fc", 96, {"size": 32}, "leave it out"),
        (
            "patch",
            12,
            {"widths": [4, 4, 4, 4]},
            "at least 16 pixels, got 12x12",
        ),
        ("patch", 96, {"widths": []}, "at least one width"),
    ],
)
def test_what_does_not_fit_is_refused(name, size, options, words):
    with pytest.raises(RecipeError, match=words):
        build_discriminator(name, size=size, options=options)
