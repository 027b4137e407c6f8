"""Units of work of a raster: prepare it, make a run of its parts, merge them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from srcli.errors import PictureError, SrxError, one_file
from srcli.files import attributes_for
from srcli.imaging.rasters.merging import merge_parts
from srcli.imaging.rasters.parts import Parts
from srcli.inference.calibration import calibrate
from srcli.inference.edges import PaddedSource
from srcli.inference.engines import EnginePool, cached_pool
from srcli.inference.tiling import Tiling
from srcli.layers.pooling import Calibration
from srcli.metrics.machine import threads
from srcli.pipelines.executors.relay import StoppingTask
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.raster_job import (
    RasterJob,
    check_disk,
    fingerprint,
    network_fingerprint,
    open_job,
)
from srcli.pipelines.upscale.raster_parts import PartMaker, repeat_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from srcli.ports.executor import JsonDict, Place
    from srcli.ports.progress import Progress


@dataclass(frozen=True, kw_only=True)
class RasterUnit:
    """A unit of work of one raster."""

    what: Literal["prepare", "make", "merge"]
    item: Item
    options: UpscaleOptions
    tiling: Tiling
    job: RasterJob | None = None
    """None until the raster is prepared."""
    calibration: list[dict[str, Any]] | None = None
    """Measurements of the whole raster as arrays; None where the network needs none."""
    parts: tuple[range, ...] = ()
    """Runs of consecutive parts to make."""
    pool: EnginePool | None = None
    """Engines of this process; None takes those of the worker."""
    label: str = ""


def raster_unit(
    unit: RasterUnit, place: Place, progress: Progress, stop: Callable[[], bool]
) -> JsonDict:
    """Do a unit of a raster, here or in a worker.

    Returns:
        Of "prepare": ``job``, ``tight`` (warnings of little disk space), ``fingerprint`` and
        ``calibration``; of "make": ``timing``. Instead of all, ``error``.
    """
    work = {"prepare": _prepare, "make": _make, "merge": _merge}[unit.what]
    options = replace(unit.options, engine=replace(unit.options.engine, device=place.device))
    source = unit.item.source
    try:
        with one_file(source), _naming_memory(source), threads(place.threads or None):
            return work(replace(unit, options=options), progress, stop)
    except KeyboardInterrupt:
        if not stop():
            raise
        return {"error": PictureError("interrupted")}
    except SrxError as error:
        return {"error": error}


@contextmanager
def _naming_memory(source: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        short = "out of memory; --max-memory says early what does not fit"
        raise PictureError(f"{source}: {short}") from error


def _maker(unit: RasterUnit, job: RasterJob) -> PartMaker:
    options = unit.options
    pool = unit.pool or cached_pool(options.model, options.scale, options.engine)
    engine = pool.engine(job.bits)
    calibration = unit.calibration and Calibration.of_arrays(unit.calibration, engine.device)
    return PartMaker(job, engine, unit.tiling, options, calibration or None)


def _prepare(unit: RasterUnit, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    job = open_job(unit.item, unit.options)
    tight = check_disk(job)  # first: a header may claim more pixels than fit into memory as a grid
    mark = fingerprint(job, unit.options)
    if job.layout.all_classes:
        return {"job": job, "tight": tight, "fingerprint": mark, "calibration": None}
    maker = _maker(unit, job)
    mark |= network_fingerprint(maker.engine.engine, maker.grid, unit.options)
    found = None
    if unit.pool is None:  # for all workers; a single one measures when it makes the first part
        with maker.open_source() as source:
            found = calibrate(maker.engine, PaddedSource(source, unit.tiling.edge), maker.grid)
    assert found is None or isinstance(found, Calibration)
    arrays = found and found.arrays()
    return {"job": job, "tight": tight, "fingerprint": mark, "calibration": arrays}


def _make(unit: RasterUnit, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    assert unit.job is not None
    parts = Parts(unit.item.target, unit.job.output)
    # those that are there were made by a worker that was lost
    runs = [
        both
        for run in parts.missing()
        for part in unit.parts
        if (both := range(max(run.start, part.start), min(run.stop, part.stop)))
    ]
    task = StoppingTask(progress.task("tiles"), stop)
    if unit.job.layout.all_classes:
        return {"timing": repeat_parts(unit.job, runs, unit.tiling, unit.options, task)}
    return {"timing": _maker(unit, unit.job).make(runs, task)}


def _merge(unit: RasterUnit, progress: Progress, stop: Callable[[], bool]) -> JsonDict:
    assert unit.job is not None
    target, source = unit.item.target, unit.item.source
    attributes = attributes_for(target, source, dates=unit.options.keep_dates)
    merge_parts(Parts(target, unit.job.output, attributes))
    return {}
