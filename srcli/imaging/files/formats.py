"""File formats: what each can hold as it is written, how its files begin, and what is not read."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from srcli.input_files import open_input, shipped_text


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
    map_tiles: bool = False
    """A file of map tiles, for rasters on the grid of one alone."""

    @property
    def is_picture(self) -> bool:
        """True if photographs are written in it."""
        return not (self.video or self.map_tiles)


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
_MAP_TILES = Format("mbtiles", (".mbtiles",), alpha=True, map_tiles=True)
FORMATS: dict[str, Format] = {
    form.name: form for form in (*_WRITTEN, *_VIDEOS, _MAP_TILES)
}
"""The formats that can be written, by name."""
READ_ONLY: dict[str, tuple[str, ...]] = {
    "heic": (".heic", ".heif", ".hif"),
    "jxl": (".jxl",),
    "tga": (".tga",),
    "dds": (".dds",),
}
"""Suffixes of the formats that can only be read, by name."""
READABLE_SUFFIXES: frozenset[str] = frozenset(
    chain(*READ_ONLY.values(), *(form.suffixes for form in _WRITTEN))
)
"""Lower-case suffixes of the files that a search of a folder finds; HEIC and JPEG XL
need ``srcli[formats]``, and fail one by one without it."""
INDIRECT_SUFFIXES = frozenset({".vrt", ".gti", ".mrf"})
"""Rasters that are made of files elsewhere; a search of a folder leaves them out."""
RASTER_SUFFIXES = INDIRECT_SUFFIXES | {
    ".gtiff", ".gtif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".img", ".ntf", ".nitf",
    ".bil", ".bip", ".bsq", ".flt", ".hgt", ".dt0", ".dt1", ".dt2", ".ers", ".pix", ".rst",
    ".sdat", ".bag",
}  # fmt: skip
"""Lower-case suffixes of rasters besides those of photographs; only unambiguous ones.
Files given by name may have any."""
ARCHIVE_SUFFIXES = frozenset({".cbz", ".zip", ".cbr"})
"""Lower-case suffixes of zips whose pictures are enlarged; ``.cbr`` is mostly packed by RAR."""
VIDEO = "video"
"""Format of a ``Picture`` that is a video, whatever its container."""
VIDEO_SUFFIXES: frozenset[str] = frozenset(
    chain(
        (".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp"),
        (".3g2", ".asf", ".dv", ".f4v", ".m1v", ".m2t", ".m2v", ".mod", ".mpe", ".mxf"),
        (".ogm", ".ogv", ".qt", ".tod", ".vob", ".divx", ".y4m"),
        *(form.suffixes for form in _VIDEOS),
    )
)
"""Lower-case suffixes of videos, which need ``srcli[video]``."""
VIDEO_EXTRA = 'pip install "srcli[video]"'
"""Command that installs what reads and writes videos."""
_TEXTS_TOO = frozenset({".ts", ".mts", ".mod"})
"""Those of these that texts have, too: TypeScript, Qt's translations, Modula."""
_TEXT = re.compile(rb"(\xef\xbb\xbf)?[\t\n\f\r\x20-\x7e\x80-\xf4]*")
_STARTS = {
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpg": rb"\xff\xd8",
    "webp": rb"RIFF....WEBP",
    "bmp": rb"BM",
    "tif": rb"II[*+]\0|MM\0[*+]",
    "gif": rb"GIF8[79]a",
    "dds": rb"DDS \x7c\0\0\0",
    # of bits, and those in texts; the others are read by GDAL
    "pbm": rb"P[1-4]\s",
    # no mark: kinds and depths of pixels that there are, and a palette or none
    "tga": rb".(\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09].{4}[\x10\x18\x20])"
    rb".{8}[\x08\x10\x18\x20][\0-\x3f]",
    "jxl": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    # any of the brands that such a file names
    "avif": rb"....ftyp(....){0,12}avi[fs]",
    "heic": rb"....ftyp(....){0,12}(hei[cmsx]|hev[cx]|mif1)",
}


_VIDEO_STARTS = re.compile(
    rb"""
    ....(ftyp(?!crx\ )|moov|mdat|wide|pnot)  # MP4, QuickTime and 3GP, but for pictures
    |\x1a\x45\xdf\xa3  # Matroska, WebM
    |RIFF....AVI\x20
    |\x30\x26\xb2\x75\x8e\x66\xcf\x11  # ASF, WMV
    |FLV\x01
    |\0\0\x01[\xba\xb3]  # MPEG, also of DVDs
    |\x06\x0e\x2b\x34\x02\x05\x01\x01  # MXF
    |YUV4MPEG2\x20
    """,
    re.DOTALL | re.VERBOSE,
)
_TS_PACKETS = ((0, 188), (4, 192))
"""Start and distance of the bytes by which packets of transport streams are known."""
_VIDEO_HEAD_BYTES = 1024
"""First bytes by which a video is known."""


def can_read_videos() -> bool:
    """Return True if PyAV is installed."""
    return find_spec("av") is not None


def is_video(path: Path) -> bool:
    """Return True for the name of a video, and for a file with another one that holds a video.

    Files with names of pictures are not looked into, those that may be texts are.
    """
    suffix = path.suffix.lower()
    if suffix in _TEXTS_TOO:
        with suppress(OSError, ValueError), open_input(path) as stream:
            head = stream.read(_VIDEO_HEAD_BYTES)
            return not head or _TEXT.fullmatch(head) is None
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in READABLE_SUFFIXES:
        return False
    return holds_video(path)


def holds_video(path: Path) -> bool:
    """Return True for a file that is a video by its first bytes."""
    with suppress(OSError, ValueError), open_input(path) as stream:
        return _is_video_content(stream.read(_VIDEO_HEAD_BYTES))
    return False


def _is_video_content(head: bytes) -> bool:
    """Tell by the first bytes of a file if it is a video, whatever its name."""
    if format_of_content(head) is not None:
        return False
    if _VIDEO_STARTS.match(head):
        return True
    if head.startswith(b"OggS"):
        return b"theora" in head or b"\x01video" in head
    for start, distance in _TS_PACKETS:
        marks = head[start::distance]
        if len(marks) >= 5 and marks[:5] == b"\x47" * 5:
            return True
    return False


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


_OTHER_HEAD_BYTES = 512


def describe_other_kind(path: Path) -> str:
    """Return what a file is by its first bytes, and what to do with it, by ``other_kinds.toml``.

    Empty for other kinds, and for a file that cannot be opened.
    """
    head = b""
    with suppress(OSError, ValueError), open_input(path) as stream:
        # errors, as of a name with a zero byte, are told by whoever reads it
        head = stream.read(_OTHER_HEAD_BYTES)
    table = tomllib.loads(shipped_text("other_kinds.toml", "srcli.imaging.files"))
    for kind in table["kind"]:
        if re.match(kind["start"].encode(), head, re.DOTALL):
            advice = table["advice"].get(kind["advice"], kind["advice"])
            return f"{kind['words']}, which srx does not read; {advice}"
    return ""
