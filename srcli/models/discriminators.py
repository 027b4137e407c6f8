"""Discriminators: an auto-encoder, and classifiers of pictures, patches, pixels and features.

They are networks whose ``_enlarge`` gives what the training compares: logits of a
picture being real and not generated, but for the auto-encoder, which gives the picture
again. The paper of the attentive GAN can be read as having either of the first two. All
but the classifier of pictures take any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from srcli.errors import RecipeError
from srcli.layers.blocks import conv, convs, run_convolutions
from srcli.layers.features import PhotoFeatures
from srcli.layers.network import Network
from srcli.layers.operations import convolve
from srcli.recipes.fields import construct, unknown_name

WIDTHS = (64, 64, 128, 128, 256, 256, 256)
STRIDES = (1, 2, 1, 2, 1, 2, 1)
SLOPE = 0.2


class AutoEncoder(Network):
    """An auto-encoder: a picture rebuilt through a narrow middle, as the paper's equations need.

    ``widths`` are the channels after each convolution of the encoder, ``decoder`` those
    after each doubling of the size in the decoder.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = WIDTHS,
        strides: tuple[int, ...] = STRIDES,
        decoder: tuple[int, ...] = (128, 64, 64),
    ) -> None:
        super().__init__()
        if 2 ** len(decoder) != prod(strides):
            raise ValueError(
                f"decoder={decoder} enlarges by {2 ** len(decoder)}, "
                f"strides={strides} shrink by {prod(strides)}"
            )
        self.multiple_of = prod(strides)
        self.encoder = _encoder(widths, strides)
        self.decoder = convs(
            (before, 4 * after) for before, after in pairwise((widths[-1], *decoder))
        )
        self.last = conv(decoder[-1], 3)

    def _enlarge(self, x: Tensor) -> Tensor:
        x = run_convolutions(self.encoder, x, slope=SLOPE)
        for layer in self.decoder:
            x = F.leaky_relu(F.pixel_shuffle(layer(x), 2), SLOPE)
        return self.last(x)


