"""Fill transparent pixels with the colours around them, which upscaling would mix into edges."""

from __future__ import annotations

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools, Floats
from srcli.imaging.pixels.resize import to_dtype, white_level
from srcli.ports import Wrap

_REACH = 4  # pixels: the bicubic kernel reaches 2, what a network mixes in visibly little more
BLEED = 3
"""Pixels around visible ones that take their colours: the bicubic kernel, by which alpha
is enlarged, reaches 2, and programs that make pictures smaller look a little farther."""
_ROWS = 256  # computed at once; an even number
_HIDDEN_SHARE = 0.05
"""Share of a picture's pixels from which colours that are replaced look as if they
meant something: they differ from their neighbours, which soft edges alone do in fewer
places."""


def fill_transparent(pixels: Array, alpha: Array, wrap: Wrap = "") -> Array:
    """Give pixels (H, W, C) that are hardly seen the colours of those around them that are.

    Programs leave any colour (often black) where little or nothing is seen; a network
    that looks at such pixels would draw it into the visible edge. So the colours of
    others count by alpha:

    - A pixel with less than half of the alpha that is found within ``_REACH`` pixels
      keeps of its own colour twice the ratio of the two; the rest is the mean around
      it, weighted by alpha and nearness. With straight colours, halfway between two
      pixels, that is what interpolation of colours multiplied by alpha gives. Pictures
      of equal alpha, however faint, stay as they are.
    - A fully transparent pixel with nothing visible so near gets the mean, weighted by
      alpha, of the smallest block of 2x2, 4x4, ... that has a visible pixel.

    Pixels of the highest alpha stay; the same array comes back if there is nothing to
    fill, or nothing to fill it with. With ``wrap`` those at a border are near those at
    the opposite one.
    """
    if wrap:
        height, width = alpha.shape
        margins = [(0, 0), (0, 0), (0, 0)]
        if wrap != "x":
            margins[0] = (_REACH, _REACH)
        if wrap != "y":
            margins[1] = (_REACH, _REACH)
        alpha = np.pad(alpha, margins[:2], "wrap")
        filled = fill_transparent(np.pad(pixels, margins, "wrap"), alpha)
        return filled[margins[0][0] :, margins[1][0] :][:height, :width]
    highest = _reduce_window(
        np.maximum, _reduce_window(np.maximum, alpha, _REACH, 0), _REACH, 1
    )
    mixed = _fill_faint(pixels, alpha, highest)
    holes = highest == 0
    del highest
    if not holes.any():
        return mixed
    height, width, channels = pixels.shape
    blocks = (-(-height // 2), -(-width // 2), channels + 1)
    sums = np.empty(blocks, np.float32)
    # in bands, because floats of a whole picture would take a lot of memory
    for top in range(0, height, _ROWS):
        band = slice(top, top + _ROWS)
        block_rows = slice(top // 2, (top + _ROWS) // 2)
        sums[block_rows] = _block_sums(_weighted(mixed[band], alpha[band]))
    if not sums[:, :, -1].any():
        return mixed
    means = _block_means(sums)
    filled = mixed
    if filled is pixels:  # which stay as they are
        filled = pixels.copy()
    for top in range(0, height, _ROWS):
        rows, columns = np.nonzero(holes[top : top + _ROWS])
        rows += top
        values = means[rows // 2, columns // 2].astype(np.float64)
        filled[rows, columns] = to_dtype(values, pixels.dtype)
    return filled


def find_unseen(alpha: Array, wrap: Wrap = "") -> Bools | None:
    """Return where nothing is visible within ``BLEED`` pixels: (H, W), None if nowhere.

    With ``wrap`` the pixels at a border are near those at the opposite one.
    """
    margins = [(0, 0), (0, 0)]
    if wrap in ("y", "both"):
        margins[0] = (BLEED, BLEED)
    if wrap in ("x", "both"):
        margins[1] = (BLEED, BLEED)
    is_seen = np.pad(alpha > 0, margins, "wrap")
    for axis in (0, 1):
        is_seen = _reduce_window(np.logical_or, is_seen, BLEED, axis)
    height, width = alpha.shape
    top, left = margins[0][0], margins[1][0]
    unseen: Bools = ~is_seen[top : top + height, left : left + width]
    return unseen if unseen.any() else None


def hides_colours(pixels: Array, filled: Array) -> bool:
    """Return True if ``fill_transparent`` has replaced many colours that were not flat.

    Alpha of a game's texture, for example, may be its gloss or height, and no
    transparency.
    """
    lost_count = 0
    for top in range(0, len(pixels), _ROWS):
        band = pixels[top : top + _ROWS]
        replaced = (band != filled[top : top + _ROWS]).any(axis=2)
        differs = (band[:, 1:] != band[:, :-1]).any(axis=2)
        lost = replaced[:, 1:] & replaced[:, :-1] & differs
        lost_count += int(lost.sum())
    height, width = pixels.shape[:2]
    return bool(lost_count > _HIDDEN_SHARE * height * width)


def _fill_faint(pixels: Array, alpha: Array, highest: Array) -> Array:
    """Mix the colours around them into pixels of far less alpha than the highest nearby."""
    faint = alpha < highest - alpha
    if not faint.any():
        return pixels
    filled = pixels.copy()
    for top in range(0, len(alpha), _ROWS):
        rows, columns = np.nonzero(faint[top : top + _ROWS])
        if not rows.size:
            continue
        start = max(top - _REACH, 0)
        around = slice(start, top + _ROWS + _REACH)
        sums = _weighted(pixels[around], alpha[around])
        for axis in (0, 1):  # a box twice is a tent: near pixels count for more
            for _ in range(2):
                sums = _reduce_window(np.add, sums, _REACH // 2, axis)
        near = sums[rows + (top - start), columns].astype(np.float64)
        rows = rows + top
        share = 2.0 * alpha[rows, columns] / highest[rows, columns]
        weights = np.maximum(near[:, -1:], np.finfo(np.float32).tiny)
        around_them = near[:, :-1] / weights
        mixed = around_them + share[:, None] * (pixels[rows, columns] - around_them)
        filled[rows, columns] = to_dtype(mixed, pixels.dtype)
    return filled


def _weighted(pixels: Array, alpha: Array) -> Floats:
    """Return colours times alpha, and alpha (0 where a colour is not finite) as a last channel."""
    weights = alpha.astype(np.float32) / np.float32(white_level(alpha.dtype))
    if pixels.dtype.kind == "f":
        weights[~np.isfinite(pixels).all(axis=2)] = 0
        pixels = np.nan_to_num(pixels, posinf=0.0, neginf=0.0)
    return np.dstack([pixels * weights[:, :, None], weights])


def _reduce_window(combine: np.ufunc, values: Array, reach: int, axis: int) -> Array:
    """Combine every value with those up to ``reach`` places before and behind it."""
    values = values.swapaxes(0, axis)
    result = values.copy()
    for step in range(1, min(reach, len(values) - 1) + 1):
        combine(result[step:], values[:-step], out=result[step:])
        combine(result[:-step], values[step:], out=result[:-step])
    return result.swapaxes(0, axis)


def _block_means(sums: Floats) -> Array:
    """Return mean colours of blocks of 2x2 by sums; of a larger block where nothing is seen."""
    weights = sums[:, :, -1:]
    unseen = weights[:, :, 0] == 0
    means: Array = sums[:, :, :-1] / np.maximum(weights, np.finfo(np.float32).tiny)
    if unseen.any():
        coarser = _block_means(_block_sums(sums))
        rows, columns = np.nonzero(unseen)
        means[rows, columns] = coarser[rows // 2, columns // 2]
    return means


def _block_sums(values: Floats) -> Floats:
    """Return sums over blocks of 2x2; blocks at the far edges of odd sizes are smaller."""
    rows = np.add.reduceat(values, range(0, len(values), 2), axis=0)
    return np.add.reduceat(rows, range(0, rows.shape[1], 2), axis=1)


def unpremultiplied(pixels: Array, alpha: Array) -> Array:
    """Divide colours by the alpha that they were stored multiplied by."""
    peak = white_level(alpha.dtype)
    share = np.where(alpha > 0, alpha, peak)[:, :, None] / peak
    values = pixels / share
    if alpha.dtype.kind == "f":
        return values.astype(alpha.dtype)
    return np.minimum(np.rint(values), peak).astype(alpha.dtype)
