"""Descriptions that ImageJ and tifffile write into a TIFF."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO

from srcli.errors import PictureError


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
