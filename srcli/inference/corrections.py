"""Corrections of an enlarged picture by the picture that it was made from.

Each takes SR (N, C, sH, sW) and LR (N, C, H, W) in fp32, in the same range, and looks no
further than a few LR pixels, so that tiles with some overlap stay equal to the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from srcli.inference.device import EngineOptions

BICUBIC_ROUNDS = (1.0, 1.0)
"""Share of the error that each round of ``back_projected`` takes away."""
AREA_ROUNDS = 8
"""Rounds of ``projected_by_area``, which approaches LR more slowly: eight leave less than
0.1 % of the deviation."""
COLOUR_RADIUS = 3
"""Radius of the means whose colours ``held_colours`` keeps, in LR pixels."""


@dataclass(frozen=True)
class Correction:
    """One correction; its name stands for it where results are compared by settings."""

    name: str
    apply: Callable[[Tensor, Tensor], Tensor]


def choose_corrections(
    options: EngineOptions, *, hold_colours: bool = False
) -> list[Correction]:
    """Return the corrections that options ask for, in order.

    ``hold_colours``: the network is known to shift colours.
    """
    chosen = []
    if hold_colours:
        chosen.append(Correction("colours", held_colours))
    if options.back_project == "area":
        chosen.append(Correction("area", projected_by_area))
    elif options.back_project:
        chosen.append(Correction("bicubic", back_projected))
    elif options.denoise != 1:
        share = 1 - options.denoise
        returned = partial(back_projected, shares=(share,))
        chosen.append(Correction(f"noise {share:g}", returned))
    return chosen


def back_projected(
    sr_image: Tensor, lr_image: Tensor, shares: Sequence[float] = BICUBIC_ROUNDS
) -> Tensor:
    """Correct SR until, made smaller by bicubic interpolation, it is nearer to LR.

    There is a round for each of the ``shares`` of the error. A share below 1 gives that
    much back of what a network took for noise: grain as soft as bicubic interpolation
    makes it.

    Iterative back-projection (Irani and Peleg 1991) with MATLAB's bicubic kernel both
    ways, the one that LR pictures of training and benchmarks are made by.
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    for share in shares:
        error = lr_image - bicubic_resize(sr_image, Fraction(1, scale))
        sr_image = sr_image + share * bicubic_resize(error, scale)
    return sr_image


def projected_by_area(sr_image: Tensor, lr_image: Tensor) -> Tensor:
    """Correct SR until the mean of the pixels that an LR pixel became is that pixel.

    As ``back_projected``, with the kernel of sensors and of GDAL's ``average``.
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    for _ in range(AREA_ROUNDS):
        error = lr_image - F.avg_pool2d(sr_image, scale)
        sr_image = sr_image + bicubic_resize(error, scale)
    return sr_image


def held_colours(sr_image: Tensor, lr_image: Tensor) -> Tensor:
    """Remove the differences of SR from LR in means over several LR pixels.

    Colour casts go; detail stays as it is.
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    error = lr_image - F.avg_pool2d(sr_image, scale)
    side = 2 * COLOUR_RADIUS + 1
    for _ in range(2):  # two boxes are a smooth kernel
        error = F.avg_pool2d(
            error, side, stride=1, padding=COLOUR_RADIUS, count_include_pad=False
        )
    larger = F.interpolate(error, scale_factor=scale, mode="bilinear")
    return sr_image + larger
