"""Judge from samples of a raster what an aerial picture has gone through, and if it is gray."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from srcli.imaging.colour import are_gray
from srcli.imaging.condition import Condition, classify_condition
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.source import RasterSource, spread_windows
from srcli.ports.image import Window

_STRIP = 256
"""Rows that are read at once where all of a raster is looked at."""


def classify_raster_condition(
    info: RasterInfo, layout: BandLayout, window: Window
) -> Condition | Literal[""]:
    """Say in one word what most of an aerial picture has gone through: RGB of 8 bits, no palette.

    Of nine parts all over it, those with holes and drawings do not count. It is empty
    for all other rasters: their values are measurements, in which no network may mend
    anything.
    """
    rgb = layout.rgb
    if not rgb or layout.dtype != "uint8" or layout.palette is not None:
        return ""
    conditions: Counter[Condition] = Counter()
    with RasterSource(info, layout, window) as source:
        for area in spread_windows(source, side=512, along=3):
            decoded = source.decode(area)
            if decoded.valid.all():
                conditions[classify_condition(decoded.pixels[:, :, rgb])] += 1
    del conditions["drawing"]
    if 2 * conditions["clean"] >= conditions.total():
        return "clean"
    del conditions["clean"]
    return conditions.most_common(1)[0][0]


def is_gray_raster(info: RasterInfo, layout: BandLayout, window: Window) -> bool:
    """Return True if red, green and blue are equal wherever there is data.

    A raster in colours is mostly left after the first sample; one that is gray is read
    completely.
    """
    rgb = layout.rgb
    if not rgb:
        return False
    with RasterSource(info, layout, window, _STRIP) as source:
        areas = list(spread_windows(source, side=64, along=3))
        for top in range(0, source.height, _STRIP):
            height = min(_STRIP, source.height - top)
            areas.append(Window(top=top, left=0, height=height, width=source.width))
        for area in areas:
            decoded = source.decode(area)
            pixels = decoded.pixels[:, :, rgb]
            valid = decoded.valid[:, :, rgb]
            if not are_gray(valid) or not are_gray(np.where(valid, pixels, 0)):
                return False
    return True
