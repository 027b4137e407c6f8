"""Write enlarged rows of a raster as parts, in which the holes of the input are put back.

A part is a TIFF of blocks as the canvas has them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.files.stored_parts import writing_errors
from srcli.imaging.pixels.arrays import Array, Bools, Limits
from srcli.imaging.pixels.resize import resize, white_level
from srcli.imaging.rasters.amounts import keep_sums
from srcli.imaging.rasters.heights import unpack
from srcli.imaging.rasters.nodata import is_nodata, nearest_other_value
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.profile import OutputProfile, is_on
from srcli.imaging.rasters.source import DecodedWindow, RasterSource, cut_out
from srcli.ports import Window

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

_MOST_THREADS = 16
_REACH = 3
"""Rows above and below a part that bicubic interpolation sees, and one more."""


class PartWriter:
    """Writer of a run of consecutive parts; the rows of one part are in memory.

    It marks the pixels that the input marks as empty: they become nodata (without such
    a value: NaN in floats, else 0), and valid pixels that the network happened to make
    equal to nodata move to the next value; those beyond the limits of their band move to
    its end. Bands of classes, mask and alpha of two values are enlarged by nearest
    neighbour, for which rows of the input are read again.
    """

    def __init__(
        self, parts: Parts, numbers: range, source: RasterSource, scale: int
    ) -> None:
        self._parts = parts
        self._numbers = numbers
        self._source = source
        self._scale = scale
        # a band behind the other in memory, as rows come and as GDAL takes them
        bands = np.empty(
            (source.channels, parts.rows, source.width * scale), source.dtype
        )
        self._rows: Array = bands.transpose(1, 2, 0)

    def write(self, top: int, rows: Array) -> None:
        """Write rows (h, W, C) of the network from output row ``top`` down, not modifying them.

        They follow each other; rows outside the run are left out.
        """
        bottom = top + len(rows)
        height = len(self._rows)
        for number in range(top // height, -(-bottom // height)):
            if number not in self._numbers:
                continue
            span = self._parts.span(number)
            start = max(span.start, top)
            stop = min(span.stop, bottom)
            new_rows = rows[start - top : stop - top]
            self._rows[start - span.start : stop - span.start] = new_rows
            if stop == span.stop:
                self.write_part(number, self._rows[: len(span)])

    def write_part(self, number: int, rows: Array | None = None) -> None:
        """Write a part from rows of the network, which are changed; None if all hold classes."""
        parts = self._parts
        part = _Part(self._source, parts.output, self._scale, parts.span(number))
        rows, opacity = part.finish(rows)
        if self._source.layout.is_packed:
            rows = unpack(rows)
        with (
            writing_errors(parts.target),
            encode_part(rows, opacity, parts.output) as content,
        ):
            parts.add(number, content)


@dataclass(frozen=True)
class _Part:
    """A part whose rows get what the input has at their places."""

    source: RasterSource
    output: OutputProfile
    scale: int
    span: range
    """Rows of the output."""

    @cached_property
    def _window(self) -> Window:
        """The rows of the input that become those of the part."""
        top = self.span.start // self.scale
        bottom = -(-self.span.stop // self.scale)
        return Window(top=top, left=0, height=bottom - top, width=self.source.width)

    @cached_property
    def _decoded(self) -> DecodedWindow:
        return self.source.decode(self._window)

    def finish(self, rows: Array | None) -> tuple[Array, Array]:
        """Return rows of the network, changed, as they are stored, and their opacity."""
        layout = self.source.layout
        nodata = layout.nodata
        if rows is not None:
            self._keep_bounds(rows)
            if nodata is not None and np.isfinite(nodata):
                # valid pixels that the network made equal to nodata by chance
                rows[is_nodata(rows, nodata)] = nearest_other_value(rows.dtype, nodata)
        white = white_level(np.dtype(layout.dtype))
        opacity = np.array(white, layout.dtype)
        if rows is None or layout.classes or self.source.has_holes:
            return self._complete(rows, opacity)
        return rows, opacity

    def _keep_bounds(self, rows: Array) -> None:
        """Cut what overshoots the limits of a band, and give blocks the sums of its amounts."""
        layout = self.source.layout
        for position, index in enumerate(layout.smooth):
            band = layout.outputs[index]
            if band.limits is None and band.zero is None:
                continue
            low, high = band.limits or (-np.inf, np.inf)
            before = self._decoded.pixels[:, :, index]
            is_kept = self._decoded.valid[:, :, index]
            if layout.divisor == 1:
                # what lies beyond the limits there already is left to its reader
                is_kept = is_kept & (before >= low) & (before <= high)
            enlarged = rows[:, :, position]
            if band.zero is None:
                cut = enlarged.clip(low, high)
                np.copyto(enlarged, cut, "unsafe", where=self._repeat(is_kept))
            else:
                keep_sums(enlarged, before, is_kept, band, layout.divisor)

    def _complete(self, rows: Array | None, opacity: Array) -> tuple[Array, Array]:
        """Put holes, classes and alpha of the input into rows; return these and their opacity."""
        source = self.source
        layout = source.layout
        decoded = self._decoded
        if layout.soft_alpha is not None:
            opacity = self._cut(self._soften(layout.soft_alpha))
        elif decoded.alpha is not None:
            opacity = self._repeat(decoded.alpha)
        valid = decoded.valid[:, :, source.smooth]
        if not valid.all():
            is_alpha_new = self.output.alpha and layout.alpha is None  # made of a mask
            loses_nodata = layout.nodata is not None and self.output.nodata is None
            if source.masked or self.output.mask or is_alpha_new or loses_nodata:
                shown = valid
                if decoded.codes is not None:
                    shown = valid | decoded.codes[:, :, source.smooth]
                opacity = self._repeat(np.asarray(shown.any(axis=2))) * opacity
            if rows is not None:
                holes = self._repeat(~valid)
                if layout.soft_alpha is not None:
                    holes = holes & ~self._is_shown(opacity)
                np.copyto(rows, self._empty_values(), "unsafe", where=holes)
        if rows is None or layout.classes:
            repeated = self._repeat(decoded.pixels)
            if rows is not None:
                repeated[:, :, source.smooth] = rows
            rows = repeated
        outside = source.outside(self._window, self.scale)
        if outside is not None:
            outside = self._cut(outside)
            has_alpha = decoded.alpha is not None
            rows[outside] = self._empty_number(hides_colours=has_alpha)
            opacity = opacity * ~outside
        return rows, opacity

    def _repeat(self, layer: Array) -> Array:
        """Enlarge what was read for the part by nearest neighbour."""
        return self._cut(layer.repeat(self.scale, axis=0)).repeat(self.scale, axis=1)

    def _cut(self, rows: Array) -> Array:
        """Cut enlarged rows of the input to those of the part."""
        return rows[self.span.start % self.scale :][: len(self.span)]

    def _soften(self, limits: Limits) -> Array:
        """Enlarge the alpha of the input by bicubic interpolation, as that of photographs."""
        window = self._window
        around = self.source.grow(window, _REACH)
        alpha = self.source.decode(around).alpha
        assert alpha is not None
        larger = np.clip(resize(alpha, self.scale), *limits)
        return cut_out(larger, around, window, self.scale)

    def _is_shown(self, opacity: Array) -> Bools:
        """Mark pixels of alpha 0 that become visible by the soft alpha beside them."""
        decoded = self._decoded
        assert decoded.alpha is not None
        hidden = np.isfinite(decoded.pixels[:, :, self.source.smooth])
        hidden &= (decoded.alpha == 0)[:, :, None]
        return np.asarray(self._repeat(hidden) & (opacity > 0)[:, :, None])

    def _empty_number(self, *, hides_colours: bool = False) -> float:
        """Return what stands for no data in all bands; 0 where alpha hides the pixels."""
        nodata = self.source.layout.nodata
        if nodata is not None:
            return nodata
        if self.source.dtype.kind == "f" and not hides_colours:
            return np.nan
        return 0

    def _empty_values(self) -> Array | float:
        """Return what holes are filled with: one value, or one for each pixel of the output.

        Infinite values stay infinite, codes stay codes, and under an alpha of 0 floats
        stay finite.
        """
        decoded = self._decoded
        empty = self._empty_number()
        smooth = self.source.smooth
        pixels = decoded.pixels[:, :, smooth]
        kept = np.isinf(pixels)
        if decoded.codes is not None:
            kept |= decoded.codes[:, :, smooth]
        has_hidden = self.source.layout.nodata is None and decoded.alpha is not None
        has_hidden = has_hidden and np.isnan(empty)
        if not (has_hidden or kept.any()):
            return empty
        values = np.full_like(pixels, empty)
        if has_hidden:
            values[np.isfinite(pixels)] = 0
        values[kept] = pixels[kept]
        return self._repeat(values)


@contextmanager
def encode_part(
    rows: Array, opacity: Array, output: OutputProfile
) -> Iterator[memoryview]:
    """Yield rows (h, W, C) as a TIFF; raises rasterio's errors.

    ``opacity``, (h, W) or one value, is its alpha or mask, where the output has one.
    """
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    height, width = rows.shape[:2]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(output.bands),
        "dtype": output.dtype,
        "nodata": output.nodata,
        "transform": Affine.scale(2.0, 3.0),  # rasterio warns of files without one
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": min(os.cpu_count() or 1, _MOST_THREADS),
        **output.blocks,
    }
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        MemoryFile() as memory,  # because GDAL reports success on a full disk
    ):
        with memory.open(**profile) as dataset:
            _write_pixels(dataset, rows, opacity, output)
        yield memory.getbuffer()


def encode_blank(height: int, output: OutputProfile) -> IO[bytes]:
    """Return rows without data, as GDAL reads what is not there, as a TIFF."""
    value = 0 if output.nodata is None else output.nodata
    rows = np.full((height, output.width, output.channels), value, output.dtype)
    with encode_part(rows, np.zeros(1, output.dtype), output) as content:
        return io.BytesIO(content)


def _write_pixels(
    dataset: DatasetWriter, rows: Array, opacity: Array, output: OutputProfile
) -> None:
    """Write the bands of a part by columns of blocks, so that no band is copied whole."""
    from rasterio.enums import ColorInterp
    from rasterio.windows import Window

    if not output.palette:  # some compressions depend on what bands mean
        names = [band.interpretation for band in output.stored_bands]
        dataset.colorinterp = [ColorInterp[name] for name in names]
    height, width = rows.shape[:2]
    block_width = dataset.block_shapes[0][1]
    opacity = np.broadcast_to(opacity, (height, width))
    order = list(output.band_order)
    if output.mask:  # after the bands GDAL would print errors of threads that compress
        dataset.write_mask(opacity != 0)
    for column in range(0, width, block_width):
        columns = slice(column, column + block_width)
        pixels = rows[:, columns, : output.channels].astype(output.dtype, copy=False)
        piece = np.moveaxis(pixels, 2, 0)
        if output.alpha:
            cut = opacity[None, :, columns].astype(output.dtype, copy=False)
            piece = np.concatenate([piece, cut])
        if order != list(range(len(piece))):
            piece = piece[order]
        if not _is_left_out(piece, output):
            window = Window(column, 0, piece.shape[2], height)
            dataset.write(piece, window=window)


def _is_left_out(piece: Array, output: OutputProfile) -> bool:
    """Tell if a sparse canvas leaves out blocks of these values; floats without nodata stay."""
    blank = output.nodata
    if blank is None and output.dtype.startswith(("int", "uint")):
        blank = 0
    if blank is None or not is_on(output.blocks, "SPARSE_OK", "NO"):
        return False
    return bool(piece.flat[0] == blank) and bool((piece == blank).all())
