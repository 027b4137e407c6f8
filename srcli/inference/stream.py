"""Many images through one engine: tiles of equal size share batches, rows go to the sinks.

Convolutions pad with zeros, which a network takes for a black frame: on flat areas the
outermost pixels come out too dark. A few mirrored pixels around an image, cut away
afterwards, keep the frame out of sight. The outermost pixel comes twice: repeated more
often, or as the mirror's axis, it costs the edges of photographs a decibel
(EXPERIMENTS.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from srcli.errors import DefectError, InferenceError, SrxError, one_file
from srcli.imaging.photograph import empty_array, release
from srcli.inference.calibration import calibrate
from srcli.inference.tiling import read_mirrored
from srcli.ports.image import Source, TileGrid, Window
from srcli.ports.progress import Task
from srcli.recipes.code import explanation
from srcli.threads import Write, read_ahead

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.inference.engine import Engine, Results

BATCHES_AHEAD = 2
"""Read in a thread while the engine works, for images that go by rows."""


@dataclass(kw_only=True, eq=False)
class ImageJob:
    """One image on its way through the engine."""

    name: str
    """Names the image in errors."""
    source: Source
    write: Write
    """Takes the enlarged rows without the grid's mirrored edge, (scale H, scale W) in
    all."""
    grid: TileGrid
    tile_rows: range | None = None
    """Rows of tiles to do, where an image goes by rows: batches hold tiles of one row
    of tiles of this image only, so that a part of it makes the same batches as the
    whole, as far as they fit into memory. Tiles are read ahead. None for images that
    share batches with others."""
    calibration: Any = None
    """The engine's measurements of the whole image, for every tile of it; made if
    None."""
    error: SrxError | None = None
    """Set when the image failed; nothing is written of it afterwards."""
    owner: Any = None
    """What the caller knows it by."""
    tiles_done: int = field(init=False, default=0)
    band: Any = field(init=False, default=None)
    """A ``TorchBand`` while tiles are blended."""

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


class ArraySource:
    """An array (H, W, C) as a source: integers, or floats in the range that the engine takes."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "uif":
            raise ValueError(
                f"expected (H, W, C) of numbers, got {pixels.shape} {pixels.dtype}"
            )
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.dtype = pixels.dtype

    def read(self, window: Window) -> NDArray[Any]:
        """Return a view of the window."""
        bottom, right = window.top + window.height, window.left + window.width
        view: NDArray[Any] = self.pixels[window.top : bottom, window.left : right]
        return view


def write_into(pixels: NDArray[Any]) -> Write:
    """Return what writes rows into an array (H, W, C)."""

    def write(top: int, rows: NDArray[Any]) -> None:
        pixels[top : top + len(rows)] = rows
        release(pixels)

    return write


def array_job(
    pixels: NDArray[Any],
    grid: TileGrid,
    *,
    name: str,
    scale: int,
    folder: Path | None = None,
) -> tuple[ImageJob, NDArray[Any]]:
    """Return the job of an array (H, W, C), and what it will write; see ``empty_array``."""
    height, width, channels = pixels.shape
    out = empty_array((height * scale, width * scale, channels), pixels.dtype, folder)
    return ImageJob(
        name=name, source=ArraySource(pixels), write=write_into(out), grid=grid
    ), out


def run_stream(
    engine: Engine, jobs: Iterable[ImageJob], *, task: Task | None = None
) -> Iterator[ImageJob]:
    """Enlarge images; yield each soon after its last row is written, or when it failed.

    Tiles of neighbouring images share a batch where their sizes agree. One image's
    failure leaves the others alone. Jobs are taken one at a time, so that a generator
    may load them lazily; the task is advanced by every finished tile.
    """
    active: list[ImageJob] = []
    for batch, begun in _started(engine, _batches(engine, jobs, active)):
        with engine.beside():
            _finish(engine, batch, begun, task or Task())
        for job in [each for each in active if each.error is not None or each.complete]:
            job.band = None
            active.remove(job)
            yield job


@dataclass(frozen=True)
class _Tile:
    job: ImageJob
    row: int
    column: int
    pixels: Any
    """(H, W, C); None where no pixel is valid."""

    @property
    def size(self) -> tuple[int, int]:
        return self.job.grid.tile_height, self.job.grid.tile_width


def _started(
    engine: Engine, batches: Iterable[list[_Tile]]
) -> Iterator[tuple[list[_Tile], list[Results]]]:
    """Yield batches; start each before the one before comes, where the engine works beside."""
    before: tuple[list[_Tile], list[Results]] = [], []
    for batch in batches:
        if (
            before[0] and not before[1]
        ):  # did not fit beside the one before it: goes alone
            yield before
            before = [], []
        ready = [tile for tile in batch if tile.pixels is not None]
        begun: list[Results] = []
        if (
            engine.overlaps
            and ready
            and len(ready) <= engine.batch_size(*ready[0].size)
        ):
            with suppress(
                Exception
            ):  # comes again, and is told, when no other is under way
                begun.append(_start(engine, ready))
        if engine.overlaps and batch:
            before, (batch, begun) = (batch, begun), before
        yield batch, begun
    yield before


