"""Tell by a test picture whether a network enlarges, and the range of values it was trained on.

Relatives of a network have its tensors, and other code: another range of values, or a skip that no
tensor shows. They load, and give a picture of something else.
"""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from srcli.layers.colour import as_rgb_network
from srcli.layers.resize import bicubic_resize
from srcli.layers.value_range import range_of, set_value_range

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.layers.network import Network

FAITHFUL = 20.0
"""Least PSNR in dB, of the test picture and its enlargement made small again, of a network that
enlarges. All shipped weights, those trained against a discriminator and on degraded photographs
included, bicubic interpolation, and 16 published files of six networks have 37 and more; files of
relatives with another skip, and networks without training or skip, 18 and less
(benchmarks/value_ranges.py)."""
CLEARLY = 10.0
"""PSNR in dB by which another range of values must be better to be the right one. The right one was
better by 21 and more in every published file, and in no trained network the wrong one was."""
_SIDE = 24
_BORDER = 4
"""LR pixels that are not compared: networks pad by zeros."""
_LEAST_ERROR = 1e-12
RANGES = (1.0, 255.0)


def consistency(network: Network) -> float:
    """Return the PSNR in dB of a small test picture and its enlargement made small again."""
    picture = _test_picture(network.padded(_SIDE))
    with torch.inference_mode():
        enlarged = as_rgb_network(network)(picture)
        small = bicubic_resize(enlarged.float(), Fraction(1, network.scale))
    inside = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    error = float((small - picture)[inside].square().mean())
    return -10 * math.log10(max(error, _LEAST_ERROR)) if math.isfinite(error) else -math.inf


def best_range(network: Network) -> tuple[float, float]:
    """Find the range of values that a network in evaluation mode was trained on.

    Returns the value of white, which is that of the network unless another one of ``RANGES`` is
    clearly better; and the ``consistency`` with it.
    """
    own = range_of(network)
    best, most = own, consistency(network)
    for top in RANGES:
        if top != own:
            other = copy.deepcopy(network)
            set_value_range(other, top)
            found = consistency(other)
            if found > most + CLEARLY:
                best, most = top, found
    return best, most


@cache
def _test_picture(side: int) -> Tensor:
    """Return (1, 3, H, W) in [0, 1]: soft colours, a disc and bars, shrunk as pictures are."""
    fine = 4 * side
    y, x = np.mgrid[0:fine, 0:fine] / fine
    waves = ((1.3, 0.6, 0.0), (0.5, -1.1, 1.6), (0.8, 1.2, 1.0))
    planes = np.stack([0.5 + 0.25 * np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in waves])
    disc = (x - 0.4) ** 2 + (y - 0.45) ** 2 < 0.05
    bars = (x > 0.65) & (np.sin(40 * (x + 0.5 * y)) > 0)
    planes[:, disc] = 0.9 - 0.8 * planes[:, disc]
    planes[:, bars] *= 0.6
    picture = torch.from_numpy(planes).float()[None]
    return bicubic_resize(picture, Fraction(1, 4)).clamp(0, 1)
