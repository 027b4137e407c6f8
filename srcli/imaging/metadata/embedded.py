"""Metadata as formats embed them, each part as its bytes."""

from __future__ import annotations

from dataclasses import dataclass

EXIF_PREFIX = b"Exif\0\0"
"""Start of an EXIF block in a ``Metadata``."""
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
"""Start of a segment of XMP in a JPEG."""
DAMAGED_EXIF = "damaged EXIF left out"
ICC_SPACES = {1: b"GRAY", 3: b"RGB "}
"""Colours of a profile, as its header names them, for pictures of 1 or 3 channels."""
PngChunks = tuple[tuple[bytes, bytes], ...]
"""Type and content of chunks of a PNG file."""


@dataclass(frozen=True)
class ColourSpace:
    """The colours of a picture as its file describes them without an ICC profile."""

    profile: bytes | None
    """An ICC profile that says the same; None if that is sRGB, or not known."""
    cicp: bytes | None = None
    """Code points of ITU-T H.273: primaries, transfer function, matrix 0, full range
    1."""
    chunks: PngChunks = ()
    """Type and content of the chunks of a PNG file that describe them."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Descriptions of a picture's pixels, each part as the bytes that formats embed."""

    icc: bytes | None = None
    """Colour profile; it always fits the number of colour channels."""
    colours: ColourSpace | None = None
    """Another description of the colours, which counts where there is no ``icc``."""
    exif: bytes | None = None
    """EXIF block with its ``Exif`` prefix."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    """Captions, authors and keywords, as records of IPTC-IIM."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontal and vertical."""
    software: str | None = None
    """Programs that made the picture: a text of PNG, which other formats hold in
    EXIF."""
    comment: str = ""
    """That of a JPEG or GIF, which PNG holds among its texts."""
    texts: PngChunks = ()
    """Other texts, as the chunks of PNG that hold them: type and content."""

    @property
    def profile(self) -> bytes | None:
        """Colour profile: the file's, or one that says the same as its label; None is sRGB."""
        return self.icc or (self.colours.profile if self.colours else None)


NO_METADATA = Metadata()
"""Of a picture without any."""


def read_comment(value: bytes | None) -> str:
    """Return the comment of a JPEG or GIF file, whose encoding is not stated; maybe empty."""
    value = (value or b"").replace(b"\0", b"").strip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def profile_fits(icc: bytes, channels: int) -> bool:
    """Return True if a colour profile describes pictures of that many channels, 1 or 3."""
    return icc[16:20] == ICC_SPACES[channels]
