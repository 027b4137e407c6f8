"""Upscale files and folders, or estimate what would be done: the whole of ``srx upscale``.

The way of a file: ``inputs.py`` pairs it with an output, ``finished.py`` skips finished
ones; ``kinds.py`` tells what kind it is, by which ``makers.py`` chooses who makes its
output; ``reporter.py`` reports it. ``workers.py`` does the same in several processes,
``report_estimates`` tells what would be made, and ``watch_folders`` looks again and again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, ClassVar

from srcli.claims import remove_dead, wait_for_one
from srcli.errors import ExitCode, SrxError, UsageError
from srcli.files import file_state
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs import pillow
from srcli.imaging.rasters import disk_use, publishing
from srcli.imaging.rasters.dataset_names import DatasetName, as_input
from srcli.inference.device import EngineOptions
from srcli.inference.engines import pools_of_run
from srcli.models import MODELS
from srcli.models.weights import find_weights
from srcli.pipelines.upscale import (
    looking,
    plans,
    rasters,
    remote,
    single_photographs,
    videos,
    workers,
    writing_forecast,
)
from srcli.pipelines.upscale.finished import find_due_and_finished, find_model
from srcli.pipelines.upscale.inputs import is_folder
from srcli.pipelines.upscale.kinds import (
    Kind,
    Opened,
    bytes_of_pages,
    bytes_of_rows,
    check_output,
    is_made_by_parts,
    open_item,
)
from srcli.pipelines.upscale.makers import report_copy, upscale_items
from srcli.pipelines.upscale.photographs import PhotographUpscaler, choose_metadata
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter
from srcli.pipelines.upscale.sidecars import carry_sidecar
from srcli.pipelines.upscale.speeds import (
    WaitForecast,
    earlier_speeds,
    speed_name,
)
from srcli.ports import Progress

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.photographs import Pools


_SECONDS_TO_JUDGE = 30.0
"""Of a dry run, in which photographs are decoded, to say which model they get."""
_SECONDS_TO_LOOK = 1.0
LOOK_SECONDS = 3.0
"""Seconds between two looks at the folders."""
FileState = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""


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
    reporter = Reporter(progress or Progress(), on_file, options)
    if isinstance(as_input(output), DatasetName):
        reporter.remote = remote.find_remote(output, options)
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
    pools: Pools | None = None,
) -> None:
    """Upscale inputs without a finished output; see ``upscale_files``.

    Inputs that ``reporter`` leaves alone are passed over. ``pools`` give the engines,
    see ``_open_pools``; opened here if None.
    """
    items, finished = find_due_and_finished(inputs, output, options, reporter)
    if dry_run:
        reporter.remote = None
        if executor is not None:
            reporter.at_once = executor.slot_count
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
            report_estimates(items, options, reporter)
            if speed := earlier_speeds().get(speed_name(options)):
                reporter.expected_seconds = reporter.megapixels / speed
        elif items:
            # an output folder that cannot be made ends the run before any work; of its
            # subfolders each file fails by itself
            folder = output if is_folder(output, options) else None
            if pools is None:
                pools = _open_pools(options, executor)
            with ExitStack() as at_end:
                if executor is None:
                    forecast = WaitForecast(options, pools, reporter)
                    at_end.callback(forecast.keep)
                _upscale(items, folder, options, reporter, executor, pools)
    finally:
        reporter.close()
        reporter.claims.release_all()
        remove_dead({item.target.parent for item in (*items, *finished)})


def _add_overviews(item: Item, options: Settled, reporter: Reporter) -> bool:
    """Add overviews to a finished raster that has none, where they are asked for."""
    if not options.overviews or item.format != "tif" or reporter.remote:
        return False
    if not open_item(item, options).kind.is_raster:
        return False
    quality = options.quality or FORMATS["jpg"].default_quality
    assert quality is not None
    if not publishing.add_overviews(item.target, quality):
        return False
    reporter.progress.message(
        f"{item.target}: overviews are added, all else is finished"
    )
    return True


def _open_pools(options: Settled, executor: ProcessExecutor | None) -> Pools:
    """Return what gives this process its engines, the same ones as long as it is kept."""
    engine_options = options.engine
    if executor is not None:  # workers check device and precision on their machines
        engine_options = EngineOptions(value_range=options.engine.value_range)
    return pools_of_run(engine_options)


def _upscale(
    items: Sequence[Item],
    folder: Path | None,
    options: Settled,
    reporter: Reporter,
    executor: ProcessExecutor | None,
    pools: Pools,
) -> None:
    """Upscale items, here or by an executor; ``folder`` is the output folder, None for a file."""
    find_weights(options.model, options.scale)
    # else the first picture that does not only shrink loads it
    if not (options.bounds_sizes and _needs_no_torch(options)):
        pool = pools(options.model, options.scale)
        if executor is None:
            reporter.progress.detail(*pool.details)
        if not options.auto:  # else each picture chooses a model, which is loaded then
            # before the folder is made: a wrong name or file leaves none behind
            for note in pool.network.notes:
                reporter.note(note)
            if options.model not in MODELS:
                from srcli.inference.trial import find_faults

                for fault in find_faults(pool.network):
                    reporter.progress.warn(f"{options.model}: {fault}")
    items[0].make_folder(folder)
    reporter.open(len(items), _expected_work(items, options))
    while items:
        if executor is not None:
            workers.upscale_by_workers(items, options, reporter, executor)
        else:
            photographs = PhotographUpscaler(pools, options, reporter)
            for group in _isolate_suspects(items, reporter.former.suspects):
                upscale_items(group, photographs)
        items = reporter.elsewhere
        reporter.elsewhere = []
        if not items or reporter.comes_back_to(items):
            return
        reporter.note(
            "another srx is making what is left; this one waits, and takes over what the "
            "other does not finish"
        )
        wait_for_one([item.target for item in items])


def _expected_work(items: Sequence[Item], options: Settled) -> dict[Path, int]:
    """Return pixels that go through networks by a quick look, to reckon the time that is left.

    On slow disks those that are not looked at in time count as the mean.
    """
    work: dict[Path, int] = {}
    ends = time.monotonic() + _SECONDS_TO_LOOK
    for item in items if len(items) > 1 else ():
        if time.monotonic() > ends:
            break
        frames = 1
        size = pillow.quick_size(item.source)
        if size == (0, 0):
            with suppress(SrxError):
                picture = open_picture(item.source)
                size = picture.size
                if not picture.is_on_map:  # whose pages are overviews
                    frames = picture.frames
        pixels = math.prod(size) * frames
        if not pixels:
            continue
        work[item.source] = 0
        for scale in options.steps(options.model, size):
            work[item.source] += pixels
            pixels *= scale**2
    return work


def _isolate_suspects(
    items: Sequence[Item], suspects: Container[str]
) -> Iterator[Sequence[Item]]:
    """Yield each input that may have crashed a former worker alone, then all others."""
    for item in items:
        if str(item.source) in suspects:
            yield [item]
    yield [item for item in items if str(item.source) not in suspects]


def _needs_no_torch(options: Settled) -> bool:
    """Tell if model, device and precision are known to fit without torch and the network."""
    engine = options.engine
    is_plain = engine.precision != "fp16" and engine.device in ("auto", "cpu")
    return is_plain and options.model in MODELS


def report_estimates(
    items: Sequence[Item], options: Settled, reporter: Reporter
) -> None:
    """Report size, disk and losses of each output by the header of its input."""
    find_weights(options.model, options.scale)
    if not _needs_no_torch(options):
        _ = pools_of_run(options.engine)(options.model, options.scale).network
    for item in items:
        with reporter.guard(item):
            reporter.begin(item)
            opened = open_item(item, options)
            item.check_folder()
            if opened.kind.is_raster:
                _estimate_raster(opened, options, reporter)
            elif opened.kind is Kind.COPY:
                overwrite = options.overwrite
                report_copy(opened, reporter, overwrite=overwrite, dry_run=True)
            else:
                _estimate_photograph(opened, options, reporter)


def _estimate_raster(opened: Opened, options: Settled, reporter: Reporter) -> None:
    item = opened.item
    frames = 1
    with ExitStack() as stack:
        dataset = None
        if opened.kind is Kind.STACK:
            frames = opened.picture.frames
            number, *_ = rasters.page_numbers(item.source, 1)
            dataset = stack.enter_context(rasters.open_page(item.source, number))
        seen = stack.enter_context(
            looking.look_at_raster(item, options, dataset, opened.picture)
        )
        plan = writing_forecast.check_room(plans.plan_raster(item, options, seen))
        # what GDAL refuses is refused here
        publishing.try_creation_options(item.target, plan.output)
        likely = writing_forecast.foresee_disk(plan)
    page_bytes = round(disk_use.disk_needed(plan.output) * plan.info.block_share)
    reporter.add(
        item,
        frames=frames,
        bytes=page_bytes * frames,
        likely_bytes=likely * frames,
        passing_share=disk_use.passing_share(plan.output),
        details=plan.remarks,
        **plan.facts,
    )


def _estimate_photograph(opened: Opened, options: Settled, reporter: Reporter) -> None:
    item = opened.item
    picture = opened.picture
    size, unwritable = check_output(item, picture, options)
    frames = 1
    warnings = picture.warnings
    pages = [picture]
    if opened.kind is Kind.PAGES:
        pages = single_photographs.open_pages(picture)
    elif opened.kind in (Kind.PHOTOGRAPH, Kind.LARGE):
        warnings = picture.losses
    else:
        frames = picture.frames
    # decoding thousands would take long
    is_early = reporter.seconds <= _SECONDS_TO_JUDGE
    decodes = is_early or opened.kind is Kind.LARGE
    model, condition = find_model(opened, options, decodes=decodes)
    disk_bytes = bytes_of_pages(pages, options) * frames
    rows_bytes = 0
    for page in pages:
        if is_made_by_parts(page, options):
            rows_bytes += bytes_of_rows(page, options)
    disk_bytes += rows_bytes
    details: tuple[str, ...] = ()
    if opened.kind in (Kind.VIDEO_TO_FRAMES, Kind.FRAMES_TO_VIDEO):
        details = videos.describe_frames(opened, options)
    _, lost = choose_metadata(item, picture, options, model or options.model, size)
    reporter.add(
        item,
        model=model,
        condition=condition,
        size=size,
        frames=len(pages) * frames,
        bytes=disk_bytes,
        passing_share=rows_bytes / max(disk_bytes, 1),
        warnings=(*warnings, *unwritable, *lost),
        details=details,
    )


class WatchReporter(Reporter):
    """Reporter of watched folders: it lets each state of a file be tried once.

    A file is due when it is as it was at the look before: one that is still being written
    grows meanwhile. A file that was tried is left alone until it changes.
    """

    may_be_idle: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._seen: dict[Path, FileState] = {}
        self._tried: dict[Path, FileState] = {}
        self._failures: set[tuple[Path, FileState | None, str]] = set()
        for source in self._earlier:  # of a worker that crashed
            if state := file_state(source):
                self._tried[source] = state
        self._earlier.clear()

    def comes_back_to(self, items: Sequence[Item]) -> bool:
        """Let the next look find items that another process is making now."""
        for item in items:
            self._tried.pop(item.source, None)
        return True

    @property
    def exit_code(self) -> ExitCode:
        """0, as a watch has no end but a signal; failures are told when they happen."""
        return ExitCode.OK

    def leaves_alone(self, item: Item) -> bool:
        """Return True for a file that may still be written, or was tried as it is."""
        source = item.source
        state = file_state(source)
        if state is None:
            return True
        is_settled = self._seen.get(source) == state
        self._seen[source] = state
        if not is_settled or self._tried.get(source) == state:
            return True
        if source in self._tried:  # it may have crashed a worker before it changed
            self.former.refused.pop(str(source), None)
        self._tried[source] = state
        return False

    def record(self, report: FileReport) -> None:
        """Record a report, but no failure that the last look at the same file met."""
        if report.state == "failed":
            source = report.source
            failure = (source, self._tried.get(source), report.error)
            if failure in self._failures:
                return
            self._failures.add(failure)
        super().record(report)


def watch_folders(
    inputs: Sequence[Path],
    output: Path,
    options: Settled,
    *,
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] = lambda report: None,
    executor: ProcessExecutor | None = None,
    dry_run: bool = False,
) -> Reporter:
    """Upscale what is in folders, and what comes into them, until Ctrl-C or another signal.

    Arguments and result are those of ``upscale_files``. The model stays loaded.

    Raises:
        UsageError: If an input is no folder, or an option has no meaning here.
    """
    _check_watched(inputs, options, dry_run=dry_run)
    find_weights(options.model, options.scale)  # told before the first picture comes
    reporter = WatchReporter(progress or Progress(), on_file, options)
    pools = _open_pools(options, executor)
    with suppress(KeyboardInterrupt):
        reporter.note(f"watching {', '.join(map(str, inputs))}; Ctrl-C ends")
        while True:
            upscale_due(inputs, output, options, reporter, executor, pools=pools)
            sleep(LOOK_SECONDS)
    return reporter


def _check_watched(inputs: Sequence[Path], options: Settled, *, dry_run: bool) -> None:
    for path in inputs:
        if not path.is_dir():
            raise UsageError(f"{path}: is no folder, and --watch looks at folders")
    refused = {
        "--dry-run": dry_run,
        "--mosaic": options.mosaic,
        "--overwrite": options.overwrite,  # of its own results, without end
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise UsageError(f"--watch upscales new files as they come; drop {name}")
