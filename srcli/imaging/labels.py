"""Descriptions of colours that are no ICC profile: code points (CICP), gamma and primaries.

Every such label is turned into an ICC profile that says the same, for the formats that hold only
those; PNG and AVIF keep the label itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.icc import cicp_of, make_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.imaging.icc import Curve

SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""Primaries of sRGB and BT.709: CIE x and y of white, red, green, blue."""
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
ADOBE_RGB = (*SRGB[:2], 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_CURVE = (563 / 256,)
_D65, _C = SRGB[:2], (0.31, 0.316)
_CLOSE = 0.002  # of CIE x and y
_VIDEO = (1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.08124)
_SMPTE_240M = (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913)
_SMPTE_170M = (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)
_UNSAID = 2
_HDR = {16: "PQ", 18: "HLG"}
# Code points of ITU-T H.273.
_PRIMARIES = {
    1: SRGB,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
_CURVES: Mapping[int, Curve] = dict.fromkeys((1, 6, 11, 12, 14, 15), _VIDEO) | {
    4: (2.2,),
    5: (2.8,),
    7: _SMPTE_240M,
    8: (1.0,),
    13: SRGB_CURVE,
    17: (2.6,),
}
_WHITE = 203.0  # cd/m2 of white paper in HDR (ITU-R BT.2408)
_BRIGHTEST = 1000.0  # cd/m2 that become the white of SDR
_SAMPLES = 4096


@dataclass(frozen=True)
class ColourLabel:
    """The colours of a picture as its file describes them without an ICC profile."""

    profile: bytes | None
    """An ICC profile that says the same; None if that is sRGB, or not known."""
    cicp: bytes | None = None
    """Code points of ITU-T H.273: primaries, transfer function, matrix 0, full range 1."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Type and content of the chunks of a PNG file that describe them."""

    @property
    def hdr(self) -> str | None:
        """``"PQ"`` or ``"HLG"``; None for colours of standard range."""
        return None if self.cicp is None else _HDR.get(self.cicp[1])


def hdr_of(label: ColourLabel | None, icc: bytes | None) -> str | None:
    """Return ``"PQ"`` or ``"HLG"`` if a label or a profile says that a picture is HDR."""
    if label is not None and label.hdr:
        return label.hdr
    cicp = None if icc is None else cicp_of(icc)
    return None if cicp is None else _HDR.get(cicp[1])


def is_known(primaries: int, transfer: int) -> bool:
    """Return True if ``from_cicp`` can tell the colours of code points of ITU-T H.273."""
    return primaries in {_UNSAID, *_PRIMARIES} and transfer in {_UNSAID, *_CURVES, *_HDR}


def unknown(cicp: bytes) -> str:
    """Return a warning about code points for which ``is_known`` is false."""
    points = "/".join(str(one) for one in cicp)
    return f"colours of a kind that srx does not know (CICP {points}): only png and avif keep them"


def from_cicp(
    primaries: int,
    transfer: int,
    channels: int,
    chunks: tuple[tuple[bytes, bytes], ...] = (),
) -> ColourLabel:
    """Return the label of code points for which ``is_known`` is true.

    The curve of BT.709 beside its primaries is taken as sRGB: encoders write it for pictures that
    are sRGB, and programs show them so.

    Args:
        primaries: Of ITU-T H.273.
        transfer: Of ITU-T H.273.
        channels: Of the picture, 1 or 3.
        chunks: Of a PNG file.
    """
    cicp = bytes((primaries, transfer, 0, 1))
    xy = _PRIMARIES[1 if primaries == _UNSAID else primaries]
    curve = _curve(13 if transfer == _UNSAID else transfer)
    if xy == SRGB and transfer not in _HDR and curve in (SRGB_CURVE, _VIDEO):
        return ColourLabel(None, cicp, chunks)
    name = f"CICP {primaries}/{transfer}"
    return ColourLabel(make_profile(name, xy, [curve], channels=channels, cicp=cicp), cicp, chunks)


def from_primaries(
    xy: Sequence[float] | None,
    curves: Sequence[Curve],
    channels: int,
    notes: list[str],
    chunks: tuple[tuple[bytes, bytes], ...] = (),
) -> ColourLabel | None:
    """Return the label of primaries and tone curves; None if they are sRGB, and no chunks given.

    Args:
        xy: CIE x and y of white, red, green, blue; None stands for sRGB's.
        curves: For all channels, or one for each.
        channels: Of the picture, 1 or 3.
        notes: Gets a line for values that are impossible.
        chunks: Of a PNG file.
    """
    plain = ColourLabel(None, None, chunks) if chunks else None
    xy = SRGB if xy is None else xy
    try:
        same = channels == 1 or np.allclose(xy, SRGB, rtol=0, atol=_CLOSE)
        if same and all(_is_srgb(curve) for curve in curves):
            return plain
        profile = make_profile("Colours of the original", xy, curves, channels=channels)
    except ValueError:
        notes.append("a description of colours that is impossible: they are taken as sRGB")
        return plain
    return ColourLabel(profile, None, chunks)


def _is_srgb(curve: Curve) -> bool:
    if isinstance(curve, np.ndarray):
        values = np.linspace(0, 1, len(curve))
        exact = np.where(values < 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return bool(np.abs(curve - exact).max() < 0.01)
    return curve == SRGB_CURVE or (len(curve) == 1 and abs(1 / curve[0] - 0.45455) < 0.005)


def _curve(transfer: int) -> Curve:
    """Return the tone curve; of HDR one that compresses bright parts as a display of SDR must."""
    if transfer not in _HDR:
        return _CURVES[transfer]
    value = np.linspace(0, 1, _SAMPLES)
    if transfer == 16:
        root = value ** (1 / 78.84375)
        part = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        light = 10000 * part ** (1 / 0.1593017578125)
    else:
        bright = (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = _BRIGHTEST * np.where(value <= 0.5, value**2 / 3, bright) ** 1.2
    # Reinhard's curve: white paper becomes a light gray, the brightest white
    light, top = light / _WHITE, _BRIGHTEST / _WHITE
    toned: Curve = np.minimum(light * (1 + light / top**2) / (1 + light), 1)
    return toned
