"""Fill pixels that hold nothing from the nearest ones that do, so that networks see no edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]
    Places = NDArray[np.intp]

# Steps to the pixels around one, the closest first.
_CLOSE = sorted(
    ((down, right) for down in range(-2, 3) for right in range(-2, 3) if down or right),
    key=lambda step: step[0] ** 2 + step[1] ** 2,
)
_FEW = 20
"""One hole in so many pixels is few."""


def fill_nearest(pixels: Array, valid: Bools) -> Array:
    """Replace invalid pixels by the nearest valid ones, each band for itself.

    A band without any valid pixel takes over the band next to it that has some, filled likewise;
    where no band has any, all become 0.

    Args:
        pixels: (h, w, C), any real dtype.
        valid: (h, w, C), or (h, w, 1) for all bands.

    Returns:
        (h, w, C) of the same dtype, valid pixels unchanged; the same array if all are valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if pixels.ndim != 3 or valid.shape not in (pixels.shape, (*pixels.shape[:2], 1)):
        raise ValueError(
            f"expected (h, w, C) and (h, w, C or 1), got {pixels.shape}, {valid.shape}"
        )
    if valid.all():
        return pixels
    if valid.shape[2] > 1 and (valid == valid[:, :, :1]).all():
        valid = valid[:, :, :1]
    seen = [bool(valid[:, :, band].any()) for band in range(valid.shape[2])]
    if not any(seen):
        return np.zeros_like(pixels)
    if valid.shape[2] == 1:
        return _filled(pixels, valid[:, :, 0])
    filled = pixels.copy()
    sources = [band for band in range(len(seen)) if seen[band]]
    for band in sources:
        filled[:, :, band] = _filled(pixels[:, :, band], valid[:, :, band])
    for band in range(len(seen)):
        if not seen[band]:
            filled[:, :, band] = filled[:, :, min(sources, key=lambda one: abs(one - band))]
    return filled


def _filled(pixels: Array, valid: Bools) -> Array:
    """Pixels (h, w) or (h, w, C), by one mask (h, w) that holds at least one place."""
    rows, columns = np.nonzero(~valid)
    filled = pixels.copy()
    if len(rows) * _FEW < valid.size:
        rows, columns = _fill_close(filled, valid, rows, columns)
    if len(rows):
        from scipy import ndimage

        places = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        filled[rows, columns] = pixels[places[0][rows, columns], places[1][rows, columns]]
    return filled


def _fill_close(
    filled: Array, valid: Bools, rows: Places, columns: Places
) -> tuple[Places, Places]:
    """Fill holes that have a valid pixel close by; returns the others.

    Single dark pixels that look like nodata are all over many pictures; distances of all pixels
    would take longer than their network does on a GPU.
    """
    height, width = valid.shape
    for down, right in _CLOSE:
        there = (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)
        # what is clipped is closer still, and has been looked at before
        found = valid[there]
        filled[rows[found], columns[found]] = filled[there[0][found], there[1][found]]
        rows, columns = rows[~found], columns[~found]
        if not len(rows):
            break
    return rows, columns
