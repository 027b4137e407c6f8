"""Look at a raster once: its header, and samples of its pixels that all decisions share.

What a raster means is decided by functions that take a ``Look`` and open nothing: which
values are no data, which bands hold classes, which values are black and white. The
samples are windows all over the file, also where only a part of it is enlarged: so a
part is taken for what the whole is, and fits it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.pixels.colour import unpremultiplied
from srcli.imaging.pixels.samples import spread_windows
from srcli.imaging.rasters.dataset_names import is_remote
from srcli.imaging.rasters.info import BandInfo, RasterInfo
from srcli.imaging.rasters.nodata import is_code, is_nodata
from srcli.imaging.rasters.source import has_huge_blocks, read_planes
from srcli.ports.image import Window

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


class Samples:
    """Windows of one size, spread over a raster; decoded when they are first asked for."""

    def __init__(
        self, info: RasterInfo, windows: list[Window], numbers: Sequence[int]
    ) -> None:
        self.windows = windows
        self.numbers = list(numbers)
        """Bands that are looked at, from 1."""
        self._info = info

    @cached_property
    def _bands(self) -> dict[int, BandWindow]:
        """Bands (windows, h, w) by number, valid by masks of the file alone."""
        shape = (len(self.windows), self.windows[0].height, self.windows[0].width)
        numbers_of_dtypes: defaultdict[str, list[int]] = defaultdict(list)
        for number in self.numbers:
            numbers_of_dtypes[self._info.band(number).dtype].append(number)
        bands: dict[int, BandWindow] = {}
        for dtype, numbers in numbers_of_dtypes.items():
            pixels: Array = np.empty((len(numbers), *shape), dtype)
            valid = np.ones(pixels.shape, np.bool_)
            for index, window in enumerate(self.windows):
                planes = pixels[:, index]
                masks = read_planes(self._info, numbers, numbers, window, planes)
                if masks is not None:
                    valid[:, index] = masks
            bands |= dict(zip(numbers, map(BandWindow, pixels, valid), strict=True))
        return bands

    def pixels(self, number: int) -> Array:
        """Return the pixels (windows, h, w) of a band."""
        return self._bands[number].pixels

    def valid(self, number: int, band: BandInfo) -> Bools:
        """Mark the valid pixels (windows, h, w) of a band, by nodata and codes of ``band``."""
        pixels, by_masks = self._bands[number]
        valid = np.isfinite(pixels) & by_masks
        for nodata in self._info.nodata_values(band):
            valid &= ~is_nodata(pixels, nodata)
        if band.codes or band.measured is not None:
            valid &= ~is_code(pixels, band.codes, band.measured)
        return valid


@dataclass(frozen=True)
class Look:
    """A raster as it was looked at: what its header says, and samples of its pixels."""

    info: RasterInfo
    """With what was decided since, such as nodata that the file does not declare."""
    samples: Samples = field(compare=False, repr=False)
    area: Window
    """The part of the file that was looked at: all of it, if it is not on the network."""

    @property
    def numbers(self) -> list[int]:
        """Bands that are looked at, from 1."""
        return self.samples.numbers

    @property
    def is_whole(self) -> bool:
        """All pixels are in the samples, which are one window."""
        return self.samples.windows == [self.area]

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
        pixels = self.samples.pixels(number)
        return BandWindow(pixels, self.samples.valid(number, self.info.band(number)))

    def windows(self, number: int, side: int, along: int) -> list[BandWindow]:
        """Return windows of a band, of ``side`` pixels at most, spread evenly.

        At most ``along`` on each axis of a small raster, of which all pixels are known;
        else those that were decoded.
        """
        pixels, valid = self.all_pixels(number)
        if not self.is_whole:
            return [BandWindow(*window) for window in zip(pixels, valid, strict=True)]
        windows = []
        for window in spread_windows(self.area.height, self.area.width, side, along):
            rows = slice(window.top, window.bottom)
            columns = slice(window.left, window.right)
            cut = BandWindow(pixels[0][rows, columns], valid[0][rows, columns])
            windows.append(cut)
        return windows

    def stack(self, number: int, side: int, along: int) -> BandWindow:
        """Return ``windows`` as arrays (windows, h, w)."""
        windows = self.windows(number, side, along)
        return BandWindow(
            np.stack([window.pixels for window in windows]),
            np.stack([window.valid for window in windows]),
        )

    def opacity(self, number: int) -> Array:
        """Return pixels (n, h, w) of a band called alpha, NaN as 0; none of huge blocks."""
        if self.has_huge_blocks:
            return np.empty((0, 0, 0), self.info.band(number).dtype)
        return np.nan_to_num(self.stack(number, side=512, along=4).pixels)

    def range_of_soft_alpha(self, number: int) -> tuple[float, float] | None:
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
        valid = self.samples.valid(number, self.info.band(number))
        values = self.samples.pixels(number)
        if alpha is None or alpha == 0:
            return values[valid]
        opacity = self.samples.pixels(alpha)
        valid &= opacity > 0
        if self.info.is_premultiplied:
            return unpremultiplied(
                values[valid][None, :, None], opacity[valid][None]
            ).ravel()
        return values[valid]

    def finer(self) -> Look:
        """Return a second look by many small windows, for rasters with little data."""
        windows = _windows_in(self.area, _FINE_SIDE, _FINE_ALONG)
        samples = Samples(self.info, windows, self.numbers)
        return replace(self, samples=samples)


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
    samples = Samples(info, _places(area, len(looked_at)), looked_at)
    return Look(info, samples, area)


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
