"""Look at folders again and again, and upscale what comes into them.

A file is due when it is as it was at the look before: one that is still being written
grows meanwhile. A file that was tried is left alone until it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, ClassVar

from srcli.errors import ExitCode, UsageError
from srcli.inference.pools import EnginePool
from srcli.input_files import file_state
from srcli.models.weights import find_weights
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter
from srcli.pipelines.upscale.run import upscale_due
from srcli.ports.progress import Progress

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import Settled

LOOK_SECONDS = 3.0
"""Seconds between two looks at the folders."""
FileState = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""


class WatchReporter(Reporter):
    """Reporter of watched folders: it lets each state of a file be tried once."""

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
    make_pool = cache(EnginePool)
    with suppress(KeyboardInterrupt):
        reporter.note(f"watching {', '.join(map(str, inputs))}; Ctrl-C ends")
        while True:
            upscale_due(
                inputs, output, options, reporter, executor, make_pool=make_pool
            )
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
