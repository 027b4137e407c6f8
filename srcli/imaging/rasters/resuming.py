"""What an earlier run has left of an output, and whether it can be continued."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from srcli.imaging.rasters import container, sidecars
from srcli.imaging.rasters.disk import journal_path, part_path
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


_PART_BYTES = 2**24
"""Of a file, read at a time."""


@dataclass(kw_only=True, eq=False)
class ResumePoint:
    """Where to go on."""

    journal: Journal
    chunks: list[Chunk] = field(default_factory=list)
    """Those that are whole in the file; the writer adds to them."""
    in_place: bool = False
    """The finished file has its final name already; only leftovers have to go."""
    notes: tuple[str, ...] = ()
    """Why earlier work is not used, in words for the user."""

    @property
    def end(self) -> int:
        """Length of the file up to the last whole chunk."""
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
    """Find out where to go on, and cut the file off there.

    Args:
        target: The output's final name.
        stream: Its file so far, maybe empty; left at its end.
        template: Its directories.
        grid: Its blocks.
        fingerprint: What the pixels depend on.
        resume: Go on with earlier work if it fits.
    """
    path = journal_path(target)
    whole = {**json_values(fingerprint), "layout of the file": f"{template.digest:08x}"}
    record = read_journal(path, grid) if resume else None
    notes: tuple[str, ...] = ()
    if record is not None and (change := describe_changes(record.fingerprint, whole)):
        notes = (f"earlier work on {target.name} is not continued: {change}",)
        record = None
    if record is None:
        sidecars.remove_folder(target)
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
    """Remove all that was not finished.

    Args:
        target: The output's final name.
    """
    sidecars.remove_folder(target)
    part = part_path(target)
    for path in (part.with_name(part.name + ".aux.xml"), part, journal_path(target)):
        path.unlink(missing_ok=True)


def _check_blocks(stream: IO[bytes], record: JournalRecord) -> bool:
    """Keep the chunks up to the first that is not whole in the file; whether there was one.

    All are read again: that takes far less time than they took, and a disk that lost one of them
    would be found out by nobody else.
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
    for at in range(start, end, _PART_BYTES):
        found = zlib.crc32(stream.read(min(_PART_BYTES, end - at)), found)
    return found
