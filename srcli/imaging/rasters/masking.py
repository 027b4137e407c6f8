"""Put into the rows of an enlarged raster what no network makes: classes, nodata, mask, alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.rasters.reading import is_nodata, nearest_other_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.rasters.parts import PartWriter
    from srcli.imaging.rasters.reading import RasterSource
    from srcli.imaging.rasters.selection import BandLayout

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]

_PART_BYTES = 2**25
"""Bytes of the rows masked at once, so that their copies stay small."""
_PIECE_COLUMNS = 128
"""Columns of the input marked at once: pieces that are valid all over cost nothing."""


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
        step = max(_PART_BYTES // max(rows[:1].nbytes * self.scale, 1), 1) * self.scale
        first, bottom = top, top + rows.shape[0]
        while first < bottom:
            last = min((first // step + 1) * step, bottom)
            self._write_part(first, rows[first - top : last - top])
            first = last

    def repeat(self, rows: range) -> None:
        """Pass on output rows of a raster whose bands all hold classes, without a network."""
        width = self.source.width * self.scale * self.source.channels * self.source.dtype.itemsize
        step = max(_PART_BYTES // (width * self.scale), 1) * self.scale
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
