"""Metadata as each format holds them: what is left out, and the segments of a JPEG."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL.ExifTags import Base

from srcli.imaging.files.formats import FORMATS
from srcli.imaging.files.tiff_directories import Entry
from srcli.imaging.metadata import exif, imagej
from srcli.imaging.metadata.colour_spaces import hdr_of
from srcli.imaging.metadata.embedded import ColourSpace, Metadata, profile_fits
from srcli.imaging.metadata.texts import XMP_PREFIX, Chunk, decode_text, unpack_text

log = logging.getLogger(__name__)
_LARGEST_DPI = 2**16 - 1  # that a field of JPEG holds
# Bytes of a segment of JPEG, less the prefixes of EXIF, XMP, IPTC and profiles.
_JPEG_LIMITS = {"exif": 65_533, "xmp": 65_533 - len(XMP_PREFIX), "iptc": 65_533 - 27}
_ICC_BYTES = 65_533 - 14
_KEYWORDS_BY_TAG = {
    Base.ImageDescription: ("Description", "Title"),
    Base.Artist: ("Author", "Artist"),
    Base.Copyright: ("Copyright",),
}
"""Tags of EXIF, and the keywords of which the first that is there fills one."""
_LONGEST_OUTSIDE_PNG = 32_000
"""Bytes of a text outside PNG: EXIF of jpg has 64 KB for everything."""


def lost_metadata(fmt: str, metadata: Metadata) -> tuple[str, ...]:
    """Name the metadata of a picture that a format cannot hold, and what becomes of colours."""
    words = {"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC captions", "dpi": "resolution"}
    target = FORMATS[fmt]
    lost = []
    for name, text in words.items():
        if getattr(metadata, name) and name not in target.metadata:
            lost.append(text)
    notes = []
    if lost:
        notes.append(f"{fmt} holds no {' or '.join(lost)}: left out")
    profile = metadata.profile
    colour_space = metadata.colours
    hdr = hdr_of(colour_space, metadata.icc)
    loses_hdr = hdr is not None and not _holds_colour_space(fmt, colour_space)
    flattened = f"HDR ({hdr}) becomes SDR, bright parts are compressed"
    if "icc" not in target.metadata and profile is not None:
        change = flattened if hdr else "colours become sRGB"
        notes.append(f"{fmt} holds no colour profile: {change}")
    elif loses_hdr and not target.gray and profile_fits(profile or b"", 1):
        notes.append(f"{fmt} holds no gray: {flattened}")
    elif loses_hdr and colour_space is not None:
        notes.append(
            f"HDR ({hdr}) is kept only as a colour profile in {fmt}: programs that do not know its "
            "cicp tag show SDR, with bright parts compressed; png and avif keep it as it is"
        )
    if fmt != "tif" and _has_imagej_tables(metadata):
        notes.append("tables, ranges and labels of ImageJ left out (tif keeps them)")
    names = texts_outside_png(metadata.texts, fmt).left_out
    if names and fmt != "png":
        notes.append(
            f"text entries left out (png keeps them): {', '.join(names)[:200]}"
        )
    return tuple(notes)


def _has_imagej_tables(metadata: Metadata) -> bool:
    """Tell if metadata come from a TIFF of ImageJ that has tables, ranges or labels."""
    return imagej.TAGS[1] in exif.read_main(metadata.exif)


def _holds_colour_space(fmt: str, colour_space: ColourSpace | None) -> bool:
    """Return True if a format describes colours as a label does, without a profile."""
    if colour_space is None or fmt not in ("png", "avif"):
        return False
    return colour_space.cicp is not None or (fmt == "png" and bool(colour_space.chunks))


@dataclass(frozen=True)
class TextsOutsidePng:
    """Texts of a picture that a format other than PNG holds."""

    by_tag: dict[int, str]
    """Texts for the main directory of EXIF, by tag."""
    comment: str
    left_out: tuple[str, ...]
    """Keywords of the other texts."""


def texts_outside_png(texts: Iterable[Chunk], fmt: str) -> TextsOutsidePng:
    """Return what a format other than PNG holds of texts."""
    words: dict[str, str] = {}
    for kind, content in texts:
        keyword, text = unpack_text(kind, content)
        words.setdefault(keyword, decode_text(kind, text))
    short = [
        key
        for key, text in words.items()
        if 0 < len(text.encode()) <= _LONGEST_OUTSIDE_PNG
    ]
    by_tag: dict[int, str] = {}
    if "exif" in FORMATS[fmt].metadata:
        for tag, keywords in _KEYWORDS_BY_TAG.items():
            for keyword in keywords:
                if keyword in short:
                    by_tag[tag] = words.pop(keyword)
                    break
    comment = ""
    if fmt == "jpg" and "Comment" in short:
        comment = words.pop("Comment")
    return TextsOutsidePng(by_tag, comment, tuple(words))


def cut_for_jpeg(metadata: Metadata, path: Path) -> Metadata:
    """Return metadata without those that are too long for a JPEG; warnings name the path."""
    for name, limit in _JPEG_LIMITS.items():
        if len(getattr(metadata, name) or b"") > limit:
            log.warning("%s: its %s is too long for jpg: left out", path, name.upper())
            without: dict[str, Any] = {name: None}
            metadata = replace(metadata, **without)
    return metadata


def metadata_for_format(metadata: Metadata, fmt: str) -> Metadata:
    """Return the metadata as a format holds them: it may know no labels, or no texts but EXIF's."""
    if not _holds_colour_space(fmt, metadata.colours):
        metadata = replace(metadata, icc=metadata.profile, colours=None)
    if fmt != "tif" and _has_imagej_tables(metadata):
        removed: dict[int, Entry | None] = dict.fromkeys(imagej.TAGS)
        without_tables = exif.ExifBlock(metadata.exif or b"").edited(removed)
        metadata = replace(metadata, exif=without_tables)
    if fmt == "png" or "exif" not in FORMATS[fmt].metadata:
        return metadata
    block = metadata.exif
    software: dict[int, str] = {}
    if metadata.software is not None:
        text = metadata.software
        earlier = exif.software(block)
        if earlier not in text:
            text = f"{earlier}; {text}"
        software[Base.Software] = text
    described = texts_outside_png(metadata.texts, fmt).by_tag
    # texts must not make EXIF too long for jpg
    for texts in (described | software, software):
        with suppress(ValueError):
            longer = exif.with_texts(block, texts)
            if len(longer or b"") <= max(_JPEG_LIMITS["exif"], len(block or b"")):
                return replace(metadata, exif=longer)
    return metadata


