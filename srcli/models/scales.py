"""Weights of one scale as a start for another: the convolution before a sub-pixel shuffle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

SCALES = (2, 3, 4)


def to_scale(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Spread what other scales have learnt over the sub-pixel positions of this one.

    A convolution before a sub-pixel shuffle (Shi et al. 2016) has one output channel for each
    position within an enlarged pixel; every position of the new scale begins as the nearest one of
    the former. Left new, it would read trained features by random weights.

    Args:
        network: For its own scale; parts that its ``scale_bound`` names stay new.
        tensors: A state of it, or of another scale.

    Returns:
        The same, with such tensors in the network's shape.
    """
    scale = int(getattr(network, "scale", 0))
    bound: tuple[str, ...] = getattr(network, "scale_bound", ())
    found = dict(tensors)
    for key, own in network.state_dict().items():
        former = tensors.get(key)
        if former is None or former.shape == own.shape or key.startswith(bound):
            continue
        if former.ndim and former.shape[1:] == own.shape[1:]:
            before = _scale_of(former.shape[0], own.shape[0], scale)
            if before is not None:
                found[key] = _spread(former, before, scale)
    return found


def _scale_of(former: int, own: int, scale: int) -> int | None:
    """The scale whose positions ``former`` channels are, if ``own`` are those of ``scale``."""
    if not scale or own % scale**2:
        return None
    colours = own // scale**2
    before = math.isqrt(former // colours)
    return before if before in SCALES and colours * before**2 == former else None


def _spread(tensor: Tensor, before: int, after: int) -> Tensor:
    nearest = ((torch.arange(after) + 0.5) * before / after).long()
    positions: Tensor = tensor.unflatten(0, (-1, before, before))  # type: ignore[no-untyped-call]
    spread: Tensor = positions[:, nearest][:, :, nearest].flatten(0, 2)
    return spread.contiguous()
