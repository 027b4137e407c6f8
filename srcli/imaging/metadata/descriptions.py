"""Fit descriptions of TIFFs in OME-XML, by which microscopes tell the size of their pixels."""

from __future__ import annotations

import re

from srcli.imaging.arrays import Size
from srcli.imaging.metadata.pixel_map import PixelMap

_SIZE = re.compile(r'\b(Physical)?Size([XY])="(\d+\.?\d*(?:[eE][+-]?\d+)?)"')


def fit_description(text: str, pixel_map: PixelMap, whole: Size) -> str:
    """Return a description as it is true for the new pixels.

    ``whole`` is the size that it tells of; the map may begin with a part.
    """

    def fit_size(match: re.Match[str]) -> str:
        kind, side, value = match.groups("")
        axis = "YX".index(side)
        after = pixel_map.after[axis]
        size = float(value) * pixel_map.before[axis] / after  # of one pixel
        if not kind:
            size = round(float(value) * after / whole[axis])
        return f'{kind}Size{side}="{size:.9g}"'

    if "<OME" in text:
        return _SIZE.sub(fit_size, text)
    return text
