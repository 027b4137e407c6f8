"""G-IDRN on processors: whole pictures block by block, by strips of rows that stay in the cache.

Only the gate of a block looks at the whole picture. So a block's convolutions go through
strips, whose sums give the gate; then it is applied to the map that they left. Maps of
the whole picture are held for the inputs of blocks alone, and nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from srcli.layers.network import widened
from srcli.layers.tiles import GlobalPool, modules_of
from srcli.models.g_idrn import GIDRN, DenseShortcut, GroupDistillationBlock

STRIP_PIXELS = 24 * 1024
"""Pixels of a strip: its maps fit into the cache, and few rows are computed twice."""
HALO = 4
"""Rows above and below a strip that its pixels depend on: one for each 3x3 convolution
of a block."""

Share = tuple[Tensor, Tensor]
"""A map of the whole picture, and the weight with which a shortcut adds it."""


def use_strips(network: GIDRN) -> None:
    """Let a network with dense shortcuts go through large pictures by strips."""
    if _is_of_blocks(network.body):
        network.body.__class__ = StripShortcut


def _is_of_blocks(body: object) -> bool:
    """Return True for G-IDBs, and for dense shortcuts of them."""
    if isinstance(body, DenseShortcut):
        return all(map(_is_of_blocks, body.blocks))
    return isinstance(body, GroupDistillationBlock)


class StripShortcut(DenseShortcut):
    """The dense shortcut of a whole G-IDRN, which goes through large pictures by strips."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if not self._are_large_pictures(x):
            return super().forward(x)
        if len(x) == 1:
            return _shortcut(self, x)
        # one by one, so that a picture comes out the same in every batch
        return torch.cat([_shortcut(self, picture) for picture in torch.split(x, 1)])

    def _are_large_pictures(self, x: Tensor) -> bool:
        """Tell if inputs are pictures of several strips, and no tiles of larger ones."""
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return False
        if x[0, 0].numel() < 2 * STRIP_PIXELS:
            return False
        pools = modules_of(self, GlobalPool).values()
        return not any(pool.recording or pool.held is not None for pool in pools)


def _shortcut(
    shortcut: DenseShortcut, x: Tensor, shares: Sequence[Share] = ()
) -> Tensor:
    """Do what a dense shortcut does, and add shares of other maps to its output."""
    inputs: list[Tensor] = []
    weights = iter(shortcut.weights.to(x.dtype))
    for block in shortcut.blocks:
        inputs.append(x)
        sources = inputs if shortcut.include_self else inputs[:-1]
        inner = [(source, next(weights)) for source in sources]
        if isinstance(block, DenseShortcut):
            x = _shortcut(block, x, inner)
        else:
            x = _block(block, x, inner)
    for source, weight in shares:
        x.addcmul_(source, weight)
    return x


def _block(block: Any, x: Tensor, shares: Sequence[Share]) -> Tensor:  # noqa: ANN401
    """Do what a G-IDB does, and add shares of other maps to its output."""
    height, width = x.shape[2:]
    count = max(round(height * width / STRIP_PIXELS), 1)
    cuts = [height * number // count for number in range(count + 1)]
    strips = list(pairwise(cuts))
    out = torch.empty_like(x)
    moments = []
    for top, bottom in strips:
        above = max(top - HALO, 0)
        fused = block.distil(x[:, :, above : bottom + HALO])
        fused = fused[:, :, top - above :][:, :, : bottom - top]
        out[:, :, top:bottom] = fused
        moments.append(Moments.of(fused))
    gate = block.attention.gate_of(contrast_of(moments).to(out.dtype))
    gate = (gate * block.share).to(out.dtype)
    for top, bottom in strips:
        rows = out[:, :, top:bottom]
        torch.addcmul(x[:, :, top:bottom], rows, gate, out=rows)
        for source, weight in shares:
            rows.addcmul_(source[:, :, top:bottom], weight)
    return out


@dataclass(frozen=True)
class Moments:
    """Mean and variance of the channels of some pixels, (1, C, 1, 1)."""

    count: int
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> Moments:
        """Measure maps (1, C, H, W)."""
        values = widened(maps)
        mean = values.mean(dim=(2, 3), keepdim=True)
        variance = (values - mean).square_().mean(dim=(2, 3), keepdim=True)
        return cls(maps[0, 0].numel(), mean.double(), variance.double())


def contrast_of(parts: Sequence[Moments]) -> Tensor:
    """Return deviation plus mean of a map from the moments of its parts (Chan 1979)."""
    pixels = sum(part.count for part in parts)
    mean = torch.zeros_like(parts[0].mean)
    for part in parts:
        mean += part.mean * (part.count / pixels)
    variance = torch.full_like(mean, 1e-6)  # see ``srcli.layers.tiles.contrast``
    for part in parts:
        spread = part.variance + (part.mean - mean).square()
        variance += spread * (part.count / pixels)
    return (variance.sqrt() + mean).float()
