"""Boxes of MP4 and QuickTime that FFmpeg's muxer leaves out: of cameras, XMP, 360 degrees, 3D.

They are taken from the input as they are, and put into the finished output, whose
``moov`` box is the last one. Nothing else in it refers to what lies behind it.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

from srcli.imaging.files.isobmff import find_box, split_boxes, walk
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.metadata.xmp import fit_xmp
from srcli.imaging.pixels.arrays import Size
from srcli.input_files import open_input

_LARGEST_MOOV = 2**28
_LARGEST_BOX = 2**24
"""Bytes of one that is copied."""
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SPHERICAL_UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_LONGEST_NUMBER = 20
_SAMPLE_ENTRY_BYTES = 78
"""Bytes of a video's sample entry in front of its boxes."""
_COPIED_TEXTS = {
    b"\xa9" + name
    for name in (
        b"nam", b"ART", b"alb", b"cmt", b"day", b"gen", b"too", b"swr", b"des", b"cpy", b"grp",
        b"lyr", b"wrt", b"enc", b"com",
    )
} | {b"meta"}  # fmt: skip
"""Texts that FFmpeg reads and writes itself."""
_STEREO = {0: 0, 1: 2, 2: 1}
"""Layouts of the box ``st3d`` by FFmpeg's: none, side by side, top and bottom."""

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


def read_mov_boxes(path: Path) -> MovBoxes:
    """Read the boxes of a file; those of other formats, or damaged ones, are empty."""
    boxes = MovBoxes()
    with open_input(path) as stream:
        for box in walk(stream):
            size = box.end - box.start
            stream.seek(box.start)
            if box.kind == b"moov" and size <= _LARGEST_MOOV:
                _read_moov(stream.read(size), boxes)
            elif box.kind == b"uuid" and 16 < size <= _LARGEST_BOX:
                content = stream.read(size)
                if content[:16] == _XMP_UUID:
                    boxes.xmp = content[16:]
    return boxes


def write_mov_boxes(
    stream: IO[bytes], boxes: MovBoxes, before: Size, after: Size, *, is_mov: bool
) -> None:
    """Put boxes into a finished file, an MP4 or a QuickTime movie, open to read and write.

    ``before`` and ``after`` are (height, width) of the pictures that the boxes were
    made for, and of those in the file.
    """
    if boxes == MovBoxes():
        return
    xmp = boxes.xmp
    if xmp:
        fitted, _ = fit_xmp(xmp, PixelMap(before, after))
        xmp = fitted or b""
    stream.flush()
    length = stream.seek(0, os.SEEK_END)
    starts = []
    for box in walk(stream):
        if box.kind == b"moov" and box.end == length:  # else what follows would move
            starts.append(box.start)
    if not starts:
        return
    (start,) = starts
    stream.seek(start)
    moov = stream.read()
    factor = after[1] / before[1]
    moov = _change_track(moov, boxes, factor)
    user_data = list(boxes.user_data)
    if xmp and is_mov:
        user_data.append((b"XMP_", xmp))
    if user_data:
        moov = _add_user_data(moov, user_data)
    stream.seek(start - 8)
    stream.write(_pack(b"moov", moov))
    if xmp and not is_mov:
        stream.write(_pack(b"uuid", _XMP_UUID + xmp))
    stream.truncate()


def stereo_box(layout: int) -> Box | None:
    """Return the box of 3D for FFmpeg's number of a layout; None for those it does not know."""
    if layout not in _STEREO:
        return None
    return b"st3d", bytes(4) + bytes([_STEREO[layout]])


def _pack(box_type: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), box_type) + content


def _read_moov(moov: bytes, result: MovBoxes) -> None:
    for box_type, content in split_boxes(moov):
        if box_type == b"udta":
            _read_user_data(content, result)
        elif box_type == b"trak" and not result.track and _is_video(content):
            _read_track(content, result)


def _read_user_data(content: bytes, result: MovBoxes) -> None:
    for box_type, value in split_boxes(content):
        if box_type == b"XMP_":
            result.xmp = value
        elif box_type not in _COPIED_TEXTS and len(value) <= _LARGEST_BOX:
            result.user_data.append((box_type, value))


def _read_track(track: bytes, result: MovBoxes) -> None:
    for box_type, content in split_boxes(track):
        is_sphere = box_type == b"uuid" and content[:16] == _SPHERICAL_UUID
        if is_sphere or box_type == b"meta":
            result.track.append((box_type, content))
    for _, entry in split_boxes(_sample_entries(track)):
        for box_type, content in split_boxes(entry[_SAMPLE_ENTRY_BYTES:]):
            if box_type in (b"st3d", b"sv3d"):
                result.picture.append((box_type, content))
        return


def _is_video(track: bytes) -> bool:
    return find_box(track, b"mdia", b"hdlr")[8:12] == b"vide"


def _sample_entries(track: bytes) -> bytes:
    return find_box(track, b"mdia", b"minf", b"stbl", b"stsd")[8:]


def _add_user_data(moov: bytes, boxes: Sequence[Box]) -> bytes:
    """Add boxes to ``udta``, but for kinds that are there."""
    present = find_box(moov, b"udta")
    box_types = {box_type for box_type, _ in split_boxes(present)}
    added = present
    for box_type, content in boxes:
        if box_type not in box_types:
            added += _pack(box_type, content)
    boxes_before = [box for box in split_boxes(moov) if box[0] != b"udta"]
    return b"".join(_pack(*box) for box in (*boxes_before, (b"udta", added)))


def _change_track(moov: bytes, boxes: MovBoxes, factor: float) -> bytes:
    """Add boxes to the first track of video, and to its sample entry."""
    changed = b""
    is_done = False
    for box_type, content in split_boxes(moov):
        if box_type == b"trak" and not is_done and _is_video(content):
            is_done = True
            for inner_type, track_content in boxes.track:
                if inner_type == b"uuid":
                    track_content = _scale_sphere(track_content, factor)
                content += _pack(inner_type, track_content)
            if boxes.picture:
                path = (b"mdia", b"minf", b"stbl", b"stsd")
                content = _edit(
                    content, path, lambda table: _extend_entry(table, boxes.picture)
                )
        changed += _pack(box_type, content)
    return changed


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


def _extend_entry(table: bytes, boxes: Sequence[Box]) -> bytes:
    """Add boxes to the first sample entry of a table ``stsd``."""
    head = table[:8]
    (box_type, entry), *further = split_boxes(table[8:])
    entry += b"".join(_pack(*box) for box in boxes)
    return head + _pack(box_type, entry) + b"".join(_pack(*box) for box in further)


def _scale_sphere(content: bytes, factor: float) -> bytes:
    """Change the sizes in pixels in the XML of Spherical Video V1."""
    parts = content.split(b"Pixels>")
    result = io.BytesIO()
    for number, part in enumerate(parts):
        if number % 2:  # the number and the start of the closing tag
            value, mark, tag = part.partition(b"<")
            if value.strip().isdigit() and len(value) <= _LONGEST_NUMBER:
                value = str(round(int(value) * factor)).encode()
            part = value + mark + tag
        if number:
            result.write(b"Pixels>")
        result.write(part)
    return result.getvalue()