def metadata_segments(metadata: Metadata) -> bytes:
    """Return the segments of a JPEG file that hold the metadata, which fit into them."""
    density = (0, 1, 1)  # without a unit
    if metadata.dpi is not None and max(metadata.dpi) <= _LARGEST_DPI:
        across, down = metadata.dpi
        density = (1, round(across), round(down))
    segments = [(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHxx", *density))]
    if metadata.exif:
        segments.append((0xE1, metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, XMP_PREFIX + metadata.xmp))
    if metadata.iptc:
        length = len(metadata.iptc)
        sized = struct.pack(">I", length) + metadata.iptc + bytes(length % 2)
        segments.append((0xED, b"Photoshop 3.0\0008BIM\4\4\0\0" + sized))
    icc = metadata.icc or b""
    pieces = [icc[at : at + _ICC_BYTES] for at in range(0, len(icc), _ICC_BYTES)]
    for number, piece in enumerate(pieces, 1):
        position = bytes([number, len(pieces)])
        segments.append((0xE2, b"ICC_PROFILE\0" + position + piece))
    comment = texts_outside_png(metadata.texts, "jpg").comment
    if comment:
        segments.append((0xFE, comment.encode()))
    packed = b""
    for mark, content in segments:
        packed += struct.pack(">BBH", 0xFF, mark, len(content) + 2) + content
    return packed