class Classifier(Network):
    """A classifier of real and generated pictures: convolutions, then fully connected layers.

    The paper's last sigmoid belongs to its loss and is taken there, on logits, where it
    is exact. ``hidden`` is the width of the first of two fully connected layers; 0 for
    one layer alone, as in the paper's text; ``size`` is the edge of the pictures.
    """

    def __init__(
        self,
        *,
        size: int = 96,
        widths: tuple[int, ...] = WIDTHS,
        strides: tuple[int, ...] = STRIDES,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        self.encoder = _encoder(widths, strides)
        edge = size
        for stride in strides:
            edge = -(-edge // stride)
        flat = widths[-1] * edge * edge
        self.hidden = nn.Linear(flat, hidden) if hidden else None
        self.last = nn.Linear(hidden or flat, 1)

    def _enlarge(self, x: Tensor) -> Tensor:
        """Return logits (N, 1) of (N, 3, size, size) being real."""
        x = run_convolutions(self.encoder, x, slope=SLOPE).flatten(1)
        if self.hidden is not None:
            x = F.leaky_relu(self.hidden(x), SLOPE)
        return self.last(x)


class PatchClassifier(Network):
    """A classifier of patches: convolutions alone (PatchGAN, Isola et al. 2017).

    All weights are normalised by their largest singular value (spectral normalisation,
    Miyato et al. 2018), so that it cannot grow too sure. Kernels are twice as wide as
    their strides: every pixel then counts the same, where narrower ones teach the
    network a grid. ``widths`` are the channels after each halving of the size.
    """

    def __init__(self, *, widths: tuple[int, ...] = (48, 96, 192)) -> None:
        super().__init__()
        if not widths:
            raise ValueError("expected at least one width")
        self.minimum = 2 ** len(widths)
        self.encoder = _halvings((3, *widths), bias=True)
        self.middle = spectral_norm(conv(widths[-1], widths[-1]))
        self.last = spectral_norm(conv(widths[-1], 1))

    def _enlarge(self, x: Tensor) -> Tensor:
        """Return logits (N, 1, h, w) of the patches of (N, 3, H, W) being real."""
        return self.last(run_convolutions((*self.encoder, self.middle), x, slope=SLOPE))


class UNet(Network):
    """A classifier of pixels: a U-Net (Real-ESRGAN, Wang et al. 2021).

    It sees the whole patch and answers for every pixel, so that flat sky and fine fur
    are judged each by its own. All weights but the first and the last are normalised by
    their largest singular value. ``width`` are the channels at full size; they double
    with each of three halvings.
    """

    multiple_of = minimum = 8

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        widths = [width << level for level in range(4)]
        self.first = conv(3, width)
        self.down = _halvings(widths, bias=False)
        self.up = _normalised_convs(pairwise(widths[::-1]), bias=False)
        self.end = _normalised_convs([(width, width)] * 2, bias=False)
        self.last = conv(width, 1)

    def _enlarge(self, x: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) of the pixels of (N, 3, H, W) being real."""
        levels = [convolve(self.first, x, slope=SLOPE)]
        for layer in self.down:
            levels.append(convolve(layer, levels[-1], slope=SLOPE))
        x = levels.pop()
        for layer in self.up:
            larger = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = convolve(layer, larger, slope=SLOPE) + levels.pop()
        return self.last(run_convolutions(self.end, x, slope=SLOPE))


class FeatureClassifier(Network):
    """A classifier of features of photographs (projected GAN, Sauer et al. 2021).

    As ``PhotoFeatures`` are not trained with it, it knows early what texture looks
    like: in hundreds of iterations, where classifiers of pixels take thousands. It sees
    LR too, enlarged to the size of the pictures, and so finds texture that LR does not
    ask for. ``widths`` are the channels of its own layers for each of the feature maps,
    ``seen`` those of its layers for LR.
    """

    minimum = 32
    input_channels = 6

    def __init__(
        self,
        *,
        blocks: tuple[int, ...] = (0, 2, 4, 10),
        widths: tuple[int, ...] = (24, 24, 48, 64, 64),
        seen: int = 32,
    ) -> None:
        super().__init__()
        self.features = PhotoFeatures(blocks)
        maps = self.features(torch.zeros(1, 3, self.minimum, self.minimum))
        if len(widths) != len(maps):
            raise ValueError(
                f"expected {len(maps)} widths for blocks={blocks}, got {widths}"
            )
        self.seen = convs([(3, seen), (seen, seen), (seen, seen)])
        map_widths = [feature_map.shape[1] for feature_map in maps]
        self.first = convs(zip(map_widths, widths, strict=True), 1)
        self.joined = convs((width + seen, width) for width in widths)
        self.middle = _normalised_convs(zip(widths, widths, strict=True))
        self.last = _normalised_convs((width, 1) for width in widths)

    def _enlarge(self, x: Tensor) -> Tensor:
        """Return logits (N, maps, h, w) of (N, 6, H, W) being real: a picture, then LR."""
        seen = run_convolutions(
            self.seen, F.avg_pool2d(x[:, 3:], 4) * 4 - 2, slope=SLOPE
        )
        logits: list[Tensor] = []
        for number, features in enumerate(self.features(x[:, :3])):
            features = convolve(self.first[number], features, slope=SLOPE)
            lr_features = F.interpolate(seen, features.shape[2:], mode="bilinear")
            joined = torch.cat([features, lr_features], 1)
            layers = (self.joined[number], self.middle[number])
            logit = self.last[number](run_convolutions(layers, joined, slope=SLOPE))
            if logits:
                logit = F.interpolate(logit, logits[0].shape[2:])
            logits.append(logit)
        return torch.cat(logits, 1)


DISCRIMINATORS: dict[str, type[Network]] = {
    "ae": AutoEncoder,
    "fc": Classifier,
    "patch": PatchClassifier,
    "unet": UNet,
    "features": FeatureClassifier,
}


def build_discriminator(name: str, *, size: int, options: Mapping[str, Any]) -> Network:
    """Build an untrained discriminator; RecipeError says what does not fit."""
    if name not in DISCRIMINATORS:
        raise unknown_name("discriminator", name, "the recipe", DISCRIMINATORS)
    where = f"discriminator {name}"
    if "size" in options:
        raise RecipeError(f"{where}: the size is that of the patches; leave it out")
    fixed = {"size": size} if name == "fc" else {}
    network = construct(DISCRIMINATORS[name], options, where, **fixed)
    try:
        network.check_input(
            torch.empty(1, network.input_channels, size, size, device="meta")
        )
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error
    return network


def _encoder(widths: tuple[int, ...], strides: tuple[int, ...]) -> nn.ModuleList:
    if len(widths) != len(strides) or not widths:
        raise ValueError(
            f"expected as many widths as strides, got {widths} and {strides}"
        )
    return nn.ModuleList(
        nn.Conv2d(before, after, 3, stride=stride, padding=1)
        for before, after, stride in zip((3, *widths), widths, strides, strict=False)
    )


def _halvings(widths: Sequence[int], *, bias: bool) -> nn.ModuleList:
    """Make normalised convolutions from width to width that each halve the size."""
    return nn.ModuleList(
        spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias))
        for before, after in pairwise(widths)
    )


def _normalised_convs(
    widths: Iterable[tuple[int, int]], *, bias: bool = True
) -> nn.ModuleList:
    """Make 3x3 convolutions divided by their largest singular values."""
    return nn.ModuleList(spectral_norm(conv(*pair, bias=bias)) for pair in widths)
