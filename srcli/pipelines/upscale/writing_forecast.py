"""Foresee how long the file of a raster will be written, and if the disk has room for it.

The copy at the end may take as long as the network. A trial on the first finished parts
tells how long, so that the progress counts it from then on, as so many tiles.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from srcli.disks import free_disk
from srcli.errors import PictureError
from srcli.imaging.files.gdal_errors import gdal_errors
from srcli.imaging.rasters.joining import join_behind
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.trial_copy import TrialCopy, disk_needed, try_copy
from srcli.machine import processor_count
from srcli.pipelines.upscale.writing_work import WritingWork
from srcli.quantities import format_bytes
from srcli.waiting import seconds_without_processor

if TYPE_CHECKING:
    from srcli.pipelines.upscale.plans import RasterPlan
    from srcli.pipelines.upscale.reporter import Reporter

# What is measured is so by GDAL 3.10 on copies of RGB of 17 megapixels; the rest is chosen.
LEAST_PIXELS = 20_000_000
"""Output pixels below which files are written in a moment: measured are 1.2 s of
processor time for 17 megapixels (DEFLATE)."""
POLL_SECONDS = 0.5
"""Interval of looks at the parts; a look reads the sizes of all of them."""
SERIAL_SHARE = 0.15
"""Of the processor time of a copy, what GDAL does in one thread, which reads the parts
and hands out blocks: measured are 0.15 (COG, ZSTD), 0.19 (DEFLATE) and 0.32 (JPEG). So
more than seven processors make no copy shorter."""
LEAST_PROCESSORS = 0.1
"""Fewest that a copy is taken to get, so that a process which was kept waiting for a
moment foresees no hours."""
LEAST_SECONDS = 2.0
"""Time of writing that tells how many processors it gets: 200 of the hundredths of a
second in which systems count processor time."""
LEAST_TIMES = 3
"""How many times smaller lossy compression makes what is worth a message."""
LARGEST_SHARE = 0.98
"""Of the file, by the bytes foreseen, that counts as written before it is complete: the
progress stands still at the end, rather than at 100 % before it."""
FIRST_SHARE = 0.005
"""Of the file, below which only its header is there."""
MOST_BEFORE = 0.6
"""Largest share of writing that comes before the first bytes of a file. Of a COG its
overviews are made before; more would leave no room for what is then seen to grow."""
SURE_SHARE = 0.9
"""Of the foreseen bytes of a file, that must be free before it is written: not all, as a
trial of few rows may foresee too many, and parts stay if the file does not fit."""


@dataclass
class WritingForecast:
    """Forecast of writing a raster's file, counted in tiles of its progress."""

    plan: RasterPlan
    parts: Parts
    reporter: Reporter
    trial: TrialCopy | None = None
    _share_before: float = 0.0
    """What is counted of writing before the first bytes of the file."""
    _part_bytes: int = 0
    """Of all parts, by those that are finished."""
    _unjoined_bytes: int = 0
    """Of the parts that are finished, and not joined into the file yet."""
    _missing_share: float = 1.0
    """Share of the parts that are not finished."""
    _has_tried: bool = False
    _is_over: bool = False
    """The parts have failed, or their making was interrupted."""
    _is_warned: bool = False
    _finished_before: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    _rate_started: float = field(default_factory=time.monotonic)
    _processor_started: float = field(default_factory=time.process_time)
    _processors: float = field(default_factory=processor_count)
    """How many processors this process gets: for the tiles, then for the file."""
    _waited_before: float = field(
        default_factory=lambda: seconds_without_processor() or 0.0
    )
    _seconds_for_tiles: float = 0.0
    """Time that the tiles have taken, once all are done."""

    def __post_init__(self) -> None:
        self._work = WritingWork(self.reporter)
        self._finished_before = self.reporter.finished
        self._is_needed = self._needs_trial()

    @property
    def text(self) -> str:
        """The work at the end in words, for the user."""
        if self.reporter.ending is not None:
            return self.reporter.ending.text
        return f"writing {self.parts.target.name}"

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Look at the finished parts twice a second, in a thread, while others are made."""
        stop = threading.Event()

        def poll() -> None:
            while not stop.wait(POLL_SECONDS):
                self._look()
                if self.trial is not None:
                    self._check_room(self.trial)

        thread = threading.Thread(target=poll, daemon=True, name="writing-forecast")
        if self._is_needed:
            thread.start()
        try:
            with join_behind(self.parts, self._has_seen_parts):
                yield
        except BaseException:
            self._is_over = True  # the thread ends by itself: nobody waits for a trial
            stop.set()
            raise
        stop.set()
        if self._is_needed:
            thread.join()
        self._look()
        self._seconds_for_tiles = time.monotonic() - self._started
        self._rate_started = time.monotonic()
        self._processor_started = time.process_time()

    def _has_seen_parts(self) -> bool:
        """Tell if no trial needs the first parts as files of their own any more."""
        return not self._is_needed or self._has_tried or self.trial is not None

    def begin(self) -> None:
        """Tell that the file is written now; refuse to where the disk has no room for it."""
        self.reporter.describe(self.text)
        if self.trial is None or not self.plan.options.disk_check:
            return
        needed = self._bytes_to_write(self.trial)
        free, folder = free_disk(self.parts.target)
        if free < SURE_SHARE * needed:
            raise PictureError(
                f"{self.parts.target}: all its parts are finished, but writing it takes "
                f"about {format_bytes(needed)}, and {format_bytes(free)} are free in "
                f"{folder}; make room and run the same command again, which goes on from "
                "there (--co COMPRESS=... may make it smaller)"
            )

    def count_bytes(self, count: int) -> None:
        """Count what is written of the file as progress.

        What comes before its first bytes, as the overviews of a COG, is told by time.
        """
        if self.trial is None:
            return
        foreseen = self._writing_seconds(self.trial)
        seconds = time.monotonic() - self._started - self._seconds_for_tiles
        written = count / max(self.trial.result_share * self._part_bytes, 1)
        if written < FIRST_SHARE:
            self._share_before = min(seconds / max(foreseen, 1e-3), MOST_BEFORE)
        share = self._share_before + (1 - self._share_before) * written
        share = min(share, LARGEST_SHARE)
        self._weigh(seconds + (1 - share) * foreseen)
        self._work.advance_to(share)

    def count_share(self, share: float) -> None:
        """Count a share of what is done at the end as progress."""
        seconds = time.monotonic() - self._started - self._seconds_for_tiles
        if share > 0.1:  # before, the estimate tells more
            self._weigh(seconds / share)
        self._work.advance_to(share)

    def end(self) -> None:
        """Count the file as written."""
        self._work.advance_to(1.0)

    def _needs_trial(self) -> bool:
        """Tell if the file is large, or the disk so full that its size has to be known."""
        if self.reporter.ending is not None:
            return True
        height, width = self.plan.size
        if height * width >= LEAST_PIXELS:
            return True
        free, _ = free_disk(self.parts.target)
        return free < disk_needed(self.plan.output)

    def _look(self) -> None:
        """Try a copy once there are parts, and count what it tells."""
        if not self._is_needed:
            return
        ending = self.reporter.ending
        if ending is not None and ending.seconds:
            self._weigh(ending.seconds)
            return
        found_count = len(self.parts.found())
        self._unjoined_bytes = self.parts.unjoined_bytes
        stored_bytes = self._unjoined_bytes + self.parts.joined_bytes
        self._part_bytes = stored_bytes * self.parts.count // max(found_count, 1)
        self._missing_share = 1 - found_count / self.parts.count
        if self.trial is None and not self._has_tried:
            self._try_copy()
        if self.trial is not None:
            self._weigh(self._writing_seconds(self.trial))

    def _try_copy(self) -> None:
        """Try a copy; one that fails is not tried again, as the file's will tell the reason."""
        trial = None
        try:
            trial = try_copy(self.parts)
            if trial is not None:
                self._compare_with_lossy(trial)
        except gdal_errors(OSError, ValueError):
            self._has_tried = True
        self.trial = trial  # parts that it needs no more may be joined from here on

    def _compare_with_lossy(self, trial: TrialCopy) -> None:
        """Tell how much smaller lossy compression makes the result of a lossy input."""
        lossy_output = self.plan.lossy_output
        if lossy_output is None:
            return
        lossy = try_copy(self.parts, lossy_output)
        if lossy is None:
            return
        times = trial.result_bytes / lossy.result_bytes
        if times >= LEAST_TIMES:
            size = format_bytes(round(trial.result_share * self._part_bytes))
            self.reporter.progress.message(
                f"{self.plan.item.source}: the result takes about {size} without loss; "
                f"-co COMPRESS={lossy_output.creation['COMPRESS']} makes it about "
                f"{times:.0f} times smaller, with losses as the input has them"
            )

    def _weigh(self, seconds: float) -> None:
        """Count writing as the tiles that are made in so many seconds."""
        if self._is_over:
            return
        passed = self._seconds_for_tiles or time.monotonic() - self._started
        finished = self.reporter.finished - self._finished_before - self._work.done
        speed = finished / max(passed, 1e-3)
        if not finished:  # all parts are there: the progress is that of the file
            speed = 1.0
        self._work.weigh(seconds * speed)

    def _writing_seconds(self, trial: TrialCopy) -> float:
        """Estimate the time for the whole file by the processor time of a trial."""
        processors = float(processor_count())
        if "NUM_THREADS" not in self.plan.output.creation:
            processors = 1.0
        passed = time.monotonic() - self._rate_started
        used = time.process_time() - self._processor_started
        if not self._seconds_for_tiles:
            # others may want the processors too; then the file will take longer
            waited = (seconds_without_processor() or 0.0) - self._waited_before
            got = used / max(used + max(waited, 0.0), 1e-3)
            self._processors = max(got * processors, LEAST_PROCESSORS)
        elif passed > LEAST_SECONDS:
            self._processors = max(used / passed, LEAST_PROCESSORS)
        processors = min(self._processors, processors)
        bytes_left = self._part_bytes
        if self.plan.output.is_joined:
            bytes_left = self._unjoined_bytes
        times = bytes_left / trial.part_bytes
        return times * trial.seconds * max(1 / processors, SERIAL_SHARE)

    def _bytes_to_write(self, trial: TrialCopy) -> int:
        """Estimate the bytes that are on the disk when the file is written."""
        return trial.bytes_to_write(self._part_bytes, self.plan.output)

    def _check_room(self, trial: TrialCopy) -> None:
        """Warn once if the disk will be full before the end."""
        if self._is_warned or self._is_over:  # what failed says so itself
            return
        needed = round(self._part_bytes * self._missing_share)
        needed += self._bytes_to_write(trial)
        free, folder = free_disk(self.parts.target)
        if free < needed:
            self._is_warned = True
            self.reporter.progress.warn(
                f"{self.plan.item.source}: what is left may take {format_bytes(needed)} on "
                f"the disk, and {format_bytes(free)} are free in {folder}; make room "
                "meanwhile, or the run stops there, and the same command goes on later"
            )
