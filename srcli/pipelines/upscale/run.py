"""Upscale files and folders, or say what would be done; photographs first, then rasters.

Work is done here or by several workers. A unit of it is a share of the inputs, or a
step of one raster; all workers make parts of a large one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import srcli
from srcli.errors import PictureError, SrxError, one_file
from srcli.files import attributes_for
from srcli.imaging.photograph import check_unchanged, mark_source
from srcli.imaging.rasters.classes import choose_bands
from srcli.imaging.rasters.fills import find_fills
from srcli.imaging.rasters.info import RasterInfo, read_info
from srcli.imaging.rasters.merging import merge_parts, try_creation_options
from srcli.imaging.rasters.opening import DatasetName, file_on_disk, network_access
from srcli.imaging.rasters.output import OutputProfile, disk_needed, make_output
from srcli.imaging.rasters.parts import Parts, open_parts
from srcli.imaging.rasters.reading import RasterSource
from srcli.imaging.rasters.selection import BandLayout, choose_window
from srcli.imaging.rasters.transparency import settle_alpha
from srcli.imaging.rasters.values import (
    choose_value_range,
    is_gray_raster,
    judge_raster,
)
from srcli.imaging.rasters.writing import PartWriter
from srcli.imaging.writing import is_kept, lost_metadata
from srcli.inference.calibration import calibrate
from srcli.inference.device import EngineOptions
from srcli.inference.engines import EnginePool, cached_pool, choose_tiling, run_one
from srcli.inference.stream import ImageJob
from srcli.inference.tiling import Tiling, tile_rows
from srcli.metrics.machine import processors, threads
from srcli.models import MODELS
from srcli.models.weights import AERIAL_MODEL, find_weights, network_digest
from srcli.pipelines.upscale.inputs import find_due, is_folder, raster_size
from srcli.pipelines.upscale.methods import (
    INTERPOLATION,
    choose_method,
    interpolated_as_they_are,
)
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import (
    PhotographRun,
    check_output,
    open_photograph,
)
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter, explained
from srcli.ports.image import TileGrid, Values, Window
from srcli.ports.progress import Progress, Task
from srcli.threads import write_behind

if TYPE_CHECKING:
    from srcli.inference.engine import RasterEngine
    from srcli.layers.network import Network
    from srcli.pipelines.executors.processes import JsonDict, Place, ProcessExecutor

WAITING = 64 << 20
"""Bytes of finished rows that may wait for the writer."""
LEAST_COMPRESSED = 0.4
"""Share of the uncompressed size that must be free on disk; photographs rarely shrink
so far."""
LARGE = 100_000_000
"""Output pixels that take some seconds to write."""
LEAST_TILE_ROWS = 20
"""Of a run of parts: one row of tiles is computed twice at each cut, which is 5 % of
these."""
LARGEST_SHARE = 16
"""Inputs; reading the first and writing the last of so many costs little beside all of
them."""
FEWEST_TILE_ROWS = 4
"""Of a run, where longer ones would leave workers without work."""


def upscale_files(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] = lambda report: None,
    executor: ProcessExecutor | None = None,
    dry_run: bool = False,
) -> Reporter:
    """Upscale pictures and folders; return the reports of all, of which a bad one stops no others.

    ``on_file`` is called with each report as soon as it is known. The executor runs
    shares of the inputs, each on a device of its own; without, all are upscaled in this
    process. A dry run makes nothing, and reports what would be made by the headers of
    the inputs. UsageError if inputs or outputs do not fit each other; nothing was
    written then.
    """
    reporter = Reporter(progress or Progress(), on_file, options.model)
    items, finished = find_due(inputs, output, options, reporter)
    for item in finished:
        reporter.add(item, "skipped")
    try:
        if items and dry_run:
            _estimate(items, options, reporter)
        elif items:
            # workers check device and precision on their machines
            plain = EngineOptions(value_range=options.engine.value_range)
            own = options.engine if executor is None else plain
            pool = EnginePool(options.model, options.scale, own)
            find_weights(options.model, options.scale)
            # a wrong name or file makes no folder; of what pictures choose, not all may
            # be needed
            for note in () if options.auto else pool.network.notes:
                reporter.progress.message(note)
            # what cannot be written is told before minutes are spent on it; subfolders
            # fail alone
            items[0].make_folder(output if is_folder(output, options) else None)
            reporter.open(len(items))
            if executor is None:
                reporter.progress.detail(*pool.details)
                for item in PhotographRun(pool, options, reporter).upscale(items):
                    upscale_raster(
                        item, options, reporter, partial(do_here, pool, reporter)
                    )
            else:
                upscale_by_workers(items, options, reporter, executor)
    finally:
        reporter.close()
    return reporter


def _estimate(
    items: Sequence[Item], options: UpscaleOptions, reporter: Reporter
) -> None:
    """Report size, disk and losses of each result, from the header of its input, without torch."""
    find_weights(options.model, options.scale)
    everywhere = (
        options.engine.device in ("auto", "cpu") and options.engine.precision != "fp16"
    )
    if not everywhere or options.model not in MODELS:
        # only the network, or torch's view of the machine, can check these
        _ = EnginePool(options.model, options.scale, options.engine).network
    for item in items:
        with reporter.guard(item):
            picture = open_photograph(item, options)
            item.check_folder()
            if picture is None:
                job = open_job(item, options)
                try_creation_options(
                    item.target, job.output
                )  # what GDAL refuses is refused here
                size = job.output.height, job.output.width
                disk = round(disk_needed(job.output) * job.info.filled)
                warnings, details = job.notes, job.remarks
            else:
                (size, unwritable), details = check_output(item, picture, options), ()
                depth = (picture.channels + picture.has_alpha) * picture.bits // 8
                kept = is_kept(picture, item.format)
                frames = picture.frames if kept else 1
                lost = lost_metadata(item.format, picture.metadata)
                warnings = (
                    *(picture.warnings if kept else picture.losses),
                    *unwritable,
                    *lost,
                )
                disk = math.prod(size) * depth * frames
            reporter.add(
                item, size=size, bytes=disk, warnings=warnings, details=details
            )


@dataclass(frozen=True)
class UpscaleShare:
    """A unit of work: some of the inputs."""

    items: Sequence[Item]
    options: UpscaleOptions


def do_here(
    pool: EnginePool, task: Task, jobs: Sequence[RasterJob]
) -> Sequence[JsonDict]:
    """Do the steps of rasters in this process."""
    return [job.do(pool.of(job.options.model, job.options.scale), task) for job in jobs]


def upscale_by_workers(
    items: Sequence[Item],
    options: UpscaleOptions,
    reporter: Reporter,
    executor: ProcessExecutor,
) -> None:
    """Upscale inputs by an executor; one that fails is reported and leaves the others alone.

    The executor chooses the device. Workers do all but large rasters by themselves;
    these follow, one after another, each made by all workers.
    """
    slots = max(executor.slots, 1)  # a cluster may wait for its first node
    units, left = [], items
    while left:  # shares become smaller, so that all workers end at about the same time
        size = max(1, min(LARGEST_SHARE, len(left) // (2 * slots)))
        units.append(UpscaleShare(left[:size], options))
        left = left[size:]
    shared = (items[0].target.parent, items[0].source, Path(options.model))
    run = partial(
        executor.run,
        upscale_unit,
        progress=reporter.progress,
        task=reporter,
        shared=shared,
    )
    large: list[Item] = []
    for done in run(units):
        if done.result is None:
            (item,) = done.unit.items
            reporter.fail(item, f"{item.source}: {done.failure}")
            continue
        for report in done.result["files"]:
            reporter.record(report)
        large += done.result["large"]

    def do(units: Sequence[RasterJob]) -> Sequence[JsonDict]:
        found = []
        for done in run(units):
            lost = {"error": PictureError(f"{done.unit.item.source}: {done.failure}")}
            found.append(lost if done.result is None else done.result)
        for each in found:  # after all, so that the next run has less to do
            if "error" in each:
                raise each["error"]
        return found

    for item in large:
        upscale_raster(item, options, reporter, do, slots)


def upscale_unit(
    unit: UpscaleShare | RasterJob,
    place: Place,
    progress: Progress,
    stop: Callable[[], bool],
) -> JsonDict:
    """Do a unit in a worker.

    A share gives ``files``, the reports of all that were done or failed, and ``large``,
    the rasters that are left for all workers; a step of a raster, which failed, its
    ``error``.
    """
    options = replace(
        unit.options, engine=replace(unit.options.engine, device=place.device)
    )
    pool = cached_pool(options.model, options.scale, options.engine)
    access = network_access(allowed=options.allow_remote)
    with threads(place.threads or None), access:
        if isinstance(unit, RasterJob):
            try:
                with one_file(unit.item.source):
                    return unit.do(pool, progress.task("tiles"))
            except SrxError as error:
                return {"error": explained(error, unit.item)}
        reporter = Reporter(progress, model=options.model)
        reporter.open(0)
        sharing = max(processors() // place.threads, 1) if place.threads else 1
        large: list[Item] = []
        for item in PhotographRun(pool, options, reporter, sharing).upscale(unit.items):
            with reporter.guard(item):
                if math.prod(raster_size(item, options)) >= LARGE:
                    large.append(item)
                else:
                    upscale_raster(
                        item, options, reporter, partial(do_here, pool, reporter)
                    )
    return {"files": reporter.files, "large": large}


@dataclass(frozen=True, kw_only=True)
class RasterJob:
    """A unit of work of one raster, with everything that is decided before it is enlarged.

    Without ``runs`` the network measures it, with them their parts are made.
    """

    item: Item
    options: UpscaleOptions
    info: RasterInfo
    layout: BandLayout
    window: Window
    values: Values
    interpolated: tuple[int, ...]
    """Places in ``layout.smooth`` of bands that bicubic interpolation enlarges."""
    output: OutputProfile
    notes: tuple[str, ...]
    """Choices made for the user, who may want others."""
    remarks: tuple[str, ...]
    """Choices by what the file says: its bands of classes, the values taken as black
    and white."""
    fingerprint: Mapping[str, object]
    """Everything that the pixels depend on, by names that users understand: a run
    continues an interrupted one with the same. The network is added when it has
    measured."""
    condition: str
    """What its pixels have gone through, where ``auto`` chose the model by it; else
    empty."""
    tiling: Tiling | None = None
    """The network's, known when it has measured."""
    calibration: dict[str, Any] | None = None
    """The network's measurements of the whole raster as arrays; None where it needs
    none."""
    is_gray: bool = False
    """Red, green and blue are equal everywhere, as was found when the network has
    measured."""
    runs: Sequence[range] = ()
    """Runs of consecutive parts to make."""

    @property
    def parts(self) -> Parts:
        """The parts in which the output is made."""
        return Parts(self.item.target, self.output)

    @property
    def grid(self) -> TileGrid:
        """The tiles; a header may claim more pixels than fit into memory as a grid."""
        assert self.tiling is not None
        return self.tiling.padded_grid(self.window.height, self.window.width)

    def tile_rows(self, run: range) -> range:
        """Return the rows of tiles that a run of parts needs; the parts if it needs none."""
        if not self.layout.groups:
            return run
        rows = range(
            self.parts.span(run.start).start, self.parts.span(run.stop - 1).stop
        )
        return tile_rows(self.grid, rows, self.options.scale)

    def do(self, pool: EnginePool, task: Task) -> JsonDict:
        """Return what the network measures, or make the parts, by whose tiles the task advances.

        Measured are ``tiling``, ``fingerprint`` with the network, ``is_gray``, and
        ``calibration``, maybe None.
        """
        from srcli.inference.engine import RasterEngine
        from srcli.layers.network import upload

        engine, calibration, scale = None, None, self.options.scale
        rows = len(self.parts.span(0)) // scale + 1
        if self.layout.groups:
            own = pool.engine(bits=8 if self.layout.dtype == "uint8" else 32)
            engine = RasterEngine(
                own,
                groups=self.layout.groups,
                values=self.values,
                interpolated=self.interpolated,
                gray=self.is_gray,
            )
            if not self.runs:
                return self._measure(engine, pool.network)
            rows = self.grid.tile_height
            known = (self.calibration or {}).items()
            calibration = {
                name: upload(each, own.device) for name, each in known
            } or None
        with RasterSource(self.info, self.layout, self.window, rows) as source:
            source.zero_is_black = all(low == 0 for low, _ in self.values.ranges)
            # those that are there were made by a worker that was lost
            for run in self._write_blanks(source, task):
                writer = PartWriter(self.parts, run, source, scale)
                if engine is None:  # classes alone
                    for number in run:
                        writer.write_part(number)
                        task.advance(1)
                    continue
                with write_behind(writer.write, WAITING) as write:
                    work = ImageJob(
                        name=str(self.item.source),
                        source=source,
                        write=write,
                        grid=self.grid,
                        tile_rows=self.tile_rows(run),
                        calibration=calibration,
                    )
                    run_one(engine, work, task=task)
        return {}

    def _write_blanks(self, source: RasterSource, task: Task) -> list[range]:
        """Write the missing parts of which a sparse file holds nothing; return the others.

        No tile that reaches into them sees a pixel.
        """
        missing = self.parts.missing(self.runs)
        if self.info.filled == 1 or self.output.mask:
            return missing
        for run in missing:
            for number in run:
                if source.is_blank(self._rows_of(number, source)):
                    self.parts.add(number, b"")
        others = self.parts.missing(self.runs)
        rows_done = self._tile_row_count(missing) - self._tile_row_count(others)
        across = len(self.grid.lefts) if self.layout.groups else 1
        task.advance(rows_done * across)
        return others

    def _tile_row_count(self, runs: Sequence[range]) -> int:
        return sum(len(self.tile_rows(run)) for run in runs)

    def _rows_of(self, number: int, source: RasterSource) -> Window:
        """Return the rows of the input that a part depends on, by way of its tiles."""
        span, scale = self.parts.span(number), self.options.scale
        top, bottom = span.start // scale, -(-span.stop // scale)
        if self.layout.groups:
            rows = self.tile_rows(range(number, number + 1))
            top = max(self.grid.tops[rows.start] - self.grid.edge, 0)
            last = self.grid.tops[rows.stop - 1] - self.grid.edge
            bottom = min(last + self.grid.tile_height, source.height)
        return Window(top=top, left=0, height=bottom - top, width=source.width)

    def _measure(self, engine: RasterEngine, network: Network) -> JsonDict:
        options, own = self.options, engine.engine
        tiling = choose_tiling(options.model, network, options.tile, options.overlap)
        grid = tiling.padded_grid(self.window.height, self.window.width)
        with RasterSource(
            self.info, self.layout, self.window, grid.tile_height
        ) as source:
            found = calibrate(engine, source, grid)
        of_network = {
            "model": f"{options.model} {network_digest(own.network)[:16]}",
            "tile": [grid.tile_height, grid.tile_width, grid.overlap],
            "batch": own.batch_size(grid.tile_height, grid.tile_width),
            "precision": str(own.half or "fp32"),
            "device": own.device.type,
            "tta": own.options.tta,
            "corrections": list(own.corrections),
        }
        return {
            "tiling": tiling,
            "fingerprint": {**self.fingerprint, **of_network},
            "is_gray": is_gray_raster(self.info, self.layout, self.window),
            "calibration": found
            and {name: value.cpu().numpy() for name, value in found.items()},
        }


