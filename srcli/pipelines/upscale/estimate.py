"""What enlarging one file will need and lose, told by its header."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.fitting import UNBOUNDED, Box
from srcli.imaging.photograph import probe
from srcli.imaging.writing import check_writable

if TYPE_CHECKING:
    from srcli.pipelines.upscale.plan import Item


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What one item will need and lose; from its header."""

    height: int
    """Of the output, in pixels."""
    width: int
    bytes: int
    """What it takes on disk at most, without compression."""
    made: int
    """Pixels that the network makes, which may be more than the output has."""
    memory: int
    """Bytes that it takes while it is worked on, beside the program."""
    warnings: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What was found out and decided, as it is said while it is worked on."""


def foresee(item: Item, scale: int, box: Box = UNBOUNDED) -> Outlook:
    """Read an item's header: its output size, and what will be lost.

    Args:
        item: The input.
        scale: The factor.
        box: What the output is made smaller to fit.

    Raises:
        PictureError: If the input is no picture, or the output's format cannot hold the result.
    """
    header = probe(item.source)
    large = header.height * scale, header.width * scale
    height, width = box.fitted(*large)
    try:
        warnings = check_writable(
            item.format,
            height=height,
            width=width,
            channels=header.channels,
            has_alpha=header.has_alpha,
            bits=header.bits,
        )
    except PictureError as error:
        raise PictureError(f"{item.source}: {error}") from error
    if height < header.height or width < header.width:
        own = f"{header.width}x{header.height}"
        warnings = (*warnings, f"becomes {width}x{height}, smaller than the input is ({own})")
    depth, made = (header.channels + header.has_alpha) * header.bits // 8, math.prod(large)
    return Outlook(
        height=height,
        width=width,
        bytes=height * width * depth,
        made=made,
        memory=made * depth,
        warnings=warnings,
    )
