"""Find by a test picture what no tensor of a file shows: range of values, residual scale, shift.

Networks of one kind have the same tensors and other constants: the value of white in
their training, the factor on residuals, a mean colour that is subtracted. With a wrong
one a file loads and gives another picture. A network that is run as it was trained
enlarges a test picture so that, made small again, it is what it was (``consistency``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
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


@dataclass(frozen=True)
class Reading:
    """One way to run the tensors of a file."""

    options: tuple[tuple[str, Any], ...]
    """Values of the options that no tensor shows."""
    white: float

    def __str__(self) -> str:
        """Return it in words: ``values to 255, residual_scale 0.1``."""
        words = [f"values to {self.white:g}"]
        for name, value in self.options:
            shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
            words.append(f"{name} {shown}")
        return ", ".join(words)


@dataclass(frozen=True, eq=False)
class Trial:
    """The test picture as a network enlarges it."""

    psnr: float
    """``consistency`` in dB."""
    enlarged: Tensor
    """(1, 3, scale H, scale W)."""

    def shows_another_picture(self, other: Trial) -> bool:
        """Return True if two enlargements differ so that it may be seen."""
        return float((self.enlarged - other.enlarged).abs().max()) > SHOWN_DIFFERENCE


@dataclass(frozen=True, eq=False)
class FoundReading:
    """The reading that suits the test picture, and those beside it."""

    reading: Reading
    usual: Reading
    """The one that is taken where nothing is better."""
    trials: Mapping[Reading, Trial]

    @property
    def psnr(self) -> float:
        """PSNR in dB of the reading that was found."""
        return self.trials[self.reading].psnr

    @property
    def psnrs(self) -> dict[Reading, float]:
        """``consistency`` in dB by reading."""
        return {reading: trial.psnr for reading, trial in self.trials.items()}

    def undecided(self) -> tuple[Reading, float] | None:
        """Return the best other reading and its PSNR, where it is as good; else None.

        One that gives the same picture needs no decision.
        """
        found = self.trials[self.reading]
        others = {}
        for other, trial in self.trials.items():
            if other != self.reading and trial.shows_another_picture(found):
                others[other] = trial.psnr
        if not others:
            return None
        best = max(others, key=others.__getitem__)
        least = min(_least_gain(self.reading, best), LEAST_GAIN)
        if abs(others[best] - self.psnr) >= least:
            return None
        return best, others[best]


def find_reading(
    build: Callable[[Mapping[str, Any]], Network],
    options: Mapping[str, Any],
    constants: Constants,
) -> FoundReading:
    """Find how a network was run in its training.

    Args:
        build: Builds the network with values of the options that no tensor shows.
        options: Their usual values, and others that stay.
        constants: What they may be.
    """
    names = constants.options.keys()
    usual_options = {name: options[name] for name in names if name in options}
    network = build(usual_options).deploy()
    usual = Reading(tuple(usual_options.items()), constants.white or network.white)
    built = {usual.options: network}  # one at a time: they may be large
    trials = {usual: _try_out(network, usual.white)}
    found = usual
    is_better = True
    while is_better:
        is_better = False
        for other in _neighbours(found, constants):
            if other in trials:
                continue
            if other.options not in built:
                built = {other.options: build(dict(other.options)).deploy()}
            trials[other] = _try_out(built[other.options], other.white)
        gains = {}
        for other in _neighbours(found, constants):
            if math.isfinite(trials[other].psnr):
                gain = trials[other].psnr - trials[found].psnr
                gains[other] = gain - _least_gain(found, other)
        best = max(gains, key=gains.__getitem__, default=found)
        if gains.get(best, 0.0) > 0:
            found = best
            is_better = True
    return FoundReading(found, usual, trials)


def _least_gain(reading: Reading, other: Reading) -> float:
    """Return the PSNR in dB by which another reading must be better to be taken."""
    if reading.options == other.options:
        return LEAST_RANGE_GAIN
    if dict(reading.options).get(SHIFT) != dict(other.options).get(SHIFT):
        return LEAST_SHIFT_GAIN
    return LEAST_GAIN


def _neighbours(reading: Reading, constants: Constants) -> Iterator[Reading]:
    """Yield readings that differ in one constant; without a shift white may be another, too."""
    current = dict(reading.options)
    for white in sorted(_whites(current, reading, constants) - {reading.white}):
        yield Reading(reading.options, white)
    for name, values in constants.options.items():
        for value in values:
            if value == current.get(name):
                continue
            options = tuple((current | {name: value}).items())
            whites = {reading.white}
            if name == SHIFT:
                whites = _whites({name: value}, reading, constants)
            for white in sorted(whites):
                yield Reading(options, white)


def _whites(
    options: Mapping[str, Any], reading: Reading, constants: Constants
) -> set[float]:
    """Return the values of white that a network with these options may have."""
    if constants.white is not None and options.get(SHIFT, True):
        return {constants.white}
    return {reading.white, *RANGES}


def _try_out(network: Network, white: float) -> Trial:
    """Enlarge the test picture by a network in evaluation mode with a value of white."""
    network.white = white
    return _trial(network)


def consistency(network: Network) -> float:
    """Return the PSNR in dB of a test picture enlarged and made small again."""
    return _trial(network).psnr


def _trial(network: Network) -> Trial:
    picture = _test_picture(network.padded(_SIDE))
    with torch.inference_mode():
        # a copy, as networks of others may change their input
        enlarged = as_rgb_network(network)(picture.clone()).float()
        small = bicubic_resize(enlarged, Fraction(1, network.scale))
    inside = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    error = float((small - picture)[inside].square().mean())
    if not math.isfinite(error):
        return Trial(-math.inf, enlarged)
    return Trial(-10 * math.log10(max(error, _LEAST_ERROR)), enlarged)


def consistency_of_ranges(network: Network) -> dict[float, float]:
    """Return the ``consistency`` in dB of a network in evaluation mode by value of white."""
    usual = network.white
    psnrs = {}
    for white in sorted({usual, *RANGES}):
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
