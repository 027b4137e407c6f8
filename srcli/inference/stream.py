"""Many images through one engine: tiles of equal size share batches, rows go to the sinks."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.errors import InferenceError, SrxError, one_file
from srcli.inference.calibration import calibrate
from srcli.ports.image import Band, Engine, OutOfMemory, Sink, Source, TileGrid
from srcli.ports.progress import NoTask, Task
from srcli.threads import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from srcli.ports.image import Window

    TileReader = ReadAhead[tuple[int, int, Window], NDArray[Any] | None]

BATCHES_AHEAD = 2
"""Read in a thread while the engine works, for images that go by rows."""


@dataclass(kw_only=True)
class Timing:
    """Seconds spent on one image."""

    reading: float = 0.0
    """Waiting for tiles."""
    writing: float = 0.0
    """Waiting for the sink to take rows."""
    total: float = 0.0
    """From its first tile to its last row."""

    def __iadd__(self, other: Timing) -> Self:
        """Add the seconds of another part of the image."""
        self.reading += other.reading
        self.writing += other.writing
        self.total += other.total
        return self


@dataclass(kw_only=True, eq=False)
class Work:
    """One image on its way through the engine."""

    name: str
    """Names the image in errors."""
    source: Source
    sink: Sink
    grid: TileGrid
    rows: range | None = None
    """Rows of tiles to do, where an image goes by rows: batches hold tiles of one row of tiles of
    this image only, so that a part of it makes the same batches as the whole, as far as they fit
    into memory. Tiles are read ahead. None for images that share batches with others."""
    calibration: object | None = None
    """The engine's measurements of the whole image, for every tile of it; made if None."""
    error: SrxError | None = None
    """Set when the image failed; nothing is written to its sink afterwards."""
    timing: Timing = field(default_factory=Timing)
    open_tiles: int = field(init=False, default=0)
    reported: bool = field(init=False, default=False)
    band: Band | None = field(init=False, default=None)
    started: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Count the tiles."""
        self.open_tiles = self._wanted

    @property
    def tiles_done(self) -> int:
        """Tiles that were blended."""
        return self._wanted - self.open_tiles

    @property
    def _wanted(self) -> int:
        rows = len(self.grid.tops) if self.rows is None else len(self.rows)
        return rows * len(self.grid.lefts)


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    work: Work
    row: int
    column: int
    pixels: NDArray[Any] | None
    """None where no pixel is valid."""


class TileTooLargeError(InferenceError):
    """Even a single tile does not fit into the device's memory."""


def run_stream(
    engine: Engine, works: Iterable[Work], *, task: Task | None = None
) -> Iterator[Work]:
    """Enlarge images; yield each as soon as its last row is written, or when it failed.

    Tiles of neighbouring images share a batch where their sizes agree. One image's failure leaves
    the others alone.
    """
    batcher = _Batcher(engine, task or NoTask())
    for work in works:
        work.started = time.perf_counter()
        yield from batcher.feed(work)
    yield from batcher.flush()


