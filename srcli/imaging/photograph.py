"""A photograph in memory, and a quick look at what a file holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from srcli.imaging import headers

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a file says about its pixels, each part as the bytes that formats embed."""

    icc: bytes | None = None
    """Colour profile; it always fits the number of colour channels."""
    exif: bytes | None = None
    """EXIF block with its ``Exif`` prefix; orientation 1, no thumbnail, no pixel sizes."""
    xmp: bytes | None = None
    """XMP packet; orientation 1 where it states one."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontal and vertical."""


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """Pixels the right way up, with what belongs to them."""

    pixels: NDArray[Any]
    """(H, W, C), C = 1 (gray) or 3 (RGB); uint8, uint16 or float32 (in the file's own values)."""
    alpha: NDArray[Any] | None
    """(H, W) of the same dtype, not multiplied into the pixels; the dtype's maximum (1.0 for
    floats) is opaque."""
    metadata: Metadata
    warnings: tuple[str, ...] = ()
    """What of the file is not in here, in words for the user."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a file holds, by its header alone."""

    format: str
    """A key of ``FORMATS`` or ``"gif"``, by the file's content and not its name."""
    height: int
    """Pixels, after the EXIF orientation."""
    width: int
    """Pixels, after the EXIF orientation."""
    channels: int
    """Colour channels as ``read_photograph`` gives them: 1 or 3."""
    has_alpha: bool
    bits: int
    """8, 16 or 32 (floating point)."""
    frames: int
    """Pictures in the file, of which only the first is read."""


def probe(path: Path) -> Probe:
    """Look at a file's header; no pixel is decoded.

    Args:
        path: The file.

    Returns:
        Format, size after orientation, layout and number of frames.

    Raises:
        PictureError: If there is no such file, or it is not a picture that srx reads.
    """
    header = headers.read_header(path)
    height, width = header.height, header.width
    if header.orientation > 4:
        height, width = width, height
    return Probe(
        format=header.format,
        height=height,
        width=width,
        channels=header.channels,
        has_alpha=header.has_alpha,
        bits=header.bits,
        frames=header.frames,
    )
