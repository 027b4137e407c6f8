"""Look at a raster once: its header, and samples of its pixels that all decisions share.

What a raster means is decided by functions that take a ``Look`` and open nothing: which
values are no data, which bands hold classes, which values are black and white. The
samples are windows all over the file, also where only a part of it is enlarged: so a
part is taken for what the whole is, and fits it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import NamedTuple

import numpy as np

from srcli.imaging.pixels.alpha import unpremultiplied
from srcli.imaging.pixels.arrays import Array, Bools, Limits
from srcli.imaging.pixels.values import spread_windows
from srcli.imaging.rasters.dataset_names import is_remote
from srcli.imaging.rasters.info import BandInfo, RasterInfo
from srcli.imaging.rasters.nodata import is_code, is_nodata
from srcli.imaging.rasters.source import cut_out, has_huge_blocks, read_planes
from srcli.ports import Window

MOST_SAMPLES = 2**23
"""Values that are read, all bands together; a raster of fewer is read completely."""
MOST_ALONG = 8
"""Windows along each axis of a larger raster."""
_SMALLEST_SIDE = 64
_LARGEST_SIDE = 256
"""Pixels a side of such a window: few where there are many bands."""
_FINE_SIDE = 32
_FINE_ALONG = 48
"""Of the windows of a second look, where the first has met hardly any data."""


class BandWindow(NamedTuple):
    """Pixels of one band as they are stored: in one window, or in several (n, h, w)."""

    pixels: Array
    """(h, w)."""
    valid: Bools
    """(h, w), by nodata, NaN and masks, not by alpha."""


@dataclass(frozen=True)
class Look:
    """A raster as it was looked at: what its header says, and samples of its pixels."""

    info: RasterInfo
    """With what was decided since, such as nodata that the file does not declare."""
    area: Window
    """The part of the file that was looked at: all of it, if it is not on the network."""
    numbers: list[int]
    """Bands that are looked at, from 1."""
    places: list[Window]
    """Windows of one size, spread over the area."""
    read: Callable[[], dict[int, BandWindow]] = field(compare=False, repr=False)
    """Returns their pixels by band, decoded when it is first called; see ``_read_samples``."""

    @property
    def is_whole(self) -> bool:
        """All pixels are known, which are one window."""
        return self.places == [self.area]

    @property
    def is_of_whole_file(self) -> bool:
        """No part of the file was left out because it is on the network."""
        size = (self.area.height, self.area.width)
        return size == (self.info.height, self.info.width)

    @cached_property
    def has_huge_blocks(self) -> bool:
        """True if the blocks of the file are too large to be decoded for signs."""
        assert self.info.opened is not None
        return has_huge_blocks(self.info.opened.dataset)

    def with_bands(self, bands: Iterable[BandInfo]) -> Look:
        """Return the look with what was decided on bands."""
        return replace(self, info=replace(self.info, bands=tuple(bands)))

    def all_pixels(self, number: int) -> BandWindow:
        """Return the pixels of a band in all windows (n, h, w), not to be changed."""
        band = self.info.band(number)
        pixels, by_masks = self.read()[number]
        valid = np.isfinite(pixels) & by_masks
        for nodata in self.info.nodata_values(band):
            valid &= ~is_nodata(pixels, nodata)
        if band.codes or band.measured is not None:
            valid &= ~is_code(pixels, band.codes, band.measured)
        return BandWindow(pixels, valid)

    def windows(self, number: int, side: int, along: int) -> list[BandWindow]:
        """Return windows of a band, of ``side`` pixels at most, spread evenly.

        At most ``along`` on each axis of a small raster, of which all pixels are known;
        else those that were decoded.
        """
        pixels, valid = self.all_pixels(number)
        if not self.is_whole:
            return [BandWindow(*window) for window in zip(pixels, valid, strict=True)]
        windows = []
        for window in _windows_in(self.area, side, along):
            cuts = [cut_out(layer[0], self.area, window) for layer in (pixels, valid)]
            windows.append(BandWindow(*cuts))
        return windows

    def opacity(self, number: int) -> Array:
        """Return pixels (n, h, w) of a band called alpha, NaN as 0; none of huge blocks."""
        if self.has_huge_blocks:
            return np.empty((0, 0, 0), self.info.band(number).dtype)
        windows = self.windows(number, side=512, along=4)
        return np.asarray(np.nan_to_num([window.pixels for window in windows]))

    def range_of_soft_alpha(self, number: int) -> Limits | None:
        """Return the lowest and highest value of alpha that has others besides 0 and that."""
        pixels = self.opacity(number)
        if not pixels.size:
            return None
        highest = float(pixels.max())
        if not np.any((pixels != 0) & (pixels != highest)):
            return None
        return float(pixels.min()), highest

    def values(self, number: int, alpha: int | None = None) -> Array:
        """Return the valid values of a band (n,); where a band of alpha is not 0."""
        values, valid = self.all_pixels(number)
        if alpha is None or alpha == 0:
            return values[valid]
        opacity = self.read()[alpha].pixels
        valid &= opacity > 0
        if self.info.is_premultiplied:
            return unpremultiplied(
                values[valid][None, :, None], opacity[valid][None]
            ).ravel()
        return values[valid]

    def finer(self) -> Look:
        """Return a second look by many small windows, for rasters with little data."""
        places = _windows_in(self.area, _FINE_SIDE, _FINE_ALONG)
        return _look(self.info, self.area, self.numbers, places)


def look_at(
    info: RasterInfo, window: Window, numbers: Sequence[int] | None = None
) -> Look:
    """Look at an open raster, of which a window is to be enlarged; nothing is decoded yet.

    ``numbers`` are those of the bands to look at, from 1; None is all. Of a raster on the
    network the window alone is looked at.
    """
    area = Window(top=0, left=0, height=info.height, width=info.width)
    if any(map(is_remote, (str(info.path), *info.files))):
        area = window
    looked_at = list(range(1, len(info.bands) + 1))
    if numbers is not None:  # choosing bands tells of one that the file lacks
        looked_at = [number for number in looked_at if number in numbers] or looked_at
    return _look(info, area, looked_at, _places(area, len(looked_at)))


def _look(
    info: RasterInfo, area: Window, numbers: list[int], places: list[Window]
) -> Look:
    read = cache(partial(_read_samples, info, numbers, places))
    return Look(info, area, numbers, places, read)


def _read_samples(
    info: RasterInfo, numbers: list[int], places: list[Window]
) -> dict[int, BandWindow]:
    """Return bands (windows, h, w) by number, valid by masks of the file alone."""
    numbers_of_dtypes: defaultdict[str, list[int]] = defaultdict(list)
    for number in numbers:
        numbers_of_dtypes[info.band(number).dtype].append(number)
    bands: dict[int, BandWindow] = {}
    for dtype, alike in numbers_of_dtypes.items():
        shape = (len(alike), len(places), places[0].height, places[0].width)
        pixels: Array = np.empty(shape, dtype)
        valid = np.ones(shape, np.bool_)
        for index, window in enumerate(places):
            masks = read_planes(info, alike, alike, window, pixels[:, index])
            if masks is not None:
                valid[:, index] = masks
        bands |= dict(zip(alike, map(BandWindow, pixels, valid), strict=True))
    return bands


def _places(area: Window, band_count: int) -> list[Window]:
    """Return where samples are taken: all of a small area, else windows all over it."""
    if area.height * area.width * band_count <= MOST_SAMPLES:
        return [area]
    side = math.isqrt(MOST_SAMPLES // (MOST_ALONG**2 * band_count))
    side = min(max(side, _SMALLEST_SIDE), _LARGEST_SIDE)
    along = math.isqrt(MOST_SAMPLES // (side**2 * band_count))
    return _windows_in(area, side, min(max(along, 2), MOST_ALONG))


def _windows_in(area: Window, side: int, along: int) -> list[Window]:
    """Return windows spread evenly over a part of a file, counted from the file's corner."""
    windows = []
    for window in spread_windows(area.height, area.width, side, along):
        top = area.top + window.top
        left = area.left + window.left
        windows.append(replace(window, top=top, left=left))
    return windows
