"""Parts of an unfinished raster, bands of rows of full width, and the canvas that takes them.

A part is encoded as a small TIFF, which waits in the folder; its blocks go into the
canvas, one part behind the other, and its file goes then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srcli.imaging.files.stored_parts import StoredParts, keep_parts
from srcli.imaging.rasters.creation import copied_by_gdal, is_lossless
from srcli.imaging.rasters.journal import Journal, count_intact, read_journal
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


def part_rows(output: OutputProfile) -> int:
    """Return the rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
    high = int(output.blocks["BLOCKYSIZE"])
    most = min(_MOST_BYTES // output.row_bytes, _PART_HEIGHT)
    rows = max(most // high, 1) * high
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
    plan = {
        **fingerprint,
        "form of parts": form,
        _BLOCKS: _describe_blocks(output),
    }
    if resume:
        earlier_blocks = _blocks_to_continue(Parts(target, output), plan)
        if earlier_blocks is not None:
            plan[_BLOCKS] = earlier_blocks
            output = copied_by_gdal(output, "parts of an earlier run have other blocks")
            output = replace(output, blocks=earlier_blocks["options"])
    parts = Parts(target, output)
    with keep_parts(parts, plan, resume=resume) as notes:
        yield parts, notes


def _describe_blocks(output: OutputProfile) -> dict[str, Any]:
    """Return what blocks depend on beside their pixels, as JSON."""
    import rasterio

    return {
        "options": dict(sorted(output.blocks.items())),
        "GDAL": rasterio.__gdal_version__,
    }


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