def read_kept_info(item: Item, options: UpscaleOptions) -> RasterInfo:
    """Read a raster's header, without tags if they are to be stripped."""
    info = read_info(item.source, options.raster.nodata)
    if options.strip_metadata:  # all tags but a part of the georeference
        own = {
            key: text
            for key, text in info.tags.get("", {}).items()
            if key == "AREA_OR_POINT"
        }
        bands = tuple(replace(band, tags={}) for band in info.bands)
        colours = {
            name: tags for name, tags in info.tags.items() if name == "COLOR_PROFILE"
        }
        info = replace(info, tags={"": own, **colours}, bands=bands)
    return info


def open_job(item: Item, options: UpscaleOptions) -> RasterJob:
    """Read a raster's header and decide on bands, window, values and output."""
    asked, info = options.raster, read_kept_info(item, options)
    parts = {Path(name).resolve() for name in info.files} - {item.source.resolve()}
    if item.target.resolve() in parts:
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )
    window, clipped = choose_window(info, srcwin=asked.srcwin, bounds=asked.bounds)
    fills: tuple[str, ...] = ()
    if asked.nodata == "file":
        info, fills = find_fills(info, window, asked.bands)
    transparency = settle_alpha(info, window, asked.alpha, asked.bands)
    info = transparency.info
    layout = choose_bands(info, window, asked.classes, bands=asked.bands, rgb=asked.rgb)
    if layout.alpha:
        layout = replace(layout, soft_alpha=transparency.soft)
    values, range_found = Values(dtype=np.dtype(layout.dtype), ranges=((0, 1),)), ""
    if layout.groups:
        values, range_found = choose_value_range(info, layout, window, asked.values)
    condition = (
        judge_raster(info, layout, window) if options.auto and layout.groups else ""
    )
    options = replace(options, model=options.model_for(condition, AERIAL_MODEL))
    method = choose_method(info, layout, window, values, options)
    if method.remark and len(method.interpolated) == len(layout.smooth):
        options, range_found = replace(options, model=INTERPOLATION), ""
    wanted = options.output(item.format, item.source)
    output = make_output(info, layout, window, options.scale, wanted)
    needed = round(disk_needed(output) * info.filled)
    least = round(LEAST_COMPRESSED * needed)
    advice = (
        "a folder with fewer of its files" if options.mosaic else "a part (--srcwin)"
    )
    room = item.check_disk("its pixels take", needed, least, advice)
    hidden = options.keep_hidden and layout.alpha is not None
    unkept = (
        "--keep-hidden is for photographs: colours under alpha are not kept",
    ) * hidden
    pyramids = (
        info.has_overviews
        and not (asked.overviews or asked.cog)
        and item.format == "tif"
    )
    hint = (
        "the input has overviews: --overviews adds some to the result"
        if pyramids
        else ""
    )
    named = (
        [str(info.path)] if isinstance(info.path, DatasetName) else []
    )  # one of its file's
    return RasterJob(
        item=item,
        options=options,
        info=info,
        layout=layout,
        window=window,
        values=interpolated_as_they_are(values, method, len(layout.smooth)),
        interpolated=method.interpolated,
        output=output,
        notes=(
            *info.notes,
            *fills,
            *transparency.notes,
            *layout.notes,
            *clipped,
            *method.notes,
            *output.notes,
            *room,
            *unkept,
        ),
        remarks=tuple(
            filter(None, (*layout.remarks, range_found, method.remark, hint))
        ),
        condition=condition,
        fingerprint={
            "version": srcli.__version__,
            "input": [*named, *(_file_state(path) for path in info.files)],
            "scale": options.scale,
            "classes": layout.classes,
            "bands": [*layout.bands, layout.alpha, layout.soft_alpha],
            "rgb": layout.groups,
            "interpolated": method.interpolated,
            "range": [values.ranges, str(values.dtype)],
            # as text, because NaN differs from itself
            "nodata": str([(band.nodata, *band.fills) for band in info.bands]),
            "part": [window.left, window.top, window.width, window.height],
        },
    )


