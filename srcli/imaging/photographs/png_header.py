"""Read the metadata of PNG files by their chunks: colours, resolution, frames."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from srcli.imaging.metadata import colour_spaces, texts
from srcli.imaging.metadata.credentials import note_credentials
from srcli.imaging.metadata.embedded import ColourSpace, profile_fits
from srcli.imaging.metadata.left_out import note_aspect
from srcli.imaging.photographs import png
from srcli.imaging.photographs.photograph import Picture

_COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")
_COLOUR_UNIT = 100_000  # of gAMA and cHRM
_MOST_FRAMES = 2**31


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a PNG file."""
    contents = png.read_contents(stream)
    picture = png.read_layout(path, contents, stream)
    chunks = contents.chunks
    notes = [
        *picture.warnings,
        *note_credentials([chunks.get(b"caBX", b"")]),
        *contents.damaged_texts,
    ]
    icc, colour_space = _read_colours(
        chunks, contents.texts.icc, picture.channels, notes
    )
    dpi = None
    density = chunks.get(b"pHYs", b"")
    if len(density) == 9 and density[8] == 1:
        across, down = struct.unpack(">II", density[:8])
        dpi = (across * png.INCHES_PER_METRE, down * png.INCHES_PER_METRE)
    elif len(density) == 9:
        notes += note_aspect(*struct.unpack(">II", density[:8]))
    stated = int.from_bytes(chunks.get(b"acTL", b"")[:4])
    # readers are to take the first picture then, and do
    readable = len(contents.frames) if stated <= _MOST_FRAMES else 1
    if stated > readable:
        notes.append(
            f"an animation of {stated} pictures by its header: {readable} can be read"
        )
    frame_count = max(min(stated, readable), 1)
    return replace(
        picture,
        frames=frame_count,
        has_default_image=contents.has_default_image and frame_count > 1,
        metadata=replace(picture.metadata, icc=icc, colours=colour_space, dpi=dpi),
        warnings=tuple(notes),
    )


def _read_colours(
    chunks: Mapping[bytes, bytes],
    raw_icc: bytes | None,
    channels: int,
    notes: list[str],
) -> tuple[bytes | None, ColourSpace | None]:
    """Return the ICC profile and the label of colours; one is None where the other rules it out.

    The order of precedence is cICP, iCCP, sRGB, then gAMA and cHRM (PNG, third
    edition). A profile among the texts comes after sRGB.
    """
    icc = None
    if b"iCCP" in chunks:
        try:
            icc = texts.inflate(chunks[b"iCCP"].split(b"\0", 1)[1][1:])
        except (IndexError, zlib.error, ValueError):
            notes.append("damaged colour profile left out")
    if not icc and b"sRGB" not in chunks:
        icc = raw_icc
    described = tuple((kind, chunks[kind]) for kind in _COLOUR_CHUNKS if kind in chunks)
    if chunks.get(b"cICP"):
        with_profile = described
        fits = icc is not None and profile_fits(icc, channels)
        if fits and b"iCCP" in chunks:
            with_profile = (*described, (b"iCCP", chunks[b"iCCP"]))
        colour_space = colour_spaces.from_cicp(
            chunks[b"cICP"], channels, notes, with_profile
        )
        if colour_space:
            return None, colour_space
    if icc is not None or b"sRGB" in chunks:
        if described:
            return icc, ColourSpace(None, None, described)
        return icc, None
    gamma = chunks.get(b"gAMA", b"")
    points = chunks.get(b"cHRM", b"")
    curve: colour_spaces.Curve = colour_spaces.SRGB_CURVE
    if len(gamma) == 4 and any(gamma):
        curve = (_COLOUR_UNIT / int.from_bytes(gamma),)
    xy = None
    if len(points) == 32:
        xy = [value / _COLOUR_UNIT for value in struct.unpack(">8I", points)]
    return None, colour_spaces.from_primaries(xy, [curve], channels, notes, described)
