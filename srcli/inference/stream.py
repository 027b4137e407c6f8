"""Many images through one engine: tiles of equal size share batches, rows go to the sinks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.errors import InferenceError, SrxError
from srcli.ports.engine import Band, Engine, OutOfMemory
from srcli.ports.grid import Grid
from srcli.ports.image import Sink, Source
from srcli.ports.progress import NoTask, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(kw_only=True, eq=False)
class Work:
    """One image on its way through the engine."""

    name: str
    """Names the image in errors."""
    source: Source
    sink: Sink
    grid: Grid
    error: SrxError | None = None
    """Set when the image failed; nothing is written to its sink afterwards."""
    open_tiles: int = field(init=False, default=0)
    reported: bool = field(init=False, default=False)
    band: Band | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Count the tiles."""
        self.open_tiles = self.grid.count


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    work: Work
    row: int
    column: int
    pixels: NDArray[Any]


class TileTooLargeError(InferenceError):
    """Even a single tile does not fit into the device's memory."""


def run_stream(
    engine: Engine, works: Iterable[Work], *, task: Task | None = None
) -> Iterator[Work]:
    """Enlarge images; yield each as soon as its last row is written, or when it failed.

    Tiles of neighbouring images share a batch where their sizes agree. One image's failure leaves
    the others alone.

    Args:
        engine: Runs the network.
        works: Images in order; taken one at a time, so that a generator may load them lazily.
        task: Told of every finished tile.
    """
    batcher = _Batcher(engine, task or NoTask())
    for work in works:
        work.band = engine.band(work.grid, channels=work.source.channels, dtype=work.source.dtype)
        yield from batcher.feed(work)
    yield from batcher.flush()


class _Batcher:
    def __init__(self, engine: Engine, task: Task) -> None:
        self.engine = engine
        self.task = task
        self.waiting: list[_Waiting] = []
        self.limit: dict[tuple[int, ...], int] = {}

    def feed(self, work: Work) -> Iterator[Work]:
        for row, column, window in work.grid.places():
            if work.error is not None:
                break
            try:
                pixels = work.source.read(window)
            except SrxError as error:
                work.error = error
                break
            if self.waiting and not _alike(self.waiting[0].pixels, pixels):
                yield from self.flush()
            self.waiting.append(_Waiting(work=work, row=row, column=column, pixels=pixels))
            if len(self.waiting) >= self._limit(pixels):
                yield from self.flush()
        if work.error is not None:
            self.waiting = [item for item in self.waiting if item.work is not work]
            yield from _report(work)

    def flush(self) -> Iterator[Work]:
        waiting, self.waiting = self.waiting, []
        while waiting:
            limit = self._limit(waiting[0].pixels)
            part, waiting = waiting[:limit], waiting[limit:]
            for item, tile in zip(part, self._run(part), strict=True):
                work = item.work
                if work.error is None and isinstance(tile, SrxError):
                    work.error = tile
                if work.error is not None:
                    work.band = None
                    yield from _report(work)
                elif self._place(item, tile):
                    yield from _report(work)

    def _place(self, item: _Waiting, tile: object) -> bool:
        work = item.work
        assert work.band is not None
        work.band.add(tile, row=item.row, column=item.column)
        for top, rows in work.band.finished():
            work.sink.write(top, rows)
        work.open_tiles -= 1
        self.task.advance(1)
        if work.open_tiles == 0:
            work.band = None
            return True
        return False

    def _run(self, part: list[_Waiting]) -> list[object]:
        """Run a batch; what stands for a tile that cannot be had is its error."""
        try:
            tiles = self.engine.run(np.stack([item.pixels for item in part]))
        except OutOfMemory:
            if len(part) == 1:
                return [_too_large(part[0])]
            half = len(part) // 2
            self.limit[part[0].pixels.shape] = half
            return [*self._run(part[:half]), *self._run(part[half:])]
        return [
            _not_finite(item) if tile is None else tile
            for item, tile in zip(part, tiles, strict=True)
        ]

    def _limit(self, pixels: NDArray[Any]) -> int:
        height, width = pixels.shape[:2]
        return self.limit.get(pixels.shape) or self.engine.batch_size(height, width)


def _alike(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


def _report(work: Work) -> Iterator[Work]:
    if not work.reported:
        work.reported = True
        yield work


def _too_large(item: _Waiting) -> TileTooLargeError:
    height, width = item.pixels.shape[:2]
    return TileTooLargeError(
        f"{item.work.name}: a tile of {width}x{height} does not fit into memory; "
        f"use a smaller --tile"
    )


def _not_finite(item: _Waiting) -> InferenceError:
    return InferenceError(
        f"{item.work.name}: the network gave values that are not finite, in fp32 too; "
        f"try another model"
    )