def _batches(
    engine: Engine, jobs: Iterable[ImageJob], active: list[ImageJob]
) -> Iterator[list[_Tile]]:
    """Begin jobs, which become active, and yield their tiles by batches; empty after each job."""
    waiting: list[_Tile] = []  # the first of them has pixels
    for job in jobs:
        by_rows = job.tile_rows is not None
        if by_rows:
            yield waiting
            waiting = []
        active.append(job)
        with _failing(job):
            job.band = engine.band(
                job.grid, channels=job.source.channels, dtype=job.source.dtype
            )
            if job.tiles and job.calibration is None:
                job.calibration = calibrate(engine, job.source, job.grid)
        for tile in _tiles(engine, job):
            if (
                tile.pixels is not None
                and waiting
                and not _can_share_batch(waiting[0], tile)
            ):
                yield waiting
                waiting = []
            waiting.append(tile)
            ready = [each for each in waiting if each.pixels is not None]
            ends_row = by_rows and tile.column + 1 == len(job.grid.lefts)
            if (
                ends_row
                or not ready
                or len(ready) >= engine.batch_size(*waiting[0].size)
            ):
                yield waiting
                waiting = []
        if job.error is not None:
            waiting = [tile for tile in waiting if tile.job is not job]
        yield []
    yield waiting


def _tiles(engine: Engine, job: ImageJob) -> Iterator[_Tile]:
    """Yield the tiles of an image until it fails; read ahead where it goes by rows."""
    grid, ahead = job.grid, 0
    if job.tile_rows is not None:
        ahead = BATCHES_AHEAD * engine.batch_size(grid.tile_height, grid.tile_width)
    places = (place for place in grid.windows() if place[0] in job.rows)

    def read(place: tuple[int, int, Window]) -> NDArray[Any] | None:
        return read_mirrored(job.source, place[2], grid.edge)

    # a thread that is waited for at once would only take time
    at_once = nullcontext((place, None) for place in places)
    with read_ahead(read, places, ahead=ahead) if ahead else at_once as reader:
        while job.error is None and (found := next(reader, None)):
            place, reading = found
            with _failing(job):
                yield _Tile(
                    job, *place[:2], reading.result() if reading else read(place)
                )


def _finish(
    engine: Engine, batch: list[_Tile], begun: list[Results], task: Task
) -> None:
    """Enlarge the tiles of a batch, blend them in, and write the rows that are done."""
    enlarged = _enlarge(
        engine, [tile for tile in batch if tile.pixels is not None], begun
    )
    for tile in batch:
        job, out = tile.job, None if tile.pixels is None else next(enlarged)
        if isinstance(out, SrxError):
            job.error = job.error or out
        if isinstance(out, SrxError) or job.error is not None or job.band is None:
            continue
        with _failing(job):
            done = job.band.add(out, row=tile.row, column=tile.column)
            job.tiles_done += 1
            if job.complete:
                done += job.band.finish()
            while done:  # rows that are written need not be kept until all are
                _write_inner(job, engine.scale, *done.pop(0))
        if job.error is None:
            task.advance(1)


def _write_inner(job: ImageJob, scale: int, top: int, rows: NDArray[Any]) -> None:
    """Write rows without the pixels that mirror the image."""
    edge, last = job.grid.edge * scale, (job.grid.height - job.grid.edge) * scale
    if edge:
        rows = rows[max(edge - top, 0) : max(last - top, 0), edge:-edge]
    if len(rows):
        job.write(max(top - edge, 0), rows)


def _enlarge(
    engine: Engine, tiles: list[_Tile], begun: list[Results], most: int | None = None
) -> Iterator[Tensor | SrxError]:
    """Yield each tile enlarged, or its error; at most so many at once, fewer if they do not fit.

    All at once where they are ``begun``.
    """
    while tiles:
        size = min(most or len(tiles), engine.batch_size(*tiles[0].size))
        size = len(tiles) if begun else size
        part, tiles = tiles[:size], tiles[size:]
        yield from _run(engine, part, begun)


def _start(engine: Engine, tiles: list[_Tile]) -> Results:
    job, positions = tiles[0].job, None
    if job.grid.step > 1:
        positions = [tile.job.grid.position(tile.row, tile.column) for tile in tiles]
    return engine.start([tile.pixels for tile in tiles], job.calibration, positions)


def _run(
    engine: Engine, tiles: list[_Tile], begun: list[Results]
) -> Iterator[Tensor | SrxError]:
    job = tiles[0].job
    found: Sequence[Tensor | None] = ()
    error: SrxError | None = None
    try:
        with one_file(job.name), suppress(MemoryError):
            found = (begun.pop() if begun else _start(engine, tiles))()
    except SrxError as failure:
        error, reference = failure, engine.network.reference
        if isinstance(failure, DefectError) and failure.__cause__ and reference:
            error = explanation(f"{job.name}: {reference} fails", failure.__cause__)
    if found:
        infinite = "the network gave values that are not finite, in fp32 too"
        for tile, out in zip(tiles, found, strict=True):
            reason = f"{tile.job.name}: {infinite}; try another model"
            yield InferenceError(reason) if out is None else out
    elif len(tiles) > 1:
        # Of tiles that fail otherwise, each goes alone: those of other pictures may be
        # sound.
        yield from _enlarge(engine, tiles, [], len(tiles) // 2 if error is None else 1)
    else:
        height, width = tiles[0].size
        reason = f"{job.name}: a tile of {width}x{height} does not fit into memory"
        yield error or InferenceError(f"{reason}; use a smaller --tile")


def _can_share_batch(a: _Tile, b: _Tile) -> bool:
    return (
        a.pixels.shape == b.pixels.shape
        and a.pixels.dtype == b.pixels.dtype
        and a.job.calibration is b.job.calibration
        # Told where they lie, whole pictures would come out another way, if by rounding
        # alone.
        and (a.job.grid.step == 1 or (a.job.grid.count == 1) == (b.job.grid.count == 1))
    )


@contextmanager
def _failing(job: ImageJob) -> Iterator[None]:
    try:
        with one_file(job.name):
            yield
    except SrxError as error:
        short = f"{job.name}: out of memory; use a smaller --tile"
        job.error = (
            InferenceError(short) if isinstance(error.__cause__, MemoryError) else error
        )
