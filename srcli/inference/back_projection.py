"""Back-projection: what was enlarged is corrected until, made smaller, it gives the input again."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from torch import Tensor

ROUNDS = 2


def back_projected(sr_image: Tensor, lr_image: Tensor) -> Tensor:
    """Correct an SR picture by what it says wrongly of its LR picture.

    Iterative back-projection (Irani and Peleg 1991) with MATLAB's bicubic kernel both ways, the one
    that LR pictures of training and benchmarks are made by.

    Args:
        sr_image: (N, C, sH, sW), fp32.
        lr_image: (N, C, H, W) in the same range of values.

    Returns:
        (N, C, sH, sW).
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    for _ in range(ROUNDS):
        error = lr_image - bicubic_resize(sr_image, Fraction(1, scale))
        sr_image = sr_image + bicubic_resize(error, scale)
    return sr_image
