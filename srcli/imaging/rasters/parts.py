"""Parts of an unfinished raster, bands of rows of full width, and the canvas that takes them.

A part is encoded as a small TIFF, which waits in the folder; its blocks go into the
canvas, one part behind the other, and its file goes then. The journal says which parts the
canvas holds, in order, with sizes and checksum of their blocks: a line is on the disk after
the blocks that it tells of, and one that a kill or a power cut has torn does not fit its own
checksum, and ends the journal.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from srcli.imaging.files.stored_parts import StoredParts, keep_parts, open_own
from srcli.imaging.rasters.creation import copied_by_gdal, is_lossless
from srcli.imaging.rasters.profile import OutputProfile

VERSION = 6
"""Of the contents of the folder."""
_CANVAS = "canvas.tif"
_JOURNAL = "journal"
_BLOCKS = "creation options"
"""What users are told of blocks that have changed."""
_PART_HEIGHT = 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""


@dataclass(frozen=True)
class AppendedPart:
    """A part of which the canvas has the blocks."""

    crc: int
    """CRC-32 of them."""
    sizes: list[int]
    """Of them in bytes, in their order in the canvas; 0 for those that are left out, and
    nothing where all are."""


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
        with open_own(self.path) as stream:
            stream.seek(stream.truncate(self.length))
            stream.write(line)
            # unbuffered, a disk that gets full might take half of it without an error
            stream.flush()
            os.fsync(stream.fileno())
        self.length += len(line)


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
            if zlib.crc32(stream.read(sum(appended.sizes))) != appended.crc:
                return count
        return len(journal.parts)
    return 0


def part_rows(output: OutputProfile) -> int:
    """Return the rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
    high = int(output.blocks["BLOCKYSIZE"])
    most = min(_MOST_BYTES // output.row_bytes, _PART_HEIGHT)
    rows = math.lcm(max(most // high, 1) * high, output.step)
    return rows * -(-_LEAST_PIXELS // (rows * output.width))


@dataclass(frozen=True)
class Parts(StoredParts):
    """The parts of one raster: bands of rows of the full width."""

    output: OutputProfile

    @property
    def rows(self) -> int:
        """Rows of a part."""
        return part_rows(self.output)

    @property
    def canvas(self) -> Path:
        """The file that has the blocks of the first parts."""
        return self.folder / _CANVAS

    def journal(self) -> Journal:
        """Read which parts the canvas has; none once it has its final name, or is lost."""
        path = self.folder / _JOURNAL
        return read_journal(path) if self.canvas.exists() else Journal(path)

    def inbox(self) -> dict[int, Path]:
        """Return the files of parts, by number; the canvas may have some of them already."""
        return super().found()

    def found(self) -> dict[int, Path]:
        """Return the files that hold the complete parts, by number."""
        # in this order: the file of a part goes once the journal tells of it
        files = self.inbox()
        files.update(dict.fromkeys(range(len(self.journal().parts)), self.canvas))
        return dict(sorted(files.items()))

    def intact(self) -> set[int]:
        """Return the complete parts that are on the disk as they were written.

        Of those in the canvas, all behind one that is damaged are forgotten with it.
        """
        journal = self.journal()
        waiting = self.inbox()
        for number in range(len(journal.parts)):
            waiting.pop(number, None)
        count = count_intact(journal, self.canvas)
        if not count or count < len(journal.parts):
            journal.keep(count)
        return set(range(count)) | self._intact_files(waiting)

    def is_content(self, file: Path) -> bool:
        """Tell if a file says what the canvas has."""
        return file.name == _JOURNAL

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.output.height // self.rows)

    def span(self, number: int) -> range:
        """Return the output rows of a part, numbered from 0; the last one may have fewer."""
        start = number * self.rows
        return range(start, min(start + self.rows, self.output.height))

    def missing(self, runs: Iterable[range] | None = None) -> list[range]:
        """Return the runs of consecutive parts that are not there, of all or of some runs."""
        absent: set[int] = set()
        for run in runs or [range(self.count)]:
            absent.update(run)
        absent -= self.found().keys()
        missing_runs: list[range] = []
        for number in sorted(absent):
            if missing_runs and missing_runs[-1].stop == number:
                missing_runs[-1] = range(missing_runs[-1].start, number + 1)
            else:
                missing_runs.append(range(number, number + 1))
        return missing_runs


@contextmanager
def open_parts(
    target: Path,
    output: OutputProfile,
    fingerprint: Mapping[str, object],
    *,
    resume: bool = True,
) -> Iterator[tuple[Parts, tuple[str, ...]]]:
    """Open the parts of a raster, and yield messages too; see ``keep_parts``.

    Their blocks are those of the output, or those without loss of an earlier run with
    other creation options: GDAL copies these then.
    """
    import rasterio

    form = [
        VERSION,
        output.height,
        output.width,
        output.dtype,
        output.band_order,
        output.alpha,
        output.mask,
        str(output.nodata),
    ]
    # what blocks depend on beside their pixels
    blocks = {
        "options": dict(sorted(output.blocks.items())),
        "GDAL": rasterio.__gdal_version__,
    }
    plan = {**fingerprint, "form of parts": form, _BLOCKS: blocks}
    if resume:
        earlier_blocks = _blocks_to_continue(Parts(target, output), plan)
        if earlier_blocks is not None:
            plan[_BLOCKS] = earlier_blocks
            output = copied_by_gdal(output, "parts of an earlier run have other blocks")
            output = replace(output, blocks=earlier_blocks["options"])
    parts = Parts(target, output)
    with keep_parts(parts, plan, resume=resume) as notes:
        yield parts, notes


def _blocks_to_continue(
    parts: Parts, plan: Mapping[str, object]
) -> dict[str, Any] | None:
    """Return the description of other blocks that an earlier run has left, if they do as well.

    They must hold the same pixels, without loss.
    """
    earlier = parts.earlier_plan()
    wanted = json.loads(json.dumps(plan, default=float))
    blocks = earlier.pop(_BLOCKS, None)
    if wanted.pop(_BLOCKS) == blocks or wanted != earlier:
        return None
    if not isinstance(blocks, dict) or not parts.found():
        return None
    options = blocks["options"]
    bits = options.get("NBITS")
    if bits not in (None, parts.output.creation.get("NBITS")):
        return None
    return blocks if is_lossless(options) else None
