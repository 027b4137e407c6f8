"""JPEG files by their segments, as Pillow 13 refuses some that libjpeg passes over."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from PIL.ExifTags import Base

from srcli.imaging.files.tiff_directories import TEXT, first_number
from srcli.imaging.metadata import colour_spaces, exif
from srcli.imaging.metadata.embedded import (
    EXIF_PREFIX,
    XMP_PREFIX,
    ColourSpace,
    Metadata,
    read_comment,
)
from srcli.imaging.metadata.left_out import VIDEO_LEFT_OUT, note_aspect
from srcli.imaging.photographs import pillow
from srcli.imaging.photographs.photograph import Picture, check_pixels

_HEAD = 2**20
"""Bytes that are read at first; most files have their segments in them."""
_MARKER = re.compile(rb"\xff+([^\0\xff])", re.DOTALL)
# Kinds of segments.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_FRAMES_OF_12_BITS = (0xC0, 0xC1, 0xC2)
_WITHOUT_CONTENT = frozenset({1, *range(0xD0, 0xDA)})
_SCAN = 0xDA
_APP = 0xE0
_COMMENT = 0xFE
_MAKERS = frozenset({*range(3, 13), 15})
"""Numbers of application segments that no standard knows; 0 to 2, 13 and 14 are read."""
_PHOTOSHOP = b"Photoshop 3.0\0"
_ICC = b"ICC_PROFILE\0"
# Photoshop's numbers of resources: captions, and paths that clip.
_IPTC = 0x0404
_CLIPPING_PATHS = range(2000, 2999)
_UNITS = {1: 1.0, 2: 2.54}  # of JFIF: inches, centimetres
_USUAL_DPI = 72.0
_CENTIMETRE = 3
_VIDEO = re.compile(rb"\0\0\0.ftyp(?:mp4|isom|iso\d|qt  |MSNV|avc1|M4V|3gp)", re.DOTALL)

Segment = tuple[int, bytes]
"""Kind and content."""


def read_jpeg_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a JPEG file."""
    segments = list(_read_segments(stream))
    frame = [(kind, content) for kind, content in segments if kind in _FRAMES]
    if not frame or len(frame[0][1]) < 6:
        raise ValueError("it has no size")
    kind, content = frame[0]
    bits, height, width, channels = struct.unpack_from(">BHHB", content)
    notes = []
    is_deep = bits == 12 and channels in (1, 3) and kind in _FRAMES_OF_12_BITS
    if is_deep:
        notes.append("values of 12 bits stretched to 16")
    elif bits != 8 or channels not in (1, 3, 4):
        raise ValueError(f"{bits}-bit values in {channels} channels")
    check_pixels(path, height * width, stream, "jpg")
    if channels == 4:
        notes.append("CMYK converted to RGB")
    resources = _read_resources(segments)
    unit = -1
    across = down = 0
    for jfif in _contents(segments, 0, b"JFIF\0"):
        if len(jfif) >= 7:
            unit, across, down = struct.unpack_from(">BHH", jfif, 2)
    block = None
    if pieces := _contents(segments, 1, EXIF_PREFIX):
        block = EXIF_PREFIX + b"".join(pieces)
    packets = _contents(segments, 1, XMP_PREFIX)
    frames = 1
    if _contents(segments, 2, b"MPF\0"):
        frames = pillow.count_pictures(stream)
    if not resources.keys().isdisjoint(_CLIPPING_PATHS):
        notes.append("clipping paths of Photoshop left out")
    if unit == 0:
        notes += note_aspect(across, down)
    notes += _note_makers(segments)
    icc = _read_profile(segments)
    colour_space = None
    if icc is None:
        colour_space = _camera_colours(block, channels, notes)
    return Picture(
        path=path,
        format="jpg",
        height=height,
        width=width,
        channels=1 if channels == 1 else 3,
        bits=16 if is_deep else 8,
        frames=frames,
        orientation=0,
        is_converted=channels == 4,
        lossless=False,
        metadata=Metadata(
            icc=icc,
            colours=colour_space,
            exif=block,
            xmp=packets[-1] if packets else None,
            iptc=resources.get(_IPTC) or None,
            dpi=_read_dpi(unit, (across, down), block),
            comment=read_comment(dict(segments).get(_COMMENT)),
        ),
        warnings=tuple(notes),
    )


