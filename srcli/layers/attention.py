"""Attention blocks: of channels by global pools, of places by shrunk maps, and non-local."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.global_pools import GlobalPool, PoolKind, StretchedMap
from srcli.layers.network import (
    full_precision,
    is_exported,
    is_processor_inference,
    widened,
)
from srcli.layers.operations import apply_to_each, sigmoid


class GatedChannels(nn.Module):
    """A layer that scales channels by a gate computed from all of them."""

    def gate(self, x: Tensor) -> Tensor:
        """Return a gate (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Gate the channels of (N, C, H, W)."""
        return x * self.gate(x)


class ChannelAttention(GatedChannels):
    """Scale channels by a gate computed from their global means (RCAN, Zhang et al. 2018).

    The bottleneck of the gate is ``reduction`` times narrower.
    """

    POOL: PoolKind = "mean"

    def __init__(self, *, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.pool = GlobalPool(self.POOL)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        """Return a gate (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        return sigmoid(self.expand(F.relu(self.squeeze(self.pool(x)))))


class ContrastChannelAttention(ChannelAttention):
    """CCA: scale channels by a gate computed from their contrast (IMDN, RFDN)."""

    POOL = "contrast"

    def __init__(self, *, channels: int, reduction: int = 4) -> None:
        super().__init__(channels=channels, reduction=reduction)


class PooledChannelAttention(GatedChannels):
    """Scale channels by a gate computed from their global mean and maximum (nested-attn, 2023).

    A convolution of the odd length ``kernel`` runs along the channels and joins both
    into one row.
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
        self.average = GlobalPool("mean") if pool != "max" else None
        self.maximum = GlobalPool("maximum") if pool != "avg" else None
        count = 2 if pool == "both" else 1
        self.join = nn.Conv1d(count, 1, kernel, padding=kernel // 2)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        """Return a gate (1 or N, C, 1, 1) in (0, 1) for (N, C, H, W)."""
        pools = filter(None, (self.average, self.maximum))
        pooled = [pool(x)[..., 0, 0] for pool in pools]
        joined = apply_to_each(self.join, torch.stack(pooled, dim=1))
        joined = joined.transpose(1, 2)[..., None]
        return sigmoid(self.expand(F.relu(self.squeeze(joined))))


class EnhancedSpatialAttention(nn.Module):
    """ESA (RFANet, Liu et al. 2020), or RLFN's reduced form of it (Kong et al. 2022).

    Every value is gated by a strongly shrunk map of its surroundings: a strided
    convolution, a 7x7 maximum with stride 3 and 3x3 convolutions, resized bilinearly.
    Tiles whose places are held (``srcli.layers.global_pools``) are resized as parts of their
    pictures.

    Args:
        channels: Of input and output.
        width: Channels inside.
        depth: 3x3 convolutions of the shrunk map: 3 in RFANet, 1 in RLFN.
        make_conv: Makes the 3x3 convolutions, plain ones by default; BSRN has
            separable ones.
        activation: Between the convolutions of the shrunk map.
    """

    MINIMUM = 15
    """Shortest side of an input: below it the maximum has nothing to take."""
    STEP = 6
    """Pixels from one value of the shrunk map to the next."""

    def __init__(
        self,
        *,
        channels: int,
        width: int = 16,
        depth: int = 1,
        make_conv: Callable[..., nn.Module] | None = None,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        make_conv = make_conv or partial(nn.Conv2d, kernel_size=3)
        self.activation = activation
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.stride = make_conv(width, width, stride=2, padding=0)
        self.pooled = make_conv(width, width, padding=1)
        self.direct = nn.Conv2d(width, width, 1)
        self.expand = nn.Conv2d(width, channels, 1)
        self.stretch = StretchedMap(step=self.STEP, minimum=self.MINIMUM)
        self.deeper = None
        if depth > 1:
            self.deeper = nn.ModuleList(
                make_conv(width, width, padding=1) for _ in range(depth - 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, C, H, W), both sides at least ``MINIMUM``."""
        narrow: Tensor = self.squeeze(x)
        around = self.pooled(F.max_pool2d(self.stride(narrow), kernel_size=7, stride=3))
        for conv in self.deeper or ():
            around = conv(self.activation(around))
        around = self.stretch(around, (x.shape[2], x.shape[3]))
        gate = sigmoid(self.expand(self.direct(narrow) + around))
        return x * gate


class AsymmetricNonLocal(nn.Module):
    """ANRB: every pixel attends to a pyramid of pooled regions (G-IDRN; Zhu et al. 2019).

    The pyramid pools the whole input: unlike a ``GlobalPool`` it holds nothing of a
    tile's picture, so that a tile attends to itself.

    Args:
        bins: Edge lengths of the pooled grids; empty means no pooling, attention over
            all pixels.
        max_scores: Most attention scores (queries times keys) of a picture in memory at
            once; with gradients there is no limit, as autograd keeps all anyway.
    """

    def __init__(
        self,
        *,
        channels: int,
        bins: tuple[int, ...] = (1, 3, 6, 8),
        max_scores: int = 1 << 20,
    ) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.max_scores = max_scores
        self.query = nn.Conv2d(channels, 1, 1)
        self.key = nn.Conv2d(channels, 1, 1)
        self.value = nn.Conv2d(channels, 1, 1)
        self.out = nn.Conv2d(1, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the attended value to (N, C, H, W)."""
        n, _, h, w = x.shape
        query: Tensor = self.query(x)
        # Pooling commutes with 1x1 convolutions; pooled after them it is one channel,
        # not many.
        key = self.pyramid(self.key(x))
        value = self.pyramid(self.value(x))
        query = query.flatten(2)
        tracing = is_exported()
        if tracing and not self.bins:
            raise RuntimeError(
                "attention over all pixels would be traced for one size alone"
            )
        parts: tuple[Tensor, ...] = (query,)
        # The number of parts would be traced, too.
        if not (torch.is_grad_enabled() or tracing):
            parts = torch.split(query, max(self.max_scores // key.shape[2], 1), dim=2)
        attended = [softmax_attention(part, key, value) for part in parts]
        mixed = torch.cat(attended, dim=2).reshape(n, 1, h, w).to(x.dtype)
        return torch.add(x, self.out(mixed))

    def pyramid(self, maps: Tensor) -> Tensor:
        """Pool (N, C, H, W) over all grids: (N, C, sum of bins squared)."""
        if not self.bins:
            return maps.flatten(2)
        # torch.onnx is imported when it is asked, which takes longer than a small
        # picture.
        if torch.compiler.is_exporting() or (
            is_exported() and torch.onnx.is_in_onnx_export()
        ):
            return grid_means(maps, self.bins)
        if maps.device.type == "cpu":
            # adds up large maps in another order where there are several
            pools = [
                apply_to_each(partial(F.adaptive_avg_pool2d, output_size=side), maps)
                for side in self.bins
            ]
            return torch.cat([pool.flatten(2) for pool in pools], dim=2)
        if torch.compiler.is_compiling():
            return grid_means(maps, self.bins)
        return grid_means(maps, self.bins, _cached_grid_shares)


def _grid_shares(length: int, bins: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the weight of each pixel of an axis in each cell's mean, (sum of bins, length)."""
    pixels = torch.arange(length, device=device)
    rows = []
    for count in bins:
        cells = torch.arange(count, device=device)[:, None]
        starts = cells * length // count
        ends = ((cells + 1) * length + count - 1) // count
        inside = ((pixels >= starts) & (pixels < ends)).float()
        rows.append(inside / inside.sum(dim=1, keepdim=True))
    return torch.cat(rows)


@lru_cache(maxsize=64)
def _cached_grid_shares(
    length: int, bins: tuple[int, ...], device: torch.device
) -> Tensor:
    with torch.inference_mode(mode=False):  # trainings use them, too
        return _grid_shares(length, bins, device)


def grid_means(
    maps: Tensor,
    bins: tuple[int, ...],
    shares: Callable[[int, tuple[int, ...], torch.device], Tensor] = _grid_shares,
) -> Tensor:
    """Average maps over grids, as ``F.adaptive_avg_pool2d`` does, by matrix products.

    ONNX has no such pool for sides that do not divide by a grid, nor has Metal, and
    CUDA's walks through each window on its own. Gives (N, C, sum of bins squared) in
    the order of ``bins``.
    """
    down = shares(maps.shape[2], bins, maps.device)
    across = shares(maps.shape[3], bins, maps.device)
    with full_precision(maps.device):
        means = down @ maps.float() @ across.transpose(0, 1)
    grids = []
    start = 0
    for count in bins:
        cells = slice(start, start + count)
        grids.append(means[:, :, cells, cells].flatten(2))
        start += count
    return torch.cat(grids, dim=2).to(maps.dtype)


def softmax_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return what queries (N, 1, Q) take from keys and values (N, 1, S): (N, 1, Q).

    It is in fp32 at least.
    """
    with full_precision(query.device):
        scores = widened(query).transpose(1, 2) * widened(key)
        shares = scores.softmax(dim=2)
        if is_processor_inference(shares):
            # A product of matrices orders its sums by the number of pictures in a
            # batch.
            return shares.mul_(widened(value)).sum(dim=2)[:, None]
        return (shares @ widened(value).transpose(1, 2)).transpose(1, 2)
