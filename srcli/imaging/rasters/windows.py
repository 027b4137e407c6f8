"""Choose the part of a raster to enlarge, given in pixels or in map coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.georeference import corners
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.imaging.rasters.info import RasterInfo

_SLACK = 1e-4
"""Pixels by which bounds may miss a pixel's edge, because printed coordinates are rounded."""


def choose_window(
    info: RasterInfo,
    *,
    srcwin: Sequence[int] | None = None,
    bounds: Sequence[float] | None = None,
) -> tuple[Window, tuple[str, ...]]:
    """Turn --srcwin or --bounds into a window of a file, the entire file if neither is given.

    Args:
        info: The file.
        srcwin: (column, row, width, height) in pixels from its upper left corner.
        bounds: (left, bottom, right, top) in its coordinate system; all pixels that they touch
            are taken, also of rotated rasters.

    Returns:
        The window, clipped to the file, and notes for the user.

    Raises:
        UsageError: If both are given, or the numbers are no rectangle.
        PictureError: If the rectangle lies outside the file, or the file has no transform.
    """
    if srcwin is not None and bounds is not None:
        raise UsageError("--srcwin and --bounds: give only one of them")
    if srcwin is not None:
        return _clipped(info, "--srcwin", _edges(srcwin))
    if bounds is not None:
        return _clipped(info, "--bounds", _enclosing(info, bounds))
    return Window(top=0, left=0, height=info.height, width=info.width), ()


def _edges(srcwin: Sequence[int]) -> tuple[int, int, int, int]:
    if len(srcwin) != 4 or min(srcwin[2:]) < 1:
        raise UsageError(
            f"--srcwin {_list(srcwin)}: give column,row,width,height, the last two at least 1"
        )
    column, row, width, height = srcwin
    return column, row, column + width, row + height


def _enclosing(info: RasterInfo, bounds: Sequence[float]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge, in pixels."""
    numbers = len(bounds) == 4 and all(math.isfinite(one) for one in bounds)
    if not numbers or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise UsageError(
            f"--bounds {_list(bounds)}: give left,bottom,right,top with left < right, bottom < top"
        )
    if not info.has_transform or info.transform.is_degenerate:
        found = "ground control points only" if info.gcps else "no place on the map"
        raise PictureError(f"{info.path}: has {found}, so --bounds cannot be found; use --srcwin")
    left, bottom, right, top = bounds
    inverse = ~info.transform
    places = [(x, y) for x in (left, right) for y in (bottom, top)]
    columns = [inverse.a * x + inverse.b * y + inverse.c for x, y in places]
    rows = [inverse.d * x + inverse.e * y + inverse.f for x, y in places]
    first = math.floor(min(columns) + _SLACK), math.floor(min(rows) + _SLACK)
    last = math.ceil(max(columns) - _SLACK), math.ceil(max(rows) - _SLACK)
    return *first, max(last[0], first[0] + 1), max(last[1], first[1] + 1)


def _clipped(
    info: RasterInfo, option: str, edges: tuple[int, int, int, int]
) -> tuple[Window, tuple[str, ...]]:
    left, top = max(edges[0], 0), max(edges[1], 0)
    right, bottom = min(edges[2], info.width), min(edges[3], info.height)
    if right <= left or bottom <= top:
        raise PictureError(f"{info.path}: {option} lies outside the file, which {_extent(info)}")
    window = Window(top=top, left=left, height=bottom - top, width=right - left)
    if (left, top, right, bottom) == edges:
        return window, ()
    return window, (
        f"{option} reaches beyond the file: {window.width}x{window.height} pixels from column "
        f"{left}, row {top} are used",
    )


def _extent(info: RasterInfo) -> str:
    """Describe a file's size and its bounds on the map."""
    size = f"has {info.width}x{info.height} pixels"
    if not info.has_transform:
        return size
    across, up = zip(*corners(info.transform, info.height, info.width), strict=True)
    return (
        f"{size} and reaches from {min(across):.10g},{min(up):.10g} "
        f"to {max(across):.10g},{max(up):.10g}"
    )


def _list(numbers: Sequence[float]) -> str:
    return ",".join(f"{one:.12g}" for one in numbers)
