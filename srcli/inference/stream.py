"""Many images through one engine: tiles of equal size share batches, rows go to the sinks.

Convolutions pad with zeros, which a network takes for a black frame: on flat areas the
outermost pixels come out too dark. A few mirrored pixels around an image, cut away
afterwards, keep the frame out of sight. The outermost pixel comes twice: repeated more
often, or as the mirror's axis, it costs the edges of photographs a decibel
(EXPERIMENTS.md).
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import DefectError, InferenceError, SrxError, as_failure_of
from srcli.imaging.pixels.arrays import Array, Size, empty_array, release
from srcli.inference.calibration import calibrate
from srcli.inference.tiling import read_with_edge
from srcli.machine import torch_threads
from srcli.ports import Source, Task, TileGrid, Window
from srcli.recipes.plugins import plugin_error
from srcli.threads import Write, read_ahead

if TYPE_CHECKING:
    from srcli.inference.blending import Blender
    from srcli.inference.engine import BatchResult, Engine, InFlight
    from srcli.inference.lanes import Lanes

BATCHES_AHEAD = 2
"""Read in a thread while the engine works, for images that go by rows."""


@dataclass(kw_only=True, eq=False)
class ImageJob:
    """One image on its way through the engine."""

    name: str
    """Names the image in errors."""
    source: Source
    write: Write
    """Takes the enlarged rows, in order, without the edge around the image: scale H
    rows of scale W pixels in all."""
    grid: TileGrid
    tile_rows: range | None = None
    """Rows of tiles to do, where an image goes by rows: batches hold tiles of one row
    of tiles of this image only, so that a part of it makes the same batches as the
    whole, as far as they fit into memory. Tiles are read ahead. None for images that
    share batches with others."""
    calibration: Mapping[str, Any] | None = None
    """The engine's measurements of the whole image, for every tile of it; made if
    None."""
    cost: float = 1.0
    """Work of a tile beside that of one pass of a network."""
    seconds: float = 0.0
    """Its share of the time of its batches so far, by tiles."""
    error: SrxError | None = None
    """Set when the image failed; nothing is written of it afterwards."""
    owner: Any = None
    """Anything by which the caller finds its own record of the image; not used here."""

    def __post_init__(self) -> None:
        """Begin without any tile."""
        self.tiles_done = 0
        self.blender: Blender | None = None
        self.waited: defaultdict[str, float] = defaultdict(float)
        """Seconds for which the thread that blends stood still, by what it waited for:
        reading, the network, writing."""

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Count the time of a block as waiting."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.waited[what] += time.monotonic() - started

    @property
    def rows(self) -> range:
        """Rows of tiles to do."""
        if self.tile_rows is None:
            return range(len(self.grid.tops))
        return self.tile_rows

    @property
    def tiles(self) -> int:
        """Number of tiles to do."""
        return len(self.rows) * len(self.grid.lefts)

    @property
    def work(self) -> float:
        """Megapixels of these tiles by their cost, by which progress is counted."""
        return self.tiles * self.grid.tile_megapixels * self.cost

    @property
    def complete(self) -> bool:
        """True if all tiles were blended."""
        return self.tiles_done == self.tiles


class ArraySource:
    """An array (H, W, C) as a source: integers, or floats in the range that the engine takes."""

    def __init__(self, pixels: Array) -> None:
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.dtype = pixels.dtype

    def read(self, window: Window) -> Array:
        """Return a view of the window."""
        return self.pixels[window.top : window.bottom, window.left : window.right]


def array_job(
    pixels: Array, grid: TileGrid, *, name: str, scale: int, folder: Path | None = None
) -> tuple[ImageJob, Array]:
    """Return the job of an array (H, W, C), and what it will write; see ``empty_array``."""
    height, width, channels = pixels.shape
    size = (height * scale, width * scale, channels)
    enlarged = empty_array(size, pixels.dtype, folder)

    def write(top: int, rows: Array) -> None:
        enlarged[top : top + len(rows)] = rows
        release(enlarged)

    job = ImageJob(name=name, source=ArraySource(pixels), write=write, grid=grid)
    return job, enlarged


def run_stream(
    engine: Engine, jobs: Iterable[ImageJob], *, task: Task | None = None
) -> Iterator[ImageJob]:
    """Enlarge images; yield each soon after its last row is written, or when it failed.

    Tiles of neighbouring images share a batch where their sizes agree. One image's
    failure leaves the others alone. Jobs are taken one at a time, so that a generator
    may load them lazily; the task is advanced by the weight of every
    finished tile.
    """
    active: list[ImageJob] = []
    start = _start_ahead if engine.runs_ahead else _start_in_lanes
    since = time.monotonic()
    for batch in start(engine, _batches(engine, jobs, active)):
        with engine.blending_stream():
            _finish(engine, batch, task or Task())
        for tile in batch.tiles:
            tile.job.seconds += (time.monotonic() - since) / len(batch.tiles)
        for job in list(active):
            if job.error is not None or job.complete:
                job.blender = None
                active.remove(job)
                yield job
        since = time.monotonic()


@dataclass(frozen=True)
class _Tile:
    """One tile of an image: its row and column in the grid, and its pixels."""

    job: ImageJob
    row: int
    column: int
    pixels: Any
    """(H, W, C); None where no pixel is valid."""

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.job.grid.tile_height, self.job.grid.tile_width

    def fail(self, error: SrxError) -> None:
        """Let its image fail, unless it has failed before."""
        self.job.error = self.job.error or error


class _Batch:
    """Tiles that the engine enlarges together, in the order in which they are blended."""

    def __init__(self, tiles: list[_Tile]) -> None:
        self.tiles = tiles
        self.in_flight: InFlight | None = None
        """Set where the engine has started it."""

    @property
    def valid(self) -> list[_Tile]:
        """Tiles for the engine; those without a valid pixel need no network."""
        return [tile for tile in self.tiles if tile.pixels is not None]

    def start(self, engine: Engine) -> InFlight:
        """Start the valid tiles, of which there is one at least."""
        tiles = self.valid
        job = tiles[0].job
        positions = None
        if job.grid.step > 1:
            positions = [
                tile.job.grid.position(tile.row, tile.column) for tile in tiles
            ]
        return engine.start([tile.pixels for tile in tiles], job.calibration, positions)

    def result(self, engine: Engine) -> BatchResult:
        """Wait for the enlarged tiles, which are started here if they were not before."""
        in_flight = self.in_flight or self.start(engine)
        self.in_flight = None
        return in_flight.result()

    def split(self, count: int) -> tuple[_Batch, _Batch]:
        """Split behind the first ``count`` valid tiles."""
        for index, tile in enumerate(self.tiles):
            if tile.pixels is not None:
                count -= 1
            if count < 0:
                return _Batch(self.tiles[:index]), _Batch(self.tiles[index:])
        return _Batch(self.tiles), _Batch([])


def _batches(
    engine: Engine, jobs: Iterable[ImageJob], active: list[ImageJob]
) -> Iterator[_Batch]:
    """Begin jobs, append them to ``active``, and yield their tiles by batches.

    An empty batch follows each job, so that ``run_stream`` yields jobs that are complete
    or have failed before the next one is loaded.
    """
    waiting: list[_Tile] = []  # the next batch, whose first tile has pixels
    for job in jobs:
        by_rows = job.tile_rows is not None
        if by_rows:
            yield _Batch(waiting)
            waiting = []
        active.append(job)
        with _failing(job):
            job.blender = engine.blender(
                job.grid, channels=job.source.channels, dtype=job.source.dtype
            )
            if job.tiles and job.calibration is None:
                job.calibration = calibrate(engine, job.source, job.grid)
        for tile in _tiles(engine, job):
            if waiting and not _can_share_batch(waiting[0], tile):
                yield _Batch(waiting)
                waiting = []
            waiting.append(tile)
            ends_row = by_rows and tile.column + 1 == len(job.grid.lefts)
            if ends_row or _is_full(engine, _Batch(waiting)):
                yield _Batch(waiting)
                waiting = []
        if job.error is not None:
            waiting = [tile for tile in waiting if tile.job is not job]
        yield _Batch([])
    yield _Batch(waiting)


def _can_share_batch(leader: _Tile, tile: _Tile) -> bool:
    """Return True if a tile may go through the engine together with the first of a batch."""
    if tile.pixels is None:
        return True
    if (
        leader.pixels.shape != tile.pixels.shape
        or leader.pixels.dtype != tile.pixels.dtype
        or leader.job.calibration is not tile.job.calibration
    ):
        return False
    # Tiles of one picture are enlarged with their positions, whole pictures without:
    # with them these would come out a little differently.
    grid = leader.job.grid
    return grid.step == 1 or (grid.count == 1) == (tile.job.grid.count == 1)


def _is_full(engine: Engine, batch: _Batch) -> bool:
    """Return True for as many valid tiles as the engine takes at once, or for none."""
    count = len(batch.valid)
    return count == 0 or count >= engine.batch_size(*batch.tiles[0].size)


def _tiles(engine: Engine, job: ImageJob) -> Iterator[_Tile]:
    """Yield the tiles of an image until it fails; read ahead where it goes by rows."""
    grid = job.grid
    cells = (cell for cell in grid.windows() if cell[0] in job.rows)

    def read(cell: tuple[int, int, Window]) -> _Tile:
        row, column, window = cell
        return _Tile(job, row, column, read_with_edge(job.source, window, grid))

    if job.error is not None:
        return
    if job.tile_rows is None:
        # A thread that is waited for at once would only take time.
        yield from _until_failure(job, (partial(read, cell) for cell in cells))
        return
    ahead = BATCHES_AHEAD * engine.batch_size(grid.tile_height, grid.tile_width)
    with read_ahead(read, cells, ahead=ahead) as reader:
        yield from _until_failure(job, (future.result for _, future in reader))


def _until_failure(
    job: ImageJob, readings: Iterable[Callable[[], _Tile]]
) -> Iterator[_Tile]:
    """Yield the tiles of an image that are read, until it fails."""
    waiting = iter(readings)
    while job.error is None:
        tile: _Tile | None = None
        with _failing(job), job.waiting("reading"):
            for read in islice(waiting, 1):
                tile = read()
        if tile is None:
            return
        yield tile


def _start_ahead(engine: Engine, batches: Iterable[_Batch]) -> Iterator[_Batch]:
    """Yield batches; start each before the one before comes."""
    previous: _Batch | None = None
    for batch in batches:
        # What did not fit beside the one before it goes alone.
        if previous is not None and previous.in_flight is None:
            yield previous
            previous = None
        if not batch.tiles:
            yield batch
            continue
        if _fits(engine, batch):
            # An error is raised again, and reported, when the batch is started alone.
            with suppress(Exception):
                batch.in_flight = batch.start(engine)
        if previous is not None:
            yield previous
        previous = batch
    if previous is not None:
        yield previous


def _fits(engine: Engine, batch: _Batch) -> bool:
    """Return True if a batch has valid tiles, and no more than the engine takes at once."""
    count = len(batch.valid)
    return count > 0 and count <= engine.batch_size(*batch.tiles[0].size)


class _LaneBatch:
    """A batch that a lane computes; see ``srcli.inference.lanes``."""

    def __init__(self, lanes: Lanes, engine: Engine, batch: _Batch) -> None:
        self.started = time.monotonic()
        self.seconds = math.inf
        """That it has taken; infinite until it ends, and if it fails."""
        self._start_batch = partial(batch.start, engine)
        self._future = lanes.submit(self._compute)

    def _compute(self) -> BatchResult:
        result = self._start_batch().result()
        self.seconds = time.monotonic() - self.started
        return result

    def is_young(self, typical_seconds: float) -> bool:
        """Return True in the first half of the time that it will take."""
        return time.monotonic() - self.started < typical_seconds / 2

    def result(self) -> BatchResult:
        """Wait for the batch; raise what it failed of."""
        return self._future.result()


class _RunningBatches:
    """Batches that lanes compute at once, in the order in which they are to be finished."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batches: deque[_Batch] = deque()
        self.newest: _LaneBatch | None = None
        """The one that was started last."""
        self.typical_seconds = math.inf
        """That the batch has taken which was waited for last."""

    def start(self, batch: _Batch) -> Iterator[_Batch]:
        """Start a batch; yield those that had to end before, or itself if no lane takes it."""
        lanes = self._lanes(batch)
        if lanes is None:
            yield from self.finish()
            yield batch
            return
        yield from self.finish(lanes.lane_count - 1)
        self.newest = _LaneBatch(lanes, self.engine, batch)
        batch.in_flight = self.newest
        self.batches.append(batch)

    def start_last(self, batch: _Batch) -> Iterator[_Batch]:
        """Do the same with the last batch, by all threads together unless others just began.

        In a lane it would take as long as each of the others, for which the threads of
        these would have nothing to do.
        """
        lanes = self._lanes(batch)
        if lanes is not None:
            yield from self.finish(lanes.lane_count - 1)
        if self.newest is not None and self.newest.is_young(self.typical_seconds):
            yield from self.start(batch)
            return
        yield from self.finish()
        yield batch

    def finish(self, count: int = 0) -> Iterator[_Batch]:
        """Yield the oldest batches until so many are left."""
        while len(self.batches) > count:
            batch = self.batches.popleft()
            in_flight = batch.in_flight
            yield batch
            if isinstance(in_flight, _LaneBatch):
                self.typical_seconds = in_flight.seconds

    def _lanes(self, batch: _Batch) -> Lanes | None:
        if not _fits(self.engine, batch):
            return None
        return self.engine.lanes(len(batch.valid), *batch.tiles[0].size)


