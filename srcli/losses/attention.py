"""Supervision of attention maps: they are to mark where interpolation fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def interpolation_error(lr_image: Tensor, hr_image: Tensor) -> Tensor:
    """Where bicubic enlargement is wrong: the map that attention maps are compared with.

    ``|HR - bicubic(LR)|``, averaged over the channels and over the area of each LR pixel, divided
    by the largest value of its picture.

    Args:
        lr_image: (N, C, H, W).
        hr_image: (N, C, sH, sW).

    Returns:
        (N, 1, H, W) in [0, 1]; zeros where a picture has no error at all.
    """
    scale = hr_image.shape[-1] // lr_image.shape[-1]
    wrong = (hr_image - bicubic_resize(lr_image, scale)).abs().mean(dim=1, keepdim=True)
    pooled = F.avg_pool2d(wrong, scale)
    return pooled / pooled.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)


def attention_loss(
    maps: Sequence[Tensor], lr_image: Tensor, hr_image: Tensor, *, decay: float = 0.8
) -> Tensor:
    """Sum of ``decay^(T - t) * MSE(A_t, M)``, as in DeRaindrop (Qian et al. 2018).

    Args:
        maps: A_1 .. A_T, each (N, 1, H, W).
        lr_image: (N, C, H, W).
        hr_image: (N, C, sH, sW).
        decay: How much less each earlier map counts.

    Returns:
        A scalar.

    Raises:
        ValueError: If there is no map.
    """
    if not maps:
        raise ValueError("expected at least one attention map, got none")
    wanted = interpolation_error(lr_image, hr_image)
    total = (maps[-1].float() - wanted).square().mean()
    for age, each in enumerate(reversed(maps[:-1]), start=1):
        total = total + decay**age * (each.float() - wanted).square().mean()
    return total
