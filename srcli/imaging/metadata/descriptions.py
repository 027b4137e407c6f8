"""Descriptions of TIFFs: by ImageJ, and in OME-XML, by which microscopes tell sizes of pixels.

tifffile describes arrays by their shape, in JSON, and scanners of whole slides (Aperio)
in a line of names and values.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import IO

from srcli.errors import PictureError
from srcli.files import parse_text
from srcli.imaging.pixels.arrays import Size
from srcli.imaging.pixels.geometry import PixelMap

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


def names_pixel_unit(description: str) -> bool:
    """Return True for a description by ImageJ that names the unit of its pixels' size.

    The resolution of the file is the number of pixels in one such unit then, even where
    it says that it counts in inches or centimetres.
    """
    unit = re.search(r"^unit=(.*)$", description, re.MULTILINE)
    return (
        description.startswith("ImageJ=")
        and unit is not None
        and unit[1].strip("\0 ").lower() not in ("", "pixel", "pixels")
    )


def is_shaped(description: str) -> bool:
    """Return True for a description by tifffile: JSON that begins with an array's shape."""
    return description.lstrip().startswith('{"shape":')


def _count_planes(description: str) -> int:
    """Return how many planes a file has whose only directory describes the first one.

    So ImageJ writes stacks beyond 4 GB (its images), and tifffile those that are asked to
    be ``truncate``d; 1 for others.
    """
    if description.startswith("ImageJ="):
        images = re.search(r"^images=(\d{1,9})\s*$", description, re.MULTILINE)
        return int(images[1]) if images else 1
    if is_shaped(description) and '"truncated": true' in description:
        shape = re.search(r'"shape": \[([\d, ]+)\]', description)
        return int(shape[1].split(",")[0]) if shape else 2
    return 1


def refuse_hidden_planes(
    path: Path, description: str, stream: IO[bytes], plane_bytes: int
) -> None:
    """Raise PictureError for planes behind the only directory of a file, which would be lost.

    One plane of a stack keeps the description in programs that copy it: the file must
    have room for two.
    """
    planes = _count_planes(description)
    if planes > 1 and stream.seek(0, os.SEEK_END) >= 2 * plane_bytes:
        raise PictureError(
            f"{path}: its {planes} planes stand behind one directory, as ImageJ writes stacks "
            "beyond 4 GB; save it with a directory for each, such as OME-TIFF or BigTIFF"
        )
