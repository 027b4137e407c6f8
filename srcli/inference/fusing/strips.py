"""G-IDRN on processors: whole pictures block by block, by strips of rows that stay in the cache.

Only the gate of a block looks at the whole picture. So a block's convolutions go through
strips; then the gate of the map that they left is applied to it. Maps of the whole
picture are held for the inputs of blocks alone, and nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from srcli.layers.network import is_processor_inference
from srcli.layers.operations import convolve, convolve_joined
from srcli.machine import keep_freed_memory
from srcli.models.g_idrn import GIDRN, DenseShortcut, GroupDistillationBlock

STRIP_PIXELS = 12 * 1024
"""Pixels of a strip for each byte of a value: its maps stay near the processor, and few
rows are computed twice. Those cost more in fp32, where arithmetic is slow."""
LARGE_PICTURE = 48 * 1024
"""Pixels from which on a picture goes through blocks by strips."""
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
        is_large = x[0, 0].numel() >= LARGE_PICTURE
        if is_large and is_processor_inference(x):
            # Maps of whole pictures are larger than what is kept otherwise.
            keep_freed_memory(whole_pictures=True)
            return _shortcut(self, x)
        return super().forward(x)


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
    count = max(round(height * width / (STRIP_PIXELS * x.element_size())), 1)
    cuts = [height * number // count for number in range(count + 1)]
    strips = list(pairwise(cuts))
    out = torch.empty_like(x)
    for top, bottom in strips:
        _distil(block, x, top, bottom, out[:, :, top:bottom])
    gate = (block.attention.gate(out) * block.share).to(out.dtype)
    for top, bottom in strips:
        rows = out[:, :, top:bottom]
        torch.addcmul(x[:, :, top:bottom], rows, gate, out=rows)
        for source, weight in shares:
            rows.addcmul_(source[:, :, top:bottom], weight)
    return out


def _distil(
    block: GroupDistillationBlock, x: Tensor, top: int, bottom: int, out: Tensor
) -> None:
    """Write rows ``top`` to ``bottom`` of what a block distils from a whole map.

    Each 3x3 convolution leaves a row less above and below than it was given, and what
    is fused are the rows themselves alone.
    """
    first = max(top - HALO, 0)
    step = x[:, :, first : bottom + HALO]
    distilled: list[Tensor] = []
    for number, pointwise in enumerate(block.pointwise, start=1):
        features = pointwise(step)
        distilled.append(features[:, :, top - first : bottom - first])
        grouped = block.grouped[number - 1]
        step = convolve(
            grouped,
            features,
            plus=step,
            may_overwrite=number > 1,  # x is needed behind the gate
            slope=block.slope,
        )
        above = max(top - HALO + number, 0)
        step = step[:, :, above - first : bottom + HALO - number - first]
        first = above
    features = block.grouped[-1](step)
    distilled.append(features[:, :, top - first : bottom - first])
    out.copy_(convolve_joined(block.fuse, distilled))  # summed up in the cache
