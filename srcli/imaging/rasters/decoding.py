"""Decode windows of a raster: selected bands, valid pixels and alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.rasters.nodata import find_valid
from srcli.imaging.rasters.opening import open_raster, reading_errors

if TYPE_CHECKING:
    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout
    from srcli.ports.image import Window

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class DecodedWindow:
    """Pixels of one window of a raster."""

    pixels: NDArray[Any]
    """(h, w, C) colour bands, in the layout's order and dtype; arbitrary where not valid."""
    valid: NDArray[np.bool_] | None
    """(h, w, C) or (h, w, 1); None if all pixels are valid."""
    alpha: NDArray[Any] | None
    """(h, w), or None if the layout has no alpha."""


class RasterDecoder:
    """One open handle on a raster, for one thread at a time.

    Args:
        info: The file.
        layout: Bands to read.
        marks_only: Read only what validity and alpha depend on; ``DecodedWindow.pixels`` may be
            empty then.

    Raises:
        PictureError: If the file cannot be opened.
    """

    def __init__(self, info: RasterInfo, layout: BandLayout, *, marks_only: bool = False) -> None:
        self.info = info
        self.layout = layout
        masked = info.mask in ("dataset", "band")
        self._nodata = tuple(None if masked else info.bands[b - 1].nodata for b in layout.bands)
        self._dtype = np.dtype(info.bands[layout.bands[0] - 1].dtype)
        self._by_value = self._dtype.kind == "f" or any(one is not None for one in self._nodata)
        by_value = layout.palette or self._by_value
        self._bands = layout.bands if by_value or not marks_only else ()
        self._read = [*self._bands, *([layout.alpha] if layout.alpha is not None else [])]
        self._masked = list(layout.bands) if info.mask == "band" else list(layout.bands[:1])
        self._masked = self._masked if masked else []
        self._palette = _lookup(info) if layout.palette else None
        self._dataset = open_raster(info.path, remote=info.remote)

    @property
    def all_valid(self) -> bool:
        """True if no pixel of the file can be invalid, and there is no alpha."""
        return not self._masked and not self.layout.has_alpha and not self._by_value

    def load(
        self, window: Window, shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Read the stored values and masks of a window.

        Args:
            window: In pixels of the file, inside it.
            shape: (height, width) to subsample it to, by nearest neighbour; None keeps all pixels.

        Returns:
            (h, w, bands) values, alpha last, and (h, w, masks) bool; either may have no layer.

        Raises:
            PictureError: If the file is damaged there.
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

    def interpret(self, values: Array, masks: Array) -> DecodedWindow:
        """Turn stored values and masks into pixels, validity and alpha.

        Args:
            values: (h, w, bands), from ``load``.
            masks: (h, w, masks) bool, from ``load``.
        """
        alpha: Array | None
        if self._palette is not None:
            colours = self._palette[values[:, :, 0]]
            pixels, alpha = colours[:, :, : self.layout.channels], colours[:, :, 3]
            alpha = alpha if self.layout.palette_alpha else None
            valid = None
        else:
            pixels = values[:, :, : len(self._bands)]
            alpha = values[:, :, -1] if self.layout.alpha is not None else None
            valid = find_valid(pixels, self._nodata) if self._bands else None
        valid = _both(valid, masks if self._masked else None)
        valid = _both(valid, None if alpha is None else (alpha > 0)[:, :, None])
        return DecodedWindow(pixels=pixels, valid=valid, alpha=alpha)

    def close(self) -> None:
        """Close the file."""
        with reading_errors(self.info.path, "it cannot be closed"):
            self._dataset.close()


def _both(one: Bools | None, other: Bools | None) -> Bools | None:
    if other is None or bool(other.all()):
        return one
    return other if one is None else one & other


def _lookup(info: RasterInfo) -> NDArray[np.uint8]:
    """Table (values of band 1, 4) of RGBA colours; values without one are transparent black."""
    table = np.zeros((int(np.iinfo(info.bands[0].dtype).max) + 1, 4), np.uint8)
    for value, colour in (info.palette or {}).items():
        if 0 <= value < len(table):
            table[value] = colour
    if info.bands[0].nodata is not None:
        table[int(info.bands[0].nodata), 3] = 0
    return table
