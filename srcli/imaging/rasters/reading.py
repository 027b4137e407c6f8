"""Read tiles from a window of a raster: rows cached, so that blocks are decoded about once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.rasters.decoding import RasterDecoder
from srcli.imaging.rasters.nodata import fill_nearest
from srcli.ports.image import Window

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]
    Layers = tuple[Array, ...]

_LEAST_ROWS = 64
"""Least height of a strip: reading single rows would cost more than decoding them."""
_LEAST_MARKED = 512
"""Least height of a strip of marks (validity, alpha), which are small and read by few rows."""
_PART_PIXELS = 2**23
"""Pixels decoded at a time where only their marks are kept."""


class RasterSource:
    """The selected window of a raster; its pixels never depend on earlier reads.

    One thread may call ``read`` while another calls ``valid`` and ``alpha``: each side has its own
    handle on the file.

    Args:
        info: The file.
        layout: Bands to read.
        window: The part of the file to enlarge, inside it.
        limit_bytes: Bound on the decoded rows kept; less than two rows of blocks makes reading
            slower. A file whose blocks are as wide as itself takes one row of tiles, and marks of
            1024 rows (a bit for each band) are always kept.

    Raises:
        PictureError: If the file cannot be opened.
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
        stored = np.dtype(info.bands[layout.bands[0] - 1].dtype).itemsize * bands + bands
        marked = -(-self.channels // 8) + layout.has_alpha * self.dtype.itemsize
        wide = info.block_width >= info.width
        pixel_rows = self._strip(stored, limit_bytes * 3 // 4, _LEAST_ROWS if wide else 2**31)
        mark_rows = self._strip(marked, limit_bytes // 4, _LEAST_MARKED)
        # Without the cache each tile would decode complete rows of a file with such blocks.
        most = 2**31 if wide else limit_bytes * 3 // 4 // (pixel_rows * self.width * stored)
        self._pixel_rows = self._cache(self._load_pixels, pixel_rows, most)
        self._mark_rows = self._cache(self._load_marks, mark_rows, 2**31)

    def read(self, window: Window) -> Array | None:
        """Return the pixels of a window, invalid ones filled from the nearest valid ones in it.

        Args:
            window: Inside the selected one, in pixels from its upper left corner.

        Returns:
            (h, w, channels) of ``dtype``; None if no pixel is valid in any band.

        Raises:
            PictureError: If the file is damaged there.
        """
        values, masks = self._pixel_rows.read(window)
        piece = self._pixels.interpret(values, masks)
        if piece.valid is None:
            return piece.pixels.copy()  # the cached array must not change
        if not piece.valid.any():
            return None
        return fill_nearest(piece.pixels, piece.valid)

    def read_stored(self, top: int, height: int) -> Array:
        """Return some rows of the selected window as they are stored, invalid pixels included.

        Returns:
            (height, W, channels).

        Raises:
            PictureError: If the file is damaged there.
        """
        place = Window(top=top, left=0, height=height, width=self.width)
        return self._pixel_rows.read(place)[0][:, :, : self.channels]

    def valid(self, top: int, height: int) -> Bools | None:
        """Mark the valid pixels of some rows of the selected window.

        Returns:
            (height, W, channels) bool; None if all are valid.

        Raises:
            PictureError: If the file is damaged there.
        """
        if self._pixels.all_valid:
            return None
        packed = self._marks_of(top, height)[0]
        shape = (height, self.width, self.channels)
        if bool((packed == packed[0, 0]).all()):  # rows that are valid or empty all over
            packed = packed[:1, :1]
        valid = np.unpackbits(packed, axis=2, count=self.channels).view(np.bool_)
        return None if bool(valid.all()) else np.broadcast_to(valid, shape)

    def alpha(self, top: int, height: int) -> Array | None:
        """Return the alpha of some rows of the selected window.

        Returns:
            (height, W) of ``dtype``; None if the layout has no alpha.

        Raises:
            PictureError: If the file is damaged there.
        """
        if not self.layout.has_alpha:
            return None
        alpha: Array = self._marks_of(top, height)[1][:, :, 0]
        return alpha

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

    def _marks_of(self, top: int, height: int) -> Layers:
        return self._mark_rows.read(Window(top=top, left=0, height=height, width=self.width))

    def _strip(self, pixel_bytes: int, limit_bytes: int, least: int) -> int:
        """Rows of a strip: full blocks, or parts of them if two such strips are too large."""
        block = self.info.block_height
        rows = block * -(-_LEAST_ROWS // block)
        return min(rows, max(limit_bytes // (2 * self.width * pixel_bytes), least))

    def _cache(self, load: Callable[[Window], Layers], strip: int, most: int) -> RowCache:
        shift = self.window.top % strip
        return RowCache(
            load=load, height=self.height, width=self.width, strip=strip, shift=shift, most=most
        )

    def _load_pixels(self, window: Window) -> Layers:
        return self._pixels.load(self._in_file(window))

    def _load_marks(self, window: Window) -> Layers:
        """Read validity and alpha of a strip, decoding some blocks at a time."""
        blocks = _PART_PIXELS // (window.height * self.info.block_width)
        step = self.info.block_width * max(blocks, 1)
        lefts = range(-(self.window.left % step), self.width, step)
        parts = [self._marks_between(window, max(left, 0), left + step) for left in lefts]
        return tuple(np.concatenate(layers, axis=1) for layers in zip(*parts, strict=True))

    def _marks_between(self, window: Window, left: int, right: int) -> Layers:
        width = min(right, self.width) - left
        place = Window(top=window.top, left=left, height=window.height, width=width)
        piece = self._marks.interpret(*self._marks.load(self._in_file(place)))
        valid = np.ones((1, 1, 1), np.bool_) if piece.valid is None else piece.valid
        if not valid.any():
            valid = valid[:1, :1]
        valid = np.broadcast_to(valid, (*valid.shape[:2], self.channels))
        packed = np.packbits(valid, axis=2)  # a bit for each band, because many rows are kept
        packed = np.broadcast_to(packed, (place.height, width, packed.shape[2]))
        if piece.alpha is None:
            return (packed,)
        return packed, piece.alpha[:, :, None].copy()

    def _in_file(self, window: Window) -> Window:
        return Window(
            top=window.top + self.window.top,
            left=window.left + self.window.left,
            height=window.height,
            width=window.width,
        )


@dataclass(kw_only=True, eq=False)
class RowCache:
    """Cached strips of an image's full width, from which windows are cut.

    A grid of tiles is read row by row, and each row of tiles crosses all blocks of some rows of
    blocks. Strips that a window does not touch are dropped: the pixels of a window never depend on
    earlier ones.
    """

    load: Callable[[Window], Layers]
    """Reads a window: a fixed number of arrays (h, w, layers)."""
    height: int
    """Of the image."""
    width: int
    """Of the image."""
    strip: int
    """Rows of a strip."""
    shift: int
    """Rows by which the first strip is shorter, less than ``strip``."""
    most: int
    """Most strips to keep; a window that needs more is loaded directly."""
    held: dict[int, Layers] = field(default_factory=dict)

    def read(self, window: Window) -> Layers:
        """Return the arrays of a window inside the image; they may be views of cached ones.

        Raises:
            PictureError: If ``load`` raises it.
        """
        bottom = window.top + window.height
        first = (window.top + self.shift) // self.strip
        last = (bottom - 1 + self.shift) // self.strip
        numbers = range(first, last + 1)
        if len(numbers) > self.most:
            self.held.clear()
            return self.load(window)
        for number in self.held.keys() - set(numbers):
            del self.held[number]
        for number in numbers:
            if number not in self.held:
                self.held[number] = self.load(self._place(number))
        parts = [self._part(number, window) for number in numbers]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(layers) for layers in zip(*parts, strict=True))

    def _place(self, number: int) -> Window:
        top = max(number * self.strip - self.shift, 0)
        bottom = min((number + 1) * self.strip - self.shift, self.height)
        return Window(top=top, left=0, height=bottom - top, width=self.width)

    def _part(self, number: int, window: Window) -> Layers:
        place = self._place(number)
        first = max(window.top - place.top, 0)
        last = min(window.top + window.height - place.top, place.height)
        right = window.left + window.width
        return tuple(layer[first:last, window.left : right] for layer in self.held[number])