def _start_in_lanes(engine: Engine, batches: Iterable[_Batch]) -> Iterator[_Batch]:
    """Yield batches in their order; start several at once where the engine has lanes.

    A batch is started when the next one is known, as the last may go another way.
    """
    running = _RunningBatches(engine)
    waiting: _Batch | None = None
    for batch in batches:
        if not batch.tiles:
            yield batch
            continue
        if waiting is not None:
            yield from running.start(waiting)
        waiting = batch
    if waiting is not None:
        yield from running.start_last(waiting)
    yield from running.finish()


def _finish(engine: Engine, batch: _Batch, task: Task, most: int = sys.maxsize) -> None:
    """Enlarge the tiles of a batch, blend them in, and write the rows that are done.

    At most ``most`` valid tiles go through the engine at once, fewer if they do not
    fit; all of a batch that is started already.
    """
    if batch.in_flight is not None:
        _finish_at_once(engine, batch, task)
        return
    while batch.tiles:
        count = min(most, engine.batch_size(*batch.tiles[0].size))
        portion, batch = batch.split(count)
        _finish_at_once(engine, portion, task)


def _finish_at_once(engine: Engine, batch: _Batch, task: Task) -> None:
    """Enlarge the tiles of a batch together; where that fails, by smaller batches."""
    tiles = batch.valid
    result: BatchResult | None = None
    failure: SrxError | None = None
    if tiles:
        try:
            job = tiles[0].job
            with (
                as_failure_of(job.name),
                suppress(MemoryError),
                job.waiting("the network"),
            ):
                result = batch.result(engine)
        except SrxError as error:
            failure = error
    if tiles and result is None:
        if len(tiles) > 1:
            # Of tiles that fail otherwise, each goes alone: those of other pictures may
            # be sound.
            most = len(tiles) // 2 if failure is None else 1
            _finish(engine, batch, task, most)
            return
        tiles[0].fail(_explain(engine, tiles[0], failure))
    _blend(engine.scale, batch, result, task)


