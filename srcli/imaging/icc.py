"""Make ICC profiles (version 4.4) of displays from primaries and tone curves."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Curve = tuple[float, ...] | NDArray[np.float64]
    """From stored values 0..1 to light 0..1: the exponent alone; or (g, a, b, c, d) of
    ``(a * v + b) ** g``, below d ``c * v``; or samples at equal steps."""

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of all profiles
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_KINDS = {1: b"GRAY", 3: b"RGB "}
_HEADER, _TAG = 128, 12  # bytes
_CICP = b"cicp"


def make_profile(
    name: str,
    primaries: Sequence[float],
    curves: Sequence[Curve],
    *,
    channels: int,
    cicp: bytes | None = None,
) -> bytes:
    """Return an ICC profile.

    Args:
        name: A description for users, ASCII.
        primaries: CIE x and y of white, red, green, blue.
        curves: For all channels, or one for each.
        channels: 1 (gray) or 3 (RGB).
        cicp: Four bytes of ITU-T H.273 that say the same, for programs that read them.

    Raises:
        ValueError: If the primaries span no colours.
    """
    matrix, adaptation = _to_d50(np.asarray(primaries, np.float64))
    tags = {
        b"desc": _text(name),
        b"cprt": _text("No copyright"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(adaptation),
    }
    if channels == 1:
        tags[b"kTRC"] = _curve(curves[0])
    else:
        for index, colour in enumerate((b"r", b"g", b"b")):
            tags[colour + b"XYZ"] = _xyz(matrix[:, index])
            tags[colour + b"TRC"] = _curve(curves[index % len(curves)])
    if cicp is not None:
        tags[_CICP] = b"cicp\0\0\0\0" + cicp
    return _pack(tags, _KINDS[channels])


def cicp_of(icc: bytes) -> bytes | None:
    """Return the code points that a profile holds beside its curves, if any."""
    for at in range(_HEADER + 4, min(_HEADER + 4 + 100 * _TAG, len(icc)), _TAG):
        if icc[at : at + 4] == _CICP:
            start = int.from_bytes(icc[at + 4 : at + 8]) + 8
            return icc[start : start + 4] if start + 4 <= len(icc) else None
    return None


def _pack(tags: dict[bytes, bytes], kind: bytes) -> bytes:
    table, blocks = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}  # equal contents are stored once
    start = _HEADER + 4 + _TAG * len(tags)
    for tag, content in tags.items():
        if content not in places:
            places[content] = start + len(blocks)
            blocks += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", tag, places[content], len(content))
    size = start + len(blocks)
    head = struct.pack(">I4xI4s4s4s", size, 0x04400000, b"mntr", kind, b"XYZ ")
    head += struct.pack(">6H4s28x", 2024, 1, 1, 0, 0, 0, b"acsp") + _fixed(_D50)
    return head.ljust(_HEADER, b"\0") + table + blocks


def _to_d50(xy: Array) -> tuple[Array, Array]:
    """Return the XYZ of red, green and blue as columns, seen under D50, and the adaptation."""
    if xy.shape != (8,) or not np.isfinite(xy).all() or np.any(xy[1::2] == 0):
        raise ValueError("primaries that are no colours")
    x, y = xy[::2], xy[1::2]
    points = np.array([x / y, np.ones(4), (1 - x - y) / y])
    if abs(np.linalg.det(points[:, 1:])) < 1e-6:
        raise ValueError("primaries that span no colours")
    white = points[:, 0]
    matrix = points[:, 1:] * np.linalg.solve(points[:, 1:], white)
    gains = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adaptation = np.linalg.inv(_BRADFORD) @ gains @ _BRADFORD
    return adaptation @ matrix, adaptation


def _fixed(values: Array) -> bytes:
    """Pack as s15Fixed16Number."""
    whole = np.rint(np.asarray(values, np.float64) * 65536)
    if np.abs(whole).max(initial=0) >= 2**31:
        raise ValueError("primaries that are no colours")
    return whole.astype(">i4").tobytes()


def _xyz(values: Array) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _curve(curve: Curve) -> bytes:
    if isinstance(curve, np.ndarray):
        values = np.rint(np.clip(curve, 0, 1) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()
    kind = 0 if len(curve) == 1 else 3
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(np.array(curve))


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data
