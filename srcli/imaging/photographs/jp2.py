"""JPEG 2000 photographs and scans (ISO/IEC 15444-1): what their boxes say.

GDAL takes no notice of profiles, of sYCC and of EXIF. A file is a photograph if it has
no place on the map and its colours are known: gray, RGB or sYCC, with alpha or none.
So is a codestream without boxes of three components of 8 bits, whose colours are RGB.
Others are rasters, which GDAL reads.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.files.isobmff import split_boxes, walk
from srcli.imaging.metadata.embedded import EXIF_PREFIX, Metadata, profile_fits
from srcli.imaging.photographs import pillow, tiff
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import stretch_to_dtype

LARGEST_AREA = 2**26
"""Most pixels of a photograph: all are decoded at once, by 12 bytes each. Larger files
are rasters, which are read by windows."""
_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
"""Start of a codestream, and of its size."""
_RGB_COMPONENTS = b"\0\3" + b"\7\1\1" * 3
"""Three components of 8 bits without a sign and of full size, as a codestream says it."""
_LARGEST_BOX = 2**26
"""Bytes of a box of metadata that is read."""
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_PLACES = (
    bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03"),  # GeoJP2
    bytes.fromhex("96a9f1f1dc98402da7aed68e34451809"),  # a world file
)
_ENUMERATED = {16: 3, 17: 1, 18: 3}
"""Colour channels of sRGB, gray and sYCC."""
_SYCC = 18
_OPACITY = 1
"""What an alpha channel is, in the box ``cdef``: of the whole picture, the last."""


@dataclass(kw_only=True)
class _Boxes:
    """Content of the boxes of a file."""

    height: int = 0
    width: int = 0
    components: int = 0
    bits: int = 0
    """Of all components; 0 if they differ, or are signed."""
    colour_channels: int = 0
    """1 or 3; 0 where colours are not known."""
    is_sycc: bool = False
    icc: bytes | None = None
    has_alpha: bool = False
    has_palette: bool = False
    has_place: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None

    @property
    def is_photograph(self) -> bool:
        """Tell if the file is read as a photograph."""
        if self.has_place or self.has_palette or not self.colour_channels:
            return False
        if self.components != self.colour_channels + self.has_alpha:
            return False
        if not 0 < self.width * self.height <= LARGEST_AREA:
            return False
        if self.bits == 8:
            return True
        # which Pillow cuts, and GDAL reads without converting colours
        return 8 < self.bits <= 16 and not self.has_alpha and not self.is_sycc


def read_jp2_header(path: Path, stream: IO[bytes]) -> Picture | None:
    """Read the header and the metadata of a photograph; None for other files."""
    boxes = _read_boxes(stream)
    if not boxes.is_photograph:
        return None
    stream.seek(0)
    image, _ = pillow.open_image("jp2", stream)
    dpi = image.info.get("dpi")
    notes: tuple[str, ...] = ()
    if 8 < boxes.bits < 16:
        notes = (f"values of {boxes.bits} bits stretched to 16",)
    return Picture(
        path=path,
        format="jp2",
        height=boxes.height,
        width=boxes.width,
        channels=boxes.colour_channels,
        has_alpha=boxes.has_alpha,
        bits=8 if boxes.bits == 8 else 16,
        lossless=False,
        metadata=Metadata(
            icc=boxes.icc,
            exif=boxes.exif,
            xmp=boxes.xmp,
            iptc=boxes.iptc,
            dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        ),
        warnings=notes,
    )


def read_deep_pixels(picture: Picture, stream: IO[bytes], folder: Path | None) -> Array:
    """Decode a file of over 8 bits: (H, W, C) uint16 with the whole range, not turned.

    PictureError if its pixels are of another depth than its header says.
    """
    boxes = _read_boxes(stream)
    size = (boxes.height, boxes.width)
    values, _ = tiff.read_bands(
        picture.path, "JP2OpenJPEG", size, picture.channels, folder=folder
    )
    if values.dtype != np.uint16 or int(values.max()) >> boxes.bits:
        # stretched by the wrong depth, all would be white
        raise PictureError(
            f"{picture.path}: its header says {boxes.bits} bits, its pixels have others; "
            "export it again"
        )
    return stretch_to_dtype(values, boxes.bits, np.uint16)


def _read_boxes(stream: IO[bytes]) -> _Boxes:
    """Read the boxes of a file; those of no JPEG 2000 file describe nothing."""
    boxes = _Boxes()
    stream.seek(0)
    start = stream.read(len(_SIGNATURE))
    if start.startswith(_CODESTREAM):
        _read_codestream(stream, boxes)
    if start != _SIGNATURE:
        return boxes
    for box in walk(stream, len(_SIGNATURE)):
        box_type = box.kind
        size = box.end - box.start
        if box_type not in (b"jp2h", b"uuid", b"asoc") or size > _LARGEST_BOX:
            continue
        stream.seek(box.start)
        content = stream.read(size)
        if box_type == b"jp2h":
            _read_image_header(content, boxes)
        elif box_type == b"asoc":  # such as GML
            boxes.has_place = True
        elif box_type == b"uuid":
            name, value = content[:16], content[16:]
            if name in _PLACES:
                boxes.has_place = True
            elif name == _EXIF:
                boxes.exif = EXIF_PREFIX + value.removeprefix(EXIF_PREFIX)
            elif name == _XMP:
                boxes.xmp = value
            elif name == _IPTC:
                boxes.iptc = value
    return boxes


def _read_codestream(stream: IO[bytes], boxes: _Boxes) -> None:
    """Read the size of a codestream of three components (A.5.1); of others nothing."""
    stream.seek(8)
    right, bottom, left, top = struct.unpack(">4I", stream.read(16).ljust(16, b"\0"))
    stream.seek(16, os.SEEK_CUR)  # sizes of tiles
    if stream.read(len(_RGB_COMPONENTS)) == _RGB_COMPONENTS:
        boxes.width = max(right - left, 0)
        boxes.height = max(bottom - top, 0)
        boxes.components = boxes.colour_channels = 3
        boxes.bits = 8


def _read_image_header(content: bytes, boxes: _Boxes) -> None:
    """Read the boxes in ``jp2h``: size, depth, colours and alpha."""
    for box_type, value in split_boxes(content):
        if box_type == b"ihdr" and len(value) >= 11:
            sides = struct.unpack_from(">IIHB", value)
            boxes.height, boxes.width, boxes.components, depth = sides
            if depth < 0x80:  # not signed
                boxes.bits = depth + 1
        elif box_type == b"colr" and not boxes.colour_channels:
            _read_colours(value, boxes)
        elif box_type == b"pclr":
            boxes.has_palette = True
        elif box_type == b"cdef":
            opacity = struct.pack(">HHH", max(boxes.components - 1, 0), _OPACITY, 0)
            boxes.has_alpha = value[2:].endswith(opacity)


def _read_colours(value: bytes, boxes: _Boxes) -> None:
    """Read a box ``colr``: an enumerated space, or a profile."""
    method = value[:1]
    if method == b"\1":
        space = int.from_bytes(value[3:7])
        boxes.colour_channels = _ENUMERATED.get(space, 0)
        boxes.is_sycc = space == _SYCC
    elif method in (b"\2", b"\3"):
        for channels in (1, 3):
            if profile_fits(value[3:], channels):
                boxes.colour_channels = channels
                boxes.icc = value[3:]
