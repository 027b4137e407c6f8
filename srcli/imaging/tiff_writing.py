"""Write TIFF files of 8, 16 and 32 bits with their metadata; BigTIFF where 4 GB may not do."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging import exif
from srcli.imaging.deflate import effort_for
from srcli.imaging.ifd import Entry, Layout, write_start
from srcli.imaging.tiff import DESCRIPTIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.photograph import Metadata

    Array = NDArray[Any]

_STRIP_BYTES = 2**19
_LARGEST_CLASSIC = 2**32 - 2**26
_SHORT, _LONG, _RATIONAL, _BYTE, _UNDEFINED, _LONG8 = 3, 4, 5, 1, 7, 16
_DEFLATE = 8
_WHOLE, _FLOAT = 1, 3  # sample formats
_PREDICTORS = {_WHOLE: 2, _FLOAT: 3}
_INCH = 2
_UNMULTIPLIED_ALPHA = 2


def write(stream: IO[bytes], values: Array, metadata: Metadata) -> None:
    """Write one picture.

    Args:
        stream: An empty file that can be sought in.
        values: (H, W, C), uint8, uint16 or float32, C = 1 to 4 with alpha last.
        metadata: What to embed.
    """
    described, parts, order = _description(metadata)
    layout = Layout(order, big=values.nbytes > _LARGEST_CLASSIC)
    stream.write(write_start(layout, 0))
    offsets, lengths, rows = _write_strips(stream, values, order)
    end = stream.tell()
    stream.write(bytes(end % 2))
    start = end + end % 2
    entries = [*_structure(values, layout, rows), *_embedded(metadata, layout), *described]
    kind = _LONG8 if layout.big else _LONG
    entries += [_entry(273, kind, layout, *offsets), _entry(279, kind, layout, *lengths)]
    stream.write(exif.pack(entries, parts, start, layout))
    stream.seek(0)
    stream.write(write_start(layout, start))
    stream.seek(0, 2)


def _description(metadata: Metadata) -> tuple[list[Entry], dict[int, list[Entry]], str]:
    """What the EXIF block says about the photograph; the file takes over its byte order."""
    if metadata.exif is None:
        return [], {}, "<"
    main, parts, layout = exif.directories(metadata.exif)
    return [entry for entry in main if entry.tag in DESCRIPTIVE], parts, layout.order


def _write_strips(stream: IO[bytes], values: Array, order: str) -> tuple[list[int], list[int], int]:
    height, width, channels = values.shape
    rows = min(max(_STRIP_BYTES // (width * channels * values.dtype.itemsize), 1), height)
    effort = effort_for(_predicted(values[height // 2 : height // 2 + min(rows, 64)], order))
    offsets, lengths = [], []
    for start in range(0, height, rows):
        strip = effort.pack(_predicted(values[start : start + rows], order))
        offsets.append(stream.tell())
        lengths.append(len(strip))
        stream.write(strip)
    return offsets, lengths, rows


def _predicted(block: Array, order: str) -> bytes:
    """Rows as differences from the left neighbour, which pack better."""
    rows, width, channels = block.shape
    if block.dtype.kind == "f":
        # the bytes of a row are sorted by significance first, then taken as one long row
        raw = np.ascontiguousarray(block, dtype=">f4").view(np.uint8)
        planes = raw.reshape(rows, width * channels, 4).swapaxes(1, 2).reshape(rows, -1)
        out = planes.copy()
        out[:, channels:] -= planes[:, :-channels]
        return out.tobytes()
    out = block.copy()
    out[:, 1:] -= block[:, :-1]
    return out.astype(out.dtype.newbyteorder("<" if order == "<" else ">"), copy=False).tobytes()


def _structure(values: Array, layout: Layout, rows: int) -> list[Entry]:
    height, width, channels = values.shape
    bits = values.dtype.itemsize * 8
    sample_format = _FLOAT if values.dtype.kind == "f" else _WHOLE
    entries = [
        _entry(254, _LONG, layout, 0),
        _entry(256, _LONG, layout, width),
        _entry(257, _LONG, layout, height),
        _entry(258, _SHORT, layout, *[bits] * channels),
        _entry(259, _SHORT, layout, _DEFLATE),
        _entry(262, _SHORT, layout, 1 if channels < 3 else 2),
        _entry(exif.ORIENTATION, _SHORT, layout, 1),
        _entry(277, _SHORT, layout, channels),
        _entry(278, _LONG, layout, rows),
        _entry(284, _SHORT, layout, 1),
        _entry(317, _SHORT, layout, _PREDICTORS[sample_format]),
        _entry(339, _SHORT, layout, *[sample_format] * channels),
    ]
    if channels in (2, 4):
        entries.append(_entry(338, _SHORT, layout, _UNMULTIPLIED_ALPHA))
    return entries


def _embedded(metadata: Metadata, layout: Layout) -> list[Entry]:
    entries = []
    if metadata.dpi is not None:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            fraction = Fraction(min(value, 1e6)).limit_denominator(4000)
            entries.append(_entry(tag, _RATIONAL, layout, fraction.numerator, fraction.denominator))
        entries.append(_entry(296, _SHORT, layout, _INCH))
    if metadata.xmp:
        entries.append(Entry(700, _BYTE, len(metadata.xmp), metadata.xmp))
    if metadata.icc:
        entries.append(Entry(34675, _UNDEFINED, len(metadata.icc), metadata.icc))
    return entries


def _entry(tag: int, kind: int, layout: Layout, *values: int) -> Entry:
    code = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _LONG8: "Q"}[kind]
    count = len(values) // 2 if kind == _RATIONAL else len(values)
    return Entry(tag, kind, count, struct.pack(f"{layout.order}{len(values)}{code}", *values))
