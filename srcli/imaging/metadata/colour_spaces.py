"""Descriptions of colours that are no ICC profile: code points (CICP), gamma and primaries.

Every such label is turned into an ICC profile (version 4.4, of a display) that says the
same, for the formats that hold only those; PNG and AVIF keep the label itself.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.metadata.embedded import ICC_SPACES, ColourSpace, PngChunks
from srcli.imaging.pixels.arrays import Array

Curve = tuple[float, ...] | NDArray[np.float64]
"""From stored values 0..1 to light 0..1: the exponent alone; or (g, a, b, c, d) of
``(a * v + b) ** g``, below d ``c * v``; or samples at equal steps."""

SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""Primaries of sRGB and BT.709: CIE x and y of white, red, green, blue."""
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
ADOBE_RGB = (*SRGB[:2], 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_CURVE = (563 / 256,)
_D65 = SRGB[:2]
_XY_TOLERANCE = 0.002  # of CIE x and y
_VIDEO_CURVE = (1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.08124)
_SMPTE_170M = (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)
_UNSPECIFIED = 2
RGB_FULL_RANGE = b"\0\1"
"""The end of code points: no matrix, full range."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
# Code points of ITU-T H.273, but for those of film and of televisions before HDTV.
_PRIMARIES = {
    1: SRGB,
    _UNSPECIFIED: SRGB,
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_CURVES: Mapping[int, Curve] = dict.fromkeys((1, 6, 11, 12, 14, 15), _VIDEO_CURVE) | {
    4: (2.2,),
    _UNSPECIFIED: SRGB_CURVE,
    8: (1.0,),
    13: SRGB_CURVE,
    17: (2.6,),
}
_WHITE_NITS = 203.0  # cd/m2 of white paper in HDR (ITU-R BT.2408)
_BRIGHTEST_NITS = 1000.0  # cd/m2 that become the white of SDR
_CURVE_SAMPLES = 4096
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""What cones of the eye see of X, Y and Z, by which colours are adapted to a white."""
_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of all profiles
# Bytes.
_ICC_HEADER = 128
_ICC_TAG = 12
_CICP_OF_PROFILE = re.compile(rb"cicp\0{4}(..)", re.DOTALL)


def hdr_of(colour_space: ColourSpace | None, icc: bytes | None) -> str | None:
    """Return ``"PQ"`` or ``"HLG"`` if a label or a profile says that a picture is HDR."""
    if (
        colour_space is not None
        and colour_space.cicp is not None
        and colour_space.cicp[1] in _HDR_TRANSFERS
    ):
        return _HDR_TRANSFERS[colour_space.cicp[1]]
    match = _CICP_OF_PROFILE.search(icc or b"")
    if match is None:
        return None
    return _HDR_TRANSFERS.get(match[1][1])


def from_cicp(
    cicp: bytes, channels: int, notes: list[str], chunks: PngChunks = ()
) -> ColourSpace | None:
    """Return the label of code points of ITU-T H.273; None, and a note, where they are not known.

    The curve of BT.709 beside its primaries is taken as sRGB: encoders write it for
    pictures that are sRGB, and programs show them so.
    """
    primaries, transfer = cicp[:2].ljust(2, b"\0")
    xy = _PRIMARIES.get(primaries)
    curve = _tone_curve(transfer)
    if xy is None or curve is None or cicp[2:] != RGB_FULL_RANGE:
        points = "/".join(map(str, cicp.removesuffix(RGB_FULL_RANGE)))
        notes.append(
            f"colours of a kind that srx does not know (CICP {points}): only png and avif keep them"
        )
        return None
    if (
        xy == SRGB
        and transfer not in _HDR_TRANSFERS
        and curve in (SRGB_CURVE, _VIDEO_CURVE)
    ):
        return ColourSpace(None, cicp, chunks)
    name = f"CICP {primaries}/{transfer}"
    profile = _make_profile(name, xy, curve, channels=channels, cicp=cicp)
    return ColourSpace(profile, cicp, chunks)


def from_primaries(
    xy: Sequence[float] | None,
    curve: tuple[float, ...],
    channels: int,
    notes: list[str],
    chunks: PngChunks = (),
) -> ColourSpace | None:
    """Return the label of primaries and a tone curve; None if they are sRGB without chunks.

    Primaries are CIE x and y of white, red, green, blue, or None for sRGB's. The notes
    get a line for values that are impossible.
    """
    plain = None
    if chunks:
        plain = ColourSpace(None, None, chunks)
    if xy is None:
        xy = SRGB
    try:
        has_srgb_points = channels == 1 or np.allclose(
            xy, SRGB, rtol=0, atol=_XY_TOLERANCE
        )
        if has_srgb_points and _is_srgb(curve):
            return plain
        profile = _make_profile("Colours of the original", xy, curve, channels=channels)
    except ValueError:
        notes.append(
            "a description of colours that is impossible: they are taken as sRGB"
        )
        return plain
    return ColourSpace(profile, None, chunks)


def _is_srgb(curve: tuple[float, ...]) -> bool:
    """Tell if a tone curve is that of sRGB, or so close that programs take it for that."""
    if len(curve) == 1:
        return abs(1 / curve[0] - 0.45455) < 0.005
    return curve == SRGB_CURVE


def _tone_curve(transfer: int) -> Curve | None:
    """Return a tone curve; of HDR one that compresses bright parts as a display of SDR must."""
    if transfer not in _HDR_TRANSFERS:
        return _CURVES.get(transfer)
    value = np.linspace(0, 1, _CURVE_SAMPLES)
    if transfer == 16:
        root = value ** (1 / 78.84375)
        ratio = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        light = 10000 * ratio ** (1 / 0.1593017578125)
    else:
        bright = (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = _BRIGHTEST_NITS * np.where(value <= 0.5, value**2 / 3, bright) ** 1.2
    # Reinhard's curve: white paper becomes a light gray, the brightest white
    light = light / _WHITE_NITS
    brightest = _BRIGHTEST_NITS / _WHITE_NITS
    toned: Curve = np.minimum(light * (1 + light / brightest**2) / (1 + light), 1)
    return toned


def _make_profile(
    name: str,
    primaries: Sequence[float],
    curve: Curve,
    *,
    channels: int,
    cicp: bytes | None = None,
) -> bytes:
    """Return an ICC profile; ValueError is raised for primaries that span no colours."""
    matrix, adaptation = _to_d50(np.asarray(primaries, np.float64))
    tags = {
        b"desc": _pack_text(name),
        b"cprt": _pack_text("No copyright"),
        b"wtpt": _pack_xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + _pack_fixed(adaptation),
    }
    if channels == 1:
        tags[b"kTRC"] = _pack_curve(curve)
    else:
        for index, colour in enumerate((b"r", b"g", b"b")):
            tags[colour + b"XYZ"] = _pack_xyz(matrix[:, index])
            tags[colour + b"TRC"] = _pack_curve(curve)
    if cicp is not None:
        tags[b"cicp"] = b"cicp\0\0\0\0" + cicp
    return _pack_profile(ICC_SPACES[channels], tags)


def _pack_profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return an ICC profile of a colour space with the given tags, equal contents once."""
    table = struct.pack(">I", len(tags))
    blocks = b""
    offsets = {}
    start = _ICC_HEADER + 4 + _ICC_TAG * len(tags)
    for tag, content in tags.items():
        if content not in offsets:
            offsets[content] = start + len(blocks)
            blocks += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", tag, offsets[content], len(content))
    size = start + len(blocks)
    head = struct.pack(">I4xI4s4s4s", size, 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s28x", 2024, 1, 1, 0, 0, 0, b"acsp") + _pack_fixed(_D50)
    return head.ljust(_ICC_HEADER, b"\0") + table + blocks


def _to_d50(xy: Array) -> tuple[Array, Array]:
    """Return the XYZ of red, green and blue as columns, seen under D50, and the adaptation."""
    x = xy[::2]
    y = xy[1::2]
    # impossible primaries are refused when packed
    with np.errstate(all="ignore"):
        points = np.array([x / y, np.ones(4), (1 - x - y) / y])
        matrix = points[:, 1:] * np.linalg.solve(points[:, 1:], points[:, 0])
        gains = np.diag((BRADFORD @ _D50) / (BRADFORD @ points[:, 0]))
        adaptation = np.linalg.inv(BRADFORD) @ gains @ BRADFORD
        return adaptation @ matrix, adaptation


def _pack_fixed(values: Array) -> bytes:
    """Pack numbers as s15Fixed16Number."""
    scaled = np.rint(np.asarray(values, np.float64) * 65536)
    if not np.abs(scaled).max(initial=0) < 2**31:  # nor NaN
        raise ValueError("primaries that are no colours")
    return scaled.astype(">i4").tobytes()


def _pack_xyz(values: Array) -> bytes:
    return b"XYZ \0\0\0\0" + _pack_fixed(values)


def _pack_curve(curve: Curve) -> bytes:
    """Pack a tone curve as ``curv`` (samples) or ``para`` (a formula)."""
    if isinstance(curve, np.ndarray):
        values = np.rint(np.clip(curve, 0, 1) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()
    formula = 0 if len(curve) == 1 else 3
    return (
        b"para\0\0\0\0" + struct.pack(">HH", formula, 0) + _pack_fixed(np.array(curve))
    )


def _pack_text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    head = struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28)
    return b"mluc\0\0\0\0" + head + data