def _file_state(path: str) -> list[object]:
    try:
        found = file_on_disk(path).stat()
    except OSError:  # a source that is no file, such as a service
        return [path]
    return [path, found.st_size, found.st_mtime_ns]


def upscale_raster(
    item: Item,
    options: UpscaleOptions,
    reporter: Reporter,
    do: Callable[[Sequence[RasterJob]], Sequence[JsonDict]],
    slots: int = 1,
) -> None:
    """Upscale a raster and report it, a failure too.

    ``do`` returns the results of units and raises the error of one; ``slots`` can be
    done at once.
    """
    started = time.monotonic()

    def tell(text: str) -> None:
        reporter.progress.message(f"{item.source}: {text}")

    with reporter.guard(item, started):
        mark = mark_source(item.source)
        job = open_job(item, options)
        for remark in job.remarks:
            tell(remark)
        item.make_folder()
        try_creation_options(item.target, job.output)
        across = 1
        if job.layout.groups:
            (found,) = do([job])
            job = replace(job, **found)
            across = len(job.grid.lefts)
        resume = options.raster.resume
        with open_parts(item.target, job.output, job.fingerprint, resume=resume) as (
            parts,
            notes,
        ):
            for note in notes:
                tell(note)
            missing = parts.missing()
            if kept := parts.count - sum(map(len, missing)):
                tell(f"{kept} of {parts.count} parts are kept from an earlier run")
            rows = sum(len(job.tile_rows(run)) for run in missing)
            units = [replace(job, runs=runs) for runs in _shares(missing, rows, slots)]
            tiles = across * sum(
                len(job.tile_rows(run)) for unit in units for run in unit.runs
            )
            reporter.grow(tiles)
            do(units)
            size = job.output.height, job.output.width
            if math.prod(size) >= LARGE:
                tell(f"the tiles are done; writing {item.target.name}")
            check_unchanged(item.source, mark)
            merge_parts(
                parts,
                attributes_for(item.target, item.source, dates=options.keep_dates),
            )
        reporter.add(
            item, started=started, model=job.options.model, condition=job.condition,
            tiles=tiles, size=size, warnings=job.notes,
        )  # fmt: skip


def _shares(missing: list[range], rows: int, slots: int) -> list[list[range]]:
    """Cut runs of parts, of so many rows of tiles in all, into those that each worker makes.

    One worker makes all, so that no row of tiles is computed twice. Among several there
    is a run for each, or a multiple of that. Runs have ``LEAST_TILE_ROWS`` and more
    where that gives every worker one, else ``FEWEST_TILE_ROWS`` and more.
    """
    if slots == 1:
        return [missing] if missing else []
    wanted = slots * max(rows // (LEAST_TILE_ROWS * slots), 1)
    count = max(min(wanted, rows // FEWEST_TILE_ROWS), 1)
    length = max(-(-sum(map(len, missing)) // count), 1)
    starts = (
        (run, start) for run in missing for start in range(run.start, run.stop, length)
    )
    return [[range(start, min(start + length, run.stop))] for run, start in starts]
