"""Contrastive loss of RRLFN (2025): near to HR, far from bicubic, in random features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.resize import bicubic_resize


class ContrastiveLoss(nn.Module):
    """Sum over two feature maps of d(SR, HR) / (d(SR, bicubic) + eps), d the mean of |a - b|.

    The maps are those of a random, frozen network: 3x3 convolution, tanh, 3x3 convolution, with
    weights from He's normal distribution and without biases. The paper gives the form of the loss
    and of the features; RLFN (Kong et al. 2022) has the bicubic picture as the one to be unlike.
    All other values are inferred. It is very large where SR is still nearly bicubic: for networks
    that have been trained.

    Args:
        channels: Of the feature network's two convolutions.
        weights: Factors on the ratios of its first and its second convolution.
        epsilon: Keeps the ratios finite.
        seed: Of the feature network.
    """

    first: Tensor
    second: Tensor

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (64, 64),
        weights: tuple[float, ...] = (1.0, 1.0),
        epsilon: float = 1e-7,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(channels) != 2 or min(channels) < 1:
            raise ValueError(f"channels must be two numbers above 0, got {channels}")
        if len(weights) != 2 or min(weights) < 0 or epsilon <= 0:
            raise ValueError(
                f"expected two weights of at least 0 and an epsilon above 0, got {weights}, "
                f"{epsilon}"
            )
        self.weights = tuple(weights)
        self.epsilon = epsilon
        random = torch.Generator().manual_seed(seed)
        widths = (3, *channels)
        for name, before, after in zip(("first", "second"), widths, widths[1:], strict=False):
            weight = torch.randn(after, before, 3, 3, generator=random)
            # Buffers, not parameters: they move with the loss to a device and are never trained.
            self.register_buffer(name, weight * math.sqrt(2 / (9 * before)))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of both convolutions for (N, 3, H, W): (N, C, H, W) each."""
        first = F.conv2d(images, self.first, padding=1)
        return first, F.conv2d(torch.tanh(first), self.second, padding=1)

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor) -> Tensor:
        """Compare (N, 3, sH, sW) with HR of that shape and with bicubic of LR (N, 3, H, W)."""
        if sr.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(sr.shape)}")
        with torch.no_grad():
            interpolated = bicubic_resize(lr.to(hr.dtype), hr.shape[-1] // lr.shape[-1])
            wanted, unwanted = self.features(hr), self.features(interpolated)
        total = sr.new_zeros(())
        layers = zip(self.weights, self.features(sr), wanted, unwanted, strict=True)
        for weight, own, near, far in layers:
            distance = (own - near).abs().mean()
            total = total + weight * (distance / ((own - far).abs().mean() + self.epsilon))
        return total
