"""Read windows of a raster: its pixels, which of them are valid, and how the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from srcli.imaging.pixels.alpha import unpremultiplied
from srcli.imaging.pixels.arrays import Array, Bools, Size
from srcli.imaging.pixels.values import are_gray, spread_windows
from srcli.imaging.rasters.gdal_access import BLOCK_CACHE, keep_blocks, reading_errors
from srcli.imaging.rasters.heights import REACH, pack, smooth_steps
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.nodata import fill_nearest, is_code, is_nodata
from srcli.imaging.rasters.selection import BandLayout
from srcli.ports import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

LARGEST_BLOCK = 2**28
"""Pixels; a few bytes may claim larger blocks, which are not decoded for samples."""
_STRIP = 256
"""Rows that are read at once where all of a raster is looked at."""


def has_huge_blocks(dataset: DatasetReader) -> bool:
    """Return True if the blocks of a file are too large to be decoded for samples."""
    height, width = dataset.block_shapes[0]
    return bool(height * width > LARGEST_BLOCK)


def read_planes(
    info: RasterInfo,
    numbers: Sequence[int],
    masked: Sequence[int],
    window: Window,
    planes: Array,
) -> Bools | None:
    """Read bands of some numbers of an open raster into planes (n, h, w).

    Returned are masks (m or 1, h, w) of the valid pixels of bands that are ``masked``;
    None where the file has none. The window is counted from the corner of the file.
    """
    opened = info.opened
    assert opened is not None, "bands are read of an open raster"
    edges = ((window.top, window.bottom), (window.left, window.right))
    tags = info.bands[0].tags.get("", {})
    errors = reading_errors(
        info.path,
        f"rows {window.top} to {window.bottom} cannot be read",
        pixels=info.width * info.height,
        variable=tags.get("NETCDF_VARNAME", "VARIABLE"),
    )
    with opened.lock, errors:
        if len({info.band(number).dtype for number in numbers}) == 1:
            # at once: blocks may hold all bands, more than GDAL keeps
            opened.dataset.read(numbers, window=edges, out=planes)
        else:
            for number, plane in zip(numbers, planes, strict=True):
                opened.dataset.read(number, window=edges, out=plane)
        if info.mask is None:
            return None
        if info.mask == "dataset":
            masked = masked[:1]
        return np.asarray(opened.dataset.read_masks(masked, window=edges) > 0)


class DecodedWindow(NamedTuple):
    """Pixels of one window of a raster."""

    pixels: Array
    """(h, w, C) colour bands, in the layout's order and dtype; arbitrary where not
    valid. Of packed heights one band, of numbers."""
    valid: Bools
    """(h, w, C)."""
    codes: Bools | None
    """(h, w, C), pixels that are not valid because they are codes, which are kept; None
    without any. See ``BandInfo.codes``."""
    alpha: Array | None
    """(h, w), or None if the layout has no alpha."""


class RasterSource:
    """The selected window of a raster; its pixels never depend on earlier reads.

    Windows and rows count from its upper left corner, and may reach beyond it into the
    file. Several threads may read.
    ``rows`` is the height of the tiles that will be read row by row: GDAL's cache is made
    large enough that no block is decoded twice; 0, for samples, takes the usual size.
    """

    keeps_zeros = False
    """Zeros stay zeros when they are enlarged, except beside other values; set by callers
    that know it."""

    def __init__(
        self, info: RasterInfo, layout: BandLayout, window: Window, rows: int = 0
    ) -> None:
        self.info = info
        self.layout = layout
        self.window = window
        self.height = window.height
        self.width = window.width
        self.channels = len(layout.smooth)
        self.dtype: np.dtype[Any] = np.dtype(layout.smooth_dtype)
        self.masked = info.mask is not None
        self._nodata = []
        """Values without data of each band; none of a palette."""
        if layout.palette is None:
            bands = map(info.band, layout.bands)
            self._nodata = [info.nodata_values(band) for band in bands]
        self._bands_to_read = list(layout.bands)
        if layout.alpha:
            self._bands_to_read.append(layout.alpha)
        is_marked = self.masked or layout.alpha is not None or self.dtype.kind == "f"
        is_marked = is_marked or info.cutline is not None
        self.has_codes = any(
            band.codes or band.measured for band in layout.outputs[: layout.channels]
        )
        self.has_holes = is_marked or any(self._nodata) or self.has_codes
        """Pixels may be invalid."""
        self.smooth: list[int] | slice = slice(None)
        """Index into the bands of a ``DecodedWindow``: those that hold no classes."""
        if layout.smooth and layout.classes:
            self.smooth = list(layout.smooth)
        self._in_steps = _bands_in_steps(info, layout)
        self._margin = REACH if self._in_steps else 0
        assert info.opened is not None, "a source needs an open raster"
        # one handle, so that all threads share what GDAL keeps of blocks
        self._opened = info.opened
        self.dataset = self._opened.dataset
        filler = self.dataset.nodata or 0.0
        left_out_value = np.array(filler, layout.dtype)
        self._left_out_is_empty = bool(self._nodata)
        for values in self._nodata:
            if not any(is_nodata(left_out_value, value) for value in values):
                self._left_out_is_empty = False
        self._left_out_is_zero = (
            filler == 0.0 and not self.has_holes and layout.palette is None
        )
        if rows:
            rows += 2 * self._margin
        keep_blocks(_cache_for(info, self.dataset.block_shapes[0], rows))

    def is_left_out(self, window: Window) -> bool:
        """Tell if a sparse file has no block of a window, whose enlargement is then blank."""
        sparse_blocks = self._opened.sparse_blocks
        if sparse_blocks is None or self.masked or self.layout.alpha is not None:
            return False
        stays_zero = self._left_out_is_zero and self.keeps_zeros
        if not (self._left_out_is_empty or stays_zero):
            return False
        seen = self.grow(window, self._margin)
        return sparse_blocks.are_left_out(self._in_file(seen))

    def outside(
        self, window: Window, scale: int = 1, *, touched: bool = False
    ) -> Bools | None:
        """Tell which pixels lie outside the cutline; see ``Cutline``. None without one."""
        cutline = self.info.cutline
        if cutline is None:
            return None
        return cutline.outside(self._in_file(window), scale, touched=touched)

    def grow(self, window: Window, pixels: int) -> Window:
        """Return a window with ``pixels`` around it, as far as the file has them."""
        place = self._in_file(window)
        up = min(pixels, place.top)
        left = min(pixels, place.left)
        down = min(pixels, self.info.height - place.bottom)
        right = min(pixels, self.info.width - place.right)
        return Window(
            top=window.top - up,
            left=window.left - left,
            height=up + window.height + down,
            width=left + window.width + right,
        )

    def _in_file(self, window: Window) -> Window:
        """Return a window as it is counted from the upper left corner of the file."""
        return replace(
            window,
            top=self.window.top + window.top,
            left=self.window.left + window.left,
        )

    def decode(self, window: Window) -> DecodedWindow:
        """Read the pixels of a window, its holes not filled, and which pixels are valid."""
        layout = self.layout
        dtype = layout.dtype if layout.palette is None else self.info.bands[0].dtype
        numbers = self._bands_to_read
        # a band lies behind the other in memory, as GDAL keeps them
        planes: Array = np.empty((len(numbers), window.height, window.width), dtype)
        area = self._in_file(window)
        masks = read_planes(self.info, numbers, layout.bands, area, planes)
        values = planes.transpose(1, 2, 0)
        pixels = values[:, :, : layout.channels]
        alpha = None
        if layout.palette is not None:
            values = layout.palette[values[:, :, 0]]
            pixels = values[:, :, : layout.channels]
        if layout.alpha is not None:
            alpha = values[:, :, -1]
        valid = np.isfinite(pixels)
        if masks is not None:
            valid &= masks.transpose(1, 2, 0)
        for index, nodata_values in enumerate(self._nodata):
            for nodata in nodata_values:
                valid[:, :, index] &= ~is_nodata(pixels[:, :, index], nodata)
        codes = self._find_codes(pixels, valid) if self.has_codes else None
        if codes is not None:
            valid &= ~codes
        if alpha is not None:
            valid &= (alpha > 0)[:, :, None]
            if self.info.is_premultiplied:
                pixels = unpremultiplied(pixels, alpha)
        if layout.is_packed:
            pixels = pack(pixels)
            valid = np.asarray(valid.all(axis=2, keepdims=True))
        return DecodedWindow(pixels, valid, codes, alpha)

    def _find_codes(self, pixels: Array, valid: Bools) -> Bools | None:
        """Mark codes among valid pixels (h, w, C); None without any."""
        codes = np.zeros(pixels.shape, np.bool_)
        for index, band in enumerate(self.layout.outputs[: self.layout.channels]):
            if band.codes or band.measured:
                codes[:, :, index] = is_code(
                    pixels[:, :, index], band.codes, band.measured
                )
        codes &= valid
        return codes if codes.any() else None

    def read(self, window: Window) -> Array | None:
        """Return what the network sees of a window, (h, w, channels), its holes filled.

        None if no pixel is valid in any band, or if all of it ``is_left_out`` or lies
        outside the cutline.
        """
        outside = self.outside(window, touched=True)
        if self.is_left_out(window) or (outside is not None and outside.all()):
            return None
        # beyond the window for the steps of whole numbers alone
        around = self.grow(window, self._margin)
        decoded = self.decode(around)
        pixels = decoded.pixels[:, :, self.smooth]
        valid = decoded.valid[:, :, self.smooth]
        for index in self._in_steps:
            pixels[:, :, index] = smooth_steps(pixels[:, :, index], valid[:, :, index])
        pixels = cut_out(pixels, around, window)
        valid = cut_out(valid, around, window)
        if valid.all():
            return pixels
        if not valid.any():
            return None
        return fill_nearest(pixels, valid)

    def is_gray(self) -> bool:
        """Return True if red, green and blue are equal wherever there is data.

        A raster in colours is mostly told by the first sample; a gray one is read completely.
        """
        rgb = self.layout.rgb
        if not rgb:
            return False
        areas = list(spread_windows(self.height, self.width, side=64, along=3))
        for top in range(0, self.height, _STRIP):
            height = min(_STRIP, self.height - top)
            areas.append(Window(top=top, left=0, height=height, width=self.width))
        for area in areas:
            decoded = self.decode(area)
            pixels = decoded.pixels[:, :, rgb]
            valid = decoded.valid[:, :, rgb]
            if not are_gray(valid) or not are_gray(np.where(valid, pixels, 0)):
                return False
        return True


def _bands_in_steps(info: RasterInfo, layout: BandLayout) -> list[int]:
    """Return positions in ``layout.smooth`` of whole numbers that become floats.

    Those of 8 bits are colours mostly.
    """
    if layout.palette is not None or not layout.smooth_dtype.startswith("float"):
        return []
    positions = []
    for position, index in enumerate(layout.smooth):
        dtype = np.dtype(info.band(layout.bands[index]).dtype)
        if dtype.kind in "iu" and dtype.itemsize > 1:
            positions.append(position)
    return positions


def cut_out(pixels: Array, around: Window, window: Window, scale: int = 1) -> Array:
    """Return the pixels of a window (h, w, ...), enlarged, from those of one around it."""
    top = (window.top - around.top) * scale
    left = (window.left - around.left) * scale
    lines = pixels[top:][: window.height * scale]
    return lines[:, left:][:, : window.width * scale]


def _cache_for(info: RasterInfo, block: Size, rows: int) -> int:
    """Return the bytes of GDAL's cache by which tiles of so many rows decode no block twice.

    Where blocks are as wide as the file each tile would decode complete rows; other
    files get along with the usual cache.
    """
    if not rows or block[1] < info.width:
        return BLOCK_CACHE
    pixel_bytes = {None: 0, "dataset": 1, "band": len(info.bands)}[info.mask]
    for band in info.bands:
        pixel_bytes += np.dtype(band.dtype).itemsize
    cached_rows = min(rows + 2 * block[0], info.height)
    # GDAL counts a little more for each block
    return max(BLOCK_CACHE, info.width * pixel_bytes * cached_rows * 17 // 16)
