"""Choose the bands of a raster that go through no network: measurements, wide numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srcli.imaging.rasters.measurements import (
    NETWORK_ERROR,
    find_measurements,
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
    engine, every = options.engine, tuple(range(len(layout.smooth)))
    if engine.back_project or engine.denoise != 1:  # which correct a network's result
        return EnlargingMethod()
    if options.model == INTERPOLATION:
        exact = layout.dtype != "uint8" and options.raster.values != "dtype"
        return EnlargingMethod(every if exact else ())
    wide = find_wide_bands(info, layout, values)
    numbers = ",".join(str(layout.bands[layout.smooth[place]]) for place in wide)
    steps = f"band {numbers}: whole numbers over a range of more than 16,777,216"
    if not options.auto:
        lost = f"{steps}: a network keeps 24 bits of them, -m {INTERPOLATION} all"
        return EnlargingMethod(notes=(lost,) if wide else ())
    for group in layout.groups:  # which go together
        if {*group} & {*wide}:
            wide += [place for place in group if place not in wide]
    measured = [
        place
        for place in find_measurements(info, layout, window, values)
        if place not in wide
    ]
    remarks = (
        [f"{steps}: bicubic interpolation, which keeps all digits"] if wide else []
    )
    if measured:
        numbers = ",".join(
            str(layout.bands[layout.smooth[place]]) for place in measured
        )
        remarks.append(
            f"band {numbers}: measurements with less detail than a network needs, whose error is "
            f"{NETWORK_ERROR:.2%} of their range: bicubic interpolation"
        )
    remark = (
        f"{'; '.join(remarks)}; -m {options.model} takes the network" if remarks else ""
    )
    return EnlargingMethod(tuple(sorted({*wide, *measured})), remark=remark)


def interpolated_as_they_are(
    values: Values, method: EnlargingMethod, bands: int
) -> Values:
    """Give the bands that are interpolated the range 0 to 1, which changes no value."""
    if not method.interpolated:
        return values
    ranges = list(values.ranges) * (bands if len(values.ranges) == 1 else 1)
    for place in method.interpolated:
        ranges[place] = (0.0, 1.0)
    return replace(values, ranges=tuple(ranges))
