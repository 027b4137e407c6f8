"""Read the metadata of the pictures that Pillow opens, and what of them no output holds."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.files import isobmff
from srcli.imaging.files.decoding import DAMAGE, quiet_libraries
from srcli.imaging.metadata import colour_spaces
from srcli.imaging.metadata.embedded import ColourSpace
from srcli.imaging.metadata.exif import ExifBlock, is_adobe_rgb, is_pixel_size
from srcli.imaging.metadata.left_out import note_aspect
from srcli.imaging.metadata.texts import comment_chunk
from srcli.imaging.metadata.xmp import HDR_LEFT_OUT
from srcli.imaging.photographs import jxl, pillow
from srcli.imaging.photographs.dds import note_losses
from srcli.imaging.photographs.gain_maps import items_have_gain_map
from srcli.imaging.photographs.jpeg import note_jpeg_extras
from srcli.imaging.photographs.photograph import Picture

if TYPE_CHECKING:
    from PIL import Image

_PACKED_XMP = "XMP left out: it is compressed by Brotli in the file"
_IPTC = 0x0404  # Photoshop's resource number for captions
_LOSSY = frozenset({"jpg", "avif", "heic"})
_SRGB_POINTS = ((1, 13), (2, 2), (1, 2), (2, 13))  # CICP, 2 is "unspecified"
# The first description of colours by code points, which is that of the picture itself.
_CICP = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
_LONGEST_WEBP_HEAD = 2**22  # bytes, most of it a profile, in front of the pixels
_BMP_FILE_HEADER = 14  # bytes, as are the next two
_BMP_VERSION_4 = 108
_BMP_VERSION_5 = 124
# Kinds of colour spaces.
_BMP_CALIBRATED = 0
_BMP_EMBEDDED = 0x4D424544
_LARGEST_PROFILE = 2**26
_MP_ENTRIES = 0xB002  # of the index of pictures in a JPEG (CIPA DC-007)


def read_header(name: str, path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a file of a format that ``pillow`` opens."""
    image, messages = pillow.open_image(name, stream)
    picture = pillow.read_layout(name, path, image, messages, stream)
    notes = list(picture.warnings)
    info = image.info
    stream.seek(0)
    start = stream.read(pillow.HEAD_BYTES) if name in pillow.HEADS else b""
    frames = _count_frames(image, stream)
    if name in ("avif", "heic"):
        notes += _note_items(start, stream)
    elif name == "dds":
        notes += note_losses(start, vars(image).get("pixel_format", ""))
    elif name == "jpg":
        extras = note_jpeg_extras(image, stream)
        notes += extras
        if frames > 1 and HDR_LEFT_OUT in extras:
            frames -= 1  # the map is no picture of its own
    elif name == "jxl":
        if picture.metadata.xmp is None and jxl.has_packed_box(stream, b"xml "):
            notes.append(_PACKED_XMP)
        if jxl.has_gain_map(stream):
            notes.append(HDR_LEFT_OUT)
    icc = picture.metadata.icc
    exif = picture.metadata.exif
    colour_space = None
    if name == "bmp":
        icc, colour_space = _bmp_colour_space(stream, picture.channels, notes)
    elif icc is None:
        colour_space = _colour_space(name, start, exif, picture.channels, notes)
    dpi = None if _has_no_unit(info, exif) else info.get("dpi")
    metadata = replace(
        picture.metadata,
        icc=icc,
        colours=colour_space,
        iptc=(info.get("photoshop") or {}).get(_IPTC) or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        texts=comment_chunk(info.get("comment")),
    )
    return replace(
        picture,
        frames=frames,
        lossless=_is_lossless(name, stream),
        metadata=metadata,
        warnings=tuple(notes),
    )


def _is_lossless(name: str, stream: IO[bytes]) -> bool:
    """Tell if pixels are stored without losses, as far as a format or WebP's header says."""
    if name == "webp":
        stream.seek(0)
        codec = re.search(rb"VP8[L ]", stream.read(_LONGEST_WEBP_HEAD))
        if codec is not None:
            return codec[0] == b"VP8L"
    return name not in _LOSSY


