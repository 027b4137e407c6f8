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
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs.animations import encode_animation
from srcli.imaging.photographs.new_files import new_file
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_frames
from srcli.imaging.pixels.arrays import Size
from srcli.pipelines.upscale.checking import check_output
from srcli.pipelines.upscale.photographs import (
    PhotographUpscaler,
    choose_metadata,
    describe_work,
    writing_options,
)

if TYPE_CHECKING:
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.reporter import Item


def upscale_animation(opened: Opened, photographs: PhotographUpscaler) -> None:
    """Upscale an animation with the engines of photographs, and report it, a failure too."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    reporter = photographs.reporter
    with reporter.work_on(item) as started:
        size, unwritable = check_output(item, picture, options)
        metadata, lost = choose_metadata(item, picture, options, options.model, size)
        item.make_folder()
        stored = StoredRows(item.target)
        networks = photographs.describe_networks(picture, options.model)
        depends_on = describe_work(item, options, networks)
        with reporter.keep_parts(item, stored, depends_on, resume=options.resume):
            maker = _AnimationMaker(item, picture, size, photographs, stored)
            tiles = maker.make_frames()
            maker.write(metadata)
            del maker  # a file that is mapped cannot be removed on every system
            stored.remove()
        reporter.add(
            item,
            started=started,
            strength=options.strength_of(options.model),
            tiles=tiles,
            size=size,
            frames=picture.frames,
            warnings=(*picture.warnings, *unwritable, *lost),
        )


class _AnimationMaker:
    """Makes the frames of one output, and the output."""

    def __init__(
        self,
        item: Item,
        picture: Picture,
        size: Size,
        photographs: PhotographUpscaler,
        stored: StoredRows,
    ) -> None:
        self._item = item
        self._picture = picture
        self._photographs = photographs
        self._timings: list[tuple[int, int]] = []
        """Milliseconds of each frame, and how often the whole is played."""
        height, width = size
        self._height = height
        self._rows = PictureRows(
            stored=stored,
            number=0,
            first_part=0,
            shape=(picture.frames * height, width, 4),
            dtype=np.dtype(np.uint8),
            unit_rows=height,
        )
        self._frames = self._rows.array.reshape(picture.frames, height, width, 4)

    def make_frames(self) -> int:
        """Make the frames that no earlier run has made; return the number of tiles."""
        picture = self._picture
        reporter = self._photographs.reporter
        total = picture.frames
        missing = self._rows.missing()
        kept_count = total
        if missing:
            kept_count = missing[0].start // self._height
        reporter.tell_kept(self._item, kept_count, total, "frames")
        remaining = replace(picture, frames=total - kept_count)
        tiles, enlarged = self._photographs.enlarge_frames(
            self._read_frames(kept_count), remaining, self._photographs.options.model
        )
        run = range(kept_count * self._height, total * self._height)
        for index, frame in enlarged:
            assert frame.alpha is not None  # ``read_frames`` gives RGBA
            rows = np.dstack([frame.pixels, frame.alpha])
            self._rows.write(run, index * self._height, rows)
            reporter.describe(f"{self._item.source.name}: frame {index + 1} of {total}")
        return tiles

    def write(self, metadata: Metadata) -> None:
        """Write the animation."""
        item = self._item
        self._photographs.reporter.describe(
            f"{item.source.name}: writing {self._picture.frames} frames"
        )
        settings = writing_options(item, self._picture, self._photographs.options)
        with new_file(item.target, settings.pop("attributes")) as stream:
            encode_animation(
                stream,
                self._frames,
                milliseconds=[milliseconds for milliseconds, _ in self._timings],
                plays=self._timings[0][1],
                metadata=metadata,
                **settings,
            )

    def _read_frames(self, kept_count: int) -> Iterator[tuple[int, Photograph]]:
        """Yield the frames behind those that are kept, each with its number from 0."""
        for index, (timing, photograph) in enumerate(read_frames(self._picture)):
            self._timings.append(timing)
            if index >= kept_count:
                yield index, photograph
