"""Upscale animations (GIF, WebP, APNG) frame by frame.

Finished frames lie in a file beside the output, from which they are encoded when all
are there; an interrupted run keeps them for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.files.stored_parts import PictureRows, StoredRows
from srcli.imaging.photographs.animations import encode_animation
from srcli.imaging.photographs.new_files import new_file
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_frames
from srcli.pipelines.upscale.checking import check_output
from srcli.pipelines.upscale.photographs import (
    PhotographUpscaler,
    choose_metadata,
    writing_options,
)

if TYPE_CHECKING:
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.reporter import Facts, Item


def upscale_animation(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale an animation with the engines of photographs."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    size, unwritable = check_output(item, picture, options)
    metadata, lost = choose_metadata(item, picture, options, options.model, size)
    height, width = size
    stored = StoredRows(item.target)
    with photographs.keep_parts(item, stored, picture):
        rows = PictureRows(
            stored=stored,
            number=0,
            first_part=0,
            shape=(picture.frames * height, width, 4),
            dtype=np.dtype(np.uint8),
            unit_rows=height,
        )
        tiles, timings = _make_frames(item, picture, rows, photographs)
        photographs.reporter.describe(
            f"{item.source.name}: writing {picture.frames} frames"
        )
        settings = writing_options(item, picture, options)
        with new_file(item.target, settings.pop("attributes")) as stream:
            encode_animation(
                stream,
                rows.array.reshape(picture.frames, height, width, 4),
                milliseconds=[milliseconds for milliseconds, _ in timings],
                plays=timings[0][1],
                metadata=metadata,
                **settings,
            )
        del rows  # a file that is mapped cannot be removed on every system
        stored.remove()
    return {
        "tiles": tiles,
        "size": size,
        "frames": picture.frames,
        "warnings": (*picture.warnings, *unwritable, *lost),
    }


def _make_frames(
    item: Item, picture: Picture, rows: PictureRows, photographs: PhotographUpscaler
) -> tuple[int, list[tuple[int, int]]]:
    """Make the frames that no earlier run has made; return the number of tiles, and timings.

    These are the milliseconds of each frame, and how often the whole is played.
    """
    reporter = photographs.reporter
    height = rows.unit_rows
    total = picture.frames
    timings = []
    missing = rows.missing()
    kept_count = total
    if missing:
        kept_count = missing[0].start // height
    reporter.tell_kept(item, kept_count, total, "frames")

    def frames_behind() -> Iterator[tuple[int, Photograph]]:
        for index, (timing, photograph) in enumerate(read_frames(picture)):
            timings.append(timing)
            if index >= kept_count:
                yield index, photograph

    remaining = replace(picture, frames=total - kept_count)
    tiles, enlarged = photographs.enlarge_frames(
        frames_behind(), remaining, photographs.options.model
    )
    run = range(kept_count * height, total * height)
    for index, frame in enlarged:
        assert frame.alpha is not None  # ``read_frames`` gives RGBA
        pixels = np.dstack([frame.pixels, frame.alpha])
        rows.write(run, index * height, pixels)
        reporter.describe(f"{item.source.name}: frame {index + 1} of {total}")
    return tiles, timings