class _Batcher:
    def __init__(self, engine: Engine, task: Task) -> None:
        self.engine = engine
        self.task = task
        self.waiting: list[_Waiting] = []  # the first of them has pixels
        self.limit: dict[tuple[int, ...], int] = {}

    def feed(self, work: Work) -> Iterator[Work]:
        if work.rows is not None:
            yield from self.flush()
        done: list[Work] = []
        if not self._begin(work):
            yield from _report(work)
            return
        with self._reader(work) as reader:
            for item in _tiles(work, reader):
                if work.rows is not None:  # yielded when the thread has ended
                    done += self._take(item)
                else:
                    yield from self._take(item)
                if work.error is not None:
                    break
        work.timing.reading = reader.waited
        if work.error is not None:
            self.waiting = [item for item in self.waiting if item.work is not work]
        yield from done
        if work.error is not None or work.open_tiles == 0:
            yield from _report(work)

    def _begin(self, work: Work) -> bool:
        """Make ready for the tiles of an image; return False if it fails."""
        with _failing(work):
            source, grid = work.source, work.grid
            work.band = self.engine.band(grid, channels=source.channels, dtype=source.dtype)
            if work.open_tiles and work.calibration is None:
                work.calibration = calibrate(self.engine, source, grid)
        return work.error is None

    def flush(self) -> Iterator[Work]:
        waiting, self.waiting = self.waiting, []
        enlarged = self._enlarge([item for item in waiting if item.pixels is not None])
        for item in waiting:
            work = item.work
            tile = None if item.pixels is None else next(enlarged)
            if work.error is None and isinstance(tile, SrxError):
                work.error = tile
            if work.error is None:
                with _failing(work):
                    self._place(item, tile)
            if work.error is not None or work.open_tiles == 0:
                work.band = None
                yield from _report(work)

    def _reader(self, work: Work) -> TileReader:
        grid = work.grid
        ahead = 0
        if work.rows is not None:
            ahead = BATCHES_AHEAD * self.engine.batch_size(grid.tile_height, grid.tile_width)
        tiles = (tile for tile in grid.windows() if work.rows is None or tile[0] in work.rows)
        return ReadAhead(lambda tile: work.source.read(tile[2]), tiles, ahead=ahead)

    def _take(self, item: _Waiting) -> Iterator[Work]:
        first = self.waiting[0] if self.waiting else item
        if item.pixels is not None and not _alike(first, item):
            yield from self.flush()
        self.waiting.append(item)
        ready = [each.pixels for each in self.waiting if each.pixels is not None]
        ends_row = item.work.rows is not None and item.column + 1 == len(item.work.grid.lefts)
        if ends_row or not ready or len(ready) >= self._limit(ready[0]):
            yield from self.flush()

    def _place(self, item: _Waiting, tile: object) -> None:
        work = item.work
        assert work.band is not None
        done = work.band.add(tile, row=item.row, column=item.column)
        work.open_tiles -= 1
        if not work.open_tiles:
            done += work.band.finish()
        start = time.perf_counter()
        while done:  # rows that are written need not be kept until all are
            work.sink.write(*done.pop(0))
        work.timing.writing += time.perf_counter() - start
        self.task.advance(1)

    def _enlarge(self, items: list[_Waiting]) -> Iterator[object]:
        """Yield the handle of each enlarged tile, or its error."""
        while items:
            assert items[0].pixels is not None
            limit = self._limit(items[0].pixels)
            part, items = items[:limit], items[limit:]
            yield from self._run(part)

    def _run(self, part: list[_Waiting]) -> list[object]:
        try:
            with one_file(part[0].work.name):
                tiles = self._run_at_once(part)
        except SrxError as error:
            if len(part) == 1:
                return [error]
            # alone, as those of other pictures may be sound
            return [tile for item in part for tile in self._run([item])]
        if tiles is not None:
            return tiles
        pixels = part[0].pixels
        assert pixels is not None
        if len(part) == 1:
            return [_too_large(part[0].work, pixels)]
        half = len(part) // 2
        self.limit[pixels.shape] = half
        return [*self._run(part[:half]), *self._run(part[half:])]

    def _run_at_once(self, part: list[_Waiting]) -> list[object] | None:
        """Enlarge tiles in one batch; None if it does not fit into memory."""
        pixels = [item.pixels for item in part if item.pixels is not None]
        positions = None
        if part[0].work.grid.step > 1:
            positions = [item.work.grid.position(item.row, item.column) for item in part]
        try:
            tiles = self.engine.run(np.stack(pixels), part[0].work.calibration, positions)
        except (OutOfMemory, MemoryError):
            return None
        return [
            _not_finite(item.work) if tile is None else tile
            for item, tile in zip(part, tiles, strict=True)
        ]

    def _limit(self, pixels: NDArray[Any]) -> int:
        height, width = pixels.shape[:2]
        return self.limit.get(pixels.shape) or self.engine.batch_size(height, width)


def _tiles(work: Work, reader: TileReader) -> Iterator[_Waiting]:
    """Yield the tiles of an image, up to the first that cannot be read."""
    for (row, column, _), reading in reader:
        with _failing(work):
            yield _Waiting(work=work, row=row, column=column, pixels=reading.result())
        if work.error is not None:
            return


@contextmanager
def _failing(work: Work) -> Iterator[None]:
    """Make whatever is raised in the block the failure of an image."""
    try:
        with one_file(work.name):
            try:
                yield
            except MemoryError as error:
                reason = f"{work.name}: out of memory"
                raise InferenceError(reason, advice="use a smaller --tile") from error
    except SrxError as error:
        work.error = error


def _alike(a: _Waiting, b: _Waiting) -> bool:
    if a.pixels is None or b.pixels is None:
        return True
    return (
        a.pixels.shape == b.pixels.shape
        and a.pixels.dtype == b.pixels.dtype
        and a.work.calibration is b.work.calibration
        # Told where they lie, whole pictures would come out another way, if by rounding alone.
        and (a.work.grid.step == 1 or (a.work.grid.count == 1) == (b.work.grid.count == 1))
    )


def _report(work: Work) -> Iterator[Work]:
    if not work.reported:
        work.reported = True
        work.timing.total = time.perf_counter() - work.started
        yield work


def _too_large(work: Work, pixels: NDArray[Any]) -> TileTooLargeError:
    height, width = pixels.shape[:2]
    return TileTooLargeError(
        f"{work.name}: a tile of {width}x{height} does not fit into memory",
        advice="use a smaller --tile",
    )


def _not_finite(work: Work) -> InferenceError:
    return InferenceError(
        f"{work.name}: the network gave values that are not finite, in fp32 too",
        advice="try another model",
    )
