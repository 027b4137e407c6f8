"""Upscale files and folders, or estimate what would be done: the whole of ``srx upscale``.

The way of a file: ``inputs.py`` pairs it with an output, ``finished.py`` skips finished
ones; ``kinds.py`` tells what kind it is, by which ``makers.py`` chooses who makes its
output; ``reporter.py`` reports it. ``workers.py`` does the same in several processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.disks import cache_folder
from srcli.errors import UsageError
from srcli.files import NEW_FILE, write_whole
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.photographs import pillow
from srcli.imaging.rasters.dataset_names import DatasetName, as_input
from srcli.inference.device import EngineOptions
from srcli.inference.pools import EnginePool
from srcli.input_files import parse_text, read_input
from srcli.models.weights import find_weights
from srcli.pipelines.upscale.finished import find_due_and_finished
from srcli.pipelines.upscale.inputs import is_folder
from srcli.pipelines.upscale.kinds import open_item
from srcli.pipelines.upscale.makers import upscale_items
from srcli.pipelines.upscale.photographs import PhotographUpscaler
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter
from srcli.pipelines.upscale.sidecars import carry_sidecar
from srcli.ports.progress import Progress

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import Settled

_SPEEDS = "speeds.json"
_LEAST_MEGAPIXELS = 1.0
_MOST_SPEEDS = 50
_SECONDS_TO_LOOK = 1.0


def upscale_files(
    inputs: Sequence[Path],
    output: Path,
    options: Settled,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] = lambda report: None,
    executor: ProcessExecutor | None = None,
    dry_run: bool = False,
) -> Reporter:
    """Upscale pictures and folders, and return the reports; a file that fails stops no others.

    Args:
        inputs: Pictures and folders.
        output: A folder, or a file for one picture; with ``allow_remote`` also a name
            of GDAL's of one in a bucket, to which finished files are copied.
        options: What is to be made of them.
        progress: Shows what goes on.
        on_file: Called with each report as soon as it is known.
        executor: Runs shares of the inputs, each on a device of its own; without, all
            are upscaled in this process.
        dry_run: Make nothing; report what would be made by the headers of the inputs.

    Raises:
        UsageError: If inputs or outputs do not fit each other; nothing was written then.
    """
    reporter = Reporter(progress or Progress(), on_file, options.model)
    if isinstance(as_input(output), DatasetName):
        from srcli.pipelines.upscale.remote import find_remote

        reporter.remote = find_remote(output, options)
    if reporter.remote is not None:
        if executor is not None:
            raise UsageError(
                f"{output}: outputs of several devices or machines are written to disk"
            )
        output = reporter.remote.local_output
    upscale_due(inputs, output, options, reporter, executor, dry_run=dry_run)
    return reporter


def upscale_due(
    inputs: Sequence[Path],
    output: Path,
    options: Settled,
    reporter: Reporter,
    executor: ProcessExecutor | None,
    *,
    dry_run: bool = False,
    make_pool: Callable[..., EnginePool] = EnginePool,
) -> None:
    """Upscale inputs without a finished output; see ``upscale_files``.

    Inputs that ``reporter`` leaves alone are passed over. ``make_pool`` takes the
    arguments of ``EnginePool``, and makes engines or returns those of an earlier call.
    """
    items, finished = find_due_and_finished(inputs, output, options, reporter)
    if dry_run:
        reporter.remote = None
    else:
        reporter.carry_sidecar = partial(carry_sidecar, options=options)
    for item in finished:
        with reporter.guard(item):
            if not dry_run and _add_overviews(item, options, reporter):
                reporter.add(item)
            else:
                reporter.add(item, "skipped")
    try:
        if items and dry_run:
            from srcli.pipelines.upscale.estimates import report_estimates

            report_estimates(items, options, reporter)
            if speed := _speeds().get(_speed_key(options)):
                reporter.expected_seconds = reporter.megapixels / speed
        elif items:
            # an output folder that cannot be made ends the run before any work; of its
            # subfolders each file fails by itself
            folder = output if is_folder(output, options) else None
            _upscale(items, folder, options, reporter, executor, make_pool)
            if executor is None:
                _keep_speed(options, reporter)
    finally:
        reporter.close()


def _speeds() -> dict[str, float]:
    """Return megapixels of output a second of earlier runs, by what they depend on."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        speeds = parse_text(read_input(cache_folder() / _SPEEDS).decode())
        return {str(name): float(speed) for name, speed in speeds.items()}
    return {}


