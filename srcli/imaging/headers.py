"""Read the header of a picture file of any format."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from srcli.imaging import exif, generic, png, tiff
from srcli.imaging.opening import check_area, decoding, sniff

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.imaging.header import Header


def read_header(path: Path) -> Header:
    """Read a file's header; no pixel is decoded.

    Args:
        path: The file.

    Raises:
        PictureError: If there is no such file, or it is not a picture that srx reads.
    """
    with decoding(path), path.open("rb") as stream:
        return header_of(path, stream)


def header_of(path: Path, stream: IO[bytes]) -> Header:
    """Read the header of an open file, its orientation included.

    Args:
        path: For messages.
        stream: The file from its start.

    Raises:
        PictureError: If it is not a picture that srx reads.
    """
    name = sniff(path, stream)
    if name == "png":
        header = png.read_header(stream)
    elif name == "tif":
        header = tiff.read_header(path, stream)
    else:
        header = generic.read_header(name, stream)
    check_area(path, header.height, header.width)
    if not 1 <= header.orientation <= 8:
        header.orientation = exif.orientation(header.exif, header.xmp)
    if header.frames > 1:
        header.notes.append(f"holds {header.frames} pictures: only the first is used")
    return header
