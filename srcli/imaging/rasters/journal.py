"""Journal of the chunks of an output that are on the disk, so that a run can be continued."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.rasters.blocks import BlockGrid, BlockTable
from srcli.imaging.rasters.disk import sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
_SHOWN_KEYS, _SHOWN_CHARACTERS = 3, 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """One chunk whose blocks are in the file."""

    end: int
    """Length of the file after it."""
    checksum: int
    """CRC-32 of its bytes."""
    tables: list[BlockTable]
    """For each directory; offsets in the file."""


@dataclass(frozen=True, kw_only=True)
class FileStamp:
    """Size and modification time, which identify a finished file."""

    size: int
    time: int
    """Nanoseconds."""


@dataclass(kw_only=True)
class JournalRecord:
    """Contents of a journal."""

    fingerprint: dict[str, object]
    """Everything that the pixels depend on."""
    chunks: list[Chunk] = field(default_factory=list)
    """From the first on, without gaps."""
    ready: FileStamp | None = None
    """The finished file, about to get its final name."""
    lengths: list[int] = field(default_factory=list)
    """Bytes of the journal up to the end of its first line and of each chunk."""
    whole: int = 0
    """Bytes of the journal that can be read; anything beyond is incomplete."""


class Journal:
    """A journal open for writing."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    @classmethod
    def start(cls, path: Path, fingerprint: Mapping[str, object]) -> Journal:
        """Begin a journal with a fingerprint of plain values, replacing an earlier one."""
        journal = cls(path.open("wb"))
        journal._put({"srx": VERSION, "fingerprint": json_values(fingerprint)})
        journal.sync()
        return journal

    @classmethod
    def resume(cls, path: Path, record: JournalRecord) -> Journal:
        """Continue a journal, truncated behind the chunks of a record."""
        stream = path.open("r+b")
        length = record.whole if record.ready else record.lengths[len(record.chunks)]
        stream.truncate(length)
        stream.seek(length)
        return cls(stream)

    def add(self, number: int, chunk: Chunk) -> None:
        """Record a chunk whose bytes are on the disk; call ``sync`` afterwards.

        Args:
            number: Of the chunk, from 0; it may be recorded twice.
            chunk: The chunk.
        """
        tables = [
            {"offsets": table.offsets.ravel().tolist(), "sizes": table.sizes.ravel().tolist()}
            for table in chunk.tables
        ]
        line = {"chunk": number, "end": chunk.end, "checksum": chunk.checksum, "tables": tables}
        self._put(line)

    def set_ready(self, stamp: FileStamp) -> None:
        """Record that the finished file is about to get its final name, and wait for the disk."""
        self._put({"ready": [stamp.size, stamp.time]})
        self.sync()

    def sync(self) -> None:
        """Wait until the journal is on the disk."""
        sync(self.stream)

    def close(self) -> None:
        """Close the file."""
        self.stream.close()

    def _put(self, value: Mapping[str, object]) -> None:
        self.stream.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")


def read_journal(path: Path, grid: BlockGrid) -> JournalRecord | None:
    """Read the intact part of a journal.

    Args:
        path: Its name.
        grid: The blocks of the file.

    Returns:
        Its contents; None if the journal or its first line is missing or incomplete.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    record: JournalRecord | None = None
    for line in lines[:-1]:  # after the last line break there is nothing, or an incomplete line
        value = _parsed(line)
        if record is None:
            if value.get("srx") != VERSION or not isinstance(value.get("fingerprint"), dict):
                return None
            record = JournalRecord(fingerprint=value["fingerprint"])
        elif not _take(record, value, grid):
            break
        record.whole += len(line) + 1
        if len(record.lengths) <= len(record.chunks):
            record.lengths.append(record.whole)
    return record


def json_values(fingerprint: Mapping[str, object]) -> dict[str, object]:
    """Convert a fingerprint to the values that JSON gives back: tuples to lists, others to text."""
    loaded: dict[str, object] = json.loads(json.dumps(dict(fingerprint), default=str))
    return loaded


def describe_changes(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Describe the differences of two fingerprints for the user; empty if they are equal."""
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    words = [_change(key, _short(old.get(key)), _short(new.get(key))) for key in keys]
    more = len(words) - _SHOWN_KEYS
    return "; ".join(words[:_SHOWN_KEYS] + ([f"and {more} more"] if more > 0 else []))


def _change(key: str, old: str, new: str) -> str:
    # long values, such as the input's metadata, may differ beyond the characters shown
    return f"{key} was {old}, is {new}" if old != new else f"{key} has changed"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _take(record: JournalRecord, value: dict[str, Any], grid: BlockGrid) -> bool:
    """Add a line of the journal to the record; returns False if it is damaged."""
    number = len(record.chunks)
    try:
        if "ready" in value:
            # more than once if a run was stopped between this line and the final name
            size, time = value["ready"]
            stamp = FileStamp(size=int(size), time=int(time))
            record.ready = stamp if number == grid.chunks else None
            return record.ready is not None
        if value["chunk"] != number or number == grid.chunks:
            return bool(value["chunk"] < number)  # noted before
        tables = [
            BlockTable(
                offsets=np.array(one["offsets"], dtype=np.int64).reshape(shape),
                sizes=np.array(one["sizes"], dtype=np.int64).reshape(shape),
            )
            for one, shape in zip(value["tables"], grid.shapes(number), strict=True)
        ]
        chunk = Chunk(end=int(value["end"]), checksum=int(value["checksum"]), tables=tables)
    except (KeyError, TypeError, ValueError):
        return False
    record.chunks.append(chunk)
    return True


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
