"""Prepare photographs for a network, and make photographs of the enlarged pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.pixels.arrays import (
    Array,
    Bools,
    Limits,
    Size,
    empty_array,
    release,
    strips,
)
from srcli.imaging.pixels.geometry import shrink, shrink_mask
from srcli.imaging.pixels.resize import resize
from srcli.imaging.pixels.values import are_at, are_gray
from srcli.ports import ValueRange, Wrap, are_units

_LARGEST = float(np.finfo(np.float32).max)
HIDDEN_COLOURS = (
    "colours that alpha hides are replaced by those around them, or repeated; --keep-hidden "
    "enlarges them, where alpha is data (gloss, height) and no transparency"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class NotFinite:
    """The pixels of a float photograph with one value that is not finite, in one channel."""

    channel: int
    value: float
    """Infinity, minus infinity or NaN."""
    mask: Bools
    """(H, W): True for pixels of this value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedPhotograph:
    """Pixels of a photograph as a network takes them, and what ``finish`` needs."""

    pixels: Array
    """(H, W, C); one channel where red, green and blue are equal, as a network would
    give these a tint."""
    channels: int
    """Channels of the photograph: 1 or 3."""
    alpha: Array | None
    metadata: Metadata
    warnings: tuple[str, ...]
    value_range: ValueRange | None
    """Values of a float photograph that became 0 and 1 in ``pixels``; None for integers."""
    limits: Limits
    """Values of a float photograph that none of the result is beyond."""
    not_finite: tuple[NotFinite, ...]
    """Pixels of a float photograph that are not finite; empty where all are."""
    unseen: Bools | None = None
    """(H, W): True where no visible pixel is near; None where there is one everywhere."""
    hidden: Array | None = None
    """Colours of the photograph, (H, W, C), which are repeated there."""
    wrap: Wrap = ""

    def finish(
        self, enlarged: Array, size: Size | None = None, folder: Path | None = None
    ) -> Photograph:
        """Make a photograph of the enlarged pixels, (sH, sW, C), which stay as they are.

        The size (height, width) is that of the pixels unless another is given. What is
        large lies in the folder; see ``empty_array``.
        """
        scale = len(enlarged) // len(self.pixels)
        size = size or (enlarged.shape[0], enlarged.shape[1])
        enlarged = shrink(enlarged, size, self.wrap, folder)
        if self.value_range is not None:
            enlarged = self._to_values(enlarged, scale, folder)
        alpha = self.alpha
        if alpha is not None:
            if scale > 1:
                alpha = enlarge_alpha(alpha, scale, self.wrap, folder)
            alpha = shrink(alpha, size, self.wrap, folder)
        if self.unseen is not None and self.hidden is not None:
            enlarged = self._with_hidden(enlarged, self.unseen, self.hidden, folder)
        elif enlarged.shape[2] < self.channels:
            enlarged = np.broadcast_to(enlarged, (*size, self.channels))
        return Photograph(pixels=enlarged, alpha=alpha, metadata=self.metadata)

    def _with_hidden(
        self, enlarged: Array, unseen: Bools, hidden: Array, folder: Path | None
    ) -> Array:
        """Return the pixels with colours that nobody sees repeated from the photograph.

        What a network makes of them looks like noise to programs that compress the file.
        """
        height, width = enlarged.shape[:2]
        shape = (height, width, self.channels)
        colours = empty_array(shape, enlarged.dtype, folder)
        columns = np.arange(width) * unseen.shape[1] // width
        for rows in strips(colours):
            lines = np.arange(rows.start, rows.stop) * unseen.shape[0] // height
            is_unseen = unseen[lines][:, columns]
            colours[rows] = enlarged[rows]
            release(enlarged)
            colours[rows][is_unseen] = hidden[lines][:, columns][is_unseen]
        return colours

    def _to_values(self, units: Array, scale: int, folder: Path | None) -> Array:
        """Return floats in the file's own values for floats in [0, 1].

        Pixels that were not finite are not, in the same channels and as before.
        """
        assert self.value_range is not None
        low, high = self.value_range
        height, width, channels = units.shape
        if self.not_finite:  # channels that are equal otherwise may differ in these
            channels = self.channels
        values = empty_array((height, width, channels), np.float32, folder)
        is_whole = len(units) == len(self.pixels) * scale
        shrunk = []
        if not is_whole:
            for marked in self.not_finite:
                enlarged = marked.mask.repeat(scale, axis=0).repeat(scale, axis=1)
                shrunk.append(shrink_mask(enlarged, (height, width)))
        dtype = _dtype_for(low, high)
        for rows in strips(values):
            exact = units[rows] * dtype(high - low) + dtype(low)
            values[rows] = exact.clip(*self.limits)
            release(units)
            lines = np.arange(rows.start, rows.stop) // scale
            for position, marked in enumerate(self.not_finite):
                if is_whole:
                    mask = marked.mask[lines].repeat(scale, axis=1)
                else:
                    mask = shrunk[position][rows]
                values[rows][mask, marked.channel] = marked.value
        return values


