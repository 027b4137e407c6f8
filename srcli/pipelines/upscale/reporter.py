"""An input with its output (``Item``), its result (``FileReport``), and all results of a run."""

from __future__ import annotations

import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from srcli.claims import Claims
from srcli.errors import (
    DefectError,
    ExitCode,
    PictureError,
    SrxError,
    UsageError,
    as_failure_of,
)
from srcli.files import FileAttributes, attributes_for, explain_os_error, free_disk
from srcli.imaging.files.formats import FORMATS, FRAME_TABLE_SUFFIX
from srcli.imaging.files.provenance import SHRUNK
from srcli.imaging.rasters.dataset_names import as_input
from srcli.ports import Progress, Task
from srcli.quantities import format_bytes
from srcli.supervision import Event, History, announce, history

if TYPE_CHECKING:
    from srcli.imaging.rasters.parts import Parts
    from srcli.imaging.rasters.stac_assets import StacAsset
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.remote import RemoteFolder

State = Literal["done", "copied", "skipped", "made by another", "failed", "left out"]
Facts = dict[str, Any]
"""What a maker says of an output: fields of its ``FileReport``."""
FINISHED: tuple[State, ...] = ("done", "copied", "skipped")
"""States of inputs that have an output."""
LARGEST_SHARE = 0.98
"""Of writing that counts as done before it is complete: the progress stands still at the
end, rather than at 100 % before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One input file and the output file that is made of it."""

    source: Path
    target: Path
    format: str
    """Format of the output, a key of ``FORMATS``."""
    from_folder: bool = False
    """The input was found in a folder, not named itself."""
    before: tuple[int, int] | None = None
    """The output's ``file_state`` when it was judged to be due."""
    asset: StacAsset | None = None
    """What a STAC item says of the input, where one has led to it."""

    @property
    def is_film_of_frames(self) -> bool:
        """True for a folder of numbered frames, which becomes a film."""
        return FORMATS[self.format].video and self.source.is_dir()

    @property
    def is_frames(self) -> bool:
        """True for a film that becomes numbered frames, with a table of their times."""
        return self.target.suffix == FRAME_TABLE_SUFFIX

    def make_folder(self, folder: Path | None = None) -> None:
        """Make the folder of the output, or one that it is in."""
        folder = folder or self.target.parent
        if folder.is_dir():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: this folder cannot be made ({error.strerror}); give another output"
            ) from error

    def attributes(self, *, dates: bool) -> FileAttributes:
        """Return the attributes of the output; see ``attributes_for``."""
        return attributes_for(self.target, self.source, dates=dates)

    def check_disk(
        self,
        subject: str,
        needed: int,
        least: int,
        advice: str,
        *,
        refuses: bool = True,
    ) -> tuple[str, ...]:
        """Refuse an output where less than ``least`` bytes are free; warn below ``needed``.

        ``subject`` begins the message, such as ``"its pixels take"``; ``advice`` is what
        else helps, such as ``"a smaller --scale"``. Without ``refuses`` it only warns.
        """
        free, folder = free_disk(self.target)
        takes = f"{subject} {format_bytes(needed)} when enlarged"
        room = f"{format_bytes(free)} are free in {folder}"
        if free < least and refuses:
            raise PictureError(
                f"{self.source}: {takes}, and {room}; make room, take another folder or "
                f"{advice}; --no-disk-check goes on, and keeps what is done"
            )
        if free < needed:
            return (f"{takes}, and {room}",)
        return ()

    def check_folder(self) -> None:
        """Check that the output's folder can be made and written to, without making it."""
        _, folder = free_disk(self.target)  # the nearest that is there
        if not folder.is_dir():
            raise PictureError(f"{folder}: is no folder; give another output")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PictureError(
                f"{folder}: no permission to write there; give another output"
            )


