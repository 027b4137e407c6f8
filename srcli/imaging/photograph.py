"""Formats, a picture file by its header, a photograph and its memory, metadata, reading errors."""

from __future__ import annotations

import errno
import math
import mmap
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL.Image import DecompressionBombError

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.holding import reading
from srcli.imaging.boxes import read_item_kind
from srcli.imaging.metadata.labels import ColourLabel

Array = NDArray[Any]
NAME = "srx"
_PIECE = 2**13  # bytes from the middle of an input by which it is known again
LARGEST_AREA = 2**30
"""Pixels; a larger photograph is refused (a few bytes can claim a picture of
terabytes)."""
LARGEST_IN_MEMORY = 2**27
"""Bytes; larger arrays lie in files where a folder is given for them."""


@dataclass(frozen=True)
class Format:
    """Capabilities of one file format as srx writes it."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case with the dot; the first is the usual one."""
    bits: tuple[int, ...] = (8,)
    """Bits per value that it holds; 32 is floating point."""
    alpha: bool = False
    gray: bool = True
    """It holds pictures of one channel; otherwise gray is stored as equal R, G and
    B."""
    metadata: frozenset[str] = frozenset()
    """The fields of ``Metadata`` that it holds: ``icc``, ``exif``, ``xmp``, ``dpi``."""
    largest_side: int = 2**31 - 1
    largest_area: int = 2**62
    animated: bool = False
    default_quality: int | None = None
    """1 to 100, or None where the format is lossless."""
    video: bool = False
    """A container of videos."""


_ALL = frozenset({"icc", "exif", "xmp", "dpi"})
_NO_DPI = _ALL - {"dpi"}
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
_WRITTEN = (
    Format("png", (".png", ".apng"), bits=(8, 16), alpha=True, metadata=_ALL, animated=True),
    # libjpeg stops at 65,500, a little below what the file format could say
    Format("jpg", _JPEG_SUFFIXES, metadata=_ALL | {"iptc"}, largest_side=65500, default_quality=95),
    Format(
        "webp", (".webp",), alpha=True, gray=False, metadata=_NO_DPI,
        largest_side=16_383, animated=True, default_quality=95,
    ),
    # the limits beyond which libavif's decoder, as Pillow sets it up, refuses a file
    Format(
        "avif", (".avif", ".avifs"), alpha=True, gray=False, metadata=_NO_DPI,
        largest_side=32_768, largest_area=16_384**2, default_quality=90,
    ),
    # 32-bit file size; 3 bytes a pixel and 54 of header leave 1.43 billion pixels
    Format("bmp", (".bmp", ".dib"), metadata=frozenset({"dpi"}), largest_area=1_400_000_000),
    # 256 colours a frame; only animations are written as GIF unless --format asks for
    # it
    Format("gif", (".gif",), alpha=True, gray=False, largest_side=65_535, animated=True),
    Format("tif", (".tif", ".tiff"), bits=(8, 16, 32), alpha=True, metadata=_ALL | {"iptc"}),
)  # fmt: skip


_VIDEOS = tuple(
    Format(
        suffixes[0].removeprefix("."),
        suffixes,
        bits=(8, 16),
        largest_side=16_384,  # of encoders
        default_quality=85,
        video=True,
    )
    for suffixes in ((".mp4", ".m4v"), (".mov",), (".mkv",), (".webm",))
)

FORMATS: dict[str, Format] = {form.name: form for form in (*_WRITTEN, *_VIDEOS)}
"""The formats that can be written, by name."""

_READ_ONLY = (".heic", ".heif", ".hif", ".jxl")
READABLE_SUFFIXES: frozenset[str] = frozenset(
    chain(_READ_ONLY, *(form.suffixes for form in _WRITTEN))
)
"""Lower-case suffixes of the files that a search of a folder finds; HEIC and JPEG XL
need ``srcli[formats]``, and fail one by one without it."""
VIDEO = "video"
"""Format of a ``Picture`` that is a video, whatever its container."""
VIDEO_SUFFIXES: frozenset[str] = frozenset(
    chain(
        (".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp"),
        *(form.suffixes for form in _VIDEOS),
    )
)
"""Lower-case suffixes of videos, which need ``srcli[video]``."""
_STARTS = {
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpg": rb"\xff\xd8\xff",
    "webp": rb"RIFF....WEBP",
    "bmp": rb"BM",
    "tif": rb"II[*+]\0|MM\0[*+]",
    "gif": rb"GIF8[79]a",
    "jxl": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    # any of the brands that such a file names
    "avif": rb"....ftyp(....){0,12}avi[fs]",
    "heic": rb"....ftyp(....){0,12}(hei[cmsx]|hev[cx]|mif1)",
}


