"""TIFF tags of ImageJ's own: look-up tables, display ranges, labels, overlays.

The layout is that of ImageJ's ``TiffEncoder``: a first tag with the lengths of all
parts, and one with the parts, of which the first lists the kinds of the others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from srcli.imaging.files.tiff_directories import LONG, Entry, Tags

TAGS = (50838, 50839)
"""Lengths of the parts, and the parts."""
_BYTE = 1
_MARKS = {">": b"IJIJ", "<": b"JIJI"}
_NUMPY_TYPES = {
    b"info": "u2",
    b"labl": "u2",
    b"prop": "u2",
    b"rang": "u8",
    b"luts": "u1",
}
"""Kinds of parts that do not depend on pixels, and the numbers that they consist of."""
_NAMES = {b"over": "overlays", b"roi ": "selections", b"plot": "plots"}


def keep_imagej(tags: Tags, order: str) -> tuple[Tags, str]:
    """Return ImageJ's tags for a little-endian file, and what is lost, in words for the user.

    ``order`` is the byte order of the file they come from. Overlays and selections lie
    at pixels of the input.
    """
    if not all(tag in tags for tag in TAGS):
        return {}, ""
    lasting = []
    lost = set()
    try:
        lengths = [int(length) for length in tags[TAGS[0]].numbers]
        for code, content in _read_parts(lengths, tags[TAGS[1]].value, order):
            if code not in _NUMPY_TYPES:
                lost.add(_NAMES.get(code, "further data"))
                continue
            values = np.frombuffer(content, order + _NUMPY_TYPES[code])
            swapped = values.astype("<" + _NUMPY_TYPES[code]).tobytes()
            lasting.append((code, swapped))
    except (ValueError, LookupError, struct.error):
        return {}, "damaged tables and labels of ImageJ left out"
    words = ""
    if lost:
        words = f"{' and '.join(sorted(lost))} of ImageJ left out"
    if not lasting:
        return {}, words
    return _pack_parts(lasting), words


def _read_parts(
    lengths: list[int], data: bytes, order: str
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the code and the content of each part; ValueError for damaged ones."""
    head = data[: lengths[0]]
    if head[:4] != _MARKS[order] or sum(lengths) > len(data) or min(lengths) < 0:
        raise ValueError("parts are missing")
    codes = []
    for code, count in struct.iter_unpack(order + "4sI", head[4:]):
        if count > len(lengths):
            raise ValueError("more parts than lengths")
        codes += [code if order == ">" else code[::-1]] * count
    at = lengths[0]
    for code, length in zip(codes, lengths[1:], strict=True):
        yield code, data[at : at + length]
        at += length


def _pack_parts(parts: list[tuple[bytes, bytes]]) -> Tags:
    """Return both tags, little-endian, for parts in their order."""
    counts: dict[bytes, int] = {}
    for code, _ in parts:
        counts[code] = counts.get(code, 0) + 1
    data = _MARKS["<"]
    for code, count in counts.items():
        data += struct.pack("<4sI", code[::-1], count)
    lengths = [len(data)]
    for code in counts:
        for part_code, content in parts:
            if part_code == code:
                data += content
                lengths.append(len(content))
    packed = struct.pack(f"<{len(lengths)}I", *lengths)
    return {TAGS[0]: Entry(LONG, packed), TAGS[1]: Entry(_BYTE, data)}
