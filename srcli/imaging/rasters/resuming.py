"""Find the point at which an interrupted output can be continued."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from srcli.imaging.rasters import container
from srcli.imaging.rasters.disk import journal_path, part_path, remove_sidecar_folder
from srcli.imaging.rasters.finishing import file_stamp
from srcli.imaging.rasters.journal import (
    Chunk,
    Journal,
    JournalRecord,
    describe_changes,
    json_values,
    read_journal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from srcli.imaging.rasters.blocks import BlockGrid
    from srcli.imaging.rasters.template import TiffTemplate


_READ_BYTES = 2**24
"""Bytes read at a time for a checksum."""


@dataclass(kw_only=True, eq=False)
class ResumePoint:
    """State of an unfinished output."""

    journal: Journal
    chunks: list[Chunk] = field(default_factory=list)
    """Complete chunks of the file; the writer appends to them."""
    in_place: bool = False
    """The finished file has its final name already; only temporary files remain to be removed."""
    notes: tuple[str, ...] = ()
    """Messages for the user on earlier work that is not used."""

    @property
    def end(self) -> int:
        """Length of the file up to the last complete chunk."""
        return self.chunks[-1].end if self.chunks else container.START


def find_resume_point(
    target: Path,
    stream: IO[bytes],
    template: TiffTemplate,
    grid: BlockGrid,
    fingerprint: Mapping[str, object],
    *,
    resume: bool,
) -> ResumePoint:
    """Find the last usable chunk of an interrupted output, and truncate the file behind it.

    Args:
        target: The output's final name.
        stream: The unfinished file, possibly empty; left at its end.
        template: Its directories.
        grid: Its blocks.
        fingerprint: Everything that the pixels depend on.
        resume: Continue earlier work with the same fingerprint.
    """
    path = journal_path(target)
    whole = {**json_values(fingerprint), "layout of the file": f"{template.digest:08x}"}
    record = read_journal(path, grid) if resume else None
    notes: tuple[str, ...] = ()
    if record is not None and (change := describe_changes(record.fingerprint, whole)):
        notes = (f"earlier work on {target.name} is not continued: {change}",)
        record = None
    if record is None:
        remove_sidecar_folder(target)
        earlier = ResumePoint(journal=Journal.start(path, whole), notes=notes)
    else:
        earlier = _continued(target, stream, grid, record)
    if not earlier.in_place:
        stream.truncate(earlier.end)
        if not earlier.chunks:
            container.write_placeholder(stream)
    stream.seek(0, 2)
    return earlier


def _continued(
    target: Path, stream: IO[bytes], grid: BlockGrid, record: JournalRecord
) -> ResumePoint:
    in_place = record.ready is not None and record.ready == file_stamp(target)
    notes: tuple[str, ...] = ()
    if not in_place:
        record.ready = None
        if _check_blocks(stream, record):
            rows = len(record.chunks) * grid.chunk_height
            notes = (f"earlier work on {target.name} is damaged: continued from row {rows}",)
    journal = Journal.resume(journal_path(target), record)
    return ResumePoint(journal=journal, chunks=record.chunks, in_place=in_place, notes=notes)


def remove_partial_files(target: Path) -> None:
    """Remove all temporary files of an output."""
    remove_sidecar_folder(target)
    part = part_path(target)
    for path in (part.with_name(part.name + ".aux.xml"), part, journal_path(target)):
        path.unlink(missing_ok=True)


def _check_blocks(stream: IO[bytes], record: JournalRecord) -> bool:
    """Drop the chunks from the first damaged one on; returns True if there was one.

    All are read again, which is much faster than computing them; nothing else would notice one
    that the disk has lost.
    """
    length, start = stream.seek(0, 2), container.START
    for number, chunk in enumerate(record.chunks):
        if chunk.end > length or _checksum(stream, start, chunk.end) != chunk.checksum:
            del record.chunks[number:]
            return True
        start = chunk.end
    return False


def _checksum(stream: IO[bytes], start: int, end: int) -> int:
    stream.seek(start)
    found = 0
    for at in range(start, end, _READ_BYTES):
        found = zlib.crc32(stream.read(min(_READ_BYTES, end - at)), found)
    return found
