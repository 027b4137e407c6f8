"""Read windows of a raster with holes filled, and mark the holes in what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.rasters.opening import open_raster, reading_errors
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.parts import PartWriter
    from srcli.imaging.rasters.selection import BandLayout

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]
Layers = tuple[Array, ...]

_LEAST_ROWS = 64
"""Least height of a strip: reading single rows would cost more than decoding them."""
_MARKED_ROWS = 512
"""Most rows of a strip of marks (validity, alpha), which are small and read by few rows."""
_PART_PIXELS = 2**23
"""Pixels decoded at a time where only their marks are kept."""
_MASKED_BYTES = 2**25
"""Bytes of the rows masked at once, so that their copies stay small."""
_PIECE_COLUMNS = 128
"""Columns of the input marked at once: pieces that are valid all over cost nothing."""
# Relative tolerance of GDAL's readers by bytes of a float, because a value is often rounded where
# it is stated as text: 4 steps of 32-bit floats, for 64 bits too.
_TOLERANCE = {2: 4e-3, 4: 5e-7, 8: 5e-7}
# Offsets of the pixels around one, the closest first.
_NEIGHBOURS = sorted(
    ((down, right) for down in range(-2, 3) for right in range(-2, 3) if down or right),
    key=lambda step: step[0] ** 2 + step[1] ** 2,
)
_FEW = 20
"""Holes are few up to one in this many pixels."""


class DecodedWindow(NamedTuple):
    """Pixels of one window of a raster."""

    pixels: Array
    """(h, w, C) colour bands, in the layout's order and dtype; arbitrary where not valid."""
    valid: Bools | None
    """(h, w, C) or (h, w, 1); None if all pixels are valid."""
    alpha: Array | None
    """(h, w), or None if the layout has no alpha."""


