"""Journal of a canvas: which parts it holds, in order, with sizes and checksum of their blocks.

A line is on the disk after the blocks that it tells of. A line that a kill or a power cut
has torn does not fit its own checksum, and ends the journal.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_CHUNK = 2**22
"""Bytes that are read at once."""


@dataclass(frozen=True)
class AppendedPart:
    """A part of which the canvas has the blocks."""

    crc: int
    """CRC-32 of them."""
    sizes: list[int]
    """Of them in bytes, in their order in the canvas; 0 for those that are left out."""


@dataclass
class Journal:
    """Place of the blocks in a canvas: one behind the other, from ``start`` on."""

    path: Path
    start: int = 0
    """First byte of the blocks, behind the room for the header; 0 for no canvas yet."""
    parts: list[AppendedPart] = field(default_factory=list)
    length: int = 0
    """Bytes of the lines that count; what follows was torn."""
    end: int = 0
    """First byte behind the blocks."""

    def begin(self, start: int) -> None:
        """Say where the blocks will begin."""
        self._write({"start": start})
        self.start = start
        self.end = start

    def append(self, appended: AppendedPart) -> None:
        """Say that the canvas has the next part."""
        self._write({"crc": appended.crc, "sizes": appended.sizes})
        self._take(appended)

    def keep(self, count: int) -> None:
        """Forget all parts but so many first ones."""
        remaining = self.parts[:count]
        self.path.unlink(missing_ok=True)
        self.length = 0
        self.parts = []
        if remaining:
            self.begin(self.start)
        for appended in remaining:
            self.append(appended)

    def _take(self, appended: AppendedPart) -> None:
        self.parts.append(appended)
        self.end += sum(appended.sizes)

    def _write(self, fields: dict[str, object]) -> None:
        """Write a line behind those that count, and wait for the disk."""
        text = json.dumps(fields, separators=(",", ":")).encode()
        line = b"%08x %b\n" % (zlib.crc32(text), text)
        with open(self.path, "ab", opener=_open_private) as stream:
            stream.truncate(self.length)
            stream.write(line)
            # unbuffered, a disk that gets full might take half of it without an error
            stream.flush()
            os.fsync(stream.fileno())
        self.length += len(line)


def _open_private(name: str, flags: int) -> int:
    """Open a file that nobody else may read, but no link that somebody has planted."""
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def read_journal(path: Path) -> Journal:
    """Read a journal; one without a line where it is missing or damaged."""
    journal = Journal(path)
    content = b""
    with suppress(FileNotFoundError):
        content = path.read_bytes()
    for line in content.splitlines(keepends=True):
        checksum, _, text = line.partition(b" ")
        if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
            break
        fields = json.loads(text)
        if journal.start:
            journal._take(AppendedPart(**fields))
        else:
            journal.start = journal.end = fields["start"]
        journal.length += len(line)
    return journal


def count_intact(journal: Journal, canvas: Path) -> int:
    """Return how many parts are in the canvas as they were written, from the first on."""
    with suppress(FileNotFoundError), canvas.open("rb") as stream:
        # parts without blocks would not tell that the room for the header is gone
        if stream.seek(0, os.SEEK_END) < stream.seek(journal.start):
            return 0
        for count, appended in enumerate(journal.parts):
            if _checksum_of_next(stream, sum(appended.sizes)) != appended.crc:
                return count
        return len(journal.parts)
    return 0


def _checksum_of_next(stream: IO[bytes], length: int) -> int:
    """Return the CRC-32 of so many further bytes, or of those that are there."""
    crc = 0
    while length:
        content = stream.read(min(length, _CHUNK))
        if not content:
            break
        crc = zlib.crc32(content, crc)
        length -= len(content)
    return crc
