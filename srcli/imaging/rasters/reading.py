"""Read windows of a raster with holes filled; store enlarged rows with the holes in them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.rasters.held import find_blanks
from srcli.imaging.rasters.opening import (
    BLOCK_CACHE,
    keep_blocks,
    open_raster,
    reading_errors,
)
from srcli.imaging.rasters.parts import Parts, writing_errors
from srcli.imaging.resize import resize
from srcli.ports.image import Window

if TYPE_CHECKING:
    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout

Array = NDArray[Any]
Bools = NDArray[np.bool_]

# Relative tolerance of GDAL's readers by bytes of a float, because a value is often
# rounded where it is stated as text: 4 steps of 32-bit floats, for 64 bits too.
_TOLERANCE = {2: 4e-3, 4: 5e-7, 8: 5e-7}
# Offsets of the pixels around one, the closest first.
_NEIGHBOURS = sorted(
    ((down, right) for down in range(-2, 3) for right in range(-2, 3) if down or right),
    key=lambda step: step[0] ** 2 + step[1] ** 2,
)
_REACH = 3
"""Rows beside a part that its bicubic interpolation sees, and one more."""
_MOST_THREADS = 8
_FEW = 20
"""Holes are few up to one in this many pixels."""


class DecodedWindow(NamedTuple):
    """Pixels of one window of a raster."""

    pixels: Array
    """(h, w, C) colour bands, in the layout's order and dtype; arbitrary where not
    valid."""
    valid: Bools
    """(h, w, C)."""
    alpha: Array | None
    """(h, w), or None if the layout has no alpha."""


class RasterSource(AbstractContextManager["RasterSource"]):
    """The selected window of a raster; its pixels never depend on earlier reads.

    Windows and rows count from its upper left corner. Several threads may read.
    ``rows`` are those of the tiles that no block shall be decoded twice for; 0 for
    samples.
    """

    zero_is_black = False
    """Zeros stay zeros when they are enlarged, but for where they border on others."""

    def __init__(
        self, info: RasterInfo, layout: BandLayout, window: Window, rows: int = 0
    ) -> None:
        self.info, self.layout, self.window = info, layout, window
        self.height, self.width, self.channels = (
            window.height,
            window.width,
            len(layout.smooth),
        )
        self.dtype: np.dtype[Any] = np.dtype(layout.dtype)
        self.masked = masked = info.mask is not None
        self._nodata: list[tuple[float, ...]] = []
        """Values without data of each band; of a mask's the declared one is among its
        pixels."""
        for band in layout.bands if layout.palette is None else ():
            nodata, fills = info.bands[band - 1].nodata, info.bands[band - 1].fills
            self._nodata.append(fills if masked or nodata is None else (nodata, *fills))
        self._read = [*layout.bands, *([layout.alpha] if layout.alpha else [])]
        self._one_type = len({info.bands[band - 1].dtype for band in self._read}) == 1
        self._masked = (
            list(layout.bands[: None if info.mask == "band" else 1]) if masked else []
        )
        marked = masked or layout.alpha is not None or self.dtype.kind == "f"
        self.has_holes = marked or any(self._nodata)
        """Pixels may be invalid."""
        both = layout.smooth and layout.classes
        self.interpolated = list(layout.smooth) if both else slice(None)
        """Bands of pixels and valid ones that are no classes, all if there are no
        others."""
        self._lock = (
            Lock()
        )  # one handle, so that all threads share what GDAL keeps of blocks
        self.dataset = open_raster(info.path)
        self._blanks = find_blanks(self.dataset) if info.filled < 1 else None
        filler = self.dataset.nodata or 0.0
        blank = np.array(filler, self.dtype)
        self._blank_is_empty = bool(self._nodata)
        for values in self._nodata:
            if not any(is_nodata(blank, value) for value in values):
                self._blank_is_empty = False
        self._blank_is_zero = (
            filler == 0.0 and not self.has_holes and layout.palette is None
        )
        keep_blocks(_cache_for(info, self.dataset.block_shapes[0], rows))

    def is_blank(self, window: Window) -> bool:
        """Tell if all of a window is left out of a sparse file, and known to stay as it is."""
        if self._blanks is None or self.masked or self.layout.alpha is not None:
            return False
        if not self._blank_is_empty and not (
            self._blank_is_zero and self.zero_is_black
        ):
            return False
        top, left = self.window.top + window.top, self.window.left + window.left
        return self._blanks.cover(replace(window, top=top, left=left))

    def decode(
        self, window: Window, shape: tuple[int, int] | None = None
    ) -> DecodedWindow:
        """Read a window, holes included.

        ``shape``, its (height, width), subsamples it by nearest neighbour; None keeps
        all pixels.
        """
        info, layout = self.info, self.layout
        height, width = shape or (window.height, window.width)
        top, left = self.window.top + window.top, self.window.left + window.left
        bottom, right = top + window.height, left + window.width
        place = ((top, bottom), (left, right))
        dtype = layout.dtype if layout.palette is None else info.bands[0].dtype
        values = np.empty((height, width, len(self._read)), dtype)
        masks: Bools = np.ones((1, 1, 1), np.bool_)
        with (
            self._lock,
            reading_errors(info.path, f"rows {top} to {bottom} cannot be read"),
        ):
            if (
                self._one_type
            ):  # at once: blocks may hold all bands, more than GDAL keeps
                self.dataset.read(
                    self._read, window=place, out=values.transpose(2, 0, 1)
                )
            else:
                for index, band in enumerate(self._read):
                    self.dataset.read(band, window=place, out=values[:, :, index])
            if self._masked:
                size = len(self._masked), height, width
                masks = (
                    self.dataset.read_masks(self._masked, window=place, out_shape=size)
                    > 0
                )
        pixels, alpha = (
            values[:, :, : layout.channels],
            values[:, :, -1] if layout.alpha else None,
        )
        if layout.palette is not None:
            colours = layout.palette[values[:, :, 0]]
            pixels = colours[:, :, : layout.channels]
            alpha = None if layout.alpha is None else colours[:, :, 3]
        valid = np.isfinite(pixels) & np.moveaxis(masks, 0, 2)
        for index, empty in enumerate(self._nodata):
            for value in empty:
                valid[:, :, index] &= ~is_nodata(pixels[:, :, index], value)
        if alpha is not None:
            valid &= (alpha > 0)[:, :, None]
        return DecodedWindow(pixels, valid, alpha)

    def read(self, window: Window) -> Array | None:
        """Return what the network sees of a window, (h, w, channels), holes filled from its pixels.

        None if no pixel is valid in any band, or it is blank.
        """
        if self.is_blank(window):
            return None
        piece = self.decode(window)
        pixels, valid = (
            piece.pixels[:, :, self.interpolated],
            piece.valid[:, :, self.interpolated],
        )
        if valid.all():
            return pixels
        return fill_nearest(pixels, valid) if valid.any() else None

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with reading_errors(self.info.path, "it cannot be closed"):
            self.dataset.close()


def _cache_for(info: RasterInfo, block: tuple[int, int], rows: int) -> int:
    """Return the bytes of GDAL's cache by which tiles of so many rows decode no block twice.

    Where blocks are as wide as the file each tile would decode complete rows; other
    files get along with the usual cache.
    """
    if not rows or block[1] < info.width:
        return BLOCK_CACHE
    masks = {None: 0, "dataset": 1, "band": len(info.bands)}[info.mask]
    row = info.width * (
        sum(np.dtype(band.dtype).itemsize for band in info.bands) + masks
    )
    # GDAL counts a little more for each block
    return max(BLOCK_CACHE, row * min(rows + 2 * block[0], info.height) * 17 // 16)


class PartWriter:
    """Writer of a run of consecutive parts; the rows of one part are in memory.

    It marks the pixels that the input marks as empty: they become nodata (without such
    a value: NaN in floats, else 0), and valid pixels that the network happened to make
    equal to nodata move to the next value. Bands of classes, mask and alpha of two
    values are enlarged by nearest neighbour, for which rows of the input are read
    again.
    """

    def __init__(
        self, parts: Parts, numbers: range, source: RasterSource, scale: int
    ) -> None:
        self._parts, self._numbers = parts, numbers
        self._source, self._scale = source, scale
        self._rows: Array = np.empty(
            (parts.rows, source.width * scale, source.channels), source.dtype
        )

    def write(self, top: int, rows: Array) -> None:
        """Write rows (h, W, C) of the network from output row ``top`` down, not modifying them.

        They follow each other; rows outside the run are left out.
        """
        bottom, height = top + len(rows), len(self._rows)
        for number in range(top // height, -(-bottom // height)):
            if number in self._numbers:
                part = self._parts.span(number)
                first, stop = max(part.start, top), min(part.stop, bottom)
                self._rows[first - part.start : stop - part.start] = rows[
                    first - top : stop - top
                ]
                if stop == part.stop:
                    self.write_part(number, self._rows[: len(part)])

    def write_part(self, number: int, rows: Array | None = None) -> None:
        """Write a part; without rows of the network, which are changed, all bands hold classes."""
        from rasterio.io import MemoryFile
        from rasterio.transform import Affine

        source, layout, scale = self._source, self._source.layout, self._scale
        output, part, nodata = (
            self._parts.output,
            self._parts.span(number),
            layout.nodata,
        )
        is_float = source.dtype.kind == "f"
        opacity = np.array(1 if is_float else np.iinfo(source.dtype).max, source.dtype)
        if (
            rows is not None and nodata is not None and np.isfinite(nodata)
        ):  # made by chance
            rows[is_nodata(rows, nodata)] = nearest_other_value(rows.dtype, nodata)
        if rows is None or layout.classes or source.has_holes:
            first, stop = part.start // scale, -(-part.stop // scale)
            window = Window(top=first, left=0, height=stop - first, width=source.width)
            given = source.decode(window)

            def enlarged(layer: Array) -> Array:
                there = layer.repeat(scale, axis=0)[part.start % scale :][: len(part)]
                return there.repeat(scale, axis=1)

            if layout.soft_alpha is not None:
                opacity = self._soften(window, layout.soft_alpha)[part.start % scale :]
                opacity = opacity[: len(part)]
            elif given.alpha is not None:
                opacity = enlarged(given.alpha)
            valid = given.valid[:, :, source.interpolated]
            if not valid.all():
                if source.masked or output.mask:
                    opacity = enlarged(np.asarray(valid.any(axis=2))) * opacity
                if rows is not None:
                    holes = enlarged(~valid)
                    if layout.soft_alpha is not None:
                        holes &= ~self._shows(given, enlarged, opacity)
                    np.copyto(rows, self._empty(given, enlarged), "unsafe", where=holes)
            if rows is None or layout.classes:
                repeated = enlarged(given.pixels)
                if rows is not None:
                    repeated[:, :, source.interpolated] = rows
                rows = repeated
        bands = len(output.bands) + output.mask
        stored: Array = np.empty((bands, len(part), output.width), output.dtype)
        stored[: output.channels] = np.moveaxis(rows, 2, 0)
        stored[output.channels :] = opacity  # of alpha or the mask, if there is one
        with (
            writing_errors(self._parts.target),
            MemoryFile() as memory,  # because GDAL reports success on a full disk
        ):
            with memory.open(
                driver="GTiff",
                height=len(part),
                width=output.width,
                count=bands,
                dtype=output.dtype,
                nodata=output.nodata,
                transform=Affine.scale(2.0, 3.0),  # rasterio warns of files without one
                COMPRESS="ZSTD",
                ZSTD_LEVEL=1,
                PREDICTOR=3 if output.dtype.startswith("float") else 2,
                INTERLEAVE="PIXEL",
                TILED=True,
                BLOCKXSIZE=min(512, -(-output.width // 16) * 16),
                BLOCKYSIZE=min(256, -(-len(part) // 16) * 16),
                BIGTIFF="IF_SAFER",
                NUM_THREADS=min(os.cpu_count() or 1, _MOST_THREADS),
            ) as dataset:
                dataset.write(stored)
            self._parts.add(number, memory.getbuffer())

    def _soften(self, window: Window, limits: tuple[float, float]) -> Array:
        """Enlarge the alpha of some rows by bicubic interpolation, as that of photographs."""
        source, scale = self._source, self._scale
        top = max(window.top - _REACH, 0)
        bottom = min(window.top + window.height + _REACH, source.height)
        around = Window(top=top, left=0, height=bottom - top, width=source.width)
        alpha = source.decode(around).alpha
        assert alpha is not None
        larger = np.clip(resize(alpha, scale), *limits)
        return larger[(window.top - top) * scale :][: window.height * scale]

    def _shows(
        self, given: DecodedWindow, enlarged: Callable[[Array], Array], opacity: Array
    ) -> Bools:
        """Find pixels without alpha that are seen once the soft alpha beside them is larger."""
        assert given.alpha is not None
        hidden = np.isfinite(given.pixels[:, :, self._source.interpolated])
        hidden &= (given.alpha == 0)[:, :, None]
        return np.asarray(enlarged(hidden) & (opacity > 0)[:, :, None])

    def _empty(
        self, given: DecodedWindow, enlarged: Callable[[Array], Array]
    ) -> Array | float:
        """Return what stands for no data: one value, or one for each pixel of the output.

        Infinite values stay what they are, and under an alpha of 0 floats stay finite.
        """
        source, nodata = self._source, self._source.layout.nodata
        if source.dtype.kind != "f":
            return 0 if nodata is None else nodata
        empty = np.nan if nodata is None else nodata
        pixels = given.pixels[:, :, source.interpolated]
        infinite = np.isinf(pixels)
        has_hidden = nodata is None and given.alpha is not None
        if not (has_hidden or infinite.any()):
            return empty
        values = np.full_like(pixels, empty)
        if has_hidden:
            values[np.isfinite(pixels)] = 0
        values[infinite] = pixels[infinite]
        return enlarged(values)


def spread_windows(source: RasterSource, *, side: int, along: int) -> Iterator[Window]:
    """Yield windows of ``side`` pixels to sample a raster by, at most ``along`` on each axis.

    They are spread evenly, and cover all of a small one.
    """
    height, width = min(source.height, side), min(source.width, side)
    tops, lefts = (
        np.linspace(0, length - own, min(-(-length // own), along)).astype(int).tolist()
        for length, own in ((source.height, height), (source.width, width))
    )
    for top in tops:
        for left in lefts:
            yield Window(top=top, left=left, height=height, width=width)


def is_nodata(pixels: Array, nodata: float) -> Bools:
    """Mark pixels of any shape and real dtype that hold a nodata value; NaN finds NaN.

    Floats match with the tolerance of GDAL's readers.
    """
    if pixels.dtype.kind != "f":
        return np.asarray(pixels == pixels.dtype.type(int(nodata)))
    if not np.isfinite(nodata):
        return np.asarray(np.isnan(pixels) if np.isnan(nodata) else pixels == nodata)
    low, high = _nodata_range(pixels.dtype, nodata)
    return np.asarray((pixels >= low) & (pixels <= high))


def nearest_other_value(dtype: np.dtype[Any], nodata: float) -> float:
    """Return the value next to finite nodata that no reader takes for it, towards the middle.

    From 0 it goes up, because counts are never negative.
    """
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        middle = (int(limits.min) + int(limits.max)) / 2
        return nodata + 1 if nodata < middle or nodata == 0 else nodata - 1
    low, high = _nodata_range(dtype, nodata)
    inner, towards = (high, np.inf) if nodata <= 0 else (low, -np.inf)
    return float(np.nextafter(dtype.type(inner), dtype.type(towards)))


def _nodata_range(dtype: np.dtype[Any], nodata: float) -> tuple[float, float]:
    tolerance = abs(nodata) * _TOLERANCE[dtype.itemsize]
    limits = np.finfo(dtype)
    return max(nodata - tolerance, float(limits.min)), min(
        nodata + tolerance, float(limits.max)
    )


def fill_nearest(pixels: Array, valid: Bools) -> Array:
    """Replace invalid pixels (h, w, C) by the nearest valid ones, each band on its own.

    A band without any valid pixel copies the nearest band that has some, filled
    likewise; one must have some.
    """
    if (valid == valid[:, :, :1]).all():
        return _filled(pixels, valid[:, :, 0])
    known = np.flatnonzero(valid.any(axis=(0, 1)))
    nearest = [known[np.abs(known - band).argmin()] for band in range(valid.shape[2])]
    return np.stack(
        [_filled(pixels[:, :, band], valid[:, :, band]) for band in nearest], axis=2
    )


def _filled(pixels: Array, valid: Bools) -> Array:
    """Fill pixels (h, w) or (h, w, C) by one mask (h, w) with at least one valid pixel.

    Many pictures have single dark pixels that equal nodata all over: few holes are
    filled from 2 pixels around first, as distances of all pixels would take longer than
    the network on a GPU.
    """
    rows, columns = np.nonzero(~valid)
    filled = pixels.copy()
    height, width = valid.shape
    for down, right in _NEIGHBOURS if len(rows) * _FEW < valid.size else ():
        there = (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)
        # a clipped position is closer still, and has been tried before
        found = valid[there]
        filled[rows[found], columns[found]] = filled[there[0][found], there[1][found]]
        rows, columns = rows[~found], columns[~found]
    if len(rows):
        from scipy import ndimage

        places = ndimage.distance_transform_edt(
            ~valid, return_distances=False, return_indices=True
        )
        filled[rows, columns] = pixels[
            places[0][rows, columns], places[1][rows, columns]
        ]
    return filled
