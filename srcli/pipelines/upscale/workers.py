"""Upscale rasters, and inputs by units of work, which are done here or by several workers.

A unit is a share of the inputs, or a piece of the steps of a large raster, whose parts all workers
make: prepare it, make its parts, merge them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import srcli
from srcli.errors import PictureError, SrxError, UsageError, one_file
from srcli.files import attributes_for, free_disk
from srcli.imaging.photograph import mark_source
from srcli.imaging.rasters.info import RasterInfo, cast_nodata, read_info
from srcli.imaging.rasters.merging import merge_parts, try_creation_options
from srcli.imaging.rasters.opening import DatasetName, file_on_disk, network_access
from srcli.imaging.rasters.output import OutputProfile, disk_needed, make_output
from srcli.imaging.rasters.parts import Parts, PartWriter, open_parts
from srcli.imaging.rasters.reading import RasterSource
from srcli.imaging.rasters.selection import BandLayout, choose_window
from srcli.imaging.rasters.values import choose_bands, choose_value_range
from srcli.inference.calibration import calibrate
from srcli.inference.engines import EnginePool, cached_pool, run_one
from srcli.inference.stream import PaddedSource, TileTooLargeError, make_job
from srcli.inference.tiling import Tiling, padded_grid, tile_rows
from srcli.metrics.machine import processors, threads
from srcli.models.weights import network_digest
from srcli.pipelines.executors.processes import JsonDict, Place, shares
from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.photographs import PhotographRun
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.reporter import Reporter
from srcli.ports.image import Values, Window
from srcli.quantities import format_bytes
from srcli.threads import write_behind

if TYPE_CHECKING:
    from srcli.inference.engine import RasterEngine
    from srcli.pipelines.executors.processes import Executor
    from srcli.ports.image import TileGrid
    from srcli.ports.progress import Progress, Task

WAITING = 64 << 20
"""Bytes of finished rows that may wait for the writer."""
LEAST_COMPRESSED = 0.4
"""Share of the uncompressed size that must be free on disk; photographs rarely shrink so far."""
LARGE = 100_000_000
"""Output pixels that take some seconds to write."""
LEAST_TILE_ROWS = 20
"""Of a run of parts: one row of tiles is computed twice at each cut, which is 5 % of these."""
FEWEST_TILE_ROWS = 4
"""Of a run, where longer ones would leave workers without work."""


@dataclass(frozen=True, kw_only=True)
class RasterJob:
    """Everything that is decided before the first pixel is read."""

    item: Item
    info: RasterInfo
    layout: BandLayout
    window: Window
    values: Values
    output: OutputProfile
    notes: tuple[str, ...]
    """Choices made for the user, who may want others."""
    remarks: tuple[str, ...]
    """Choices by what the file says: its bands of classes, the values taken as black and white."""
    fingerprint: Mapping[str, object]
    """Everything that the pixels depend on, by names that users understand: a run continues an
    interrupted one with the same. Without the network until that is loaded."""
    calibration: list[dict[str, Any]] | None = None
    """The network's measurements of the whole raster as arrays; None where it needs none."""

    @property
    def parts(self) -> Parts:
        """The parts in which the output is made."""
        return Parts(self.item.target, self.output)


def open_job(item: Item, options: UpscaleOptions) -> RasterJob:
    """Read a raster's header and decide on bands, window, values and output."""
    asked = options.raster
    info = _with_nodata(read_info(item.source), asked)
    if options.strip_metadata:  # all tags but a part of the georeference
        own = {key: text for key, text in info.tags.get("", {}).items() if key == "AREA_OR_POINT"}
        bands = tuple(replace(band, tags={}) for band in info.bands)
        info = replace(info, tags={"": own}, bands=bands)
    parts = {Path(name).resolve() for name in info.files} - {item.source.resolve()}
    if item.target.resolve() in parts:
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )
    window, clipped = choose_window(info, srcwin=asked.srcwin, bounds=asked.bounds)
    layout = choose_bands(info, window, asked.classes, bands=asked.bands, rgb=asked.rgb)
    values, range_found = Values(dtype=np.dtype(layout.dtype), low=0, high=1), ""
    if not layout.all_classes:
        values, range_found = choose_value_range(info, layout.interpolated(), window, asked.values)
    made_by = options.made_by(mark_source(item.source)) if options.records else None
    wanted = replace(asked, format=item.format, quality=options.quality, provenance=made_by)
    output = make_output(info, layout, window, options.scale, wanted)
    named = [str(info.path)] if isinstance(info.path, DatasetName) else []  # one of its file's
    return RasterJob(
        item=item,
        info=info,
        layout=layout,
        window=window,
        values=values,
        output=output,
        # a header may claim more pixels than fit into memory as a grid
        notes=(*info.notes, *layout.notes, *clipped, *output.notes, *check_disk(item, output)),
        remarks=tuple(filter(None, (*layout.remarks, range_found))),
        fingerprint={
            "version": srcli.__version__,
            "input": [*named, *(_file_state(path) for path in info.files)],
            "scale": options.scale,
            "classes": layout.classes,
            "bands": [*layout.bands, layout.alpha],
            "rgb": layout.groups,
            "range": [values.ranges, str(values.dtype)],
            "nodata": str([band.nodata for band in info.bands]),  # NaN differs from itself
            "part": [window.left, window.top, window.width, window.height],
        },
    )


