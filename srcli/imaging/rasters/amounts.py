"""Keep the sums of amounts: what a pixel becomes is scaled until it holds as much as the pixel."""

from __future__ import annotations

import math

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools, Limits
from srcli.imaging.rasters.info import BandInfo


def keep_sums(
    rows: Array, pixels: Array, are_kept: Bools, band: BandInfo, divisor: int
) -> None:
    """Give each block of enlarged ``rows`` (s h, s w) the sum of its pixel (h, w), in place.

    Blocks are cut to the limits of the band first. Then the amounts in them are scaled, so
    that what has none stays without, and divided by ``divisor``; without lower limit they
    are shifted. Whole numbers are rounded so that the sum stays. Pixels that are not to be
    kept leave their blocks as they are. One row of pixels after the other, as sums must
    not depend on where a part begins.
    """
    scale = len(rows) // len(pixels)
    low, high = band.limits or (-math.inf, math.inf)
    zero = band.zero or 0.0
    is_whole = rows.dtype.kind in "iu"
    for number, (row, is_kept) in enumerate(zip(pixels, are_kept, strict=True)):
        lines = rows[number * scale :][:scale]
        if not is_kept.any():
            continue
        shape = (scale, len(row), scale)
        blocks = lines.reshape(shape).transpose(1, 0, 2).reshape(len(row), -1)
        amounts = np.where(is_kept[:, None], blocks, 0).astype(np.float64)
        before = np.where(is_kept, row, 0).astype(np.float64)[:, None]
        amounts = amounts.clip(np.minimum(low, before), np.maximum(high, before))
        fitted = _fit_means(amounts, before, (low, high), zero)
        if divisor > 1:
            fitted = zero + (fitted - zero) / divisor
            before = zero + (before - zero) / divisor
        if is_whole:
            fitted = _round(fitted, before * scale**2)
        larger = fitted.reshape(len(row), scale, scale).transpose(1, 0, 2)
        mask = is_kept.repeat(scale)
        np.copyto(lines, larger.reshape(scale, -1), "unsafe", where=mask)


def _fit_means(amounts: Array, means: Array, limits: Limits, zero: float) -> Array:
    """Return blocks (n, s * s) within limits, scaled to means (n, 1).

    The distances from the limit at zero become larger or smaller; where they would become
    too large, those from the other one.
    """
    near, far = sorted(limits, key=lambda end: abs(end - zero))
    if not math.isfinite(near):
        return amounts + means - _mean(amounts)
    fitted = _scaled(amounts, means, near)
    if math.isfinite(far):
        is_beyond = np.abs(fitted - near).max(axis=1, keepdims=True) > abs(far - near)
        fitted = np.where(is_beyond, _scaled(amounts, means, far), fitted)
    return fitted


def _scaled(amounts: Array, means: Array, zero: float) -> Array:
    """Return blocks whose distances from zero have a mean; all the same where they are none."""
    distances = amounts - zero
    usual = _mean(distances)
    has_some = usual != 0
    factors = np.divide(means - zero, usual, out=np.ones_like(means), where=has_some)
    return np.where(has_some, zero + distances * factors, means)


def _mean(blocks: Array) -> Array:
    """Return means (n, 1) of blocks (n, m), added up in one order whatever n is."""
    total: Array = np.zeros(len(blocks))
    for column in blocks.T:
        total += column
    return np.asarray(total / blocks.shape[1])[:, None]


def _round(amounts: Array, sums: Array) -> Array:
    """Return blocks (n, m) of whole numbers with sums (n, 1): the largest remainders go up."""
    whole = np.floor(amounts)
    count = np.rint(sums - whole.sum(axis=1, keepdims=True))
    order = np.argsort(whole - amounts, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return np.asarray(whole + (ranks < count))
