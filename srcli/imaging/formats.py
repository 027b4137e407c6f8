"""The picture formats: names, suffixes, capabilities, and detection by content."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import features


@dataclass(frozen=True)
class Format:
    """Capabilities of one file format as srx writes it."""

    name: str
    """The word for ``--format``."""
    suffixes: tuple[str, ...]
    """Lower case with the dot; the first is the usual one."""
    bits: tuple[int, ...] = (8,)
    """Bits per value that it holds; 32 is floating point."""
    alpha: bool = False
    """It holds transparency."""
    gray: bool = True
    """It holds pictures of one channel; otherwise gray is stored as equal R, G and B."""
    metadata: frozenset[str] = frozenset()
    """The fields of ``Metadata`` that it holds: ``icc``, ``exif``, ``xmp``, ``dpi``."""
    largest_side: int = 2**31 - 1
    """Pixels."""
    largest_area: int = 2**62
    """Pixels."""
    animated: bool = False
    """It holds several frames, with the duration of each."""
    default_quality: int | None = None
    """1 to 100, or None where the format is lossless."""


_ALL = frozenset({"icc", "exif", "xmp", "dpi"})
_NO_DPI = _ALL - {"dpi"}

_KNOWN = (
    Format("png", (".png", ".apng"), bits=(8, 16), alpha=True, metadata=_ALL, animated=True),
    # libjpeg stops at 65,500, a little below what the file format could say
    Format(
        "jpg",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        metadata=_ALL,
        largest_side=65_500,
        default_quality=95,
    ),
    Format(
        "webp",
        (".webp",),
        alpha=True,
        gray=False,
        metadata=_NO_DPI,
        largest_side=16_383,
        animated=True,
        default_quality=95,
    ),
    # the limits beyond which libavif's decoder, as Pillow sets it up, refuses a file
    Format(
        "avif",
        (".avif", ".avifs"),
        alpha=True,
        gray=False,
        metadata=_NO_DPI,
        largest_side=32_768,
        largest_area=16_384**2,
        default_quality=90,
    ),
    # 32-bit file size; 3 bytes a pixel and 54 of header leave 1.43 billion pixels
    Format("bmp", (".bmp", ".dib"), metadata=frozenset({"dpi"}), largest_area=1_400_000_000),
    # 256 colours a frame; only animations are written as GIF unless --format asks for it
    Format("gif", (".gif",), alpha=True, gray=False, largest_side=65_535, animated=True),
    Format("tif", (".tif", ".tiff"), bits=(8, 16, 32), alpha=True, metadata=_ALL),
)

FORMATS: dict[str, Format] = {
    known.name: known for known in _KNOWN if known.name != "avif" or features.check("avif")
}
"""The formats that can be written here, by name; AVIF only where Pillow has it."""

_READ_ONLY = (".heic", ".heif", ".hif", ".jxl")
READABLE_SUFFIXES: frozenset[str] = frozenset(
    {suffix for known in FORMATS.values() for suffix in known.suffixes} | {*_READ_ONLY}
)
"""Lower-case suffixes of the files that a search of a folder finds; HEIC and JPEG XL need
``srcli[formats]``, and fail one by one without it."""
_STARTS = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
    "bmp": (b"BM",),
    "tif": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "gif": (b"GIF87a", b"GIF89a"),
    "jxl": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1"})


def format_of_suffix(suffix: str) -> str | None:
    """Return the name of the format of a file name's suffix."""
    wanted = "." + suffix.lower().removeprefix(".")
    return next((known.name for known in FORMATS.values() if wanted in known.suffixes), None)


def format_of_content(head: bytes) -> str | None:
    """Detect a file's format by its first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in range(8, min(int.from_bytes(head[:4]), 64), 4)}
        if brands & _AVIF_BRANDS:
            return "avif" if "avif" in FORMATS else None
        return "heic" if brands & _HEIC_BRANDS else None
    return next((name for name, starts in _STARTS.items() if head.startswith(starts)), None)
