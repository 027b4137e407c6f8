"""Provenance of an output: software, model, options, and an identifier of its input."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from srcli.errors import PictureError
from srcli.files import checksum, open_input

NAME = "srx"
_SAMPLE_BYTES = 2**13
"""Bytes from the middle of an input by which it is recognised."""
_ENTRY = re.compile(
    r"(?P<version>\S+) \((?P<model>.+) x(?P<scale>\d)(?:, (?P<choice>auto|fast|best))?"
    r"(?:, strength (?P<strength>[\d.e-]+))?"
    r"(?:, options (?P<options>[0-9a-f]{8}))?(?:, weights (?P<weights>[0-9a-f]{16}))?"
    r"(?:, source (?P<source>\w* [0-9a-f]{8} (?:[0-9a-f]{8})?(?: [0-9a-f]{8})?))?\)"
)


REPEATED = "nearest"
"""What stands in place of a model where all bands are repeated, as classes are."""
SHRUNK = "shrink"
"""What stands in place of a model where a photograph became no larger, by a plain filter."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Software, model and input of an output; without a date, so that outputs can be compared."""

    version: str
    model: str
    """A name of ``srx models``, or the file name of weights."""
    scale: int
    weights: str = ""
    """Start of the SHA-256 of the weights file; empty for models without weights."""
    choice: str = ""
    """Word that a user named in place of a model, such as ``auto``; else empty."""
    strength: str = ""
    """Share by which the weights were made crisp, 0 to 1; empty for weights as they are."""
    options: str = ""
    """Checksum of the options that pixels and size depend on; empty for none."""
    source: str = ""
    """The input's ``input_id``, of rasters with a checksum of the files beside it; empty
    in outputs of earlier versions, which did not record options either."""

    def software(self, earlier: str = "") -> str:
        """Return the text for a Software entry, with that of the input (``earlier``) in front."""
        words = [f"{self.model} x{self.scale}"]
        if self.choice:
            words.append(self.choice)
        for name in ("strength", "options", "weights", "source"):
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
        for name in ("version", "model", "strength", "scale", "weights"):
            text = str(getattr(self, name))
            if text:
                tags[f"{NAME}_{name}".upper()] = text
        return tags


def parse_provenance(software: str) -> Provenance | None:
    """Return the provenance in the last part of a Software entry; None if it is not srx's."""
    last_entry = software.strip().rpartition(f"; {NAME} ")[2]
    match = _ENTRY.fullmatch(last_entry.removeprefix(f"{NAME} "))
    if match is None:
        return None
    fields: dict[str, Any] = match.groupdict("")
    fields["scale"] = int(fields["scale"])
    return Provenance(**fields)


def input_id(path: Path, stream: IO[bytes] | None = None) -> str:
    """Return three words that identify an input, without its name in clear, which may be private.

    They are the extension, and checksums of the names of the file and its folder,
    and of its size and a piece from its middle; the last is empty for what is no file
    on disk.
    """
    content = ""
    with (
        suppress(OSError),
        nullcontext(stream) if stream else open_input(path) as opened,
    ):
        content = content_checksum(opened)
    extension = re.sub(r"\W", "", path.suffix.lower(), flags=re.ASCII)
    names = "/".join(path.absolute().parts[-2:])
    return f"{extension} {checksum(os.fsencode(names))} {content}"


def content_checksum(stream: IO[bytes]) -> str:
    """Return a checksum of the size of a file and of a piece from its middle."""
    # what it holds of an earlier read is dropped
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - _SAMPLE_BYTES, 0) // 2)
    return checksum(f"{size} ".encode() + stream.read(_SAMPLE_BYTES))


def _content_of(identifier: str) -> str:
    """Return the checksum of the content in an ``input_id``; empty without one."""
    words = identifier.split(" ")
    return words[2] if len(words) > 2 else ""


def check_unchanged(
    path: Path, earlier_id: str, stream: IO[bytes] | None = None
) -> None:
    """Refuse an input whose content has changed since ``input_id`` was called."""
    before = _content_of(earlier_id)
    now = _content_of(input_id(path, stream))
    if before and now and before != now:  # what is no file any more was read to its end
        raise PictureError(f"{path}: has changed while it was enlarged; run again")