def note_trailing_video(stream: IO[bytes]) -> list[str]:
    """Note a film behind the end of a JPEG, as phones append it to a motion photo."""
    stream.seek(0)
    if _VIDEO.search(stream.read()):
        return [VIDEO_LEFT_OUT]
    return []


def _read_segments(stream: IO[bytes]) -> Iterator[Segment]:
    """Yield the segments in front of the pixels; what stands between them is passed over."""
    stream.seek(0)
    data = stream.read(_HEAD)
    is_whole = False
    at = 2
    while True:
        marker = _MARKER.search(data, at)
        if marker is not None:
            kind = marker[1][0]
            start = marker.end()
            if kind == _SCAN:
                return
            if kind in _WITHOUT_CONTENT:
                at = start
                continue
            end = start + max(int.from_bytes(data[start : start + 2]), 2)
            if end <= len(data):
                yield kind, data[start + 2 : end]
                at = end
                continue
        if is_whole:
            raise ValueError("it ends before its pixels begin")
        data += stream.read()
        is_whole = True


def _contents(segments: list[Segment], number: int, mark: bytes) -> list[bytes]:
    """Return what application segments of a number hold behind a mark."""
    return [
        content.removeprefix(mark)
        for kind, content in segments
        if kind == _APP + number and content.startswith(mark)
    ]


def _read_profile(segments: list[Segment]) -> bytes | None:
    """Return the colour profile, whose pieces are numbered; None if one is missing."""
    pieces = sorted(_contents(segments, 2, _ICC))
    if not pieces or pieces[0][1:2] != bytes([len(pieces)]):
        return None
    return b"".join(piece[2:] for piece in pieces)


def _read_resources(segments: list[Segment]) -> Mapping[int, bytes]:
    """Return Photoshop's resources by their numbers, as far as they are sound."""
    resources = {}
    for content in _contents(segments, 13, _PHOTOSHOP):
        at = 0
        while content[at : at + 4] == b"8BIM" and at + 7 <= len(content):
            number = int.from_bytes(content[at + 4 : at + 6])
            at += 7 + content[at + 6]  # behind a name
            at += at % 2
            size = int.from_bytes(content[at : at + 4])
            resources[number] = content[at + 4 : at + 4 + size]
            at += 4 + size + size % 2
    return resources


def _note_makers(segments: list[Segment]) -> list[str]:
    """Note segments of makers' own, such as DJI's thermal data, but for content credentials."""
    names = set()
    for kind, content in segments:
        is_known = content.startswith(b"Ducky") or (
            kind == _APP + 11 and content.startswith(b"JP")
        )
        if kind - _APP in _MAKERS and not is_known:
            names.add(f"APP{kind - _APP}")
    if not names:
        return []
    return [f"data of the camera's maker left out ({', '.join(sorted(names))})"]


def _camera_colours(
    block: bytes | None, channels: int, notes: list[str]
) -> ColourSpace | None:
    """Return the colours that EXIF of cameras states; None is sRGB."""
    if channels != 3 or block is None or not exif.is_adobe_rgb(block):
        return None
    return colour_spaces.from_primaries(
        colour_spaces.ADOBE_RGB, colour_spaces.ADOBE_CURVE, channels, notes
    )


def _read_dpi(
    unit: int, density: tuple[int, int], block: bytes | None
) -> tuple[float, float] | None:
    """Return pixels per inch by JFIF, else by EXIF; None where neither has a unit."""
    if unit in _UNITS:
        across, down = density
        return across * _UNITS[unit], down * _UNITS[unit]
    main = exif.read_main(block)
    if block is None or exif.is_pixel_size(main):
        return None
    dpi = _USUAL_DPI
    resolution = main.get(Base.XResolution)
    if resolution is not None and Base.ResolutionUnit in main:
        if resolution.tiff_type != TEXT:
            dpi = resolution.numbers[0] or _USUAL_DPI
        if first_number(main, Base.ResolutionUnit, 0) == _CENTIMETRE:
            dpi *= 2.54
    return dpi, dpi