def check_disk(item: Item, output: OutputProfile) -> tuple[str, ...]:
    """Refuse an output that the disk cannot hold; return a warning where it may not fit."""
    needed = disk_needed(output)
    free, folder = free_disk(item.target)
    room = f"{format_bytes(free)} are free in {folder}"
    if free < LEAST_COMPRESSED * needed:
        raise PictureError(
            f"{item.source}: its enlargement takes {format_bytes(needed)} before compression "
            f"and {room}; make room, take another folder or a part (--srcwin)"
        )
    if free < needed:
        return (f"the output takes up to {format_bytes(needed)} before compression, and {room}",)
    return ()


def _file_state(path: str) -> list[object]:
    try:
        found = file_on_disk(path).stat()
    except OSError:  # a source that is no file, such as a service
        return [path]
    return [path, found.st_size, found.st_mtime_ns]


def _with_nodata(info: RasterInfo, asked: RasterOptions) -> RasterInfo:
    """Apply ``--nodata``."""
    if asked.nodata == "file":
        return info
    value = None if asked.nodata == "none" else float(asked.nodata)
    mask = info.mask
    if value is not None and mask != "alpha":  # the option takes precedence over a mask
        mask = "nodata"
    elif mask == "nodata":
        mask = "none"
    bands = tuple(replace(band, nodata=cast_nodata(band.dtype, value)) for band in info.bands)
    for band in bands:
        if value is not None and band.nodata is None:
            raise UsageError(f"--nodata {value:g}: {info.path} has {band.dtype} values")
    return replace(info, bands=bands, mask=mask)


@dataclass(frozen=True)
class UpscaleShare:
    """A unit of work: some of the inputs."""

    items: Sequence[Item]
    options: UpscaleOptions
    tiling: Tiling
    """Of the rasters among them."""


@dataclass(frozen=True, kw_only=True)
class RasterUnit:
    """A unit of work of one raster: prepare it, make some of its parts, or merge them."""

    item: Item
    options: UpscaleOptions
    tiling: Tiling
    job: RasterJob | None = None
    """None until the raster is prepared."""
    runs: tuple[range, ...] = ()
    """Runs of consecutive parts to make; without any, all are merged."""
    pool: EnginePool | None = None
    """Engines of this process; None takes those of the worker."""


Do = Callable[[Sequence[RasterUnit]], Sequence[JsonDict]]
"""Does the units of one step and returns their results; raises the error of one."""


def upscale_raster(unit: RasterUnit, reporter: Reporter, do: Do, slots: int = 1) -> None:
    """Upscale a raster and report it, a failure too; tiles are halved after running out of memory.

    The unit is that which prepares it; ``slots`` units can be done at once.
    """
    started, item, first = time.monotonic(), unit.item, unit.tiling
    with reporter.guard(item, started):
        while True:
            try:
                return _do_steps(unit, reporter, do, slots, started, told=unit.tiling != first)
            except TileTooLargeError:
                if (smaller := unit.tiling.halved()) is None:
                    raise
            reporter.progress.warn(
                f"{item.source}: out of memory: starts over with tiles of {smaller.tile} pixels"
            )
            unit = replace(unit, tiling=smaller)


