"""Write enlarged rows of a raster as parts, in which the holes of the input are put back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from srcli.imaging.files.stored_parts import writing_errors
from srcli.imaging.pixels.arrays import Array, Bools
from srcli.imaging.pixels.resize import resize, white_level
from srcli.imaging.rasters.limits import keep_within
from srcli.imaging.rasters.nodata import is_nodata, nearest_other_value
from srcli.imaging.rasters.packed_heights import unpack
from srcli.imaging.rasters.part_encoding import encode_part
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.source import DecodedWindow, RasterSource
from srcli.ports.image import Window

_REACH = 3
"""Rows above and below a part that bicubic interpolation sees, and one more."""


class PartWriter:
    """Writer of a run of consecutive parts; the rows of one part are in memory.

    It marks the pixels that the input marks as empty: they become nodata (without such
    a value: NaN in floats, else 0), and valid pixels that the network happened to make
    equal to nodata move to the next value; those beyond a stated valid range move to
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
        span = self._parts.span(number)
        window = self._input_rows(span)
        decode = cache(partial(self._source.decode, window))
        rows, opacity = self._finish(span, window, decode, rows)
        self._store(number, rows, opacity)

    def _finish(
        self,
        span: range,
        window: Window,
        decode: Callable[[], DecodedWindow],
        rows: Array | None,
    ) -> tuple[Array, Array]:
        """Return rows of the network, changed, as they are stored, and their opacity.

        They are those of a window of the input, which ``decode`` returns.
        """
        source = self._source
        layout = source.layout
        nodata = layout.nodata
        if rows is not None:
            self._keep_within_limits(rows, decode, span)
        if rows is not None and nodata is not None and np.isfinite(nodata):
            # valid pixels that the network made equal to nodata by chance
            rows[is_nodata(rows, nodata)] = nearest_other_value(rows.dtype, nodata)
        white = white_level(np.dtype(layout.dtype))
        opacity = np.array(white, layout.dtype)
        if rows is None or layout.classes or source.has_holes:
            rows, opacity = self._complete(span, window, decode(), rows, opacity)
        return rows, opacity

    def _keep_within_limits(
        self, rows: Array, decode: Callable[[], DecodedWindow], span: range
    ) -> None:
        """Cut what overshoots the range of a band that is stated, or beyond which are codes."""
        layout = self._source.layout
        for position, index in enumerate(layout.smooth):
            band = layout.outputs[index]
            limits = band.measured or band.limits
            if limits is not None:
                before = self._repeat(decode().pixels[:, :, index], span)
                keep_within(rows[:, :, position], before, limits)

    def _input_rows(self, span: range) -> Window:
        """Return the rows of the input that become some rows of the output."""
        top = span.start // self._scale
        bottom = -(-span.stop // self._scale)
        return Window(top=top, left=0, height=bottom - top, width=self._source.width)

    def _complete(
        self,
        span: range,
        window: Window,
        decoded: DecodedWindow,
        rows: Array | None,
        opacity: Array,
    ) -> tuple[Array, Array]:
        """Put holes, classes and alpha of the input into rows; return these and their opacity."""
        source = self._source
        layout = source.layout
        if layout.soft_alpha is not None:
            softened = self._soften(window, layout.soft_alpha)
            opacity = softened[span.start % self._scale :][: len(span)]
        elif decoded.alpha is not None:
            opacity = self._repeat(decoded.alpha, span)
        valid = decoded.valid[:, :, source.smooth]
        if not valid.all():
            output = self._parts.output
            is_alpha_new = output.alpha and layout.alpha is None  # made of a mask
            loses_nodata = layout.nodata is not None and output.nodata is None
            if source.masked or output.mask or is_alpha_new or loses_nodata:
                shown = valid
                if decoded.codes is not None:
                    shown = valid | decoded.codes[:, :, source.smooth]
                opacity = self._repeat(np.asarray(shown.any(axis=2)), span) * opacity
            if rows is not None:
                holes = self._repeat(_one_if_equal(~valid), span)
                if layout.soft_alpha is not None:
                    holes = holes & ~self._is_shown(decoded, span, opacity)
                empty = self._empty_value(decoded, span)
                _fill(rows, empty, holes)
        if rows is None or layout.classes:
            repeated = self._repeat(decoded.pixels, span)
            if rows is not None:
                repeated[:, :, source.smooth] = rows
            rows = repeated
        outside = source.outside(window, self._scale)
        if outside is not None:
            outside = outside[span.start % self._scale :][: len(span)]
            has_alpha = decoded.alpha is not None
            rows[outside] = self._empty_number(hides_colours=has_alpha)
            opacity = opacity * ~outside
        return rows, opacity

    def _repeat(self, layer: Array, span: range) -> Array:
        """Enlarge what was read for a part by nearest neighbour, cut to the rows of the part."""
        down = layer.repeat(self._scale, axis=0)[span.start % self._scale :]
        return down[: len(span)].repeat(self._scale, axis=1)

    def _store(self, number: int, rows: Array, opacity: Array) -> None:
        """Store a part, with alpha or the mask where there is one."""
        if self._source.layout.is_packed:
            rows = unpack(rows)
        with (
            writing_errors(self._parts.target),
            encode_part(rows, opacity, self._parts.output) as content,
        ):
            self._parts.add(number, content)

    def _soften(self, window: Window, limits: tuple[float, float]) -> Array:
        """Enlarge the alpha of some rows by bicubic interpolation, as that of photographs."""
        source = self._source
        scale = self._scale
        around = source.grow(window, _REACH)
        alpha = source.decode(around).alpha
        assert alpha is not None
        larger = np.clip(resize(alpha, scale), *limits)
        rows = larger[(window.top - around.top) * scale :][: window.height * scale]
        return rows[:, (window.left - around.left) * scale :][:, : window.width * scale]

    def _is_shown(self, decoded: DecodedWindow, span: range, opacity: Array) -> Bools:
        """Mark pixels of alpha 0 that become visible by the soft alpha beside them."""
        assert decoded.alpha is not None
        hidden = np.isfinite(decoded.pixels[:, :, self._source.smooth])
        hidden &= (decoded.alpha == 0)[:, :, None]
        return np.asarray(self._repeat(hidden, span) & (opacity > 0)[:, :, None])

    def _empty_number(self, *, hides_colours: bool = False) -> float:
        """Return what stands for no data in all bands; 0 where alpha hides the pixels."""
        nodata = self._source.layout.nodata
        if nodata is not None:
            return nodata
        if self._source.dtype.kind == "f" and not hides_colours:
            return np.nan
        return 0

    def _empty_value(self, decoded: DecodedWindow, span: range) -> Array | float:
        """Return what holes are filled with: one value, or one for each pixel of the output.

        Infinite values stay infinite, codes stay codes, and under an alpha of 0 floats
        stay finite.
        """
        empty = self._empty_number()
        smooth = self._source.smooth
        pixels = decoded.pixels[:, :, smooth]
        is_float = self._source.dtype.kind == "f"
        kept = np.isinf(pixels)
        if decoded.codes is not None:
            kept |= decoded.codes[:, :, smooth]
        has_hidden = self._source.layout.nodata is None and decoded.alpha is not None
        has_hidden = has_hidden and is_float
        if not (has_hidden or kept.any()):
            return empty
        values = np.full_like(pixels, empty)
        if has_hidden:
            values[np.isfinite(pixels)] = 0
        values[kept] = pixels[kept]
        return self._repeat(values, span)


def _one_if_equal(layers: Bools) -> Bools:
    """Return the first of layers (h, w, C) alone, (h, w, 1), where all are equal."""
    one = layers[:, :, :1]
    return one if (layers == one).all() else layers


def _fill(rows: Array, empty: Array | float, holes: Bools) -> None:
    """Put values, one or (h, W, C), into holes, (h, W, C) or those of all bands, (h, W, 1)."""
    for band in range(rows.shape[2]):  # numpy repeats a mask for all bands slowly
        values = empty
        if isinstance(empty, np.ndarray):
            values = empty[:, :, band]
        hole = holes[:, :, band % holes.shape[2]]
        np.copyto(rows[:, :, band], values, "unsafe", where=hole)