def format_of_suffix(suffix: str) -> str | None:
    """Return the name of the format of a file name's suffix."""
    suffix = "." + suffix.lower().removeprefix(".")
    for form in FORMATS.values():
        if suffix in form.suffixes:
            return form.name
    return None


def format_of_content(head: bytes) -> str | None:
    """Detect a file's format by its first bytes."""
    for name, start in _STARTS.items():
        if re.match(start, head, re.DOTALL):
            return name
    return None


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Descriptions of a picture's pixels, each part as the bytes that formats embed."""

    icc: bytes | None = None
    """Colour profile; it always fits the number of colour channels."""
    colours: ColourLabel | None = None
    """Another description of the colours, which counts where there is no ``icc``."""
    exif: bytes | None = None
    """EXIF block with its ``Exif`` prefix; orientation 1, no thumbnail, no pixel
    sizes."""
    xmp: bytes | None = None
    """XMP packet; orientation 1 where it states one."""
    iptc: bytes | None = None
    """Captions, authors and keywords, as records of IPTC-IIM."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontal and vertical."""
    software: str | None = None
    """Programs that made the picture: a text of PNG, which other formats hold in
    EXIF."""
    texts: tuple[tuple[bytes, bytes], ...] = ()
    """Other texts, as the chunks of PNG that hold them: type and content."""

    @property
    def profile(self) -> bytes | None:
        """Colour profile: the file's, or one that says the same as its label; None is sRGB."""
        return self.icc or (self.colours.profile if self.colours else None)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Software, model and input of an output; without a date, so that outputs can be compared."""

    version: str
    model: str
    """A name of ``srx models``, or the file name of weights."""
    scale: int
    weights: str = ""
    """Start of the SHA-256 of the weights file; empty for models without weights."""
    auto: bool = False
    options: str = ""
    """Checksum of the options that pixels and size depend on; empty for none."""
    source: str = ""
    """The input's ``mark_source``; empty in outputs of earlier versions, which did not
    record options either."""

    def software(self, earlier: str = "") -> str:
        """Return the text for a Software entry, behind that of the input."""
        words = [f"{self.model} x{self.scale}"]
        if self.auto:
            words.append("auto")
        for name in ("options", "weights", "source"):
            value = getattr(self, name)
            if value:
                words.append(f"{name} {value}")
        entry = f"{NAME} {self.version} ({', '.join(words)})"
        if earlier:
            return f"{earlier}; {entry}"
        return entry

    @property
    def tags(self) -> dict[str, str]:
        """GDAL metadata items of the default domain."""
        tags = {}
        for name in ("version", "model", "scale", "weights"):
            text = str(getattr(self, name))
            if text:
                tags[f"{NAME}_{name}".upper()] = text
        return tags


def mark_source(path: Path, stream: IO[bytes] | None = None) -> str:
    """Return what an input is known by, without its name in clear, which may be private.

    Three words: the extension, and checksums of the names of the file and its folder,
    and of its size and a piece from its middle; the last is empty for what is no file
    on disk.
    """
    content = ""
    with (
        suppress(OSError),
        nullcontext(stream) if stream else open_input(path) as opened,
    ):
        # what it holds of an earlier read is dropped
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(size - _PIECE, 0) // 2)
        content = _checksum(f"{size} ".encode() + opened.read(_PIECE))
    extension = re.sub(r"\W", "", path.suffix.lower(), flags=re.ASCII)
    names = "/".join(path.absolute().parts[-2:])
    return f"{extension} {_checksum(os.fsencode(names))} {content}"


def check_unchanged(path: Path, mark: str, stream: IO[bytes] | None = None) -> None:
    """Refuse an input whose content is another than when ``mark_source`` gave this mark."""
    before = mark.rpartition(" ")[2]
    now = mark_source(path, stream).rpartition(" ")[2]
    if before and now and before != now:  # what is no file any more was read to its end
        raise PictureError(f"{path}: has changed while it was enlarged; run again")


def _checksum(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture file by its header, as ``open_picture`` gives it; no pixel was decoded."""

    path: Path
    format: str
    """As ``format_of_content`` tells it, not the file's name; ``""`` for the formats
    that only GDAL reads."""
    height: int
    """Pixels, after the EXIF orientation, as ``width``."""
    width: int
    channels: int
    """Colour channels as ``read_photograph`` gives them, 1 or 3; of rasters the
    bands."""
    bits: int
    """Of a value as ``read_photograph`` gives it: 8, 16 or 32 (floating point)."""
    has_alpha: bool = False
    frames: int = 1
    """Pictures in the file; only the first is read."""
    orientation: int = 1
    """1 to 8 as EXIF numbers them: how the stored pixels are turned upright."""
    lossless: bool = True
    """False where the pixels are stored with losses, as far as that is known without
    decoding."""
    metadata: Metadata = Metadata()
    """With the colour profile of the stored pixels, which may be of another kind
    (CMYK)."""
    raster: str | None = None
    """The reason to read it as a raster, for the user; None for photographs."""
    refusal: str | None = None
    """The reason that it cannot be read as a photograph, for the user."""
    warnings: tuple[str, ...] = ()
    """Losses of reading it as a photograph, in words for the user."""
    mark: str = ""
    """What its enlargement will record of it, taken before its pixels are read."""
    has_default: bool = False
    """Beside its frames, an animation has a picture for programs that show none."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Losses of reading its first picture alone, in words for the user."""
        if self.frames == 1:
            return self.warnings
        return (*self.warnings, f"holds {self.frames} pictures: only the first is used")


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """Pixels the right way up, with their metadata."""

    pixels: Array
    """(H, W, C), C = 1 (gray) or 3 (RGB); uint8, uint16 or float32 (in the file's own
    values)."""
    alpha: Array | None = None
    """(H, W) of the same dtype, not multiplied into the pixels; the dtype's maximum
    (1.0 for floats) is opaque."""
    metadata: Metadata = Metadata()
    warnings: tuple[str, ...] = ()
    """Losses of reading the file, in words for the user."""