@dataclass(frozen=True)
class FileReport:
    """Result of one input; in a dry run, what it would be."""

    source: Path
    target: Path
    state: State = "done"
    seconds: float = 0.0
    model: str = ""
    """Name of the model, as ``--model auto`` chose it or the user gave it."""
    strength: float | None = None
    """Share by which its weights were made crisp, above 0 to 1; None for these alone."""
    condition: str = ""
    """What a picture has gone through, by which ``auto`` chose: a word of
    ``choosing.classify_condition``, or ``saved`` for a JPEG that shows nothing."""
    tiles: int = 0
    size: tuple[int, int] | None = None
    """Output (height, width)."""
    frames: int = 1
    """Frames or pages of the output."""
    bytes: int = 0
    """Disk needed at most, without compression; of a dry run."""
    likely_bytes: int = 0
    """Disk that a raster probably takes on the way, as it is compressed; of a dry
    run."""
    passing_share: float = 0.0
    """Of these bytes, what is gone once the file is finished."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Why the input failed, was copied or was left out."""
    output_exists: bool = False
    """It failed because its output exists and is not to be replaced."""
    details: tuple[str, ...] = ()
    """Lines for --verbose."""

    def as_json(self) -> dict[str, Any]:
        """Return the values of all fields for JSON."""
        return vars(self) | {"source": str(self.source), "target": str(self.target)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FileReport:
        """Make a report of what ``as_json`` gave, after its way through JSON."""
        restored = dict(values)
        for name, value in values.items():
            if isinstance(value, list):  # JSON has no tuples
                restored[name] = tuple(value)
        restored["source"] = as_input(values["source"])
        restored["target"] = Path(values["target"])
        return cls(**restored)


@dataclass(frozen=True)
class Ending:
    """End of the finished parts of a raster, where that is not one file."""

    text: str
    """What is done, such as ``"cutting 12 tiles"``."""
    seconds: float
    """Time that it probably takes."""
    finish: Callable[[Parts, Callable[[float], None]], None]
    """Uses the parts, which it may not change, and calls a function with the share that
    is done."""


@dataclass
class Reporter(Task):
    """Collects the reports of a run, and shows its progress as the one task of all tiles.

    Each report is given to ``on_file``; those without a model get that of the options.
    Pictures whose tiles are not known yet count as many as the others have on average.

    Inputs that are worked on are announced to the process that watches over this one, if
    one does; what former workers of the run have reported is taken over.
    """

    progress: Progress
    on_file: Callable[[FileReport], None] = lambda report: None
    options: Settled | None = None
    remote: RemoteFolder | None = None
    """Where finished outputs are copied to."""
    carry_sidecar: Callable[[Item, State], tuple[list[str], list[str]]] | None = None
    """Writes the sidecars of a finished output; returns warnings, and lines for
    --verbose."""
    on_work: Callable[[float, float], None] = lambda finished, total: None
    """Called with the work that is done, and with all that is foreseen, in megapixels
    of tiles."""
    ending: Ending | None = None
    """What is made of the parts of rasters; None writes them into the output."""
    files: list[FileReport] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Files by state."""
    megapixels: float = 0.0
    """Millions of output pixels written."""
    expected_seconds: float | None = None
    """Time that a dry run says the work takes; None where that is not known."""
    at_once: int = 1
    """Files that are worked on at the same time."""
    claims: Claims = field(default_factory=Claims)
    """Outputs that this process makes, and no other one."""
    elsewhere: list[Item] = field(default_factory=list)
    """Items whose outputs another process was making when their turn came."""
    former: History = field(default_factory=history)
    """What workers of the same run that crashed have left."""

    may_be_idle: ClassVar[bool] = False
    """True if a run may find no picture; else that is an error."""

    def __post_init__(self) -> None:
        self._task = Task()
        self._expected = 0
        self._to_enlarge = 0.0
        """Weight of the files that have tiles, which networks enlarge; 1 is a mean one."""
        self._noted: set[str] = set()
        self._earlier: set[Path] = set()
        self._weights: dict[Path | None, float] = {}
        self._begun_pages: set[Path] = set()
        self._begun = 0.0
        self._work = 0.0
        self._total = 0.0
        self.finished = 0.0
        """Work that is done, in megapixels of tiles of all pictures."""
        self.waited: defaultdict[str, float] = defaultdict(float)
        """Seconds for which the work on rasters stood still, by what it waited for."""
        self.started = self.former.started or time.monotonic()
        for values in self.former.reports:
            report = FileReport.from_json(values)
            self._earlier.add(report.source)
            self._count(report)

    def leaves_alone(self, item: Item) -> bool:
        """Return True for an input that a former worker of the run has reported."""
        return item.source in self._earlier

    def comes_back_to(self, items: Sequence[Item]) -> bool:
        """Return True where the next look at folders finds items again; here there is none."""
        del items
        return False

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.started

    @property
    def disk_bytes(self) -> float:
        """Disk that the run takes at most, without compression; of a dry run."""
        return self._most_at_once(lambda file: file.bytes)

    @property
    def likely_disk_bytes(self) -> float:
        """Disk that it probably takes, as rasters are compressed; of a dry run."""
        return self._most_at_once(lambda file: file.likely_bytes or file.bytes)

    def _most_at_once(self, bytes_of: Callable[[FileReport], int]) -> float:
        """Return the bytes of all finished files, and the most that some take beside them."""
        passing = sorted(bytes_of(file) * file.passing_share for file in self.files)
        return sum(map(bytes_of, self.files)) - sum(passing[: -self.at_once])

    @property
    def exit_code(self) -> ExitCode:
        """0 if no file failed, 1 if some did, 2 if all did and no output was in the way."""
        failed = self.counts["failed"]
        if not failed:
            return ExitCode.OK
        if failed == len(self.files) and not any(
            file.output_exists for file in self.files
        ):
            return ExitCode.USAGE
        return ExitCode.PARTIAL

    def open(self, files: int, sizes: Mapping[Path, int] | None = None) -> None:
        """Start the progress display, before any ``grow``; ``files`` is 0 in a worker.

        ``sizes`` are expected work of inputs, by which these are expected to take more
        or less than others.
        """
        sizes = sizes or {}
        mean = sum(sizes.values()) / max(len(sizes), 1) or 1.0
        self._weights = {path: size / mean for path, size in sizes.items()}
        self._begun_pages.clear()
        self._expected = files + self.counts["failed"] + self.counts["done"]
        self._to_enlarge = files
        self._begun = 0.0
        self._work = 0.0
        self.finished = 0.0
        self._total = 0.0
        self._task = self.progress.task("upscaling", unit="%")

    def advance(self, amount: float = 1.0) -> None:
        """Add finished work, in megapixels of tiles."""
        self.finished += amount
        self._task.advance(amount)
        if self._begun:  # else files alone are written
            self.on_work(self.finished, self._total)

    def add_waiting(self, seconds: Mapping[str, float]) -> None:
        """Add seconds of waiting, of one process."""
        for what, amount in seconds.items():
            self.waited[what] += amount

    def tell(self, item: Item, *lines: str) -> None:
        """Show lines on an item, with its name."""
        for line in lines:
            self.progress.message(f"{item.source}: {line}")

    def tell_kept(self, item: Item, kept: int, total: int, words: str) -> None:
        """Tell how much of an output an earlier run has left, such as so many ``pages``."""
        if kept:
            self.tell(item, f"{kept} of {total} {words} are kept from an earlier run")

    def describe(self, text: str) -> None:
        """Replace the text beside the progress, up to the report of the next file."""
        self._task.describe(text)

    def close(self) -> None:
        """End the progress display."""
        self._task.close()
        self._task = Task()

    def grow(
        self, amount: float, source: Path | None = None, page: Path | None = None
    ) -> None:
        """Add the work on a picture that begins, and estimate that on the others.

        A ``source``, or a ``page`` of it, counts once, however many passes it goes through.
        """
        begun = page or source
        if amount > 0 and begun not in self._begun_pages:
            self._begun += self._weights.get(source, 1.0)
            if begun is not None:
                self._begun_pages.add(begun)
        self.extend(amount)

    def extend(self, amount: float) -> None:
        """Add work on pictures that have begun, such as writing a file."""
        self._work += amount
        total = self._work
        if 0 < self._begun < self._to_enlarge:
            total *= self._to_enlarge / self._begun
        self._task.grow(total - self._total)
        self._total = total
        if self._begun:
            self.on_work(self.finished, total)

    def expect_pages(self, source: Path, count: int, finished: int) -> None:
        """Split the weight of a file into pages, of which unfinished ones call ``grow``."""
        weight = self._weights.get(source, 1.0) / count
        self._to_enlarge -= weight * finished
        self._weights[source] = weight

    def add(
        self,
        item: Item,
        state: State = "done",
        started: float | None = None,
        **values: Any,
    ) -> None:
        """Report a file that is finished, and show its warnings.

        ``started`` is the start of its work by ``time.monotonic``; None if it never
        began. A finished output of a remote folder is copied there first.
        """
        if self.remote is not None and state in ("done", "skipped"):
            self.remote.upload(item.target)
        elif self.carry_sidecar is not None and state in FINISHED:
            warnings, details = self.carry_sidecar(item, state)
            values["warnings"] = (*values.get("warnings", ()), *warnings)
            values["details"] = (*values.get("details", ()), *details)
        seconds = 0.0 if started is None else time.monotonic() - started
        if state == "done" and self.options is not None:
            model = values.setdefault("model", self.options.model)
            # of pages there may be several
            strength = self.options.strength_of(*model.split(", "))
            values.setdefault("strength", strength)
        values["warnings"] = tuple(dict.fromkeys(values.get("warnings", ())))
        report = FileReport(item.source, item.target, state, seconds=seconds, **values)
        for warning in report.warnings:
            self.progress.warn(f"{report.source}: {warning}")
        self.claims.release(item.target)
        self.record(report)

    def record(self, report: FileReport) -> None:
        """Record a report that was made before, unless a former worker has made one."""
        if report.source in self._earlier:
            return
        announce(Event.REPORT, str(report.source), report.as_json())
        self._count(report)
        if report.state != "skipped":
            tried = self.counts["done"] + self.counts["failed"]
            speed = self.megapixels / max(self.seconds, 1e-3)
            self._task.describe(
                f"{tried} of {self._expected} files, {speed:.2f} megapixels/s"
            )

    def _count(self, report: FileReport) -> None:
        self.files.append(report)
        self.counts[report.state] += 1
        if report.state != "done" or report.model == SHRUNK:
            self._to_enlarge -= self._weights.get(report.source, 1.0)
        if report.state == "done" and report.size:
            self.megapixels += report.frames * math.prod(report.size) / 1e6
        self.on_file(report)

    def note(self, text: str, *, is_warning: bool = False) -> None:
        """Show a message or a warning, once however often it is told."""
        if text not in self._noted:
            self._noted.add(text)
            show = self.progress.warn if is_warning else self.progress.message
            show(text)

    def report_left_out(self, path: Path, reason: str) -> None:
        """Report a file that a search of a folder has left out, once; it is not counted."""
        if str(path) not in self._noted:
            self._noted.add(str(path))
            self.on_file(FileReport(path, path, "left out", error=reason))

    @staticmethod
    def begin(item: Item) -> None:
        """Tell a watching process that an item is worked on, until its report."""
        announce(Event.BEGIN, str(item.source))

    def make(self, item: Item, maker: Callable[[], Facts]) -> None:
        """Have an item made, and report what its maker returns, or an error as its failure."""
        started = time.monotonic()
        with self.guard(item, started):
            self.begin(item)
            facts = maker()
            self.add(item, started=started, **facts)

    @contextmanager
    def guard(self, item: Item, started: float | None = None) -> Iterator[None]:
        """Report an error raised in the block as the failure of an item; the others go on."""
        try:
            with as_failure_of(item.source):
                yield
        except SrxError as error:
            self.fail(item, explain_defect(error, item), started)

    def fail(
        self,
        item: Item,
        error: SrxError | str,
        started: float | None = None,
        *,
        output_exists: bool = False,
    ) -> None:
        """Report that an item failed; for ``output_exists`` see ``FileReport``."""
        details = getattr(error, "details", ())  # of a defect
        self.add(
            item,
            "failed",
            started,
            error=str(error),
            details=details,
            output_exists=output_exists,
        )


class WritingWork:
    """Counts the time behind the last tile of one output as so many tiles as would take as long."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._tiles = 0.0
        """As which it counts."""
        self.done = 0.0
        """Tiles of these that are counted."""

    def weigh(self, tiles: float) -> None:
        """Count it as so many tiles, a few more than are counted already at least."""
        tiles = max(tiles, self.done / LARGEST_SHARE)
        self.reporter.extend(tiles - self._tiles)
        self._tiles = tiles

    def advance_to(self, share: float) -> None:
        """Say which share of it is done, 1 for all of it."""
        done = share * self._tiles
        if done > self.done:
            self.reporter.advance(done - self.done)
            self.done = done


def explain_defect(error: SrxError, item: Item) -> SrxError:
    """Replace a defect caused by full memory or a full disk by an error with advice."""
    cause = error.__cause__ if isinstance(error, DefectError) else None
    if isinstance(cause, MemoryError):
        return PictureError(
            f"{item.source}: does not fit into memory when enlarged; "
            "crop it, or use a smaller scale or --tile"
        )
    if isinstance(cause, OSError):
        return PictureError(explain_os_error(item.target, cause))
    return error
