"""Colours of videos by matrices that libswscale does not know, as ISO/IEC 23091-2 defines them.

Luma is 0 to 1, both differences of colours -0.5 to 0.5, red, green and blue 0 to 1, all as
they are stored: by the transfer function of the video.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""(H, W, 3)"""

YCGCO = 8
CONSTANT_LUMINANCE = 10
ICTCP = 14
SIMILAR = {CONSTANT_LUMINANCE: 9, ICTCP: 9}
"""The matrix that an output has instead; for others that of BT.709."""
_PQ = 16
_HLG = 18
_LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
"""Cones' responses by red, green and blue of BT.2020, of linear light (BT.2100)."""
_ICTCP = {
    _PQ: np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]])
    / 4096,
    _HLG: np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096,
}
"""Intensity and differences by cones' responses, by transfer functions (BT.2100)."""
_RED, _BLUE = 0.2627, 0.0593
"""Shares of luminance in BT.2020."""


def to_rgb(values: Values, matrix: int, transfer: int) -> Values:
    """Return red, green and blue of values by a matrix, and the number of a transfer function."""
    if matrix == YCGCO:
        luma, green, orange = np.moveaxis(values, 2, 0)
        rest = luma - green
        return np.stack((rest + orange, luma + green, rest - orange), axis=2)
    to_linear, from_linear = _functions(transfer)
    if matrix == ICTCP:
        to_cones = np.linalg.inv(_ICTCP.get(transfer, _ICTCP[_PQ]))
        linear = to_linear((values @ to_cones.T).clip(0, 1)) @ np.linalg.inv(_LMS).T
        return from_linear(linear.clip(0, 1))
    luma, blue, red = np.moveaxis(values, 2, 0)
    blue = luma + blue * np.where(blue <= 0, 1.9404, 1.5816)
    red = luma + red * np.where(red <= 0, 1.7184, 0.9936)
    light = to_linear(np.stack((red, luma, blue), axis=2).clip(0, 1))
    green = light[:, :, 1] - _RED * light[:, :, 0] - _BLUE * light[:, :, 2]
    green = from_linear((green / (1 - _RED - _BLUE)).clip(0, 1))
    return np.stack((red, green, blue), axis=2)


def _functions(
    transfer: int,
) -> tuple[Callable[[Values], Values], Callable[[Values], Values]]:
    """Return functions to linear light and back; those of BT.2020 unless it is HDR."""
    if transfer == _PQ:
        return _from_pq, _to_pq
    if transfer == _HLG:
        return _from_hlg, _to_hlg
    return _from_bt2020, _to_bt2020


_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 32
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def _from_pq(stored: Values) -> Values:
    power = stored ** (1 / _PQ_M2)
    ratio = np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)
    light: Values = ratio ** (1 / _PQ_M1)
    return light


def _to_pq(light: Values) -> Values:
    power = light**_PQ_M1
    stored: Values = ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2
    return stored


_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073


def _from_hlg(stored: Values) -> Values:
    bright = (np.exp((stored - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return np.where(stored <= 0.5, stored**2 / 3, bright)


def _to_hlg(light: Values) -> Values:
    bright = _HLG_A * np.log(np.maximum(12 * light - _HLG_B, 1e-9)) + _HLG_C
    return np.where(light <= 1 / 12, np.sqrt(3 * light), bright)


_ALPHA, _BETA = 1.09929682680944, 0.018053968510807


def _from_bt2020(stored: Values) -> Values:
    bright = ((stored + _ALPHA - 1) / _ALPHA) ** (1 / 0.45)
    return np.where(stored < 4.5 * _BETA, stored / 4.5, bright)


def _to_bt2020(light: Values) -> Values:
    return np.where(light < _BETA, 4.5 * light, _ALPHA * light**0.45 - (_ALPHA - 1))