class RasterDecoder:
    """One open handle on a raster, for one thread at a time.

    Args:
        info: The file.
        layout: Bands to read.
        marks_only: Read only what validity and alpha depend on; ``DecodedWindow.pixels`` may be
            empty then.
    """

    def __init__(self, info: RasterInfo, layout: BandLayout, *, marks_only: bool = False) -> None:
        self.info = info
        self.layout = layout
        masked = info.mask in ("dataset", "band")
        self._nodata = tuple(None if masked else info.bands[b - 1].nodata for b in layout.bands)
        self._dtype = np.dtype(info.bands[layout.bands[0] - 1].dtype)
        by_value = self._dtype.kind == "f" or any(one is not None for one in self._nodata)
        self._bands = layout.bands if by_value or layout.palette or not marks_only else ()
        self._read = [*self._bands, *([layout.alpha] if layout.alpha is not None else [])]
        self._masked = list(layout.bands if info.mask == "band" else layout.bands[:1])
        self._masked = self._masked if masked else []
        self._palette = _colour_table(info) if layout.palette else None
        self.all_valid = not masked and not layout.has_alpha and not by_value
        """No pixel of the file can be invalid, and there is no alpha."""
        self._dataset = open_raster(info.path, remote=info.remote)

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> DecodedWindow:
        """Read a window in pixels of the file, inside it; arguments as for ``load``."""
        return self.interpret(*self.load(window, shape))

    def load(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[Array, Bools]:
        """Read the stored values and masks of a window.

        Args:
            window: In pixels of the file, inside it.
            shape: (height, width) to subsample it to, by nearest neighbour; None keeps all pixels.

        Returns:
            (h, w, bands) values, alpha last, and (h, w, masks) bool; either may have no layer.
        """
        height, width = shape or (window.height, window.width)
        bottom, right = window.top + window.height, window.left + window.width
        place = ((window.top, bottom), (window.left, right))
        values = np.empty((height, width, len(self._read)), self._dtype)
        # GDAL 3.10 gives wrong masks of nodata in arrays that are not contiguous
        masks = np.empty((len(self._masked), height, width), np.uint8)
        failure = f"rows {window.top} to {bottom} cannot be read"
        with reading_errors(self.info.path, failure, remote=self.info.remote):
            if self._read:
                # decoded into place, without a second copy by bands
                self._dataset.read(self._read, window=place, out=values.transpose(2, 0, 1))
            if self._masked:
                self._dataset.read_masks(self._masked, window=place, out=masks)
        return values, np.moveaxis(masks > 0, 0, 2)

    def interpret(self, values: Array, masks: Bools) -> DecodedWindow:
        """Turn what ``load`` gives into pixels, validity and alpha."""
        pixels, valid, alpha = values[:, :, : len(self._bands)], None, None
        if self._palette is not None:
            colours = self._palette[values[:, :, 0]]
            pixels = colours[:, :, : self.layout.channels]
            alpha = colours[:, :, 3] if self.layout.palette_alpha else None
        else:
            alpha = values[:, :, -1] if self.layout.alpha is not None else None
            valid = find_valid(pixels, self._nodata) if self._bands else None
        valid = _both(valid, masks if self._masked else None)
        valid = _both(valid, None if alpha is None else (alpha > 0)[:, :, None])
        return DecodedWindow(pixels, valid, alpha)

    def close(self) -> None:
        """Close the file."""
        with reading_errors(self.info.path, "it cannot be closed"):
            self._dataset.close()


def _both(one: Bools | None, other: Bools | None) -> Bools | None:
    if other is None or bool(other.all()):
        return one
    return other if one is None else one & other


def _colour_table(info: RasterInfo) -> NDArray[np.uint8]:
    """Table (values of band 1, 4) of RGBA colours; values without one are transparent black."""
    table = np.zeros((int(np.iinfo(info.bands[0].dtype).max) + 1, 4), np.uint8)
    for value, colour in (info.palette or {}).items():
        if 0 <= value < len(table):
            table[value] = colour
    if info.bands[0].nodata is not None:
        table[int(info.bands[0].nodata), 3] = 0
    return table


class RasterSource:
    """The selected window of a raster; its pixels never depend on earlier reads.

    One thread may call ``read`` while another calls ``marks``: each side has its own
    handle on the file. Windows and rows count from the selected window's upper left corner.

    Args:
        info: The file.
        layout: Bands to read.
        window: The part of the file to enlarge, inside it.
        limit_bytes: Bound on the decoded rows kept; less than two rows of blocks makes reading
            slower. A file whose blocks are as wide as itself takes one row of tiles, and marks of
            1024 rows (a bit for each band) are always kept.
    """

    def __init__(
        self, info: RasterInfo, layout: BandLayout, window: Window, *, limit_bytes: int = 2**28
    ) -> None:
        self.info = info
        self.layout = layout
        self.window = window
        self.height = window.height
        self.width = window.width
        self.channels = layout.channels
        self.dtype: np.dtype[Any] = np.dtype(layout.dtype)
        self._pixels = RasterDecoder(info, layout)
        all_valid = self._pixels.all_valid
        self._marks = self._pixels if all_valid else RasterDecoder(info, layout, marks_only=True)
        bands = len(layout.bands) + (layout.alpha is not None)
        row = self.width * bands * (np.dtype(info.bands[layout.bands[0] - 1].dtype).itemsize + 1)
        strip = info.block_height * -(-_LEAST_ROWS // info.block_height)  # of full blocks
        marked, most, limit = min(strip, _MARKED_ROWS), 2**31, limit_bytes * 3 // 4
        if info.block_width >= info.width:
            # without the cache each tile would decode complete rows
            strip = min(strip, max(limit // (2 * row), _LEAST_ROWS))
        else:
            most = limit // (strip * row)
        self._pixel_rows = RowCache(self._pixels.load, window, strip=strip, most=most)
        self._mark_rows = RowCache(self._load_marks, window, strip=marked)

    def read(self, window: Window) -> Array | None:
        """Return the pixels (h, w, channels) of a window, filled from the nearest valid ones in it.

        None if no pixel is valid in any band.
        """
        values, masks = self._pixel_rows.read(window)
        piece = self._pixels.interpret(values, masks)
        if piece.valid is None:
            return piece.pixels.copy()  # the cached array must not change
        if not piece.valid.any():
            return None
        return fill_nearest(piece.pixels, piece.valid)

    def read_stored(self, top: int, height: int) -> Array:
        """Return rows (height, W, channels) as they are stored, invalid pixels included."""
        return self._rows(self._pixel_rows, top, height)[0][:, :, : self.channels]

    def marks(self, top: int, height: int) -> tuple[Bools | None, Array | None]:
        """Return which pixels (height, W, channels) of some rows are valid, and their alpha.

        Both may be None: if all pixels are valid, and if the layout has no alpha (height, W).
        """
        if self._pixels.all_valid:
            return None, None
        packed, *rest = self._rows(self._mark_rows, top, height)
        shape = (height, self.width, self.channels)
        if bool((packed == packed[0, 0]).all()):  # rows that are valid or empty all over
            packed = packed[:1, :1]
        valid = np.unpackbits(packed, axis=2, count=self.channels).view(np.bool_)
        whole = bool(valid.all())
        return None if whole else np.broadcast_to(valid, shape), rest[0][:, :, 0] if rest else None

    def close(self) -> None:
        """Close the file."""
        self._pixel_rows.held.clear()
        self._mark_rows.held.clear()
        self._pixels.close()
        self._marks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, cache: RowCache, top: int, height: int) -> Layers:
        return cache.read(Window(top=top, left=0, height=height, width=self.width))

    def _load_marks(self, window: Window) -> Layers:
        """Read validity and alpha of a strip, decoding some blocks at a time."""
        step = _PART_PIXELS // (window.height * self.info.block_width)
        step = self.info.block_width * max(step, 1)
        right, parts = window.left + window.width, []
        for block in range(window.left // step * step, right, step):
            left = max(block, window.left)
            width = min(block + step, right) - left
            place = Window(top=window.top, left=left, height=window.height, width=width)
            piece = self._marks.read(place)
            valid = np.True_ if piece.valid is None else piece.valid
            valid = np.broadcast_to(valid, (window.height, width, self.channels))
            packed = np.packbits(valid, axis=2)  # a bit for each band, because many rows are kept
            parts.append((packed,) if piece.alpha is None else (packed, piece.alpha[:, :, None]))
        return tuple(np.concatenate(layers, axis=1) for layers in zip(*parts, strict=True))


@dataclass(eq=False)
class RowCache:
    """Cached strips of a part of a file, of its full width, from which windows are cut.

    A grid of tiles is read row by row, and each row of tiles crosses all blocks of some rows of
    blocks. Strips that a window does not touch are dropped: the pixels of a window never depend on
    earlier ones.
    """

    load: Callable[[Window], Layers]
    """Reads a window of the file: a fixed number of arrays (h, w, layers)."""
    part: Window
    """The part of the file."""
    strip: int
    """Rows of a strip; strips begin at multiples of it in the file, as blocks do."""
    most: int = 2**31
    """Most strips to keep; a window that needs more is loaded directly."""
    held: dict[int, Layers] = field(default_factory=dict)

    def read(self, window: Window) -> Layers:
        """Return the arrays of a window of the part; they may be views of cached ones."""
        top, bottom = self.part.top + window.top, self.part.top + window.top + window.height
        numbers = range(top // self.strip, (bottom - 1) // self.strip + 1)
        if len(numbers) > self.most:
            self.held.clear()
            left = self.part.left + window.left
            return self.load(Window(top=top, left=left, height=window.height, width=window.width))
        for number in self.held.keys() - set(numbers):
            del self.held[number]
        parts = []
        columns = slice(window.left, window.left + window.width)
        for number in numbers:
            first = max(number * self.strip, self.part.top)
            if number not in self.held:
                last = min((number + 1) * self.strip, self.part.top + self.part.height)
                whole = Window(
                    top=first, left=self.part.left, height=last - first, width=self.part.width
                )
                self.held[number] = self.load(whole)
            rows = slice(max(top - first, 0), bottom - first)
            parts.append(tuple(layer[rows, columns] for layer in self.held[number]))
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(layers) for layers in zip(*parts, strict=True))


class MaskedSink:
    """Marks the pixels of an enlarged raster that the input marks as empty.

    Empty pixels become nodata (without such a value: NaN in floats, else 0); valid pixels that the
    network happened to make equal to nodata move to the next value. Bands of classes, mask and
    alpha are enlarged by nearest neighbour. The mask is passed on if the file has one.

    Args:
        writer: Receives the rows, possibly in smaller parts.
        source: The input, as the network sees it; all of it if no band goes through the network.
        scale: Output pixels per input pixel.
        needs_mask: Pass on a mask also if the input has only nodata.
        classes: The bands of classes of the input, where others go through the network.
        layout: Of all bands, where there are ``classes``.
    """

    def __init__(
        self,
        writer: PartWriter,
        source: RasterSource,
        scale: int,
        *,
        needs_mask: bool = False,
        classes: RasterSource | None = None,
        layout: BandLayout | None = None,
    ) -> None:
        self.writer = writer
        self.source = source
        self.scale = scale
        self.classes = classes
        self.layout = layout or source.layout
        self.has_mask = needs_mask or source.info.mask in ("dataset", "band")
        nodata = source.layout.nodata
        empty = np.nan if source.dtype.kind == "f" else 0.0
        self._empty = source.dtype.type(empty if nodata is None else nodata)
        self._nodata = nodata if nodata is not None and np.isfinite(nodata) else None

    def write(self, top: int, rows: Array) -> None:
        """Mark rows (h, W, C) from the network, which are not modified, and pass them on."""
        # multiples of input rows, so that none is read twice
        step = max(_MASKED_BYTES // max(rows[:1].nbytes * self.scale, 1), 1) * self.scale
        first, bottom = top, top + rows.shape[0]
        while first < bottom:
            last = min((first // step + 1) * step, bottom)
            self._write_part(first, rows[first - top : last - top])
            first = last

    def repeat(self, rows: range) -> None:
        """Pass on output rows of a raster whose bands all hold classes, without a network."""
        width = self.source.width * self.scale * self.source.channels * self.source.dtype.itemsize
        step = max(_MASKED_BYTES // (width * self.scale), 1) * self.scale
        for top in range(rows.start, rows.stop, step):
            height = min(step, rows.stop - top)
            self._write_part(top, self._stored_rows(self.source, top, height))

    def _write_part(self, top: int, rows: Array) -> None:
        height = rows.shape[0]
        first = top // self.scale
        count = -(-(top + height) // self.scale) - first
        valid, alpha = self.source.marks(first, count)
        mask: Bools | None = None
        if self.has_mask:
            there = np.ones((count, self.source.width), np.bool_)
            if valid is not None:
                there = np.asarray(valid.any(axis=2))
            mask = self._enlarged(there, top, height)
            # a file with both gets alpha only
            alpha = None if alpha is None else np.where(there, alpha, 0).astype(alpha.dtype)
        if alpha is not None:
            alpha = self._enlarged(alpha, top, height)
        if not self.layout.all_classes:
            rows = self._marked(rows, valid, top)
        if self.classes is not None:
            joined = np.empty((*rows.shape[:2], self.layout.channels), rows.dtype)
            places = sorted(place for group in self.layout.groups for place in group)
            joined[:, :, places] = rows
            joined[:, :, self.layout.classes] = self._stored_rows(self.classes, top, height)
            rows = joined
        self.writer.write(top, rows, alpha=alpha, mask=mask)

    def _stored_rows(self, source: RasterSource, top: int, height: int) -> Array:
        first = top // self.scale
        stored = source.read_stored(first, -(-(top + height) // self.scale) - first)
        return self._repeated(stored, top, height)

    def _repeated(self, layer: Array, top: int, height: int) -> Array:
        """Enlarge a layer (rows, W, ...) whose first row contains output row ``top``."""
        rows = layer.repeat(self.scale, axis=0)[top % self.scale :][:height]
        return rows.repeat(self.scale, axis=1)

    def _enlarged(self, layer: Array, top: int, height: int) -> Array:
        """Enlarge a layer likewise; one with one value all over comes as a view of it."""
        if layer.min() == layer.max():
            size = (height, layer.shape[1] * self.scale, *layer.shape[2:])
            return np.broadcast_to(layer.flat[0], size)
        return self._repeated(layer, top, height)

    def _marked(self, rows: Array, valid: Bools | None, top: int) -> Array:
        if valid is not None and not valid.any():
            return np.broadcast_to(self._empty, rows.shape)
        out = rows
        if self._nodata is not None:
            equal = is_nodata(rows, self._nodata)
            if equal.any():
                out = rows.copy()
                out[equal] = nearest_other_value(rows.dtype, self._nodata)
        if valid is not None:
            out = rows.copy() if out is rows else out
            for left in range(0, valid.shape[1], _PIECE_COLUMNS):
                part = valid[:, left : left + _PIECE_COLUMNS]
                target = out[:, left * self.scale : (left + _PIECE_COLUMNS) * self.scale]
                if not part.all():
                    np.copyto(target, self._empty, where=self._enlarged(~part, top, len(rows)))
        return out


def spread_windows(window: Window, *, side: int, along: int) -> Iterator[Window]:
    """Yield windows to sample a raster by: spread evenly, all of a small one.

    Args:
        window: The part of the raster.
        side: Their side in pixels.
        along: Most of them along each axis.
    """
    height, width = min(window.height, side), min(window.width, side)
    for top in _spread_starts(window.height, height, along):
        for left in _spread_starts(window.width, width, along):
            yield Window(top=window.top + top, left=window.left + left, height=height, width=width)


def _spread_starts(length: int, side: int, most: int) -> list[int]:
    return [int(start) for start in np.linspace(0, length - side, min(-(-length // side), most))]


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
    return max(nodata - tolerance, float(limits.min)), min(nodata + tolerance, float(limits.max))


def find_valid(pixels: Array, nodata: Sequence[float | None]) -> Bools | None:
    """Mark values (H, W, C) that are neither nodata nor, in floats, NaN or infinite.

    The result is None if all are valid.
    """
    valid: Bools | None = None
    if pixels.dtype.kind == "f":
        valid = np.isfinite(pixels)
    if nodata and nodata[0] is not None and len(set(nodata)) == 1:
        there = ~is_nodata(pixels, nodata[0])
        valid = there if valid is None else valid & there
    else:
        for band, value in enumerate(nodata):
            if value is not None:
                valid = np.ones(pixels.shape, np.bool_) if valid is None else valid
                valid[:, :, band] &= ~is_nodata(pixels[:, :, band], value)
    return None if valid is None or bool(valid.all()) else valid


def fill_nearest(pixels: Array, valid: Bools) -> Array:
    """Replace invalid pixels by the nearest valid ones, each band on its own.

    A band without any valid pixel copies the nearest band that has some, filled likewise; without
    any valid pixel in any band, all become 0.

    Args:
        pixels: (h, w, C), any real dtype; returned as they are if all are valid.
        valid: (h, w, C), or (h, w, 1) for all bands.
    """
    if valid.all():
        return pixels
    if valid.shape[2] > 1 and (valid == valid[:, :, :1]).all():
        valid = valid[:, :, :1]
    if valid.shape[2] == 1:
        return _filled(pixels, valid[:, :, 0]) if valid.any() else np.zeros_like(pixels)
    sources = [band for band in range(valid.shape[2]) if valid[:, :, band].any()]
    filled = np.zeros_like(pixels)
    for band in sources:
        filled[:, :, band] = _filled(pixels[:, :, band], valid[:, :, band])
    for band in range(valid.shape[2]) if sources else ():
        filled[:, :, band] = filled[:, :, min(sources, key=lambda one: abs(one - band))]
    return filled


def _filled(pixels: Array, valid: Bools) -> Array:
    """Fill pixels (h, w) or (h, w, C) by one mask (h, w) with at least one valid pixel."""
    rows, columns = np.nonzero(~valid)
    filled = pixels.copy()
    if len(rows) * _FEW < valid.size:
        rows, columns = _fill_from_neighbours(filled, valid, rows, columns)
    if len(rows):
        from scipy import ndimage

        places = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        filled[rows, columns] = pixels[places[0][rows, columns], places[1][rows, columns]]
    return filled


def _fill_from_neighbours(
    filled: Array, valid: Bools, rows: Places, columns: Places
) -> tuple[Places, Places]:
    """Fill holes that have a valid pixel within 2 pixels; returns the remaining holes.

    Many pictures have single dark pixels that equal nodata all over; distances of all pixels would
    take longer than the network does on a GPU.
    """
    height, width = valid.shape
    for down, right in _NEIGHBOURS:
        there = (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)
        # a clipped position is closer still, and has been tried before
        found = valid[there]
        filled[rows[found], columns[found]] = filled[there[0][found], there[1][found]]
        rows, columns = rows[~found], columns[~found]
        if not len(rows):
            break
    return rows, columns
