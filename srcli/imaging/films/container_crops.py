"""Parts of frames that containers of videos tell players to show: Matroska's, and MP4's ``clap``.

FFmpeg's decoders leave them to their callers, and PyAV does not tell them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from srcli.imaging.files.isobmff import Crop, parse_clap
from srcli.imaging.films.mov_boxes import read_mov_boxes
from srcli.input_files import open_input

_HEAD_BYTES = 2**21
"""First bytes of a Matroska file, in which its tracks are described."""
_SEGMENT = 0x18538067
_TRACKS = 0x1654AE6B
_ENTRY = 0xAE
_TYPE = 0x83
_VIDEO = 0xE0
_SIDES = (0x54CC, 0x54BB, 0x54DD, 0x54AA)
"""Elements of pixels to cut off at the left, the top, the right and the bottom."""


def read_container_crop(
    path: Path, container: str, height: int, width: int
) -> Crop | None:
    """Return the part of frames of this size that is to be shown; None for all of it.

    ``container`` is FFmpeg's name of the file's format.
    """
    if container.startswith("mov"):
        return parse_clap(read_mov_boxes(path).aperture, width, height)
    if not container.startswith("matroska"):
        return None
    with open_input(path) as stream:
        head = stream.read(_HEAD_BYTES)
    left, top, right, bottom = _matroska_sides(head)
    crop = (left, top, width - right, height - bottom)
    is_possible = crop[0] < crop[2] and crop[1] < crop[3]
    if not is_possible or crop == (0, 0, width, height):
        return None
    return crop


def read_track_elements(path: Path, parent: int, element: int) -> list[bytes]:
    """Return what a Matroska file has in elements of its first track of video.

    They stand inside ``parent``; both are numbers of kinds.
    """
    with open_input(path) as stream:
        head = stream.read(_HEAD_BYTES)
    contents: list[bytes] = []
    for entry in islice(_video_entries(head), 1):
        for outer in _find(entry, parent):
            contents += _find(outer, element)
    return contents


def _matroska_sides(head: bytes) -> tuple[int, int, int, int]:
    """Return the pixels that the first track of video cuts off at each side."""
    for entry in _video_entries(head):
        for video in _find(entry, _VIDEO):
            left, top, right, bottom = (_number(video, element) for element in _SIDES)
            return left, top, right, bottom
    return 0, 0, 0, 0


def _video_entries(head: bytes) -> Iterator[bytes]:
    """Yield the descriptions of all tracks of video."""
    for segment in _find(head, _SEGMENT):
        for tracks in _find(segment, _TRACKS):
            for entry in _find(tracks, _ENTRY):
                if [int.from_bytes(kind) for kind in _find(entry, _TYPE)] == [1]:
                    yield entry


def _number(data: bytes, element: int) -> int:
    return next((int.from_bytes(content) for content in _find(data, element)), 0)


def _find(data: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the contents of all elements of a kind, also of one that goes beyond the data."""
    at = 0
    while at < len(data):
        id_length = 9 - data[at].bit_length()
        element = int.from_bytes(data[at : at + id_length])
        at += id_length
        if at >= len(data) or id_length > 4:
            return
        size_length = 9 - data[at].bit_length()
        if size_length > 8:
            return
        size = int.from_bytes(data[at : at + size_length])
        size &= (1 << 7 * size_length) - 1
        at += size_length
        if size == (1 << 7 * size_length) - 1:  # unknown: to the end
            size = len(data) - at
        if element == wanted:
            yield data[at : at + size]
        at += size