def _count_frames(image: Image.Image, stream: IO[bytes]) -> int:
    """Count the pictures in a file; a broken list of further ones does not spoil the first."""
    with quiet_libraries():
        if "mp" in image.info:
            stream.seek(0)
            with suppress(*DAMAGE):
                several = pillow.open_image("mpo", stream)[0]
                return int(getattr(several, "n_frames", 1)) - _count_previews(several)
        return int(getattr(image, "n_frames", 1))


def _note_items(start: bytes, stream: IO[bytes]) -> list[str]:
    """Note a gain map of AVIF or HEIC, and pixels that are not square."""
    across, down = isobmff.read_pixel_shape(stream)
    notes = note_aspect(down, across)
    if items_have_gain_map(start):
        notes.append(HDR_LEFT_OUT)
    return notes


def _count_previews(image: Image.Image) -> int:
    """Count which of the pictures in a JPEG are previews, as most cameras write them."""
    entries = (getattr(image, "mpinfo", None) or {}).get(_MP_ENTRIES, [])
    kinds = [entry["Attribute"]["MPType"] for entry in entries]
    return sum(kind.startswith("Large Thumbnail") for kind in kinds)


def _colour_space(
    name: str, start: bytes, exif: bytes | None, channels: int, notes: list[str]
) -> ColourSpace | None:
    """Return what describes the colours of a file without a profile; None is sRGB."""
    if name == "jpg" and channels == 3 and exif and is_adobe_rgb(exif):
        return colour_spaces.from_primaries(
            colour_spaces.ADOBE_RGB, [colour_spaces.ADOBE_CURVE], channels, notes
        )
    match = _CICP.search(start)
    if match is None:
        return None
    points = tuple(min(int.from_bytes(code), 255) for code in match.groups())
    if points in _SRGB_POINTS:
        return None
    cicp = bytes(points) + colour_spaces.RGB_FULL_RANGE
    return colour_spaces.from_cicp(cicp, channels, notes) or ColourSpace(None, cicp)


def _bmp_colour_space(
    stream: IO[bytes], channels: int, notes: list[str]
) -> tuple[bytes | None, ColourSpace | None]:
    """Return the ICC profile that a BMP file embeds, or its calibrated colours; None is sRGB.

    As in browsers, the white of calibrated colours is D65. Impossible values are told
    in the notes.
    """
    stream.seek(_BMP_FILE_HEADER)
    header = stream.read(_BMP_VERSION_5).ljust(_BMP_VERSION_5, b"\0")
    size, space = struct.unpack_from("<I52xI", header)
    if size == _BMP_VERSION_5 and space == _BMP_EMBEDDED:
        start, length = struct.unpack_from("<II", header, 112)
        stream.seek(_BMP_FILE_HEADER + start)
        icc = stream.read(min(length, _LARGEST_PROFILE))
        if len(icc) == length and icc[36:40] == b"acsp":
            return icc, None
        return None, None
    ends = np.frombuffer(header, "<i4", 9, 60).reshape(3, 3)
    gammas = np.frombuffer(header, "<u4", 3, 96) / 2**16
    sums = ends.sum(axis=1, keepdims=True)
    has_version = size in (_BMP_VERSION_4, _BMP_VERSION_5)
    is_calibrated = has_version and space == _BMP_CALIBRATED
    if not is_calibrated or sums.min() <= 0 or not gammas.all():
        return None, None  # most programs leave them empty
    xy = (*colour_spaces.SRGB[:2], *(ends / sums)[:, :2].ravel().tolist())
    curves = [(gamma,) for gamma in gammas.tolist()]
    return None, colour_spaces.from_primaries(xy, curves, channels, notes)


def _has_no_unit(info: Mapping[Any, Any], block: bytes | None) -> bool:
    """Tell if the resolution of a JPEG is a ratio, by EXIF; Pillow calls it dots an inch."""
    if block is None or info.get("jfif_unit") in (1, 2):  # inches, centimetres
        return False
    with suppress(ValueError, LookupError):
        return is_pixel_size(ExifBlock(block).main)
    return False
