"""Choose the bands of a raster that bicubic interpolation enlarges instead of the network.

They hold measurements without much detail, or whole numbers too wide for 32-bit floats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srcli.imaging.rasters.bicubic_bands import (
    NETWORK_ERROR,
    find_measurement_bands,
    find_wide_bands,
)

if TYPE_CHECKING:
    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.ports.image import Values, Window

INTERPOLATION_MODEL = "bicubic"
"""Name of the model that is bicubic interpolation."""


@dataclass(frozen=True)
class InterpolatedBands:
    """Bands of a raster that bicubic interpolation enlarges, and why."""

    interpolated: tuple[int, ...] = ()
    """Positions in ``BandLayout.smooth``."""
    notes: tuple[str, ...] = ()
    """Warnings of what a network loses."""
    remark: str = ""
    """Message on the choice, made by ``auto``."""


def choose_interpolated_bands(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    values: Values,
    options: UpscaleOptions,
) -> InterpolatedBands:
    """Choose the bands to interpolate: by ``auto`` those in which a network errs too much.

    A network that the user named enlarges all bands; a note says where it cannot keep
    all digits. With the model ``bicubic`` all bands are chosen, unless they have
    8 bits or the range of their dtype.
    """
    engine = options.engine
    if engine.back_project or engine.denoise != 1:  # which correct a network's result
        return InterpolatedBands()
    if options.model == INTERPOLATION_MODEL:
        if layout.dtype == "uint8" or options.raster.values == "dtype":
            return InterpolatedBands()
        return InterpolatedBands(tuple(range(len(layout.smooth))))
    wide = find_wide_bands(info, layout, values)
    numbers = _band_numbers(layout, wide)
    steps = f"band {numbers}: whole numbers over a range of more than 16,777,216"
    if not options.auto:
        if not wide:
            return InterpolatedBands()
        lost = f"{steps}: a network keeps 24 bits of them, -m {INTERPOLATION_MODEL} all"
        return InterpolatedBands(notes=(lost,))
    remarks = []
    if wide:
        remarks.append(f"{steps}: bicubic interpolation, which keeps all digits")
    interpolated = set(wide)
    for group in layout.groups:  # whose bands are enlarged alike
        if not interpolated.isdisjoint(group):
            interpolated.update(group)
    measured = find_measurement_bands(info, layout, window, values)
    measured = [index for index in measured if index not in interpolated]
    if measured:
        remarks.append(
            f"band {_band_numbers(layout, measured)}: measurements with less detail than a network "
            f"needs, whose error is {NETWORK_ERROR:.2%} of their range: bicubic interpolation"
        )
    remark = ""
    if remarks:
        remark = f"{'; '.join(remarks)}; -m {options.model} takes the network"
    return InterpolatedBands(tuple(sorted(interpolated.union(measured))), remark=remark)


def _band_numbers(layout: BandLayout, positions: Iterable[int]) -> str:
    """Return band numbers as text, such as ``1,4``, by positions in ``BandLayout.smooth``."""
    return ",".join(
        str(layout.bands[layout.smooth[position]]) for position in positions
    )


def keep_interpolated_values(
    values: Values, bicubic: InterpolatedBands, band_count: int
) -> Values:
    """Return values with the range 0 to 1, which changes none, for interpolated bands."""
    if not bicubic.interpolated:
        return values
    ranges = list(values.ranges)
    if len(ranges) == 1:
        ranges *= band_count
    for position in bicubic.interpolated:
        ranges[position] = (0.0, 1.0)
    return replace(values, ranges=tuple(ranges))
