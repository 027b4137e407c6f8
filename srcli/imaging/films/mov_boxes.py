"""Boxes of MP4 and QuickTime that FFmpeg's muxer leaves out: of cameras, XMP, 360 degrees, 3D.

They are taken from the input as they are, and put into the finished output, whose
``moov`` box is the last one. Nothing else in it refers to what lies behind it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

from srcli.files import open_input
from srcli.imaging.files.isobmff import find_box, split_boxes, walk
from srcli.imaging.metadata.xmp import fit_xmp
from srcli.imaging.pixels.arrays import Size
from srcli.imaging.pixels.geometry import PixelMap

_LARGEST = {b"moov": 2**28, b"uuid": 2**24}
"""Bytes of boxes that are read, by their kinds."""
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SPHERICAL_UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_PIXELS = rb"(?<=Pixels>)\s*\d{1,20}\s*(?=<)"
"""A size in XML."""
_SAMPLE_TABLE = (b"mdia", b"minf", b"stbl", b"stsd")
"""Where a track says how its samples are stored."""
_TABLE_BYTES = 8
_ENTRY_BYTES = 78
"""Bytes of the table and of a video's entry in it, in front of their boxes."""
_COPIED_TEXTS = {
    b"\xa9" + name
    for name in b"nam ART alb cmt day gen too swr des cpy grp lyr wrt enc com".split()
} | {b"meta"}
"""Texts that FFmpeg reads and writes itself."""
_STEREO = {1: 2, 2: 1}
"""Layouts of the box ``st3d`` by FFmpeg's: side by side, top and bottom."""

Box = tuple[bytes, bytes]
"""Kind and content."""


@dataclass
class MovBoxes:
    """Boxes of a file beside its sound and pictures, with their kinds."""

    user_data: list[Box] = field(default_factory=list)
    """Boxes of cameras in ``udta``."""
    xmp: bytes = b""
    track: list[Box] = field(default_factory=list)
    """Boxes of the video's track: a mark of 360 degrees, keys of the lens."""
    picture: list[Box] = field(default_factory=list)
    """Boxes of how its pictures are to be shown: 360 degrees, 3D."""

    def without_texts(self) -> MovBoxes:
        """Return what says how pictures are shown, without what tells of them."""
        track = [box for box in self.track if box[0] == b"uuid"]
        return MovBoxes(track=track, picture=self.picture)

    @property
    def is_spherical(self) -> bool:
        """True for pictures of 360 degrees."""
        box_types = [box_type for box_type, _ in chain(self.picture, self.track)]
        return b"sv3d" in box_types or b"uuid" in box_types


def read_mov_boxes(path: Path, stereo: int) -> MovBoxes:
    """Read the boxes of a file; those of other formats, or damaged ones, are empty.

    ``stereo`` is FFmpeg's number of the layout of 3D, of which a box says the same.
    """
    boxes = MovBoxes()
    if stereo in _STEREO:
        boxes.picture.append((b"st3d", bytes(4) + bytes([_STEREO[stereo]])))
    with open_input(path) as stream:
        for box in walk(stream):
            size = box.end - box.start
            if size > _LARGEST.get(box.kind, 0):
                continue
            stream.seek(box.start)
            content = stream.read(size)
            if box.kind == b"moov":
                _read_moov(content, boxes)
            elif content[:16] == _XMP_UUID:
                boxes.xmp = content[16:]
    return boxes


def _read_moov(moov: bytes, boxes: MovBoxes) -> None:
    is_read = False
    for box_type, content in split_boxes(moov):
        if box_type == b"udta":
            _read_user_data(content, boxes)
        elif box_type == b"trak" and not is_read:
            is_read = find_box(content, b"mdia", b"hdlr")[8:12] == b"vide"
            if is_read:
                _read_track(content, boxes)


