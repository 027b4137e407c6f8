"""Foresee what an output takes on the disk on the way, by a sample of its pixels."""

from __future__ import annotations

import math

import numpy as np

from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import resize, white_level
from srcli.imaging.rasters.heights import unpack
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.part_writer import encode_part
from srcli.imaging.rasters.parts import part_rows
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.source import RasterSource, has_huge_blocks
from srcli.ports import Window

SAMPLE_SIDE = 64
MOST_SAMPLES_ALONG = 8
"""Windows of the input, on each axis, by which the disk is foreseen."""
SAMPLE_VALUES = 2**24
"""Most values of their enlargements; fewer windows are taken where bands are many."""
_OVERVIEWS = 0.35
"""Bytes of overviews, by those of the picture: a third, and what edges need."""


def _overviews_at_end(output: OutputProfile) -> float:
    """Return the bytes of overviews, by those of the canvas."""
    is_cog = output.driver == "COG" and output.creation.get("OVERVIEWS") != "NONE"
    return _OVERVIEWS * bool(output.overviews or is_cog)


def growth_at_end(output: OutputProfile) -> float:
    """Return the bytes that are written beside the canvas at the end, by those of the canvas."""
    overviews = _overviews_at_end(output)
    if output.keeps_blocks and output.driver != "COG":
        return overviews
    return 1 + 2 * overviews


def _most_at_once(output: OutputProfile) -> float:
    """Return the bytes of a canvas, of what the end writes, and of one part more, by the canvas.

    A part is there twice for a moment.
    """
    part_share = min(part_rows(output) / output.height, 1.0)
    return 1 + part_share + growth_at_end(output)


def passing_share(output: OutputProfile) -> float:
    """Return the share of the bytes on the way that is gone once the output is finished."""
    return 1 - (1 + _overviews_at_end(output)) / _most_at_once(output)


def disk_needed(output: OutputProfile) -> int:
    """Estimate the bytes on disk without compression: canvas, one part, what the end writes."""
    # blocks at the lower and right edge are full-sized
    high = int(output.creation.get("BLOCKYSIZE", "1"))
    wide = int(output.creation.get("BLOCKXSIZE", "1"))
    area = -(-output.height // high) * high * -(-output.width // wide) * wide
    size = area * len(output.bands) * np.dtype(output.dtype).itemsize
    if output.mask:
        size += area // 8
    size += size // 1000  # incompressible blocks grow slightly
    return round(size * _most_at_once(output)) + 2**20


def sample_disk(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    scale: int,
    output: OutputProfile,
) -> int | None:
    """Estimate the bytes on disk by windows of a raster that are interpolated and encoded.

    None for a file whose blocks are too large to be decoded for that.
    """
    values = layout.channels * (SAMPLE_SIDE * scale) ** 2
    along = max(min(math.isqrt(SAMPLE_VALUES // values), MOST_SAMPLES_ALONG), 1)
    strips = []
    source = RasterSource(info, layout, window)
    if has_huge_blocks(source.dataset):
        return None
    height = min(source.height, SAMPLE_SIDE)
    width = min(source.width, SAMPLE_SIDE)
    for top in _middles(source.height, along):
        pieces = []
        for left in _middles(source.width, along):
            place = Window(top=top, left=left, height=height, width=width)
            pieces.append(_enlarge_sample(source, place, scale))
        strips.append(np.concatenate(pieces, axis=1))
    rows = np.concatenate(strips)
    if layout.is_packed:
        rows = unpack(rows)
    opacity = np.array(white_level(rows.dtype), rows.dtype)
    with encode_part(rows, opacity, output) as content:
        size = len(content)
    share: float = output.height * output.width / math.prod(rows.shape[:2])
    return round(size * share * _most_at_once(output))


def _middles(length: int, most: int) -> list[int]:
    """Return where windows begin on an axis, in the middle of at most so many equal parts.

    Corners are often empty, or all that is full.
    """
    count = min(most, max(length // SAMPLE_SIDE, 1))
    side = min(length, SAMPLE_SIDE)
    starts = ((2 * np.arange(count) + 1) * length // count - side) // 2
    return [int(start) for start in starts]


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
