"""Numbered frames: pictures that a film becomes, or that become one, and the table of their times.

The table is a text that mkvmerge and x264 read, too ("timecode format v2"): comments, then
the time of each frame in milliseconds. It is written last, so that frames beside a table
are complete.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from srcli.errors import PictureError
from srcli.files import FileAttributes, checksum, open_input, read_input
from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import (
    FORMATS,
    FRAME_TABLE_SUFFIX,
    FRAMES,
    READABLE_SUFFIXES,
    VIDEO_EXTRA,
    can_read_videos,
)
from srcli.imaging.files.provenance import input_id
from srcli.imaging.files.stored_parts import StoredParts
from srcli.imaging.films.clock import Pace, pace_of
from srcli.imaging.films.reading import HDR, SAMPLES, TimedFrame, Timing, Video
from srcli.imaging.metadata.colour_spaces import RGB_FULL_RANGE
from srcli.imaging.metadata.embedded import ColourSpace, Metadata
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.pillow import to_srgb
from srcli.imaging.photographs.reading import (
    not_a_picture,
    read_photograph,
    read_photograph_header,
)
from srcli.imaging.photographs.writing import new_file, put_on_white, write_photograph
from srcli.imaging.pixels.arrays import Array

_TABLE_HEAD = "# timecode format v2"
_NUMBERED = re.compile(r"(?P<name>.*?)(?P<number>[0-9]+)", re.DOTALL)
_TICKS = 90_000
"""Of a second, in which times of a variable rate are counted, as MPEG does."""
_EXACT_MILLISECONDS = 0.01
"""By which times of a table may differ from those of a constant rate: how some round them."""
_MOST_TOLD = 5
"""Gaps, and files of other names, that a line names."""


def hdr_colours(video: Video) -> ColourSpace | None:
    """Return the colours of RGB frames of HDR, which have no profile; None for other films."""
    transfer = int(video.first.color_trc)
    if transfer not in HDR:
        return None
    return ColourSpace(None, bytes([video.primaries, transfer]) + RGB_FULL_RANGE)


def frame_file(table: Path, fmt: str, number: int) -> Path:
    """Return the file of a frame, numbered from 1, beside the table of its film."""
    suffix = FORMATS[fmt].suffixes[0]
    return table.with_name(f"{table.stem}_{number:06}{suffix}")


@dataclass(frozen=True)
class StoredFrames(StoredParts):
    """The finished frames of a film; of each a mark in the hidden folder says its time."""

    ending: ClassVar[str] = ".mark"
    format: str
    """Of the frames, a key of ``FORMATS``; ``target`` is the table."""

    def intact(self) -> set[int]:
        """Return the indices of frames that are on the disk as they were written."""
        marks = self.found()
        numbers = set()
        for index in super().intact():
            file = frame_file(self.target, self.format, index + 1)
            *_, written = json.loads(marks[index].read_bytes())
            with suppress(OSError):
                if checksum(file.read_bytes()) == written:
                    numbers.add(index)
        return numbers

    def check_names(self, count: int) -> None:
        """Refuse to replace files with names of frames that no earlier run has written.

        Raises:
            PictureError: If there is one, and neither a table nor a mark says whose it is.
        """
        if self.target.exists():  # what it records was judged before
            return
        number_due = 1
        if self.earlier_plan():  # behind marked ones, and that which was under way
            number_due += len(self.found()) + 1
        for number in range(number_due, count + 1):
            file = frame_file(self.target, self.format, number)
            if file.exists():
                raise PictureError(
                    f"{file}: exists, and nothing says that srx has made it; --overwrite "
                    "replaces it, another output folder or --suffix keeps both"
                )

    def timings(self) -> list[Timing]:
        """Return the times of the finished frames from the first on without a gap."""
        timings = []
        for mark in self.in_order():
            start, duration, _ = json.loads(mark.read_bytes())
            timings.append(Timing(start, duration))
        return timings


class FrameWriter:
    """Writes the frames of a film as they come, each into a file of its own."""

    finish_seconds = 0.0
    """A frame is complete when the next one comes; see ``SegmentEncoder``."""

    def __init__(
        self, frames: StoredFrames, metadata: Metadata, **writing: Any
    ) -> None:
        self.frames = frames
        self.metadata = metadata
        self.writing = writing
        """Arguments of ``write_photograph``."""
        self.frame_count = len(frames.timings())
        """Frames that are written, those of earlier runs included."""

    def encode(self, frame: TimedFrame) -> None:
        """Write the next frame, then its mark."""
        timing, photograph = frame
        file = frame_file(self.frames.target, self.frames.format, self.frame_count + 1)
        larger = replace(photograph, metadata=self.metadata)
        write_photograph(file, larger, **self.writing)
        written = checksum(file.read_bytes())
        self.frames.add(self.frame_count, json.dumps([*timing, written]).encode())
        self.frame_count += 1

    def finish(self) -> None:
        """Do nothing: no frame waits."""


def write_table(
    frames: StoredFrames,
    record: str | None,
    attributes: FileAttributes,
    *,
    time_base: Fraction,
) -> tuple[()]:
    """Write the table of all finished frames, with a record of what made them."""
    timings = frames.timings()
    frame_name = frame_file(frames.target, frames.format, 1).name
    lines = [_TABLE_HEAD, f"# milliseconds at which {frame_name} and so on are shown"]
    if record:
        lines.append(f"# {' '.join(record.split())}")
    for timing in timings:
        lines.append(f"{float(timing.start * time_base * 1000):.6f}")
    with new_file(frames.target, attributes) as stream:
        stream.write("\n".join([*lines, ""]).encode())
    return ()


def read_record(table: Path) -> str:
    """Return what a table records of what made its frames; maybe empty."""
    with decoding(table):
        lines = read_input(table).decode("utf-8", "replace").splitlines()
    comments = [line for line in lines[:9] if line.startswith("# ")]
    return comments[-1].removeprefix("# ") if comments else ""


def _read_times(table: Path) -> list[float]:
    """Return the times of a table in milliseconds, which increase.

    Raises:
        PictureError: If it is no such table.
    """
    with decoding(table):
        lines = read_input(table).decode("utf-8", "replace").splitlines()
    times: list[float] = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        try:
            time = float(line)
        except ValueError:
            time = math.nan
        if not math.isfinite(time) or (times and time <= times[-1]):
            raise PictureError(
                f"{table}: is no table of increasing times in milliseconds ({line[:40]}); "
                "mend it, or give --rate"
            )
        times.append(time)
    return times


def count_missing(table: Path, fmt: str) -> int:
    """Return how many frames of a table are not beside it in a format."""
    missing = 0
    for number in range(1, len(_read_times(table)) + 1):
        missing += not frame_file(table, fmt, number).is_file()
    return missing


@dataclass(frozen=True)
class FrameFolder:
    """The numbered frames of a folder, in numeric order."""

    folder: Path
    name: str
    """What stands before the numbers."""
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    """Gaps, and files that are left out, in words for the user."""


def find_frames(folder: Path) -> FrameFolder:
    """Find the numbered frames of a folder: of one name and format, in numeric order.

    Raises:
        PictureError: If there are none, or several of one number or of several names.
    """
    sequences: defaultdict[tuple[str, str], dict[int, Path]] = defaultdict(dict)
    unnumbered: list[str] = []
    with decoding(folder):
        files = sorted(folder.iterdir())
    for file in files:
        suffix = file.suffix.lower()
        if file.name[0] == "." or suffix not in READABLE_SUFFIXES:
            continue
        match = _NUMBERED.fullmatch(file.stem)
        if match is None:
            unnumbered.append(file.name)
            continue
        sequence = sequences[match["name"], suffix]
        number = int(match["number"])
        if number in sequence:
            raise PictureError(
                f"{file}: has the number of {sequence[number].name}; remove one of them"
            )
        sequence[number] = file
    if not sequences:
        raise PictureError(
            f"{folder}: is a folder without numbered frames, such as 000001.png, to become a "
            "film; one of other pictures needs a folder as output"
        )
    if len(sequences) > 1:
        names = [next(iter(frames.values())).name for frames in sequences.values()]
        raise PictureError(
            f"{folder}: holds frames of several names ({', '.join(names[:_MOST_TOLD])}); "
            "move all but one kind into a folder of their own"
        )
    (((name, _), frames),) = sequences.items()
    numbers = sorted(frames)
    notes = [*_gaps(numbers)]
    if unnumbered:
        named = ", ".join(unnumbered[:_MOST_TOLD])
        if len(unnumbered) > _MOST_TOLD:
            named += " and others"
        notes.append(f"{named}: left out, as no number is in the name")
    in_order = tuple(frames[number] for number in numbers)
    return FrameFolder(folder, name, in_order, tuple(notes))


def _gaps(numbers: Sequence[int]) -> Iterator[str]:
    """Yield a line on the numbers that are missing, if there are some."""
    gaps = []
    missing = 0
    for before, after in pairwise(numbers):
        if after - before == 1:
            continue
        missing += after - before - 1
        start = before + 1
        end = after - 1
        gaps.append(f"{start}" if start == end else f"{start} to {end}")
    if gaps:
        if len(gaps) > _MOST_TOLD:
            gaps[_MOST_TOLD:] = ["..."]
        yield (
            f"{missing} numbers of frames are missing ({', '.join(gaps)}): the film goes on "
            "without them"
        )


def read_header(folder: Path) -> Picture:
    """Read the headers of all frames of a folder; return that of the film they become.

    Raises:
        PictureError: If a frame is no photograph of 8 or 16 bits, or has another size.
    """
    if not can_read_videos():
        raise PictureError(f"{folder}: becomes a video; {VIDEO_EXTRA} writes it")
    frame_folder = find_frames(folder)
    header: Picture | None = None
    bits = 8
    is_transparent = False
    for file in frame_folder.files:
        frame = _open_frame(file)
        header = header or frame
        if frame.size != header.size:
            raise PictureError(
                f"{file}: has {frame.width}x{frame.height} pixels, and {header.path.name} "
                f"{header.width}x{header.height}; frames of a film are of one size"
            )
        bits = max(bits, frame.bits)
        is_transparent |= frame.has_alpha
    assert header is not None
    warnings = frame_folder.notes
    if is_transparent:
        warnings += ("videos have no transparency: frames are put on white",)
    if bits > 8:
        warnings += ("16 bits become 10",)
    return Picture(
        path=folder,
        format=FRAMES,
        height=header.height,
        width=header.width,
        channels=3,
        bits=bits,
        frames=len(frame_folder.files),
        lossless=header.lossless,
        warnings=warnings,
        input_id=input_id(folder),
    )


def _open_frame(file: Path) -> Picture:
    with decoding(file), open_input(file) as stream:
        frame = read_photograph_header(file, stream)
    if frame is None:
        raise not_a_picture(file)
    if frame.refusal:
        raise PictureError(frame.refusal)
    if frame.bits > 16:
        raise PictureError(f"{file}: holds floats; frames have 8 or 16 bits")
    return frame


def plain_pixels(photograph: Photograph, profile: bytes | None) -> Array:
    """Return the pixels of a frame in sRGB, on white."""
    pixels = photograph.pixels
    if profile is not None:
        pixels = to_srgb(pixels, profile)
    if photograph.alpha is not None:
        pixels = put_on_white(pixels, photograph.alpha)
    return pixels


def read_frame(file: Path, bits: int) -> Photograph:
    """Read a frame as RGB in sRGB, on white, of 8 or 16 bits."""
    photograph = read_photograph(_open_frame(file))
    pixels = plain_pixels(photograph, photograph.metadata.profile)
    if bits > 8 and pixels.itemsize == 1:
        pixels = pixels.astype(np.uint16) * 257
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return Photograph(pixels=np.ascontiguousarray(pixels))


def sample_frames(folder: Path) -> Iterator[tuple[Photograph, str]]:
    """Yield a few frames spread over a folder, each with the format of its file."""
    files = find_frames(folder).files
    step = -(-len(files) // SAMPLES)
    for file in files[::step]:
        header = _open_frame(file)
        yield read_frame(file, header.bits), header.format


@dataclass(frozen=True)
class Schedule:
    """When frames are shown."""

    starts: Sequence[int]
    """In units of the time base."""
    time_base: Fraction
    """Seconds."""
    pace: Pace

    def timing(self, index: int) -> Timing:
        """Return start and duration of a frame; the last one takes as long as that before."""
        nearest = min(index, len(self.starts) - 2)
        duration = 1
        if nearest >= 0:
            duration = self.starts[nearest + 1] - self.starts[nearest]
        return Timing(self.starts[index], duration)


def _find_table(frame_folder: FrameFolder) -> Path | None:
    """Return the table of times in a folder: that of the frames' name, or the only one."""
    tables = sorted(frame_folder.folder.glob(f"*{FRAME_TABLE_SUFFIX}"))
    for table in tables:
        if table.stem == frame_folder.name.removesuffix("_"):
            return table
    return tables[0] if len(tables) == 1 else None