def prepare(
    photograph: Photograph, *, keep_hidden: bool = False, wrap: Wrap = ""
) -> PreparedPhotograph:
    """Prepare a photograph for a network: map floats to [0, 1], replace hidden colours.

    With ``keep_hidden`` colours that alpha hides stay; with ``wrap`` the photograph goes
    on at its opposite border.
    """
    pixels = photograph.pixels
    alpha = photograph.alpha
    warnings = list(photograph.warnings)
    value_range = None
    limits = (-_LARGEST, _LARGEST)
    not_finite: tuple[NotFinite, ...] = ()
    if pixels.dtype == np.float32:
        finite = np.isfinite(pixels)
        if not finite.all():
            warnings.append("pixels that are not finite stay so")
            not_finite = _find_not_finite(pixels)
        low = float(pixels.min(where=finite, initial=np.inf))
        high = float(pixels.max(where=finite, initial=-np.inf))
        limits = _find_limits(pixels, low, high)
        if low > high or are_units(low, high):
            low = 0.0
            high = 1.0
        else:
            warnings.append(f"float values {low:g}..{high:g} are taken as black..white")
        span = (high - low) or 1.0
        value_range = (low, low + span)
        # infinite ones are the lightest and the darkest there are
        filled = np.nan_to_num(pixels, nan=low, posinf=low + span, neginf=low)
        exact: Array = filled.astype(_dtype_for(low, high), copy=False)
        pixels = ((exact - low) / span).astype(np.float32)
    unseen = None
    hidden = None
    if alpha is not None and not keep_hidden:
        # here: most photographs have none
        from srcli.imaging.pixels.alpha import (
            fill_transparent,
            find_unseen,
            hides_colours,
        )

        unseen = find_unseen(alpha, wrap)
        if unseen is not None:
            hidden = photograph.pixels
        visible = fill_transparent(pixels, alpha, wrap)
        if hides_colours(pixels, visible):
            warnings.append(HIDDEN_COLOURS)
        pixels = visible
    channels = pixels.shape[2]
    if channels > 1 and are_gray(pixels):
        pixels = np.ascontiguousarray(pixels[:, :, :1])
    return PreparedPhotograph(
        pixels=pixels,
        channels=channels,
        alpha=alpha,
        metadata=photograph.metadata,
        warnings=tuple(warnings),
        value_range=value_range,
        limits=limits,
        not_finite=not_finite,
        unseen=unseen,
        hidden=hidden,
        wrap=wrap,
    )


def _find_limits(pixels: Array, low: float, high: float) -> Limits:
    """Return what floats from low to high stay within: 0, 1 of units, ends of many."""
    lower = -_LARGEST
    upper = _LARGEST
    if are_at(pixels, low):
        lower = low
    elif low >= 0:
        lower = 0.0
    if are_at(pixels, high):
        upper = high
    elif are_units(low, high):
        upper = 1.0
    elif high <= 0:
        upper = 0.0
    return lower, upper


def _find_not_finite(pixels: Array) -> tuple[NotFinite, ...]:
    """Find the pixels of floats, (H, W, C), that are not finite, by channel and value."""
    found = []
    for channel in range(pixels.shape[2]):
        layer = pixels[:, :, channel]
        # NaN comes last, and so stays where pixels of several values become one
        for value, mask in (
            (np.inf, np.isposinf(layer)),
            (-np.inf, np.isneginf(layer)),
            (np.nan, np.isnan(layer)),
        ):
            if mask.any():
                found.append(NotFinite(channel=channel, value=value, mask=mask))
    return tuple(found)


def _dtype_for(low: float, high: float) -> type[np.float32 | np.float64]:
    """Return the type that holds the distance of two values, and what overshoots it."""
    if max(abs(low), abs(high)) > _LARGEST / 8:
        return np.float64
    return np.float32


def enlarge_alpha(
    alpha: Array, scale: int, wrap: Wrap, folder: Path | None = None
) -> Array:
    """Upscale an alpha channel (H, W) by bicubic interpolation, clipped to its range.

    A large one lies in the folder; one of a single value takes no memory, and is not to
    be written to.
    """
    height, width = alpha.shape
    low = alpha.min()
    high = alpha.max()
    if low == high:
        return np.broadcast_to(low, (height * scale, width * scale))
    larger = resize(alpha, scale, wrap, folder)
    # bicubic overshoots: opaque and clear areas must stay exactly so
    for rows in strips(larger):
        np.clip(larger[rows], low, high, out=larger[rows])
    return larger
