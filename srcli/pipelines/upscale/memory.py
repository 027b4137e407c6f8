"""Bound the memory of photographs: estimate what each takes, and hold few enough at once."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging import mapped
from srcli.imaging.formats import FORMATS
from srcli.imaging.resize import UNBOUNDED
from srcli.metrics.machine import free_memory
from srcli.pipelines.upscale.raster_job import PROGRAM, free_disk
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from srcli.imaging.photograph import Picture
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item


def memory_budget(options: UpscaleOptions) -> int:
    """Return the bytes that all photographs that are held at once may take.

    That is ``--max-memory`` without the program itself, or half of what is free.
    """
    limit = options.raster.max_memory
    if limit is not None:
        return max(limit - PROGRAM, 0)
    free = free_memory()
    return sys.maxsize if free is None else free // 2


def portions(
    opened: Iterable[tuple[Item, Picture]], options: UpscaleOptions, processes: int = 1
) -> Iterator[Iterator[tuple[Item, Picture]]]:
    """Yield runs of neighbouring photographs that may be held at once; one always may.

    Args:
        opened: Photographs, taken one by one.
        options: All options.
        processes: Processes that share the memory.
    """
    budget = memory_budget(options) // processes
    number = held = 0

    def portion(one: tuple[Item, Picture]) -> int:
        nonlocal number, held
        size = photograph_memory(*one, options)
        if held and held + size > budget:
            number, held = number + 1, 0
        held += size
        return number

    for _, group in groupby(opened, key=portion):
        yield group


def photograph_memory(item: Item, picture: Picture, options: UpscaleOptions) -> int:
    """Estimate the most bytes that a photograph takes, from reading to writing it.

    Args:
        item: The input and its output.
        picture: The input, opened.
        options: Scale and ``--fit``.
    """
    channels, largest = picture.channels + picture.has_alpha, mapped.LARGEST_IN_MEMORY
    pixels = picture.height * picture.width * picture.bits // 8
    given = pixels * channels
    made = pixels * (channels + spare_channels(item.format, channels)) * options.scale**2
    # what the network gives is encoded as it lies there
    direct = item.format in ("png", "jpg", "tif") and picture.bits in FORMATS[item.format].bits
    if not direct or picture.has_alpha or picture.bits == 32 or options.fit != UNBOUNDED:
        return 6 * given + 3 * made
    return 3 * given + (made if made <= largest else 0)


def check_memory(item: Item, picture: Picture, options: UpscaleOptions, free: int | None) -> None:
    """Refuse a photograph that does not fit into ``--max-memory`` or the free memory.

    Args:
        item: The input and its output.
        picture: The input, opened.
        options: All options.
        free: Bytes of memory that are free; None if unknown.

    Raises:
        PictureError: If it does not.
    """
    needed = photograph_memory(item, picture, options)
    limit = options.raster.max_memory
    if limit is not None and PROGRAM + needed > limit:
        raise PictureError(
            f"{item.source}: takes about {(PROGRAM + needed) >> 20:,} MiB, more than --max-memory "
            f"{limit >> 20:,} MiB; allow more, or take a smaller --scale"
        )
    if free is not None and needed > free:
        raise PictureError(
            f"{item.source}: takes about {format_bytes(needed)} of memory when enlarged, and "
            f"{format_bytes(free)} are free; crop it, or use a smaller scale"
        )


def check_frames(item: Item, frames: int, pixels: int) -> None:
    """Refuse an animation whose pictures, which wait on the disk for the last one, have no room.

    Args:
        item: The input and its output.
        frames: Pictures of the animation.
        pixels: Of each when enlarged.

    Raises:
        PictureError: If they have not.
    """
    needed, (free, folder) = frames * pixels * 4, free_disk(item.target)
    if needed > free:
        raise PictureError(
            f"{item.source}: its {frames} pictures take {format_bytes(needed)} when enlarged, and "
            f"{format_bytes(free)} are free in {folder}; make room, take another folder or a "
            "smaller --scale"
        )


def spare_channels(fmt: str, channels: int) -> int:
    """Return the channels that an output of a format has in memory beside its own.

    Pillow, which writes JPEG, has four bytes for each pixel of RGB.
    """
    return int(fmt == "jpg" and channels == 3)
