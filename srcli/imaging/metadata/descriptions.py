"""Fit descriptions of TIFFs: in OME-XML, by which microscopes tell the size of their pixels.

tifffile describes arrays by their shape, in JSON.
"""

from __future__ import annotations

import json
import re

from srcli.files import parse_text
from srcli.imaging.arrays import Size
from srcli.imaging.metadata.pixel_map import PixelMap

_SIZE = re.compile(r'\b(Physical)?Size([XY])="(\d+\.?\d*(?:[eE][+-]?\d+)?)"')

_SHAPED = '{"shape":'


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
    if text.lstrip().startswith(_SHAPED):
        return _without_shape(text)
    return text


def _without_shape(text: str) -> str:
    """Return tifffile's description of an array without its shape; empty if that was all."""
    try:
        entries = parse_text(text.rstrip("\0 \n"))
    except ValueError:
        return text
    for name in ("shape", "truncated"):
        entries.pop(name, None)
    return json.dumps(entries) if entries else ""
