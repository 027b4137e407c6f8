"""Upscale photographs, and animations frame by frame: finished frames wait in a file on disk."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import SrxError
from srcli.files import attributes_for
from srcli.imaging.animation import is_kept, read_frames, write_animation
from srcli.imaging.fitting import PixelMap, fit_metadata
from srcli.imaging.mapped import empty_array, release
from srcli.imaging.writing import LOSSLESS, lost_metadata
from srcli.inference.engines import EnginePool
from srcli.inference.stream import ImageJob, TileTooLargeError, run_stream
from srcli.inference.tiling import Tiling
from srcli.metrics.machine import free_memory
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import (
    PhotographRun,
    check_output,
    kept_metadata,
    name_errors,
)
from srcli.pipelines.upscale.prepare import Prepared, finish, prepare
from srcli.pipelines.upscale.reporter import FileReport, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from srcli.imaging.photograph import Picture
    from srcli.inference.stream import ArraySink
    from srcli.pipelines.upscale.plan import Item


def upscale_photographs(
    pool: EnginePool,
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    opened: Iterable[tuple[Item, Picture]],
    processes: int = 1,
) -> None:
    """Upscale photographs, then animations whose output holds all frames.

    Args:
        pool: Runs the network.
        tiling: Tile and overlap.
        options: All options.
        reporter: Receives the reports.
        opened: Inputs, taken one by one.
        processes: Processes of this machine that share its memory.
    """
    animations: list[tuple[Item, Picture]] = []

    def stills() -> Iterator[tuple[Item, Picture]]:
        for item, picture in opened:
            with reporter.guard(item):
                if is_kept(picture, item.format):
                    animations.append((item, picture))
                else:
                    yield item, picture

    PhotographRun(pool, tiling, options, reporter, processes).upscale(stills())
    run = AnimationRun(pool, tiling, options, reporter)
    for item, picture in animations:
        run.upscale(item, picture)


@dataclass(frozen=True)
class AnimationRun:
    """Upscales animations; one frame at a time is held in memory, beside a batch of tiles."""

    pool: EnginePool
    tiling: Tiling
    options: UpscaleOptions
    reporter: Reporter

    def upscale(self, item: Item, picture: Picture) -> None:
        """Upscale one animation; if it fails, that is reported."""
        started = time.monotonic()
        try:
            with name_errors(item):
                size, warnings = check_output(item, picture, self.options, free_memory())
                pixels = PixelMap(before=(picture.height, picture.width), after=size)
                metadata, _ = fit_metadata(picture.metadata, pixels)
                metadata = kept_metadata(metadata, picture, self.options, self.options.model)
                picture = replace(picture, metadata=metadata)
                item.make_folder()
                tiles = self._retry(item, picture, size)
                lost = lost_metadata(item.format, picture.metadata)
        except SrxError as error:
            self.reporter.fail(item, error, started)
            return
        self.reporter.add(
            FileReport(
                source=item.source,
                target=item.target,
                state="done",
                seconds=time.monotonic() - started,
                tiles=tiles,
                size=size,
                warnings=(*picture.warnings, *warnings, *lost),
            )
        )

    def _retry(self, item: Item, picture: Picture, size: tuple[int, int]) -> int:
        """Upscale an animation, with smaller tiles after running out of memory."""
        tiling = self.tiling
        while True:
            try:
                return self._write(item, picture, tiling, size)
            except TileTooLargeError:
                smaller = tiling.halved()
                if smaller is None:
                    raise
            tiling = smaller
            self.reporter.progress.warn(
                f"{item.source}: out of memory: starts over with tiles of {tiling.tile} pixels"
            )

    def _write(self, item: Item, picture: Picture, tiling: Tiling, size: tuple[int, int]) -> int:
        running: dict[ImageJob, tuple[int, Prepared, ArraySink]] = {}
        timing: list[tuple[int, int]] = []
        tiles = 0
        # beside the output, where there is room for it
        frames = empty_array((picture.frames, *size, 4), np.uint8, item.target.parent)

        def works() -> Iterator[ImageJob]:
            for index, frame in enumerate(read_frames(picture)):
                prepared, _ = prepare(frame.photograph)
                work, sink = prepared.work(self.options.scale, tiling, str(item.source))
                running[work] = index, prepared, sink
                timing.append((frame.milliseconds, frame.plays))
                if index == 0:
                    self.reporter.tiles.grow(work.grid.count * picture.frames)
                yield work

        for work in run_stream(self.pool.engine(8), works(), task=self.reporter.tiles):
            if work.error is not None:
                raise work.error
            index, prepared, sink = running.pop(work)
            done = finish(prepared, sink.pixels, self.options.scale, self.options.fit)
            assert done.alpha is not None  # frames have it
            frames[index, :, :, :3] = done.pixels
            frames[index, :, :, 3] = done.alpha
            release(frames)
            tiles += work.grid.count
        quality = self.options.quality
        if quality is None and picture.lossless:
            quality = LOSSLESS
        write_animation(
            item.target,
            frames,
            milliseconds=[duration for duration, _ in timing],
            plays=timing[0][1],
            metadata=picture.metadata,
            fmt=item.format,
            quality=quality,
            attributes=attributes_for(item.target, item.source, dates=self.options.keep_dates),
        )
        return tiles
