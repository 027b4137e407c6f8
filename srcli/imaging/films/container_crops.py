"""What containers of videos say and FFmpeg does not tell: parts to show, names of chapters.

The parts of frames are those of Matroska, and of MP4's ``clap``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
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
_CHAPTERS = 0x1043A770
_EDITION = 0x45B9
_ATOM = 0xB6
_DISPLAY = 0x80
_LANGUAGE = 0x437C
_LONGEST_HEADER = 12
"""Bytes of a number and a size."""
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


def lost_of_chapters(path: Path, container: str) -> list[str]:
    """Name what FFmpeg does not copy of the chapters of a Matroska file, in words."""
    if not container.startswith("matroska"):
        return []
    editions = list(_find(_read_child(path, _CHAPTERS), _EDITION))
    lost = []
    if len(editions) > 1:
        lost.append("bounds between editions")  # all become one list
    atoms = [atom for edition in editions for atom in _find(edition, _ATOM)]
    inner = [child for atom in atoms for child in _find(atom, _ATOM)]
    if inner:
        lost.append("chapters within chapters")
    displays = [list(_find(atom, _DISPLAY)) for atom in (*atoms, *inner)]
    if any(len(names) > 1 for names in displays):
        lost.append("names in further languages")
    for display in chain.from_iterable(displays):
        languages = list(_find(display, _LANGUAGE)) or [b"eng"]
        if any(language.rstrip(b"\0") != b"und" for language in languages):
            return [*lost, "languages of names"]
    return lost


def _read_child(path: Path, wanted: int) -> bytes:
    """Read an element of a Matroska file that stands anywhere in it; empty for none."""
    with open_input(path) as stream:
        while head := stream.read(_LONGEST_HEADER):
            header = _read_element_header(head, 0)
            if header is None:
                break
            element, length, size = header
            stream.seek(length - len(head), os.SEEK_CUR)
            if element == _SEGMENT:
                continue
            if size is None:
                break
            if element == wanted:
                return stream.read(min(size, _HEAD_BYTES))
            stream.seek(size, os.SEEK_CUR)
    return b""


def _find(data: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the contents of all elements of a kind, also of one that goes beyond the data."""
    at = 0
    while header := _read_element_header(data, at):
        element, length, size = header
        at += length
        if size is None:
            size = len(data) - at
        if element == wanted:
            yield data[at : at + size]
        at += size


def _read_element_header(data: bytes, at: int) -> tuple[int, int, int | None] | None:
    """Return number, bytes of the header and size of an element; the size may be unknown.

    None is returned where there is no element.
    """
    if at >= len(data):
        return None
    id_length = 9 - data[at].bit_length()
    if at + id_length >= len(data) or id_length > 4:
        return None
    element = int.from_bytes(data[at : at + id_length])
    size_length = 9 - data[at + id_length].bit_length()
    if size_length > 8:
        return None
    start = at + id_length
    largest = (1 << 7 * size_length) - 1
    size = int.from_bytes(data[start : start + size_length]) & largest
    return element, id_length + size_length, None if size == largest else size
