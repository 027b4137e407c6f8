"""Foresee time and disk of the copy into the final form, by copying a few rows of a raster."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import resize, white_level
from srcli.imaging.rasters.halves import choose_levels
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.packed_heights import unpack
from srcli.imaging.rasters.part_encoding import encode_part, stored_bands
from srcli.imaging.rasters.parts import Parts, part_rows
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.result_file import folder_bytes, write_result
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.source import RasterSource, has_huge_blocks
from srcli.imaging.rasters.vrt import MosaicFile
from srcli.ports.image import Window

SAMPLE_SIDE = 64
MOST_SAMPLES_ALONG = 8
"""Windows of the input, on each axis, by which the disk is foreseen."""
SAMPLE_VALUES = 2**24
"""Most values of their enlargements; fewer windows are taken where bands are many."""
TRIAL_ROWS = 256
"""Rows of finished parts that a trial copies at least: those of one part mostly."""
OVERVIEW_SHARE = 0.5
"""Bytes, by those of the parts, of files in which overviews are made before the rest."""

_COPIED_BYTES = 2**29
"""Bytes of compressed blocks that are copied in a second."""


@dataclass(frozen=True)
class TrialCopy:
    """Cost of a copy of a few rows."""

    pixels: int
    part_bytes: int
    """Of the parts that were copied."""
    result_bytes: int
    """Of the copy, with its overviews."""
    seconds: float
    """Processor time."""

    @property
    def result_share(self) -> float:
        """Bytes of the result, by those of its parts."""
        return self.result_bytes / self.part_bytes

    def bytes_to_write(self, part_bytes: int, output: OutputProfile) -> int:
        """Estimate the bytes that the file takes beside so many bytes of parts."""
        if output.is_joined:  # each part goes as soon as the file has it
            return round(_part_share(output) * part_bytes)
        share = self.result_share
        if output.driver == "COG" or output.has_halves:
            share += OVERVIEW_SHARE
        return round(share * part_bytes)

    def disk_needed(self, output: OutputProfile) -> int:
        """Estimate the bytes that a whole output takes on the way: its parts, and the result."""
        share = output.height * output.width / self.pixels
        part_bytes = round(self.part_bytes * share)
        return part_bytes + self.bytes_to_write(part_bytes, output)


def disk_needed(output: OutputProfile) -> int:
    """Estimate the bytes on disk without compression: the parts and the result made of them."""
    # blocks at the lower and right edge are full-sized
    high = int(output.creation.get("BLOCKYSIZE", "1"))
    wide = int(output.creation.get("BLOCKXSIZE", "1"))
    area = -(-output.height // high) * high * -(-output.width // wide) * wide
    size = area * len(output.bands) * np.dtype(output.dtype).itemsize
    if output.mask:
        size += area // 8
    size += size // 1000  # incompressible blocks grow slightly
    overviews_size = size * 7 // 20  # a third, plus edges
    if output.is_joined:  # of which one is still a part while it is copied
        return round(size * (1 + _part_share(output))) + 2**20
    total = size * 2 + 2**20
    if output.has_halves:  # in the parts, and all in a file of their own
        total += size * 5 // 16 + overviews_size
    if output.creation.get("OVERVIEWS") == "NONE":
        return total
    if output.driver == "COG":  # whose overviews are made in a file of their own first
        total += overviews_size * 2
    elif output.overviews:
        total += overviews_size
    return total


def _part_share(output: OutputProfile) -> float:
    """Return the share of an output that one part is."""
    return min(part_rows(output) / output.height, 1.0)


def try_copy(parts: Parts, output: OutputProfile | None = None) -> TrialCopy | None:
    """Copy the first finished parts of a raster to a temporary folder; None before there are some.

    ``output`` has other creation options than that of the parts, or is None.
    """
    bands = stored_bands(parts.output)
    if output is None:
        output = parts.output
    else:
        output = output.copied_by_gdal("blocks of the parts have another form")
    files = []
    rows = 0
    part_bytes = 0
    wanted = min(TRIAL_ROWS, output.height)
    for number, file in parts.unjoined().items():
        size = file.stat().st_size
        if not size:  # blank
            continue
        height = len(parts.span(number))
        files.append(MosaicFile(file.absolute(), rows, 0, height, output.width, bands))
        rows += height
        part_bytes += size
        if rows >= wanted:
            return _copy_to_temporary(files, rows, part_bytes, output)
    return None


def sample_copy(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    scale: int,
    output: OutputProfile,
) -> TrialCopy | None:
    """Enlarge a few windows of a raster by interpolation, and copy them.

    None for a file whose blocks are too large to be decoded for that.
    """
    values = layout.channels * (SAMPLE_SIDE * scale) ** 2
    along = max(min(math.isqrt(SAMPLE_VALUES // values), MOST_SAMPLES_ALONG), 1)
    strips = []
    source = RasterSource(info, layout, window)
    if has_huge_blocks(source.dataset):
        return None
    for places in _sample_places(source.height, source.width, along):
        pieces = [_enlarge_sample(source, place, scale) for place in places]
        strips.append(np.concatenate(pieces, axis=1))
    rows = np.concatenate(strips)
    if layout.is_packed:
        rows = unpack(rows)
    opacity = np.array(white_level(rows.dtype), rows.dtype)
    height, width = rows.shape[:2]
    sample = _with_low_blocks(output, height)
    sample = replace(sample, height=height, width=width, overviews=output.overviews[:1])
    levels, encoded_levels = choose_levels(sample)
    sample = replace(sample, levels_in_parts=levels, encoded_levels=encoded_levels)
    with tempfile.TemporaryDirectory(
        prefix="srx-", ignore_cleanup_errors=True
    ) as folder:
        file = Path(folder) / "sample.tif"
        with encode_part(rows, opacity, sample) as part:
            file.write_bytes(b"".join(part))
        files = [MosaicFile(file, 0, 0, height, width, stored_bands(output))]
        return _copy_to_temporary(files, height, file.stat().st_size, sample)


def _sample_places(height: int, width: int, along: int) -> Iterator[list[Window]]:
    """Yield rows of windows in the middle of equal parts.

    Corners are often empty, or all that is full.
    """
    window_height = min(height, SAMPLE_SIDE)
    window_width = min(width, SAMPLE_SIDE)
    rows = min(along, -(-height // SAMPLE_SIDE))
    columns = min(along, -(-width // SAMPLE_SIDE))
    for row in range(rows):
        top = ((2 * row + 1) * height // rows - window_height) // 2
        places = []
        for column in range(columns):
            left = ((2 * column + 1) * width // columns - window_width) // 2
            place = Window(top=top, left=left, height=window_height, width=window_width)
            places.append(place)
        yield places


def _enlarge_sample(source: RasterSource, place: Window, scale: int) -> Array:
    """Return a window (h, w, C) of a raster, interpolated, but for its bands of classes."""
    decoded = source.decode(place)
    pixels = decoded.pixels
    enlarged = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    valid = decoded.valid[:, :, source.smooth]
    if source.layout.smooth and valid.any():
        smooth = np.where(valid, pixels[:, :, source.smooth], 0)
        enlarged[:, :, source.smooth] = resize(smooth.astype(pixels.dtype), scale)
    return enlarged


def _copy_to_temporary(
    files: Sequence[MosaicFile], rows: int, part_bytes: int, output: OutputProfile
) -> TrialCopy:
    """Copy files, which lie below each other, as the output would be; raises rasterio's errors.

    Where the output is put together from their blocks alone, nothing is tried.
    """
    pixels = rows * output.width
    if output.keeps_blocks and not output.wants_halves:
        seconds = part_bytes / _COPIED_BYTES
        return TrialCopy(pixels, part_bytes, part_bytes, seconds)
    trial = replace(output, height=rows)
    if not output.keeps_blocks:
        trial = _with_low_blocks(trial, rows)
    # GDAL opens map tiles, for their lower levels, by this ending alone
    name = "copy.mbtiles" if trial.driver == "MBTiles" else "copy.tif"
    if "NUM_THREADS" in trial.creation:
        # one thread's time can be measured beside others
        trial = replace(trial, creation={**trial.creation, "NUM_THREADS": "1"})
    with tempfile.TemporaryDirectory(
        prefix="srx-", ignore_cleanup_errors=True
    ) as folder:
        started = time.thread_time()
        write_result(files, Path(folder) / name, trial)
        seconds = time.thread_time() - started
        return TrialCopy(
            pixels=pixels,
            part_bytes=part_bytes,
            result_bytes=folder_bytes(Path(folder)),
            seconds=seconds,
        )


def _with_low_blocks(output: OutputProfile, rows: int) -> OutputProfile:
    """Return an output whose blocks are not higher than a few rows, and not filled up below."""
    if output.driver == "COG" or not output.creation.get("BLOCKYSIZE", "").isdecimal():
        return output
    height = min(int(output.creation["BLOCKYSIZE"]), -(-rows // 16) * 16)
    block_height = {"BLOCKYSIZE": str(height)}
    blocks = output.blocks
    if blocks:
        blocks = {**blocks, **block_height}
    creation = {**output.creation, **block_height}
    return replace(output, creation=creation, blocks=blocks)