def empty_array(
    shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None = None
) -> Array:
    """Return a new array with arbitrary contents, in a file if it is large and may be in one.

    The folder is that of such a file, whose bytes are all reserved on the disk; an
    error of the system says that there is no room. It has no name or loses it with the
    process, and the array alone keeps it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if folder is None or size <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=folder, prefix="srx-") as stream:
        # a full disk would end the process when the map is written
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
        else:
            stream.writelines(
                bytes(min(2**20, size - at)) for at in range(0, size, 2**20)
            )
            stream.flush()
        return np.ndarray(shape, dtype, buffer=mmap.mmap(stream.fileno(), size))


def release(array: Array) -> None:
    """Give back the memory of an array that lies in a file; its values stay there."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error,
    DecompressionBombError,
)  # fmt: skip
"""Raised by Pillow and rasterio on damaged or malicious files, and on kinds they do not
know."""

_UNREADABLE = (errno.EIO, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTSUP)
_PLAIN_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "is a folder, not a picture",
    PermissionError: "no permission to read it; check its access rights",
    MemoryError: "does not fit into memory; cut it or use a GeoTIFF",
}


@contextmanager
def decoding(path: Path, pixels: int = 0) -> Iterator[None]:
    """Turn errors of readers on a bad file into a PictureError that names the file.

    ``pixels``, if some are decoded, say how long that may take.
    """
    try:
        with reading(path, pixels):
            yield
    except tuple(_PLAIN_REASONS) as error:
        reason = next(
            text for kind, text in _PLAIN_REASONS.items() if isinstance(error, kind)
        )
        raise PictureError(f"{path}: {reason}") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _UNREADABLE:
            raise PictureError(f"{path}: cannot be read ({error.strerror})") from error
        # the cause of rasterio's errors says more
        reason = (
            " ".join(str(error.__cause__ or error).split())[:200]
            or type(error).__name__
        )
        if kind := _unread_kind(path, reason):
            raise PictureError(
                f"{path}: its pixels are stored as {kind!r}, which is not read; export it as PNG"
            ) from error
        raise PictureError(
            f"{path}: the file is damaged or cut short, or of a rare kind that srx does not read "
            f"({reason}); copy it again, or export it as PNG or plain TIFF"
        ) from error


def _unread_kind(path: Path, reason: str) -> str:
    """Return how an AVIF or HEIC file stores its picture if that is unusual; else empty."""
    with suppress(OSError), open_input(path) as stream:
        if format_of_content(stream.read(64)) in ("avif", "heic"):
            kind = read_item_kind(stream)
            # pictures made of others are read, but for some of them
            is_composed = kind in ("grid", "iden", "iovl")
            if is_composed and "Not implemented" not in reason:
                return ""
            if kind not in ("av01", "hvc1"):
                return kind
    return ""
