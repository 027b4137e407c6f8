"""Upscale animations (GIF, WebP, APNG) frame by frame.

Finished frames lie in a file beside the output, from which they are encoded when all
are there; an interrupted run keeps them for the next one.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.files.formats import FORMATS
from srcli.imaging.files.stored_rows import PictureRows, StoredRows
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs.animations import encode_animation
from srcli.imaging.photographs.new_files import new_file
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_frames
from srcli.imaging.pixels.arrays import Array, Size
from srcli.input_files import checksum
from srcli.pipelines.upscale.choosing import choose_passes
from srcli.pipelines.upscale.fingerprints import describe_input, describe_pass
from srcli.pipelines.upscale.photographs import (
    PhotographUpscaler,
    check_output,
    choose_metadata,
    writing_options,
)
from srcli.pipelines.upscale.videos import upscale_to_video
from srcli.pipelines.upscale.writing_work import WritingWork

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import Item

_SAMPLE_SIDE = 256
"""Pixels of a side of the sample by which the time of encoding is estimated."""


def upscale_animation(
    item: Item, picture: Picture, photographs: PhotographUpscaler
) -> None:
    """Upscale an animation with the engines of photographs, and report it, a failure too."""
    if FORMATS[item.format].video:
        upscale_to_video(item, picture, photographs)
        return
    options = photographs.options
    reporter = photographs.reporter
    with reporter.work_on(item) as started:
        size, unwritable = check_output(item, picture, options)
        metadata, lost = choose_metadata(item, picture, options, options.model, size)
        item.make_folder()
        stored = StoredRows(item.target)
        depends_on = describe_input(item, options)
        resume = options.resume
        with reporter.keep_parts(item, stored, depends_on, resume=resume):
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
            fingerprint=self._fingerprint(size),
            unit_rows=height,
        )
        self._frames = self._rows.array.reshape(picture.frames, height, width, 4)
        self._work = WritingWork(photographs.reporter)

    def make_frames(self) -> int:
        """Make the frames that no earlier run has made; return the number of tiles."""
        picture = self._picture
        reporter = self._photographs.reporter
        total = picture.frames
        missing = self._rows.missing()
        kept_count = total
        if missing:
            kept_count = missing[0].start // self._height
        if kept_count:
            reporter.progress.message(
                f"{self._item.source}: {kept_count} of {total} frames are kept from an earlier "
                "run"
            )
        remaining = replace(picture, frames=total - kept_count)
        tiles, enlarged = self._photographs.enlarge_frames(
            self._read_frames(kept_count), remaining, self._photographs.options.model
        )
        run = range(kept_count * self._height, total * self._height)
        started = time.monotonic()
        for number, (index, frame) in enumerate(enlarged, 1):
            assert frame.alpha is not None  # ``read_frames`` gives RGBA
            rows = np.dstack([frame.pixels, frame.alpha])
            self._rows.write(run, index * self._height, rows)
            if number == 1:
                self._work.seconds = total * self._seconds_of_frame(rows)
            seconds = time.monotonic() - started
            self._work.measure(seconds * (total - kept_count) / (number * tiles))
            reporter.describe(f"{self._item.source.name}: frame {index + 1} of {total}")
        return tiles

    def write(self, metadata: Metadata) -> None:
        """Write the animation."""
        item = self._item
        name = item.source.name
        self._work.describe(f"{name}: writing {self._picture.frames} frames")
        settings = writing_options(item, self._picture, self._photographs.options)
        with new_file(item.target, settings.pop("attributes")) as stream:
            encode_animation(
                stream,
                self._frames,
                milliseconds=[milliseconds for milliseconds, _ in self._timings],
                plays=self._timings[0][1],
                metadata=metadata,
                on_share=self._work.advance_to,
                **settings,
            )

    def _read_frames(self, kept_count: int) -> Iterator[tuple[int, Photograph]]:
        """Yield the frames behind those that are kept, each with its number from 0."""
        for index, (timing, photograph) in enumerate(read_frames(self._picture)):
            self._timings.append(timing)
            if index >= kept_count:
                yield index, photograph

    def _seconds_of_frame(self, frame: Array) -> float:
        """Estimate how long it takes to encode a frame, (H, W, 4), by a part of it."""
        height, width, _ = frame.shape
        top = max(height - _SAMPLE_SIDE, 0) // 2
        left = max(width - _SAMPLE_SIDE, 0) // 2
        sample = frame[top : top + _SAMPLE_SIDE, left : left + _SAMPLE_SIDE]
        settings = writing_options(self._item, self._picture, self._photographs.options)
        started = time.monotonic()
        encode_animation(
            io.BytesIO(),
            np.ascontiguousarray(sample)[None],
            milliseconds=[1],
            plays=0,
            metadata=Metadata(),
            fmt=settings["fmt"],
            quality=settings["quality"],
        )
        seconds = time.monotonic() - started
        return seconds * frame.size / sample.size

    def _fingerprint(self, size: Size) -> str:
        """Return a checksum of what the frames depend on, beside the input."""
        photographs = self._photographs
        picture = self._picture
        options = photographs.options
        states: list[object] = [size]
        height, width = picture.size
        for model, scale in choose_passes(picture, options, options.model):
            engine, tiling = photographs.engine_for(model, scale, picture.bits)
            grid = tiling.padded_grid(height, width, options.wrap)
            states += [model, scale, *describe_pass(engine, grid)]
            height *= scale
            width *= scale
        return checksum(repr(states).encode())
