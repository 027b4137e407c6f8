"""Parts of an unfinished raster: small GeoTIFFs, bands of rows of full width, merged at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from srcli.imaging.rasters.output import OutputProfile
from srcli.imaging.stored_parts import StoredParts, keep_parts

VERSION = 5
"""Of the contents of the folder."""
_BLOCK_HEIGHT = 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""


@dataclass(frozen=True)
class Parts(StoredParts):
    """The parts of one raster: bands of rows of the full width."""

    output: OutputProfile

    @property
    def rows(self) -> int:
        """Rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
        output = self.output
        most = min(_MOST_BYTES // output.row_bytes, _BLOCK_HEIGHT)
        if output.keeps_blocks:
            block_height = int(output.blocks["BLOCKYSIZE"])
            rows = max(most // block_height, 1) * block_height
        else:
            rows = max(most // 16 * 16, 16)
        return rows * -(-_LEAST_PIXELS // (rows * output.width))

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
    """Open the parts of a raster, and yield messages too; see ``keep_parts``."""
    parts = Parts(target, output)
    form: list[object] = [
        VERSION,
        output.height,
        output.width,
        output.dtype,
        len(output.bands),
        output.alpha,
        output.mask,
        str(output.nodata),
    ]
    if output.keeps_blocks:
        form += _form_of_blocks(output)
    plan = {**fingerprint, "form of parts": form}
    with keep_parts(parts, plan, resume=resume) as notes:
        yield parts, notes


def _form_of_blocks(output: OutputProfile) -> list[object]:
    """Return what the blocks of the final file depend on beside their pixels."""
    import rasterio

    blocks = sorted(output.blocks.items())
    averages = [output.has_halves, output.classes, output.driver]
    return [blocks, output.band_order, averages, rasterio.__gdal_version__]
