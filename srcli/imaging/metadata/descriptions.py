"""Fit descriptions of TIFFs: in OME-XML, by which microscopes tell the size of their pixels.

tifffile describes arrays by their shape, in JSON, and scanners of whole slides (Aperio)
in a line of names and values.
"""

from __future__ import annotations

import json
import re

from srcli.imaging.metadata.microscopy import is_shaped
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.pixels.arrays import Size
from srcli.input_files import parse_text

_SIZE = re.compile(r'\b(Physical)?Size([XY])="(\d+\.?\d*(?:[eE][+-]?\d+)?)"')

_SLIDE_SIZE = re.compile(r"^(.*\n)\d+x\d+ \[\d+,\d+ \d+x\d+\]")
_SLIDE_VALUE = re.compile(r"(\|(?:MPP|AppMag)\s*=\s*)(\d+\.?\d*)")


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
    if is_shaped(text):
        return _without_shape(text)
    if is_whole_slide(text):
        return _fit_slide(text, pixel_map)
    return text


def is_whole_slide(text: str) -> bool:
    """Return True for the description of a whole-slide scan by Aperio's scanners."""
    return text.startswith("Aperio Image Library")


def _fit_slide(text: str, pixel_map: PixelMap) -> str:
    """Fit sizes, micrometres a pixel (MPP) and magnification (AppMag) of a whole slide."""
    growth = (pixel_map.after[0] / pixel_map.before[0]) ** 0.5
    growth *= (pixel_map.after[1] / pixel_map.before[1]) ** 0.5

    def fit_value(match: re.Match[str]) -> str:
        name, value = match.groups()
        number = float(value)
        number = number / growth if "MPP" in name else number * growth
        return f"{name}{number:.6g}"

    height, width = pixel_map.after
    size = f"{width}x{height}"
    text = _SLIDE_SIZE.sub(rf"\g<1>{size} [0,0 {size}]", text, count=1)
    return _SLIDE_VALUE.sub(fit_value, text)


def _without_shape(text: str) -> str:
    """Return tifffile's description of an array without its shape; empty if that was all."""
    try:
        entries = parse_text(text.rstrip("\0 \n"))
    except ValueError:
        return text
    for name in ("shape", "truncated"):
        entries.pop(name, None)
    return json.dumps(entries) if entries else ""
