"""Find by a test picture what no tensor of a file shows: range of values, residual scale, shift.

Networks of one kind have the same tensors and other constants: the value of white in
their training, the factor on residuals, a mean colour that is subtracted. With a wrong
one a file loads and gives another picture. A network that is run as it was trained
enlarges a test picture so that, made small again, it is what it was (``consistency``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from srcli.layers.colour import as_rgb_network
from srcli.layers.resize import bicubic_resize

if TYPE_CHECKING:
    from srcli.layers.network import Network
    from srcli.models.fitting import Constants

LEAST_CONSISTENCY = 20.0
"""Least PSNR in dB, of the test picture and its enlargement made small again
(``consistency``), of a network that enlarges. All shipped weights, those trained
against a discriminator and on degraded photographs included, bicubic interpolation, and
16 published files of six networks have 37 and more; files of relatives with another
skip, and networks without training or skip, 18 and less (benchmarks/value_ranges.py)."""
LEAST_RANGE_GAIN = 10.0
"""PSNR in dB by which another range of values must be better to be the right one. The
right one was better by 21 and more in every published file, and in no trained network
the wrong one was."""
LEAST_GAIN = 1.0
"""The same for factors on residuals: of small networks that were trained for minutes the
right one was better by 2 and more."""
LEAST_SHIFT_GAIN = 0.3
"""The same for a mean colour that a file holds and its code does not use: the right
reading was better by 0.55, and where the colour is used by 0.05 to 0.15."""
SHOWN_DIFFERENCE = 8 / 255
"""Difference between two readings of the test picture, somewhere in it, from which one is
told of that is as good."""
RANGES = (1.0, 255.0)
"""Values of white that networks are trained with."""
SHIFT = "shift"
"""Option of networks that subtract a mean colour: without it they take values as they are."""
_SIDE = 24
"""Edge of the test picture, in LR pixels."""
_BORDER = 4
"""LR pixels along its edges that are not compared: networks pad by zeros."""
_LEAST_ERROR = 1e-12


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to run the tensors of a file, and the test picture as it comes out."""

    options: Mapping[str, Any]
    """Values of the options that no tensor shows."""
    white: float
    psnr: float
    """``consistency`` in dB."""
    enlarged: Tensor
    """(1, 3, scale H, scale W)."""

    def __str__(self) -> str:
        """Return it in words: ``values to 255, residual_scale 0.1``."""
        words = [f"values to {self.white:g}"]
        for name, value in self.options.items():
            shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
            words.append(f"{name} {shown}")
        return ", ".join(words)

    def least_gain(self, other: Reading) -> float:
        """Return the PSNR in dB by which another reading must be better to be taken."""
        gain = 0.0
        for name, value in self.options.items():
            if other.options[name] != value:
                gain += LEAST_SHIFT_GAIN if name == SHIFT else LEAST_GAIN
        has_shift = self.options.get(SHIFT) == other.options.get(SHIFT)
        # without the shift of a file its white says nothing
        if has_shift and other.white != self.white:
            gain += LEAST_RANGE_GAIN
        return gain

    def is_as_good(self, other: Reading) -> bool:
        """Return True if another gives another picture, and the PSNR does not decide."""
        least = min(self.least_gain(other), LEAST_GAIN)
        difference = float((self.enlarged - other.enlarged).abs().max())
        return difference > SHOWN_DIFFERENCE and abs(other.psnr - self.psnr) < least


def find_readings(
    build: Callable[[Mapping[str, Any]], Network],
    options: Mapping[str, Any],
    constants: Constants,
) -> list[Reading]:
    """Try all ways in which a network may have been run in its training, the usual one first.

    Args:
        build: Builds the network with values of the options that no tensor shows.
        options: Their usual values, and others that stay.
        constants: What they may be.
    """
    usual = []
    unusual = []
    for values in product(*constants.options.values()):
        chosen = dict(zip(constants.options, values, strict=True))
        network = build(chosen).deploy()
        usual_white = constants.white or network.white
        is_fixed = constants.white and chosen.get(SHIFT, True)
        for white in (usual_white,) if is_fixed else RANGES:
            network.white = white
            psnr, enlarged = _enlarge_test_picture(network)
            reading = Reading(chosen, white, psnr, enlarged)
            if white == usual_white and chosen.items() <= options.items():
                usual.append(reading)
            else:
                unusual.append(reading)
    return usual + unusual


def choose_reading(readings: Sequence[Reading]) -> Reading:
    """Return the reading that suits the test picture best, the first if none is clearly better."""
    usual = readings[0]
    return max(readings, key=lambda reading: reading.psnr - usual.least_gain(reading))


def consistency(network: Network) -> float:
    """Return the PSNR in dB of a test picture enlarged and made small again."""
    return _enlarge_test_picture(network)[0]


def _enlarge_test_picture(network: Network) -> tuple[float, Tensor]:
    """Return the ``consistency`` of a network in evaluation mode, and the enlarged picture."""
    picture = _test_picture(network.padded(_SIDE))
    with torch.inference_mode():
        # a copy, as networks of others may change their input
        enlarged = as_rgb_network(network)(picture.clone()).float()
        small = bicubic_resize(enlarged, Fraction(1, network.scale))
    inside = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    error = float((small - picture)[inside].square().mean())
    if not math.isfinite(error):
        return -math.inf, enlarged
    return -10 * math.log10(max(error, _LEAST_ERROR)), enlarged


def consistency_of_ranges(network: Network) -> dict[float, float]:
    """Return the ``consistency`` in dB of a network in evaluation mode by value of white."""
    usual = network.white
    psnrs = {}
    for white in RANGES:
        network.white = white
        psnrs[white] = consistency(network)
    network.white = usual
    return psnrs


@cache
def _test_picture(side: int) -> Tensor:
    """Return (1, 3, H, W) in [0, 1]: soft colours, a disc and bars, shrunk."""
    y, x = np.mgrid[0 : 4 * side, 0 : 4 * side] / (4 * side)
    waves = ((1.3, 0.6, 0.0), (0.5, -1.1, 1.6), (0.8, 1.2, 1.0))
    planes = np.stack(
        [
            0.5 + 0.25 * np.sin(2 * np.pi * (across * x + down * y) + phase)
            for across, down, phase in waves
        ]
    )
    disc = (x - 0.4) ** 2 + (y - 0.45) ** 2 < 0.05
    bars = (x > 0.65) & (np.sin(40 * (x + 0.5 * y)) > 0)
    planes[:, disc] = 0.9 - 0.8 * planes[:, disc]
    planes[:, bars] *= 0.6
    picture = torch.from_numpy(planes).float()[None]
    return bicubic_resize(picture, Fraction(1, 4)).clamp(0, 1)