def schedule_of(frame_folder: FrameFolder, rate: Fraction | None) -> Schedule:
    """Return when frames are shown: at a rate, or by the table in their folder.

    Raises:
        PictureError: If there is neither, or the table is of other frames.
    """
    count = len(frame_folder.files)
    if rate is not None:
        return Schedule(range(count), 1 / rate, Pace(rate, is_constant=True))
    table = _find_table(frame_folder)
    if table is None:
        raise PictureError(
            f"{frame_folder.folder}: nothing says how many of its frames are shown in a "
            "second; give --rate 24, or another number or fraction, such as --rate 30000/1001"
        )
    times = _read_times(table)
    if len(times) != count:
        raise PictureError(
            f"{table}: has {len(times)} times for {count} frames; bring back what is missing, "
            "or give --rate"
        )
    ticks = [round(time * _TICKS / 1000) for time in times]
    pace = pace_of(ticks, 1 / _TICKS)
    if pace.is_constant:
        shown = [round(time * pace.rate / 1000) for time in map(Fraction, times)]
        exact = [float(start / pace.rate) * 1000 for start in shown]
        if np.allclose(exact, times, rtol=0, atol=_EXACT_MILLISECONDS):
            return Schedule(shown, 1 / pace.rate, pace)
    return Schedule(ticks, Fraction(1, _TICKS), pace)