def _do_steps(
    unit: RasterUnit, reporter: Reporter, do: Do, slots: int, started: float, *, told: bool
) -> None:
    """Do all steps once; ``told``: the user knows of the choices."""
    item, options = unit.item, unit.options

    def tell(text: str) -> None:
        reporter.progress.message(f"{item.source}: {text}")

    job: RasterJob = do([unit])[0]["job"]
    for remark in job.remarks if not told else ():
        tell(remark)
    item.make_folder()
    try_creation_options(item.target, job.output)
    resume = options.raster.resume
    with open_parts(item.target, job.output, job.fingerprint, resume=resume) as (parts, notes):
        for note in notes:
            tell(note)
        grid = _grid(unit, job)
        total, across, what = grid.count, len(grid.lefts), "tiles"
        if job.layout.all_classes:
            total, across, what = parts.count, 1, "parts"
        missing = parts.missing()
        count = sum(len(_tile_rows(unit, job, run)) for run in missing)
        if (kept := total - count * across) > 0:
            tell(f"{kept} of {total} {what} are kept from an earlier run")
        shares = _shares(missing, count, slots)
        tiles = across * sum(len(_tile_rows(unit, job, run)) for runs in shares for run in runs)
        reporter.tiles.grow(tiles)
        do([replace(unit, job=job, runs=tuple(runs)) for runs in shares])
        if job.output.height * job.output.width >= LARGE:
            tell(f"the tiles are done; writing {item.target.name}")
        do([replace(unit, job=job)])
    reporter.add(
        item,
        started=started,
        tiles=tiles,
        size=(job.output.height, job.output.width),
        warnings=job.notes,
    )


