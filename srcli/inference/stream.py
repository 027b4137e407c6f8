"""Many images through one engine: tiles of equal size share batches, rows go to the sinks.

Convolutions pad with zeros, which a network takes for a black frame: on flat areas the outermost
pixels come out too dark. A few mirrored pixels around an image, cut away afterwards, keep the frame
out of sight. The outermost pixel comes twice: repeated more often, or as the mirror's axis, it
costs the edges of photographs a decibel (EXPERIMENTS.md).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.errors import InferenceError, SrxError, one_file
from srcli.imaging.photograph import release
from srcli.imaging.resize import mirrored
from srcli.inference.calibration import calibrate
from srcli.inference.tiling import Tiling, padded_grid
from srcli.ports.image import Band, Engine, OutOfMemory, Sink, Source, TileGrid, Window
from srcli.ports.progress import NoTask, Task
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BATCHES_AHEAD = 2
"""Read in a thread while the engine works, for images that go by rows."""


@dataclass(kw_only=True, eq=False)
class ImageJob:
    """One image on its way through the engine."""

    name: str
    """Names the image in errors."""
    source: Source
    sink: Sink
    grid: TileGrid
    tile_rows: range | None = None
    """Rows of tiles to do, where an image goes by rows: batches hold tiles of one row of tiles of
    this image only, so that a part of it makes the same batches as the whole, as far as they fit
    into memory. Tiles are read ahead. None for images that share batches with others."""
    calibration: object | None = None
    """The engine's measurements of the whole image, for every tile of it; made if None."""
    error: SrxError | None = None
    """Set when the image failed; nothing is written to its sink afterwards."""
    tiles_done: int = field(init=False, default=0)
    reported: bool = field(init=False, default=False)
    band: Band | None = field(init=False, default=None)

    @property
    def rows(self) -> range:
        """Rows of tiles to do."""
        return range(len(self.grid.tops)) if self.tile_rows is None else self.tile_rows

    @property
    def tiles(self) -> int:
        """Tiles to do."""
        return len(self.rows) * len(self.grid.lefts)

    @property
    def complete(self) -> bool:
        """True if all of them were blended."""
        return self.tiles_done == self.tiles


def make_job(
    source: Source,
    sink: Sink,
    *,
    name: str,
    scale: int,
    tiling: Tiling,
    tile_rows: range | None = None,
) -> ImageJob:
    """Cut an image into tiles, with mirrored pixels around it; see ``ImageJob`` for ``tile_rows``.

    The sink takes the enlarged rows without these pixels, (scale H, scale W) in all.
    """
    grid = padded_grid(source.height, source.width, tiling)
    if tiling.edge:
        sink = CroppedSink(sink, tiling.edge * scale, source.height * scale)
        source = PaddedSource(source, tiling.edge)
    return ImageJob(name=name, source=source, sink=sink, grid=grid, tile_rows=tile_rows)


class PaddedSource:
    """An image with ``edge`` pixels of its mirror image on each of the four sides."""

    def __init__(self, source: Source, edge: int) -> None:
        self.source = source
        self.edge = edge
        self.height = source.height + 2 * edge
        self.width = source.width + 2 * edge
        self.channels = source.channels
        self.dtype = source.dtype

    def read(self, window: Window) -> NDArray[Any] | None:
        """Return a window of the padded image; None where it holds no valid pixel."""
        source, edge = self.source, self.edge
        rows = mirrored(np.arange(window.height) + (window.top - edge), source.height)
        columns = mirrored(np.arange(window.width) + (window.left - edge), source.width)
        top, left = int(rows.min()), int(columns.min())
        height, width = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
        inner = Window(top=top, left=left, height=height, width=width)
        pixels = source.read(inner)
        if pixels is None:  # what is mirrored is not valid either
            return None
        if inner == replace(window, top=window.top - edge, left=window.left - edge):
            return pixels
        padded: NDArray[Any] = pixels[rows - top][:, columns - left]
        return padded


