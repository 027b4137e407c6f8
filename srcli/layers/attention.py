"""Attention blocks: channel attention from contrast or pools, asymmetric non-local block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.precision import full_precision
from srcli.layers.statistics import given_moments

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx


def contrast(features: Tensor) -> Tensor:
    """Standard deviation plus mean of every channel (IMDN, Hui et al. 2019).

    Of the features, or of the picture that they are a part of, where its statistics are given
    (``srcli/layers/statistics.py``).

    Args:
        features: (N, C, H, W).

    Returns:
        (1 or N, C, 1, 1); population deviation, 1e-6 under the root: flat maps have a gradient.
    """
    given = given_moments(features)
    if given is not None:
        return ((given.variance + 1e-6).sqrt() + given.mean).to(features.dtype)
    out: Tensor = _Contrast.apply(features)  # type: ignore[no-untyped-call]
    return out


class _Contrast(torch.autograd.Function):
    """``contrast`` with its gradient in one pass over the features.

    Left to autograd, deviation and mean keep several fp32 copies of the map and walk them a dozen
    times backwards: 7 ms instead of 1.4 for (8, 72, 48, 48) on one core.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor) -> Tensor:
        # At least fp32: the variance of nearly flat maps vanishes in half precision.
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        mean = exact.mean(dim=(2, 3), keepdim=True)
        # Two passes of mean(): torch.var_mean over channels_last maps takes four times as long.
        variance = (exact - mean).square_().mean(dim=(2, 3), keepdim=True)
        deviation = (variance + 1e-6).sqrt()
        ctx.save_for_backward(features, mean, deviation)
        return (deviation + mean).to(features.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        # d mean / dx = 1 / HW; d deviation / dx = (x - mean) / (HW deviation)
        features, mean, deviation = ctx.saved_tensors
        each = gradient.to(mean.dtype) / (features.shape[2] * features.shape[3])
        slope = each / deviation
        constant = each - slope * mean
        kind = features.dtype
        return torch.addcmul(constant.to(kind), features, slope.to(kind))


class ContrastChannelAttention(nn.Module):
    """CCA: scale channels by a gate computed from their contrast (IMDN, RFDN).

    Args:
        channels: Channels in and out.
        reduction: How many times narrower the bottleneck of the gate is.
    """

    def __init__(self, *, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        return torch.sigmoid(self.expand(F.relu(self.squeeze(contrast(x)))))

    def forward(self, x: Tensor) -> Tensor:
        """Gated (N, C, H, W)."""
        return x * self.gate(x)


class PooledChannelAttention(nn.Module):
    """Scale channels by a gate computed from their global mean and maximum (nested-attn, 2023).

    Of the features, or of the picture that they are a part of, where its statistics are given
    (``srcli/layers/statistics.py``).

    Args:
        channels: Channels in and out.
        reduction: How many times narrower the bottleneck of the gate is.
        pool: ``avg``, ``max``, or ``both``: mean and maximum as two rows, joined into one.
        kernel: Odd length of the convolution that runs along the channels.
    """

    def __init__(
        self,
        *,
        channels: int,
        reduction: int = 16,
        pool: Literal["avg", "max", "both"] = "both",
        kernel: int = 3,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"expected an odd kernel, got {kernel}")
        self.average = pool in ("avg", "both")
        self.maximum = pool in ("max", "both")
        self.join = nn.Conv1d(self.average + self.maximum, 1, kernel, padding=kernel // 2)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        """Gate (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        given = given_moments(x)
        pools: list[Tensor] = []
        if self.average:
            pools.append(x.mean(dim=(2, 3)) if given is None else given.mean[..., 0, 0].to(x.dtype))
        if self.maximum:
            if given is None:
                pools.append(x.amax(dim=(2, 3)))
            else:
                pools.append(given.maximum[..., 0, 0].to(x.dtype))
        joined: Tensor = self.join(torch.stack(pools, dim=1))
        return torch.sigmoid(self.expand(F.relu(self.squeeze(joined.mT[..., None]))))

    def forward(self, x: Tensor) -> Tensor:
        """Gated (N, C, H, W)."""
        return x * self.gate(x)


class AsymmetricNonLocal(nn.Module):
    """ANRB: every pixel attends to a pyramid of pooled regions (G-IDRN; Zhu et al. 2019).

    The pyramid pools the WHOLE input, so that a tile sees other statistics than its picture.

    Args:
        channels: Channels in and out.
        bins: Edge lengths of the pooled grids; empty means no pooling, attention over all pixels.
        scores: How many queries times keys are held at once. With gradients recorded all of them
            are: autograd would keep every part anyway.
    """

    def __init__(
        self, *, channels: int, bins: tuple[int, ...] = (1, 3, 6, 8), scores: int = 1 << 24
    ) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.scores = scores
        self.query = nn.Conv2d(channels, 1, 1)
        self.key = nn.Conv2d(channels, 1, 1)
        self.value = nn.Conv2d(channels, 1, 1)
        self.out = nn.Conv2d(1, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the attended value to (N, C, H, W)."""
        n, _, h, w = x.shape
        query: Tensor = self.query(x)
        # Pooling commutes with 1x1 convolutions; pooled after them it is one channel, not many.
        key, value = self._pyramid(self.key(x)), self._pyramid(self.value(x))
        most = h * w if torch.is_grad_enabled() else max(self.scores // (n * key.shape[2]), 1)
        parts = torch.split(query.flatten(2), most, dim=2)
        attended = [attend(part, key, value) for part in parts]
        mixed = torch.cat(attended, dim=2).reshape(n, 1, h, w).to(x.dtype)
        out: Tensor = self.out(mixed)
        return out + x

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Let the untrained block add nothing at first."""
        self.out.weight.zero_()
        assert self.out.bias is not None
        self.out.bias.zero_()

    def _pyramid(self, maps: Tensor) -> Tensor:
        if not self.bins:
            return maps.flatten(2)
        return torch.cat([F.adaptive_avg_pool2d(maps, b).flatten(2) for b in self.bins], dim=2)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of one-channel maps, not scaled.

    Args:
        query: (N, 1, Q).
        key: (N, 1, S).
        value: (N, 1, S).

    Returns:
        (N, 1, Q) in fp32.
    """
    with full_precision(query.device):
        scores = query.float().transpose(1, 2) * key.float()
        return (scores.softmax(dim=2) @ value.float().transpose(1, 2)).transpose(1, 2)