def _shares(missing: list[range], rows: int, slots: int) -> list[list[range]]:
    """Cut runs of parts, of so many rows of tiles in all, into those that each worker makes.

    One worker makes all, so that no row of tiles is computed twice. Among several there is a run
    for each, or a multiple of that. Runs have ``LEAST_TILE_ROWS`` and more where that gives every
    worker one, else ``FEWEST_TILE_ROWS`` and more.
    """
    if slots == 1:
        return [missing] if missing else []
    wanted = slots * max(rows // (LEAST_TILE_ROWS * slots), 1)
    count = max(min(wanted, rows // FEWEST_TILE_ROWS), 1)
    length = max(-(-sum(map(len, missing)) // count), 1)
    starts = ((run, start) for run in missing for start in range(run.start, run.stop, length))
    return [[range(start, min(start + length, run.stop))] for run, start in starts]


def do_raster_unit(unit: RasterUnit, task: Task) -> JsonDict:
    """Do a unit of a raster, here or in a worker, and advance the task by its tiles.

    The first gives a ``job``, each that failed an ``error``.
    """
    source = unit.item.source
    try:
        with one_file(source):
            try:
                if unit.job is None:
                    return {"job": _prepare(unit)}
                if unit.runs:
                    _make(unit, unit.job, task)
                else:
                    dates = unit.options.keep_dates
                    attributes = attributes_for(unit.item.target, source, dates=dates)
                    merge_parts(unit.job.parts, attributes)
                return {}
            except MemoryError as error:
                short = "out of memory; take a part (--srcwin) or a smaller --tile"
                raise PictureError(f"{source}: {short}") from error
    except SrxError as error:
        return {"error": error}


def _prepare(unit: RasterUnit) -> RasterJob:
    """Look at a raster, and measure it for networks that need that."""
    from srcli.layers.tiles import Calibration

    job = open_job(unit.item, unit.options)
    if job.layout.all_classes:
        return job
    engine, grid = _engine(unit, job), _grid(unit, job)
    own = engine.engine
    network = {
        "model": f"{unit.options.model} {network_digest(own.network)[:16]}",
        "tile": [grid.tile_height, grid.tile_width, grid.overlap],
        "batch": own.batch_size(grid.tile_height, grid.tile_width),
        "precision": str(own.half or "fp32"),
        "device": own.device.type,
        "engine": own.name,
        "tta": own.tta,
        "back_project": own.back_project,
    }
    with RasterSource(job.info, job.layout, job.window, grid.tile_height) as source:
        found = calibrate(engine, PaddedSource(source, unit.tiling.edge), grid)
    arrays = found.arrays() if isinstance(found, Calibration) else None
    return replace(job, fingerprint={**job.fingerprint, **network}, calibration=arrays)


def _engine(unit: RasterUnit, job: RasterJob) -> RasterEngine:
    from srcli.inference.engine import RasterEngine

    options = unit.options
    pool = unit.pool or cached_pool(options.model, options.scale, options.engine)
    engine = pool.engine(bits=8 if job.layout.dtype == "uint8" else 32)
    return RasterEngine(engine, groups=job.layout.interpolated().groups, values=job.values)


def _make(unit: RasterUnit, job: RasterJob, task: Task) -> None:
    """Make the parts of a unit that are not there: windows in, tiles through it, rows out."""
    from srcli.layers.tiles import Calibration

    scale, parts = unit.options.scale, job.parts
    runs = parts.missing(unit.runs)  # those that are there were made by a worker that was lost
    rows = _grid(unit, job).tile_height
    with RasterSource(job.info, job.layout, job.window, rows) as source:
        if job.layout.all_classes:
            for run in runs:
                writer = PartWriter(parts, run, source, scale)
                for _ in run:
                    writer.repeat()
                    task.advance(1)
            return
        engine = _engine(unit, job)
        arrays, device = job.calibration, engine.engine.device
        for run in runs:
            writer = PartWriter(parts, run, source, scale)
            with write_behind(writer.write, WAITING) as write:
                work = make_job(
                    source,
                    write,
                    name=str(unit.item.source),
                    scale=scale,
                    tiling=unit.tiling,
                    tile_rows=_tile_rows(unit, job, run),
                )
                work.calibration = Calibration.of_arrays(arrays, device) if arrays else None
                run_one(engine, work, task=task)


def _grid(unit: RasterUnit, job: RasterJob) -> TileGrid:
    return padded_grid(job.window.height, job.window.width, unit.tiling)


def _tile_rows(unit: RasterUnit, job: RasterJob, run: range) -> range:
    """Return the rows of tiles that a run of parts needs; the parts if it needs none."""
    if job.layout.all_classes:
        return run
    rows = range(job.parts.span(run.start).start, job.parts.span(run.stop - 1).stop)
    return tile_rows(_grid(unit, job), rows, unit.options.scale, unit.tiling.edge)


def upscale_rasters(
    items: Sequence[Item],
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    pool: EnginePool,
) -> None:
    """Upscale rasters one after another by this process alone."""

    def do(units: Sequence[RasterUnit]) -> Sequence[JsonDict]:
        return _without_errors([do_raster_unit(unit, reporter.tiles) for unit in units])

    for item in items:
        unit = RasterUnit(item=item, options=options, tiling=tiling, pool=pool)
        upscale_raster(unit, reporter, do)


def _without_errors(results: Sequence[JsonDict]) -> Sequence[JsonDict]:
    """Raise the first error among results; first those that smaller tiles may help against."""
    errors = [result["error"] for result in results if "error" in result]
    for error in sorted(errors, key=lambda error: not isinstance(error, TileTooLargeError)):
        raise error
    return results


def run_on_workers(
    items: Sequence[Item],
    tiling: Tiling,
    options: UpscaleOptions,
    reporter: Reporter,
    executor: Executor,
) -> None:
    """Upscale inputs by an executor; one that fails is reported and leaves the others alone.

    The executor chooses the device. Workers do all but large rasters by themselves; these follow,
    one after another, each made by all workers.
    """
    slots = max(executor.slots, 1)  # a cluster may wait for its first node
    shared = (items[0].target.parent, items[0].source, Path(options.model))
    run = partial(
        executor.run, upscale_unit, progress=reporter.progress, task=reporter.tiles, shared=shared
    )
    large: list[Item] = []
    for done in run([UpscaleShare(share, options, tiling) for share in shares(items, slots)]):
        if done.result is None:
            (item,) = done.unit.items
            reporter.fail(item, f"{item.source}: {done.failure}")
            continue
        for report in done.result["files"]:
            reporter.record(report)
        large += done.result["large"]

    def do(units: Sequence[RasterUnit]) -> Sequence[JsonDict]:
        found = []
        for done in run(units):
            lost = {"error": PictureError(f"{done.unit.item.source}: {done.failure}")}
            found.append(lost if done.result is None else done.result)
        return _without_errors(found)

    for item in large:
        first = RasterUnit(item=item, options=options, tiling=tiling)
        upscale_raster(first, reporter, do, slots)


def upscale_unit(
    unit: UpscaleShare | RasterUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit in a worker; for those of rasters see ``do_raster_unit``.

    A share gives ``files``, the reports of all that were done or failed, and ``large``, the rasters
    that are left for all workers.
    """
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    if isinstance(unit, RasterUnit):
        with threads(place.threads or None), network_access(allowed=options.allow_remote):
            return do_raster_unit(replace(unit, options=options), progress.task("tiles"))
    pool = cached_pool(options.model, options.scale, options.engine)
    reporter = Reporter(progress)
    reporter.open()
    with threads(place.threads or None), network_access(allowed=options.allow_remote):
        sharing = max(processors() // place.threads, 1) if place.threads else 1
        rasters = PhotographRun(pool, options, reporter, sharing).upscale(unit.items)
        large = [item for item in rasters if _is_large(item, options)]
        small = [item for item in rasters if item not in large]
        upscale_rasters(small, unit.tiling, options, reporter, pool)
    reporter.close()
    return {"files": reporter.summary.files, "large": large}


def _is_large(item: Item, options: UpscaleOptions) -> bool:
    """Return True for a raster that is worth the work of all workers."""
    with suppress(SrxError):  # upscaling it gives the reason
        info = read_info(item.source)
        window, _ = choose_window(info, srcwin=options.raster.srcwin, bounds=options.raster.bounds)
        return window.height * window.width * options.scale**2 >= LARGE
    return False
