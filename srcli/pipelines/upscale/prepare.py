"""Prepare photographs for a network and restore them: transparency, float ranges, alpha."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.alpha import fill_transparent
from srcli.imaging.fitting import PixelMap, fit_metadata
from srcli.imaging.mapped import empty_array
from srcli.imaging.photograph import Photograph
from srcli.imaging.resize import UNBOUNDED, Box, resize, shrink, shrink_mask
from srcli.inference.stream import ArraySink, ArraySource, make_job
from srcli.ports.image import are_units

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.inference.stream import ImageJob
    from srcli.inference.tiling import Tiling

    Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Prepared(Photograph):
    """A photograph as the engine takes it: floats in [0, 1] without NaN."""

    value_range: tuple[float, float] | None = None
    """The file's values of 0 and 1, for float pictures."""
    holes: Array | None = None
    """(H, W) bool, True for pixels of float pictures that are not finite."""

    @property
    def bits(self) -> int:
        """8, 16 or 32."""
        return int(self.pixels.dtype.itemsize * 8)

    def work(
        self, scale: int, tiling: Tiling, name: str, *, folder: Path | None = None, spare: int = 0
    ) -> tuple[ImageJob, ArraySink]:
        """Return the picture as work for the engine, and the sink that takes its result.

        Args:
            scale: The factor.
            tiling: Tile, overlap and edge.
            name: Names the picture in errors.
            folder: Where a large result lies in a file; see ``empty_array``.
            spare: Further channels held for each pixel of the result; see ``as_image``.
        """
        height, width, channels = self.pixels.shape
        height, width, dtype = height * scale, width * scale, self.pixels.dtype
        whole = empty_array((height, width, channels + spare), dtype, folder)
        sink = ArraySink(height, width, channels, dtype, whole[:, :, :channels])
        work = make_job(ArraySource(self.pixels), sink, name=name, scale=scale, tiling=tiling)
        return work, sink


def prepare(photograph: Photograph) -> tuple[Prepared, tuple[str, ...]]:
    """Prepare a photograph for a network; return it with warnings."""
    prepared = Prepared(**vars(photograph))
    warnings: tuple[str, ...] = ()
    if prepared.pixels.dtype == np.float32:
        prepared, warnings = _normalise(prepared)
    if prepared.alpha is not None:
        prepared = replace(prepared, pixels=fill_transparent(prepared.pixels, prepared.alpha))
    return prepared, warnings


def finish(prepared: Prepared, enlarged: Array, scale: int, box: Box = UNBOUNDED) -> Photograph:
    """Return an upscaled picture with alpha, metadata and the file's range of values.

    Args:
        prepared: The picture before, from ``prepare``.
        enlarged: (sH, sW, C) from the engine, in the dtype of ``prepared.pixels``.
        scale: The factor.
        box: Bounds of the result.
    """
    size = box.fitted(*enlarged.shape[:2])
    enlarged = shrink(enlarged, size)
    if prepared.value_range is not None:
        low, high = prepared.value_range
        enlarged = (enlarged * np.float32(high - low) + np.float32(low)).astype(np.float32)
    if prepared.holes is not None:
        holes = prepared.holes.repeat(scale, axis=0).repeat(scale, axis=1)
        enlarged[shrink_mask(holes, size)] = np.nan
    alpha = None
    if prepared.alpha is not None:
        alpha = shrink(enlarge_alpha(prepared.alpha, scale), size)
    pixels = PixelMap(before=prepared.pixels.shape[:2], after=size)
    metadata, _ = fit_metadata(prepared.metadata, pixels)
    return Photograph(pixels=enlarged, alpha=alpha, metadata=metadata)


def enlarge_alpha(alpha: Array, scale: int) -> Array:
    """Upscale an alpha channel (H, W) by bicubic interpolation, clipped to its range."""
    if not alpha.size or alpha.min() == alpha.max():
        return np.full((alpha.shape[0] * scale, alpha.shape[1] * scale), alpha.flat[0], alpha.dtype)
    enlarged = resize(alpha, scale)
    # bicubic overshoots: opaque and clear areas must stay exactly so
    return np.clip(enlarged, alpha.min(), alpha.max())


def _normalise(prepared: Prepared) -> tuple[Prepared, tuple[str, ...]]:
    """Map a float picture to [0, 1] and mark pixels that are not finite as holes."""
    pixels = prepared.pixels
    finite = np.isfinite(pixels)
    holes: Array | None = None if finite.all() else np.any(~finite, axis=2)
    warnings = [] if holes is None else ["pixels that are not finite stay so"]
    values = pixels[finite] if holes is not None else pixels
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if are_units(low, high):
        low, high = 0.0, 1.0
    else:
        warnings.append(f"float values {low:g}..{high:g} are taken as black..white")
    span = (high - low) or 1.0
    unit = (np.where(finite, pixels, low) - low) / span
    normalised = replace(
        prepared, pixels=unit.astype(np.float32), value_range=(low, low + span), holes=holes
    )
    return normalised, tuple(warnings)
