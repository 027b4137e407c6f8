"""Corrections of an enlarged picture by the picture that it was made from.

Each takes SR (N, C, sH, sW) and LR (N, C, H, W) in fp32, in the same range, returns SR,
maybe in the memory of the one it was given, and looks no further than a few LR pixels, so
that tiles with some overlap stay equal to the whole.

Colours and overshoot are corrected phase by phase: every s-th pixel of SR lies in one
place of its LR pixel, so that LR's values meet it without being enlarged first. PyTorch's
pooling and interpolation take three to five times as long (log: notes on quick).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from srcli.inference.device import EngineOptions
    from srcli.models import NetworkEntry

BICUBIC_ROUNDS = (1.0, 1.0)
"""Share of the error that each round of ``back_projected`` takes away."""
AREA_ROUNDS = 8
"""Rounds of ``projected_by_area``, which approaches LR more slowly: eight leave less than
0.1 % of the deviation."""
COLOUR_RADIUS = 3
"""Radius of the means whose colours ``held_colours`` keeps, in LR pixels."""
FRAME = 1
"""Outermost LR pixels whose error does not count: convolutions that pad with zeros make them
darker, and the colours of the whole border would be moved by it."""
OVERSHOOT_FLOOR = 32 / 255
"""Added to the span of LR pixels whose share ``limit_overshoot`` allows: crests of fine
detail lie between LR's pixels, on nearly flat ground too."""


@dataclass(frozen=True)
class Correction:
    """One correction; its name stands for it where results are compared by settings."""

    name: str
    apply: Callable[[Tensor, Tensor], Tensor]
    counts_clipping: bool = False
    """SR of whole numbers is cut to [0, 1] before: what that takes away counts."""


def choose_corrections(
    options: EngineOptions, entry: NetworkEntry | None = None
) -> list[Correction]:
    """Return the corrections that a network needs and options ask for, in order.

    ``entry`` is the network's in the table of models, which knows its faults.
    """
    chosen = []
    if entry is not None and entry.overshoot:
        limit = partial(limit_overshoot, share=entry.overshoot)
        chosen.append(Correction(f"overshoot {entry.overshoot:g}", limit))
    # what was cut off beside lines would move the means
    if entry is not None and entry.holds_colours:
        chosen.append(Correction("colours", held_colours, counts_clipping=True))
    if options.back_project == "area":
        chosen.append(Correction("area", projected_by_area))
    elif options.back_project:
        chosen.append(Correction("bicubic", back_projected))
    elif options.denoise != 1:
        share = 1 - options.denoise
        returned = partial(back_projected, shares=(share,))
        chosen.append(Correction(f"noise {share:g}", returned))
    return chosen


def apply_corrections(
    corrections: Sequence[Correction],
    sr_image: Tensor,
    lr_image: Tensor,
    *,
    is_clipped: bool,
) -> Tensor:
    """Return SR corrected in order; ``is_clipped`` for what will be stored in whole numbers."""
    for correction in corrections:
        if is_clipped and correction.counts_clipping:
            sr_image = sr_image.clamp_(0, 1)
        sr_image = correction.apply(sr_image, lr_image)
    return sr_image


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
    """Remove the differences of SR from LR in means over several LR pixels, in place.

    Colour casts go; detail stays as it is.
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    error = lr_image - F.avg_pool2d(sr_image, scale)
    if min(error.shape[2:]) > 4 * FRAME:
        inner = error[:, :, FRAME:-FRAME, FRAME:-FRAME]
        error = F.pad(inner, [FRAME] * 4, mode="replicate")
    for axis in (2, 3, 2, 3):  # two boxes are a smooth kernel
        neighbours = _neighbours(error, axis, COLOUR_RADIUS)
        error = reduce(torch.add, neighbours) / len(neighbours)
    for down, rows in enumerate(_bilinear_phases(error, 2, scale)):
        for right, correction in enumerate(_bilinear_phases(rows, 3, scale)):
            sr_image[:, :, down::scale, right::scale] += correction
    return sr_image


def limit_overshoot(sr_image: Tensor, lr_image: Tensor, share: float) -> Tensor:
    """Keep SR near the values of the 3x3 LR pixels around it, in place.

    It may leave them by a share of their span and of ``OVERSHOOT_FLOOR``: dots and halos
    go that nothing in LR asks for, and crests between its pixels stay.
    """
    scale = sr_image.shape[2] // lr_image.shape[2]
    lowest = lr_image
    highest = lr_image
    for axis in (2, 3):
        lowest = reduce(torch.minimum, _neighbours(lowest, axis, 1))
        highest = reduce(torch.maximum, _neighbours(highest, axis, 1))
    margin = (highest - lowest + OVERSHOOT_FLOOR) * share
    lowest = lowest - margin
    highest = highest + margin
    for down, right in product(range(scale), repeat=2):
        sr_image[:, :, down::scale, right::scale].clamp_(lowest, highest)
    return sr_image


def _neighbours(image: Tensor, axis: int, radius: int) -> list[Tensor]:
    """Return the image (N, C, H, W) moved along an axis, by ``-radius`` to ``radius``.

    The outermost pixels are repeated.
    """
    pads = [0, 0, 0, 0]
    begin = 2 * (3 - axis)  # F.pad begins with the last axis
    pads[begin : begin + 2] = [radius, radius]
    around = F.pad(image, pads, mode="replicate")
    count = image.shape[axis]
    return [around.narrow(axis, start, count) for start in range(2 * radius + 1)]


def _bilinear_phases(image: Tensor, axis: int, scale: int) -> Iterator[Tensor]:
    """Yield what bilinear enlargement of an axis puts at each place within a pixel."""
    before, middle, after = _neighbours(image, axis, 1)
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        neighbour = after
        if offset < 0:
            neighbour = before
        yield torch.lerp(middle, neighbour, abs(offset))