class CroppedSink:
    """Cut ``edge`` output pixels off on each side before rows reach a sink of ``height`` rows."""

    def __init__(self, sink: Sink, edge: int, height: int) -> None:
        self.sink = sink
        self.edge = edge
        self.height = height

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Pass on what lies inside."""
        first = max(self.edge - top, 0)
        last = min(self.edge + self.height - top, rows.shape[0])
        if last > first:
            inner = rows[first:last, self.edge : rows.shape[1] - self.edge]
            self.sink.write(top + first - self.edge, inner)


class ArraySource:
    """An array (H, W, C) as a source: integers, or floats in the range that the engine takes."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "uif":
            raise ValueError(f"expected (H, W, C) of numbers, got {pixels.shape} {pixels.dtype}")
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.dtype = pixels.dtype

    def read(self, window: Window) -> NDArray[Any]:
        """Return a view of the window."""
        bottom, right = window.top + window.height, window.left + window.width
        view: NDArray[Any] = self.pixels[window.top : bottom, window.left : right]
        return view


class ArraySink:
    """Collect rows in an array: ``pixels``, or a new one."""

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        dtype: np.dtype[Any],
        pixels: NDArray[Any] | None = None,
    ) -> None:
        self.pixels = np.empty((height, width, channels), dtype) if pixels is None else pixels

    def write(self, top: int, rows: NDArray[Any]) -> None:
        """Store rows that begin at ``top``."""
        self.pixels[top : top + rows.shape[0]] = rows
        release(self.pixels)


class TileTooLargeError(InferenceError):
    """Even a single tile does not fit into the device's memory."""


def run_stream(
    engine: Engine, jobs: Iterable[ImageJob], *, task: Task | None = None
) -> Iterator[ImageJob]:
    """Enlarge images; yield each as soon as its last row is written, or when it failed.

    Tiles of neighbouring images share a batch where their sizes agree. One image's failure leaves
    the others alone. Jobs are taken one at a time, so that a generator may load them lazily; the
    task is advanced by every finished tile.
    """
    batcher = _Batcher(engine, task or NoTask())
    for job in jobs:
        yield from batcher.feed(job)
    yield from batcher.flush()


@dataclass(frozen=True, kw_only=True)
class _Tile:
    job: ImageJob
    row: int
    column: int
    pixels: NDArray[Any] | None
    """None where no pixel is valid."""