def _read_user_data(user_data: bytes, boxes: MovBoxes) -> None:
    for box_type, content in split_boxes(user_data):
        if box_type == b"XMP_":
            boxes.xmp = content
        elif box_type not in _COPIED_TEXTS and len(content) <= _LARGEST[b"uuid"]:
            boxes.user_data.append((box_type, content))


def _read_track(track: bytes, boxes: MovBoxes) -> None:
    for box_type, content in split_boxes(track):
        is_sphere = box_type == b"uuid" and content[:16] == _SPHERICAL_UUID
        if is_sphere or box_type == b"meta":
            boxes.track.append((box_type, content))
    entries = split_boxes(find_box(track, *_SAMPLE_TABLE)[_TABLE_BYTES:])
    for _, entry in entries[:1]:
        for box_type, content in split_boxes(entry[_ENTRY_BYTES:]):
            if box_type == b"sv3d":
                boxes.picture.append((box_type, content))


def write_mov_boxes(
    stream: IO[bytes], boxes: MovBoxes, before: Size, after: Size, *, is_mov: bool
) -> None:
    """Put boxes into a finished file, an MP4 or a QuickTime movie, open to read and write.

    ``before`` and ``after`` are (height, width) of the pictures that the boxes were
    made for, and of those in the file, whose first track they are.
    """
    if boxes == MovBoxes():
        return
    stream.flush()
    *_, movie = walk(stream)
    if movie.kind != b"moov":  # what follows it would move
        return
    user_data = list(boxes.user_data)
    xmp = b""
    if boxes.xmp:
        xmp, _ = fit_xmp(boxes.xmp, PixelMap(before, after))
        if is_mov:
            user_data.append((b"XMP_", xmp))
    track = b""
    for box_type, content in boxes.track:
        if box_type == b"uuid":
            content = _scale_sphere(content, after[1] / before[1])
        track += _pack(box_type, content)
    stream.seek(movie.start)
    moov = stream.read()
    moov = _edit(moov, [b"trak"], lambda content: content + track)
    moov = _edit(
        moov,
        [b"trak", *_SAMPLE_TABLE],
        lambda table: _extend_entry(table, boxes.picture),
    )
    if not find_box(moov, b"udta"):
        moov += _pack(b"udta", b"")
    moov = _edit(moov, [b"udta"], lambda content: _add_missing(content, user_data))
    stream.seek(movie.start - 8)
    stream.write(_pack(b"moov", moov))
    if xmp and not is_mov:
        stream.write(_pack(b"uuid", _XMP_UUID + xmp))
    stream.truncate()


def _edit(data: bytes, path: Sequence[bytes], edit: Callable[[bytes], bytes]) -> bytes:
    """Change the content of the first box at a path."""
    if not path:
        return edit(data)
    changed = b""
    is_done = False
    for box_type, content in split_boxes(data):
        if box_type == path[0] and not is_done:
            is_done = True
            content = _edit(content, path[1:], edit)
        changed += _pack(box_type, content)
    return changed


def _add_missing(content: bytes, boxes: Sequence[Box]) -> bytes:
    """Add boxes to the content of one, but for kinds that are there."""
    present = dict(split_boxes(content))
    for box_type, added in boxes:
        if box_type not in present:
            content += _pack(box_type, added)
    return content


def _extend_entry(table: bytes, boxes: Sequence[Box]) -> bytes:
    """Add boxes to the sample entry of a table ``stsd``."""
    ((box_type, entry),) = split_boxes(table[_TABLE_BYTES:])
    for box in boxes:
        entry += _pack(*box)
    return table[:_TABLE_BYTES] + _pack(box_type, entry)


def _pack(box_type: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), box_type) + content


def _scale_sphere(content: bytes, factor: float) -> bytes:
    """Change the sizes in pixels in the XML of Spherical Video V1."""

    def scale(size: re.Match[bytes]) -> bytes:
        return str(round(int(size[0]) * factor)).encode()

    return re.sub(_PIXELS, scale, content)
