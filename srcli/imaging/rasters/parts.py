"""Parts of an unfinished raster: small GeoTIFFs, bands of rows of full width, merged at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srcli.imaging.files.stored_parts import StoredParts, keep_parts
from srcli.imaging.rasters.block_form import is_lossless
from srcli.imaging.rasters.profile import OutputProfile

VERSION = 5
"""Of the contents of the folder."""
_BLOCKS = "creation options"
"""What users are told of blocks that have changed."""
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
        if output.blocks:
            rows = max(most // output.whole_rows, 1) * output.whole_rows
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
    """Open the parts of a raster, and yield messages too; see ``keep_parts``.

    The parts have the output's form, or that of parts without loss that an earlier run
    with other creation options has left: GDAL copies these then.
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
    parts = Parts(target, output)
    if resume:
        earlier_blocks = _blocks_to_continue(parts, plan)
        if earlier_blocks is not None:
            plan[_BLOCKS] = earlier_blocks
            output = replace(
                output,
                blocks=dict(earlier_blocks.get("options", {})),
                why_copied="parts of an earlier run have other blocks",
                levels_in_parts=0,
                encoded_levels=0,
            )
            parts = Parts(target, output)
    with keep_parts(parts, plan, resume=resume) as notes:
        yield parts, notes


def _describe_blocks(output: OutputProfile) -> dict[str, Any]:
    """Return what blocks in parts depend on beside their pixels, as JSON; nothing without such."""
    import rasterio

    if not output.blocks:
        return {}
    description: dict[str, Any] = {
        "options": dict(sorted(output.blocks.items())),
        "GDAL": rasterio.__gdal_version__,
    }
    if output.has_halves:
        levels = [output.levels_in_parts, output.encoded_levels]
        description["halves"] = [output.driver, output.classes, *levels]
    return description


def _blocks_to_continue(
    parts: Parts, plan: Mapping[str, object]
) -> dict[str, Any] | None:
    """Return the description of other blocks that an earlier run has left, if they do as well.

    They must hold the same pixels, without loss, and no halves, which have one output.
    """
    earlier = parts.earlier_plan()
    wanted = json.loads(json.dumps(plan, default=float))
    blocks = earlier.pop(_BLOCKS, None)
    if wanted.pop(_BLOCKS) == blocks or wanted != earlier:
        return None
    if not isinstance(blocks, dict) or "halves" in blocks or not parts.found():
        return None
    options = blocks.get("options", {})
    bits = options.get("NBITS")
    if bits not in (None, parts.output.creation.get("NBITS")):
        return None
    if options and not is_lossless(options):
        return None
    return blocks
