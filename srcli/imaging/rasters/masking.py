"""Put into the rows of an enlarged raster what no network makes: classes, nodata, mask, alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from srcli.imaging.rasters.reading import is_nodata, nearest_other_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.rasters.reading import RasterSource  # noqa: TC004 - for types alone
    from srcli.imaging.rasters.selection import BandLayout  # noqa: TC004 - for types alone

    Array = NDArray[Any]
    Bools = NDArray[np.bool_]

_PART_BYTES = 2**25
"""Bytes of the rows masked at once, so that their copies stay small."""
_PIECE_COLUMNS = 128
"""Columns of the input marked at once: pieces that are valid all over cost nothing."""


class RowWriter(Protocol):
    """Takes the rows of an output, from top to bottom; see ``PartWriter``."""

    def write(
        self, top: int, pixels: Array, *, alpha: Array | None = None, mask: Bools | None = None
    ) -> None:
        """Write (h, W, C) rows."""


def repeat_rows(rows: Array, scale: int, top: int, height: int) -> Array:
    """Enlarge rows (h, W, ...), whose first one contains output row ``top``, by repeating."""
    return rows.repeat(scale, axis=0)[top % scale :][:height].repeat(scale, axis=1)


def repeat_raster(
    source: RasterSource, writer: RowWriter, scale: int, rows: range, *, needs_mask: bool
) -> None:
    """Enlarge output rows of a raster whose bands all hold classes, by nearest neighbour."""
    sink = MaskedSink(writer, source, scale, needs_mask=needs_mask, keep_values=True)
    width = source.width * scale * source.channels * source.dtype.itemsize
    step = max(_PART_BYTES // (width * scale), 1) * scale
    for top in range(rows.start, rows.stop, step):
        height = min(step, rows.stop - top)
        sink.write(top, stored_rows(source, scale, top, height))


def stored_rows(source: RasterSource, scale: int, top: int, height: int) -> Array:
    """Return output rows of a raster enlarged by nearest neighbour, as it stores them."""
    first = top // scale
    stored = source.read_stored(first, -(-(top + height) // scale) - first)
    return repeat_rows(stored, scale, top, height)


@dataclass(frozen=True, kw_only=True)
class ClassJoiner:
    """Puts the bands of classes between those that come from the network."""

    writer: RowWriter
    """Receives rows of all bands."""
    classes: RasterSource
    """The bands of classes of the input."""
    layout: BandLayout
    """Of all bands."""
    scale: int

    def write(
        self, top: int, pixels: Array, *, alpha: Array | None = None, mask: Bools | None = None
    ) -> None:
        """Pass on rows (h, W, C) from the network."""
        height, width = pixels.shape[:2]
        rows = np.empty((height, width, self.layout.channels), pixels.dtype)
        places = sorted(place for group in self.layout.groups for place in group)
        rows[:, :, places] = pixels
        rows[:, :, self.layout.classes] = stored_rows(self.classes, self.scale, top, height)
        self.writer.write(top, rows, alpha=alpha, mask=mask)


class MaskedSink:
    """Marks the pixels of an enlarged raster that the input marks as empty.

    Empty pixels become nodata (without such a value: NaN in floats, else 0); valid pixels that the
    network happened to make equal to nodata move to the next value. Mask and alpha are enlarged by
    nearest neighbour. The mask is passed on if the file has one.

    Args:
        writer: Receives the rows, possibly in smaller parts.
        source: The input.
        scale: Output pixels per input pixel.
        needs_mask: Pass on a mask also if the input has only nodata.
        keep_values: The rows are those of the input, repeated: no pixel of them is changed.
    """

    def __init__(
        self,
        writer: RowWriter,
        source: RasterSource,
        scale: int,
        *,
        needs_mask: bool = False,
        keep_values: bool = False,
    ) -> None:
        self.writer = writer
        self.source = source
        self.scale = scale
        self.keep_values = keep_values
        self.has_mask = needs_mask or source.info.mask in ("dataset", "band")
        nodata = source.layout.nodata
        empty = np.nan if source.dtype.kind == "f" else 0.0
        self._empty = source.dtype.type(empty if nodata is None else nodata)
        self._nodata = nodata if nodata is not None and np.isfinite(nodata) else None

    def write(self, top: int, rows: Array) -> None:
        """Mark rows (h, W, C) of the source's dtype, which are not modified, and pass them on."""
        # multiples of input rows, so that none is read twice
        step = max(_PART_BYTES // max(rows[:1].nbytes * self.scale, 1), 1) * self.scale
        first, bottom = top, top + rows.shape[0]
        while first < bottom:
            last = min((first // step + 1) * step, bottom)
            self._write_part(first, rows[first - top : last - top])
            first = last

    def _write_part(self, top: int, rows: Array) -> None:
        height = rows.shape[0]
        first = top // self.scale
        count = -(-(top + height) // self.scale) - first
        valid, alpha = self.source.valid(first, count), self.source.alpha(first, count)
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
        if self.keep_values:
            pass
        elif valid is not None and not valid.any():
            rows = np.broadcast_to(self._empty, rows.shape)
        else:
            rows = self._marked(rows, valid, top)
        self.writer.write(top, rows, alpha=alpha, mask=mask)

    def _enlarged(self, layer: Array, top: int, height: int) -> Array:
        """Enlarge a layer (rows, W, ...) whose first row contains output row ``top``.

        A layer with one value all over comes as a view of it.
        """
        if layer.min() == layer.max():
            size = (height, layer.shape[1] * self.scale, *layer.shape[2:])
            return np.broadcast_to(layer.flat[0], size)
        return repeat_rows(layer, self.scale, top, height)

    def _marked(self, rows: Array, valid: Bools | None, top: int) -> Array:
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
