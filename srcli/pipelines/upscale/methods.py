"""Choose the bands of a raster that go through no network: measurements, wide numbers."""

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

INTERPOLATION = "bicubic"
"""Name of the model that is no network."""


@dataclass(frozen=True)
class EnlargingMethod:
    """Which bands of a raster go through no network, and why."""

    interpolated: tuple[int, ...] = ()
    """Places in ``BandLayout.smooth``."""
    notes: tuple[str, ...] = ()
    remark: str = ""


def choose_method(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    values: Values,
    options: UpscaleOptions,
) -> EnlargingMethod:
    """Choose the bands that are interpolated: by ``auto`` those in which a network errs too much.

    A model that is named enlarges all bands; a note says where it cannot keep all
    digits.
    """
    engine = options.engine
    if engine.back_project or engine.denoise != 1:  # which correct a network's result
        return EnlargingMethod()
    if options.model == INTERPOLATION:
        if layout.dtype == "uint8" or options.raster.values == "dtype":
            return EnlargingMethod()
        return EnlargingMethod(tuple(range(len(layout.smooth))))
    wide = find_wide_bands(info, layout, values)
    numbers = _numbers(layout, wide)
    steps = f"band {numbers}: whole numbers over a range of more than 16,777,216"
    if not options.auto:
        if not wide:
            return EnlargingMethod()
        lost = f"{steps}: a network keeps 24 bits of them, -m {INTERPOLATION} all"
        return EnlargingMethod(notes=(lost,))
    remarks = []
    if wide:
        remarks.append(f"{steps}: bicubic interpolation, which keeps all digits")
    interpolated = set(wide)
    for group in layout.groups:  # which go together
        if not interpolated.isdisjoint(group):
            interpolated.update(group)
    measured = find_measurement_bands(info, layout, window, values)
    measured = [index for index in measured if index not in interpolated]
    if measured:
        remarks.append(
            f"band {_numbers(layout, measured)}: measurements with less detail than a network "
            f"needs, whose error is {NETWORK_ERROR:.2%} of their range: bicubic interpolation"
        )
    remark = ""
    if remarks:
        remark = f"{'; '.join(remarks)}; -m {options.model} takes the network"
    return EnlargingMethod(tuple(sorted(interpolated.union(measured))), remark=remark)


def _numbers(layout: BandLayout, places: Iterable[int]) -> str:
    """Return the numbers of bands with commas between them."""
    return ",".join(str(layout.bands[layout.smooth[index]]) for index in places)


def interpolated_as_they_are(
    values: Values, method: EnlargingMethod, bands: int
) -> Values:
    """Give the bands that are interpolated the range 0 to 1, which changes no value."""
    if not method.interpolated:
        return values
    ranges = list(values.ranges)
    if len(ranges) == 1:
        ranges *= bands
    for index in method.interpolated:
        ranges[index] = (0.0, 1.0)
    return replace(values, ranges=tuple(ranges))