def _explain(engine: Engine, tile: _Tile, failure: SrxError | None) -> SrxError:
    """Return the error of a tile that fails alone; None stands for memory that is full."""
    if failure is None:
        height, width = tile.size
        return InferenceError(
            f"{tile.job.name}: a tile of {width}x{height} does not fit into memory; "
            "use a smaller --tile"
        )
    origin = engine.network.origin
    if isinstance(failure, DefectError) and failure.__cause__ and origin:
        return plugin_error(f"{tile.job.name}: {origin} fails", failure.__cause__)
    return failure


def _blend(scale: int, batch: _Batch, result: BatchResult | None, task: Task) -> None:
    """Blend in the tiles of a batch, those of failed images excepted, and write rows."""
    number = 0
    for tile in batch.tiles:
        job = tile.job
        enlarged = None
        if result is not None and tile.pixels is not None:
            enlarged = result.tiles[number]
            if not result.finite[number]:
                tile.fail(
                    InferenceError(
                        f"{job.name}: the network gave values that are not finite, in "
                        "fp32 too; try another model"
                    )
                )
            number += 1
        if job.error is not None or job.blender is None:
            continue
        with _failing(job):
            # The steps are short: several threads would wait for each other longer.
            with torch_threads(1):
                rows = job.blender.add(enlarged, row=tile.row, column=tile.column)
            job.tiles_done += 1
            if job.complete:
                rows += job.blender.finish()
            while rows:  # those that are written need not be kept until all are
                _write_inner(job, scale, *rows.pop(0))
        if job.error is None:
            task.advance(job.grid.tile_megapixels * job.cost)


def _write_inner(job: ImageJob, scale: int, top: int, rows: Array) -> None:
    """Write what comes out of rows of tiles, without the edge and what is of no part."""
    grid = job.grid
    output = grid.output
    first = output.top * scale
    if (output.height, output.width) != (grid.height, grid.width):
        last = max(output.bottom * scale - top, 0)
        left = (output.left - grid.lefts[0]) * scale
        columns = slice(left, left + output.width * scale)
        rows = rows[max(first - top, 0) : last, columns]
    if len(rows):
        with job.waiting("writing"):
            job.write(max(top - first, 0), rows)


@contextmanager
def _failing(job: ImageJob) -> Iterator[None]:
    """Let an image fail of whatever is raised within."""
    try:
        with as_failure_of(job.name):
            yield
    except SrxError as error:
        job.error = error
        if isinstance(error.__cause__, MemoryError):
            job.error = InferenceError(
                f"{job.name}: out of memory; use a smaller --tile"
            )


def run_one(engine: Engine, job: ImageJob, *, task: Task | None = None) -> None:
    """Enlarge one image; raise its error."""
    for _ in run_stream(engine, [job], task=task):
        if job.error is not None:
            raise job.error
