"""Losses in the features of networks: of random ones (RRLFN 2025), or of one for photographs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.features import PhotoFeatures
from srcli.layers.resize import bicubic_resize

EPSILON = 1e-7
"""Keeps ratios finite."""


class ContrastiveLoss(nn.Module):
    """Sum over two feature maps of d(SR, HR) / (d(SR, bicubic) + eps), d the mean of |a - b|.

    The maps are those of a random, frozen network: 3x3 convolution, tanh, 3x3
    convolution, with weights from He's normal distribution and without biases. The
    paper gives the form of the loss and of the features; RLFN (Kong et al. 2022) uses
    the bicubic picture as the negative. All other values are inferred. It is very
    large where SR is still nearly bicubic: use it on trained networks.
    ``channels`` are those of the feature network's two convolutions.
    """

    first: Tensor
    second: Tensor

    def __init__(self, *, channels: tuple[int, ...] = (64, 64)) -> None:
        super().__init__()
        if len(channels) != 2 or min(channels) < 1:
            raise ValueError(f"channels must be two numbers above 0, got {channels}")
        random = torch.Generator().manual_seed(0)

        def weight(before: int, after: int) -> Tensor:
            normal = torch.randn(after, before, 3, 3, generator=random)
            return normal * math.sqrt(2 / (9 * before))

        # Buffers, not parameters: they move with the loss to a device and are never
        # trained.
        self.register_buffer("first", weight(3, channels[0]))
        self.register_buffer("second", weight(*channels))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of both convolutions, (N, C, H, W) each."""
        shallow = F.conv2d(images, self.first, padding=1)
        return shallow, F.conv2d(torch.tanh(shallow), self.second, padding=1)

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor) -> Tensor:
        """Compare (N, 3, sH, sW) with HR of that shape, and with bicubic of LR."""
        if sr.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(sr.shape)}")
        with torch.no_grad():
            bicubic = bicubic_resize(lr.to(hr.dtype), hr.shape[-1] // lr.shape[-1])
            positive = self.features(hr)
            negative = self.features(bicubic)
        total = sr.new_zeros(())
        for anchor, near, far in zip(
            self.features(sr), positive, negative, strict=True
        ):
            distance = (anchor - near).abs().mean()
            total = total + distance / ((anchor - far).abs().mean() + EPSILON)
        return total


class FeatureLoss(nn.Module):
    """Mean absolute difference of features, a perceptual loss (Johnson et al. 2016).

    The features are those of ``PhotoFeatures`` after the last blocks that work at a
    half, a quarter, an eighth and a sixteenth of the size. Their first convolution
    has a stride of two, so that a network could exploit it by dots in one of four
    places: the pictures of a batch are cropped at each of four corners in turn.
    ``blocks`` are numbers from 0 to 15.
    """

    def __init__(self, *, blocks: tuple[int, ...] = (0, 2, 4, 10)) -> None:
        super().__init__()
        self.features = PhotoFeatures(blocks)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, 3, H, W) with the same shape; a scalar."""
        with torch.no_grad():
            hr_maps = self.features(_shifted(hr))
        sr_maps = self.features(_shifted(sr))
        total = torch.zeros_like(sr_maps[0][0, 0, 0, 0])
        for sr_map, hr_map in zip(sr_maps, hr_maps, strict=True):
            total = total + (sr_map - hr_map).abs().mean()
        return total / len(sr_maps)


def _shifted(images: Tensor) -> Tensor:
    """Cut (N, 3, H, W) to (N, 3, H - 1, W - 1), at each of four corners in turn."""
    height = images.shape[2] - 1
    width = images.shape[3] - 1
    cuts = []
    for number, image in enumerate(images):
        top = number // 2 % 2
        left = number % 2
        cuts.append(image[:, top : top + height, left : left + width])
    return torch.stack(cuts)
