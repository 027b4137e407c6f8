"""Upscale photographs, and animations frame by frame: finished frames wait in a file on disk."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import SrxError
from srcli.files import attributes_for
from srcli.imaging.animation import is_kept, read_frames, write_animation
from srcli.imaging.fitting import PixelMap, fit_metadata
from srcli.imaging.mapped import empty_array, release
from srcli.imaging.writing import LOSSLESS, lost_metadata
from srcli.inference.stream import ImageJob, TileTooLargeError, run_stream
from srcli.metrics.machine import free_memory
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
    from srcli.inference.engines import EnginePool
    from srcli.inference.stream import ArraySink
    from srcli.inference.tiling import Tiling
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.plan import Item


def upscale_photographs(
    pool: EnginePool,
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    opened: Iterable[tuple[Item, Picture]],
    processes: int = 1,
) -> None:
    """Upscale photographs, taken one by one, then animations whose output holds all frames.

    Args:
        pool: Runs the network.
        tiling: Tile and overlap.
        options: All options.
        reporter: Receives the reports.
        opened: Inputs.
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
    for item, picture in animations:
        started = time.monotonic()
        try:
            with name_errors(item):
                size, warnings = check_output(item, picture, options, free_memory())
                pixels = PixelMap(before=(picture.height, picture.width), after=size)
                metadata, _ = fit_metadata(picture.metadata, pixels)
                metadata = kept_metadata(metadata, picture, options, options.model)
                picture = replace(picture, metadata=metadata)
                item.make_folder()
                tiles = _upscale_animation(pool, tiling, options, reporter, item, picture, size)
                lost = lost_metadata(item.format, metadata)
        except SrxError as error:
            reporter.fail(item, error, started)
            continue
        report = FileReport(
            source=item.source,
            target=item.target,
            state="done",
            seconds=time.monotonic() - started,
            tiles=tiles,
            size=size,
            warnings=(*picture.warnings, *warnings, *lost),
        )
        reporter.add(report)


def _upscale_animation(
    pool: EnginePool,
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    item: Item,
    picture: Picture,
    size: tuple[int, int],
) -> int:
    """Upscale one animation, with smaller tiles after running out of memory; count its tiles."""
    while True:
        try:
            return _upscale_frames(pool, tiling, options, reporter, item, picture, size)
        except TileTooLargeError:
            smaller = tiling.halved()
            if smaller is None:
                raise
        tiling = smaller
        reporter.progress.warn(
            f"{item.source}: out of memory: starts over with tiles of {tiling.tile} pixels"
        )


def _upscale_frames(
    pool: EnginePool,
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    item: Item,
    picture: Picture,
    size: tuple[int, int],
) -> int:
    """Upscale frame by frame: one at a time is in memory, beside a batch of tiles."""
    running: dict[ImageJob, tuple[int, Prepared, ArraySink]] = {}
    milliseconds: list[int] = []
    tiles = plays = 0
    # beside the output, where there is room for it
    frames = empty_array((picture.frames, *size, 4), np.uint8, item.target.parent)

    def works() -> Iterator[ImageJob]:
        nonlocal plays
        for index, (photograph, duration, repeats) in enumerate(read_frames(picture)):
            prepared, _ = prepare(photograph)
            work, sink = prepared.work(options.scale, tiling, str(item.source))
            running[work] = index, prepared, sink
            milliseconds.append(duration)
            if index == 0:
                plays = repeats
                reporter.tiles.grow(work.grid.count * picture.frames)
            yield work

    for work in run_stream(pool.engine(8), works(), task=reporter.tiles):
        if work.error is not None:
            raise work.error
        index, prepared, sink = running.pop(work)
        done = finish(prepared, sink.pixels, options.scale, options.fit)
        assert done.alpha is not None  # frames have it
        frames[index, :, :, :3] = done.pixels
        frames[index, :, :, 3] = done.alpha
        release(frames)
        tiles += work.grid.count
    write_animation(
        item.target,
        frames,
        milliseconds=milliseconds,
        plays=plays,
        metadata=picture.metadata,
        fmt=item.format,
        quality=LOSSLESS if options.quality is None and picture.lossless else options.quality,
        attributes=attributes_for(item.target, item.source, dates=options.keep_dates),
    )
    return tiles