class _Batcher:
    def __init__(self, engine: Engine, task: Task) -> None:
        self.engine = engine
        self.task = task
        self.waiting: list[_Tile] = []  # the first of them has pixels

    def feed(self, job: ImageJob) -> Iterator[ImageJob]:
        """Read the tiles of an image, and enlarge all batches that are full."""
        grid, by_rows = job.grid, job.tile_rows is not None
        if by_rows:
            yield from self.flush()
        with _failing(job):
            job.band = self.engine.band(grid, channels=job.source.channels, dtype=job.source.dtype)
            if job.tiles and job.calibration is None:
                job.calibration = calibrate(self.engine, job.source, grid)
        done: list[ImageJob] = []
        for tile in self._tiles(job):
            if by_rows:  # yielded when the thread has ended
                done += self._take(tile)
            else:
                yield from self._take(tile)
        if job.error is not None:
            self.waiting = [tile for tile in self.waiting if tile.job is not job]
        yield from done
        if job.error is not None or job.complete:
            yield from self._report(job)

    def _tiles(self, job: ImageJob) -> Iterator[_Tile]:
        """Yield the tiles of an image until it fails; read ahead where it goes by rows."""
        grid, ahead = job.grid, 0
        if job.tile_rows is not None:
            ahead = BATCHES_AHEAD * self.engine.batch_size(grid.tile_height, grid.tile_width)
        places = (place for place in grid.windows() if place[0] in job.rows)
        with ReadAhead(lambda place: job.source.read(place[2]), places, ahead=ahead) as reader:
            while job.error is None and (found := next(reader, None)):
                (row, column, _), reading = found
                with _failing(job):
                    yield _Tile(job=job, row=row, column=column, pixels=reading.result())

    def flush(self) -> Iterator[ImageJob]:
        """Enlarge all tiles that wait, and hand on their rows."""
        waiting, self.waiting = self.waiting, []
        enlarged = self._enlarge([tile for tile in waiting if tile.pixels is not None])
        for tile in waiting:
            job = tile.job
            out = None if tile.pixels is None else next(enlarged)
            if job.error is None and isinstance(out, SrxError):
                job.error = out
            if job.error is None:
                with _failing(job):
                    self._blend(tile, out)
            if job.error is not None or job.complete:
                job.band = None
                yield from self._report(job)

    def _take(self, tile: _Tile) -> Iterator[ImageJob]:
        if tile.pixels is not None and self.waiting and not _can_share_batch(self.waiting[0], tile):
            yield from self.flush()
        self.waiting.append(tile)
        ready = [each for each in self.waiting if each.pixels is not None]
        ends_row = tile.job.tile_rows is not None and tile.column + 1 == len(tile.job.grid.lefts)
        if ends_row or not ready or len(ready) >= self._limit(ready[0]):
            yield from self.flush()

    def _blend(self, tile: _Tile, out: object) -> None:
        job = tile.job
        assert job.band is not None
        done = job.band.add(out, row=tile.row, column=tile.column)
        job.tiles_done += 1
        if job.complete:
            done += job.band.finish()
        while done:  # rows that are written need not be kept until all are
            job.sink.write(*done.pop(0))
        self.task.advance(1)

    def _enlarge(self, tiles: list[_Tile]) -> Iterator[object]:
        while tiles:
            limit = self._limit(tiles[0])
            part, tiles = tiles[:limit], tiles[limit:]
            yield from self._run(part)

    def _run(self, part: list[_Tile]) -> Iterator[object]:
        job, pixels = part[0].job, [tile.pixels for tile in part if tile.pixels is not None]
        positions = None
        if job.grid.step > 1:
            positions = [tile.job.grid.position(tile.row, tile.column) for tile in part]
        found: Sequence[object | None] = ()
        error: SrxError | None = None
        try:
            with one_file(job.name), suppress(OutOfMemory, MemoryError):
                found = self.engine.run(np.stack(pixels), job.calibration, positions)
        except SrxError as failure:
            error = failure
        if found:
            for tile, out in zip(part, found, strict=True):
                reason = (
                    f"{tile.job.name}: the network gave values that are not finite, in fp32 too"
                )
                yield InferenceError(reason, advice="try another model") if out is None else out
        elif len(part) > 1:
            # Of tiles that fail otherwise, each goes alone: those of other pictures may be sound.
            most = len(part) // 2 if error is None else 1
            while part:
                size = min(most, self._limit(part[0]))
                yield from self._run(part[:size])
                part = part[size:]
        else:
            height, width = pixels[0].shape[:2]
            reason = f"{job.name}: a tile of {width}x{height} does not fit into memory"
            yield error or TileTooLargeError(reason, advice="use a smaller --tile")

    def _report(self, job: ImageJob) -> Iterator[ImageJob]:
        if not job.reported:
            job.reported = True
            yield job

    def _limit(self, tile: _Tile) -> int:
        assert tile.pixels is not None
        return self.engine.batch_size(*tile.pixels.shape[:2])


def _can_share_batch(a: _Tile, b: _Tile) -> bool:
    if a.pixels is None or b.pixels is None:
        return True
    return (
        a.pixels.shape == b.pixels.shape
        and a.pixels.dtype == b.pixels.dtype
        and a.job.calibration is b.job.calibration
        # Told where they lie, whole pictures would come out another way, if by rounding alone.
        and (a.job.grid.step == 1 or (a.job.grid.count == 1) == (b.job.grid.count == 1))
    )


@contextmanager
def _failing(job: ImageJob) -> Iterator[None]:
    try:
        with one_file(job.name):
            try:
                yield
            except MemoryError as error:
                reason = f"{job.name}: out of memory"
                raise InferenceError(reason, advice="use a smaller --tile") from error
            except OutOfMemory:  # in blending
                reason = f"{job.name}: its tiles do not fit into memory"
                raise TileTooLargeError(reason, advice="use a smaller --tile") from None
    except SrxError as error:
        job.error = error
