"""What Matroska says of chapters and FFmpeg does not: it gives one list, of a name each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from srcli.files import open_input

_SEGMENT = 0x18538067
_CHAPTERS = 0x1043A770
_EDITION = 0x45B9
_ATOM = 0xB6
_DISPLAY = 0x80
_LANGUAGE = 0x437C
_LONGEST_HEADER = 12
"""Bytes of a number and a size."""

Span = tuple[int, int]
"""Where the content of an element begins and ends in the file."""


def lost_of_chapters(path: Path) -> list[str]:
    """Name what is not copied of the chapters of a Matroska file, in words."""
    lost = []
    with open_input(path) as stream:
        file = (0, stream.seek(0, os.SEEK_END))
        segments = _children(stream, [file], _SEGMENT)
        chapters = _children(stream, segments, _CHAPTERS)
        editions = _children(stream, chapters, _EDITION)
        atoms = _children(stream, editions, _ATOM)
        if len(editions) > 1:
            lost.append("bounds between editions")  # all become one list
        inner = _children(stream, atoms, _ATOM)
        if inner:
            lost.append("chapters within chapters")
            atoms += inner
        names = [_children(stream, [atom], _DISPLAY) for atom in atoms]
        if any(len(displays) > 1 for displays in names):
            lost.append("names in further languages")
        for displays in names:
            for display in displays:
                languages = _children(stream, [display], _LANGUAGE)
                texts = [_content(stream, language) for language in languages]
                if texts != [b"und"]:  # without one it is English
                    return [*lost, "languages of names"]
    return lost


def _content(stream: IO[bytes], span: Span) -> bytes:
    start, end = span
    stream.seek(start)
    return stream.read(min(end - start, _LONGEST_HEADER)).rstrip(b"\0")


def _children(stream: IO[bytes], parents: Iterable[Span], wanted: int) -> list[Span]:
    """Return the elements of a kind that stand directly inside others."""
    children = []
    for start, end in parents:
        while start < end:
            stream.seek(start)
            head = stream.read(_LONGEST_HEADER).ljust(_LONGEST_HEADER, b"\0")
            id_length = 9 - head[0].bit_length()
            size_length = 9 - head[id_length].bit_length()
            if id_length > 4 or size_length > 8:
                break
            largest = (1 << 7 * size_length) - 1
            content = start + id_length + size_length
            size = int.from_bytes(head[id_length : content - start]) & largest
            if size == largest:  # unknown
                size = end - content
            start = content + size
            if int.from_bytes(head[:id_length]) == wanted:
                children.append((content, min(start, end)))
    return children
