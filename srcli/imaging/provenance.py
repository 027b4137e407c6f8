"""Provenance of outputs: the software, model and input that have made the pixels; write and read.

It is read by headers alone, and by code of our own: Pillow reads WebP and AVIF files completely,
and no library gives the Software entry of all formats.
"""

from __future__ import annotations

import os
import re
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import takewhile
from typing import IO, TYPE_CHECKING, Any

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging import exif, png
from srcli.imaging.exif import read_directory, read_start
from srcli.imaging.formats import format_of_content
from srcli.imaging.photograph import SourceMark, decoding
from srcli.imaging.structure import jpeg_segments, webp_chunks

if TYPE_CHECKING:
    from pathlib import Path

NAME = "srx"
_HEAD = 2**16
"""Bytes from a file's start that are looked through where a format has no index of its parts."""
_OWN = re.compile(
    r"(?P<version>\S+) \((?P<model>.+) x(?P<scale>\d)(?P<auto>, auto)?"
    r"(?:, options (?P<options>[0-9a-f]{8}))?(?:, weights (?P<weights>[0-9a-f]{16}))?"
    r"(?:, source (?P<extension>\w*) (?P<place>[0-9a-f]{8}) (?P<content>[0-9a-f]{8})?)?\)"
)
_PIECE = 2**13
"""Bytes from the middle of an input by which it is known again."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Software, model and input of an output; without a date, so that outputs can be compared."""

    version: str
    """Of srx."""
    model: str
    """A name of ``srx models``, or the file name of weights."""
    scale: int
    weights: str = ""
    """Start of the SHA-256 of the weights file; empty for models without weights."""
    auto: bool = False
    """The model was chosen by ``--model auto``."""
    options: str = ""
    """Checksum of the options that pixels and size depend on; empty for none."""
    source: SourceMark | None = None
    """None in outputs of earlier versions, which did not record options either."""

    def software(self, earlier: str = "") -> str:
        """Return the text for a Software entry, behind that of the input."""
        auto = ", auto" if self.auto else ""
        options = f", options {self.options}" if self.options else ""
        weights = f", weights {self.weights}" if self.weights else ""
        mark = self.source
        source = f", source {mark.extension} {mark.place} {mark.content}" if mark else ""
        made_by = f"({self.model} x{self.scale}{auto}{options}{weights}{source})"
        own = f"{NAME} {self.version} {made_by}"
        return f"{earlier}; {own}" if earlier else own

    @property
    def tags(self) -> dict[str, str]:
        """GDAL metadata items of the default domain."""
        found = {"VERSION": self.version, "MODEL": self.model, "SCALE": str(self.scale)}
        if self.weights:
            found["WEIGHTS"] = self.weights
        return {f"{NAME.upper()}_{key}": value for key, value in found.items()}


def mark_source(path: Path, stream: IO[bytes] | None = None) -> SourceMark:
    """Return what an input is known by; of its content, only a piece is read.

    The content of what cannot be opened as a file is left out.
    """
    content = ""
    try:
        with nullcontext(stream) if stream else open_input(path) as opened:
            size = os.fstat(opened.fileno()).st_size
            opened.seek(max(size - _PIECE, 0) // 2)
            content = _checksum(f"{size} ".encode() + opened.read(_PIECE))
    except OSError:
        pass
    extension = re.sub(r"\W", "", path.suffix.lower(), flags=re.ASCII)
    names = "/".join(path.absolute().parts[-2:])
    return SourceMark(extension=extension, place=_checksum(os.fsencode(names)), content=content)


def _checksum(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance that an output records; no pixels are read.

    It is None where the last entry of its Software is not srx's, or it cannot be read.
    """
    try:
        with decoding(path), open_input(path) as stream:
            head = stream.read(64)
            stream.seek(0)
            text = _software(format_of_content(head), stream)
    except PictureError:
        return None
    found = _OWN.fullmatch(text.strip().rpartition(f"; {NAME} ")[2].removeprefix(f"{NAME} "))
    if found is None:
        return None
    own: dict[str, Any] = found.groupdict("")
    mark = SourceMark(**{key: own.pop(key) for key in ("extension", "place", "content")})
    own |= {"scale": int(own["scale"]), "auto": bool(own["auto"])}
    return Provenance(**own, source=mark if mark.place else None)


def _software(name: str | None, stream: IO[bytes]) -> str:
    """Return the Software entry of an open file of a format."""
    block: bytes | None = None
    if name == "png":
        stream.seek(8)
        texts = ((kind, text) for kind, text, _ in png.walk(stream) if kind in png.TEXTS)
        return png.read_texts(texts, []).software or ""
    if name == "tif":
        layout, first = read_start(stream)
        entries, _ = read_directory(stream, first, layout, only=exif.SOFTWARE)
        return exif.text_of(entries[0]) if entries else ""
    if name == "jpg":
        before_pixels = takewhile(lambda one: one[0] != 0xDA, jpeg_segments(stream))
        blocks = (content for marker, content in before_pixels if marker == 0xE1)
        block = next((one for one in blocks if one.startswith(exif.PREFIX)), None)
    elif name == "webp":
        parts = (stream.read(length) for kind, length in webp_chunks(stream) if kind == b"EXIF")
        block = next(parts, None)
    elif name == "avif":
        # libavif, which writes ours, puts EXIF before the pixels: behind the offset of its header
        head = stream.read(_HEAD)
        start = head.index(b"mdat") + 4
        block = head[start + 4 + int.from_bytes(head[start : start + 4]) :]
    return exif.software(block)