def _speed_key(options: Settled) -> str:
    return f"{options.model} {options.scale} {options.size} {options.engine}"


def _keep_speed(options: Settled, reporter: Reporter) -> None:
    """Keep how fast a run was, for ``--dry-run`` of the next one; short ones tell nothing."""
    if reporter.megapixels < _LEAST_MEGAPIXELS:
        return
    speeds = _speeds()
    speeds.pop(_speed_key(options), None)
    speeds[_speed_key(options)] = reporter.megapixels / reporter.seconds
    latest = dict(list(speeds.items())[-_MOST_SPEEDS:])
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_whole(cache_folder() / _SPEEDS, json.dumps(latest).encode(), NEW_FILE)


def _add_overviews(item: Item, options: Settled, reporter: Reporter) -> bool:
    """Add overviews to a finished raster that has none, where they are asked for."""
    if not options.overviews or item.format != "tif" or reporter.remote:
        return False
    if not open_item(item, options).kind.is_raster:
        return False
    from srcli.imaging.rasters.publishing import add_overviews

    quality = options.quality or FORMATS["jpg"].default_quality
    assert quality is not None
    if not add_overviews(item.target, quality):
        return False
    reporter.progress.message(
        f"{item.target}: overviews are added, all else is finished"
    )
    return True


def _upscale(
    items: Sequence[Item],
    folder: Path | None,
    options: Settled,
    reporter: Reporter,
    executor: ProcessExecutor | None,
    make_pool: Callable[..., EnginePool],
) -> None:
    """Upscale items, here or by an executor; ``folder`` is the output folder, None for a file."""
    engine_options = options.engine
    if executor is not None:  # workers check device and precision on their machines
        engine_options = EngineOptions(value_range=options.engine.value_range)
    pool = make_pool(options.model, options.scale, engine_options)
    find_weights(options.model, options.scale)
    if not options.auto:  # else each picture chooses a model, which is loaded then
        # before the folder is made: a wrong name or file leaves none behind
        for note in pool.network.notes:
            reporter.progress.message(note)
    items[0].make_folder(folder)
    reporter.open(len(items), _pixel_counts(items))
    if executor is not None:
        from srcli.pipelines.upscale.workers import upscale_by_workers

        upscale_by_workers(items, options, reporter, executor)
        return
    reporter.progress.detail(*pool.details)
    photographs = PhotographUpscaler(pool, options, reporter)
    for group in _isolate_suspects(items, reporter.former.suspects):
        upscale_items(group, photographs)


def _pixel_counts(items: Sequence[Item]) -> dict[Path, int]:
    """Return pixels of inputs by a quick look, by which to reckon the time that is left.

    On slow disks those that are not looked at in time count as the mean.
    """
    counts: dict[Path, int] = {}
    ends = time.monotonic() + _SECONDS_TO_LOOK
    for item in items if len(items) > 1 else ():
        if time.monotonic() > ends:
            break
        if count := pillow.quick_pixel_count(item.source):
            counts[item.source] = count
    return counts


def _isolate_suspects(
    items: Sequence[Item], suspects: Container[str]
) -> Iterator[Sequence[Item]]:
    """Yield each input that may have crashed a former worker alone, then all others."""
    for item in items:
        if str(item.source) in suspects:
            yield [item]
    yield [item for item in items if str(item.source) not in suspects]
