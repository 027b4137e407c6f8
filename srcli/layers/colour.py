"""BT.601 limited-range Y, Cb and Cr of tensors, the twin of ``srcli.imaging.colour``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from srcli.imaging.colour import OFFSET, RGB_TO_YCBCR

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_SHIFT = OFFSET / 255.0
_FORTH = RGB_TO_YCBCR / 255.0
_BACK = np.linalg.inv(_FORTH)


def luma(x: Tensor) -> Tensor:
    """Y of RGB, not rounded.

    Args:
        x: (N, 3, H, W) in [0, 1], fp32 at least.

    Returns:
        (N, 1, H, W) in 16/255..235/255.
    """
    return _mix(x, _FORTH[:1]) + float(_SHIFT[0])


def rgb_to_ycbcr(x: Tensor) -> Tensor:
    """Y, Cb and Cr of RGB, not rounded.

    Args:
        x: (N, 3, H, W) in [0, 1], fp32 at least.

    Returns:
        (N, 3, H, W); Y in 16/255..235/255, Cb and Cr in 16/255..240/255.
    """
    return _mix(x, _FORTH) + _shift_like(x)


def ycbcr_to_rgb(x: Tensor) -> Tensor:
    """RGB of Y, Cb and Cr, not clipped: the inverse of ``rgb_to_ycbcr``.

    Args:
        x: (N, 3, H, W), fp32 at least.
    """
    return _mix(x - _shift_like(x), _BACK)


def _mix(x: Tensor, rows: NDArray[Any]) -> Tensor:
    # Sums of planes, not a matrix product: that would run in TF32 on a GPU and lose 8-bit steps.
    a, b, c = x[:, 0], x[:, 1], x[:, 2]
    planes = [a * float(row[0]) + b * float(row[1]) + c * float(row[2]) for row in rows]
    return torch.stack(planes, dim=1)


def _shift_like(x: Tensor) -> Tensor:
    return torch.as_tensor(_SHIFT, dtype=x.dtype, device=x.device).view(3, 1, 1)
