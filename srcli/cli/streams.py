"""``-`` for one picture from standard input or to standard output, and lines of ``--report``."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from srcli.cli.console import echo
from srcli.errors import PictureError, SrxError, UsageError
from srcli.files import FileAttributes, explain_os_error
from srcli.supervision import Event, announce

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import FileReport

STREAM = Path("-")
"""Standard input, or standard output."""


@contextmanager
def open_streams(
    inputs: Sequence[Path], output: Path, options: Settled
) -> Iterator[tuple[Sequence[Path], Path, Callable[[str], str]]]:
    """Yield inputs and output as files, and a function for texts that name them.

    Where ``-`` is among them, it becomes a temporary file, whose folder the function
    removes from a text; where the output is in a bucket, the function puts in its name.
    A picture for standard output is copied there at the end.
    """
    from srcli.imaging.rasters.dataset_names import DatasetName, as_input
    from srcli.pipelines.upscale.inputs import pair_in_folder

    if STREAM not in (*inputs, output):
        shorten: Callable[[str], str] = str
        if isinstance(as_input(output), DatasetName):
            from srcli.pipelines.upscale.remote import find_remote

            remote = find_remote(output, options)
            if remote:
                shorten = remote.shown
        yield inputs, output, shorten
        return

    _check_streams(inputs, output, options)
    with TemporaryDirectory(prefix="srx-") as name:
        announce(Event.MAKE, name)
        folder = Path(name)
        source = inputs[0]
        target = output
        if source == STREAM:
            source = _copy_from_stdin(folder)
        if output == STREAM:
            target = (
                folder
                / f"standard output.{pair_in_folder(source, folder, options).format}"
            )

        def shorten(text: str) -> str:
            return text.replace(str(folder) + os.sep, "")

        yield [source], target, shorten
        if output == STREAM and target.exists():
            if {*folder.iterdir()} - {source, target}:
                echo(
                    "warning: standard output: georeference or tags that this format keeps in "
                    "files beside the picture are left out; -f tif holds them",
                    err=True,
                )
            _copy_to_stdout(target)


@contextmanager
def shortening(shorten: Callable[[str], str]) -> Iterator[None]:
    """Give files the names that the user knows in an error that ends the block, too."""
    try:
        yield
    except SrxError as error:
        error.args = (shorten(str(error)),)
        raise


def _check_streams(inputs: Sequence[Path], output: Path, options: Settled) -> None:
    from srcli.pipelines.upscale.inputs import is_folder

    if len(inputs) > 1 or (output == STREAM and inputs[0].is_dir()):
        raise UsageError(
            "-: standard input and output hold one picture, which is upscaled alone"
        )
    if inputs[0] == STREAM and output != STREAM and is_folder(output, options):
        raise UsageError(
            f"{output}: give a file name for the picture from standard input"
        )
    if inputs[0] == STREAM and (not sys.stdin or sys.stdin.isatty()):
        raise UsageError(
            "-: standard input is closed or a terminal; give it a picture: < in.png"
        )
    if output == STREAM and (not sys.stdout or sys.stdout.isatty()):
        raise UsageError(
            "-: standard output is closed or a terminal; redirect it: > out.png"
        )


def _copy_to_stdout(picture: Path) -> None:
    try:
        with picture.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        with suppress(OSError):  # or Python would try to write the rest at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise PictureError(
            "standard output: was closed before all was written"
        ) from None


def _copy_from_stdin(folder: Path) -> Path:
    """Copy standard input into a file with the suffix of its format, and as private.

    By this name, an output is known to be of another picture from standard input.
    """
    from srcli.imaging.files.formats import format_of_content

    announce(Event.CONSUME)
    stdin = sys.stdin.buffer
    head = stdin.read(64)
    path = folder / "standard input"
    name = format_of_content(head)
    if name:
        path = path.with_suffix(f".{name}")
    with path.open("xb") as file:
        file.write(head)
        shutil.copyfileobj(stdin, file)
    attributes = FileAttributes(times=(0, 0))  # a pipe has no times
    with suppress(OSError):
        state = os.fstat(stdin.fileno())
        if stat.S_ISREG(state.st_mode):
            times = state.st_atime_ns, state.st_mtime_ns
            attributes = FileAttributes(stat.S_IMODE(state.st_mode) | 0o600, times)
    attributes.apply(path)
    return path


class ReportLines:
    """Writer of ``--report``: a line of JSON for each file; without a path it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.failed = False
        """True once a line could not be written; the report holds those before it."""
        self._stream = None if path is None else _open_report(path)
        self._length = 0

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def write(self, file: FileReport, shorten: Callable[[str], str]) -> None:
        """Write the line of a file; if that fails, print one error and take no more lines."""
        if self._stream is None or self.failed:
            return
        line = _format_line(file, shorten).encode()
        try:
            self._append(line)
        except OSError as error:
            self.failed = True
            with suppress(OSError):  # half a line is none
                self._stream.truncate(self._length)
            reason = explain_os_error(
                Path(), error, other=f"cannot be written ({error.strerror})"
            )
            reason = reason.removeprefix(".: ").partition(";")[0]
            echo(
                f"error: --report {self.path}: {reason}; the report ends before {file.source}, "
                "upscaling goes on",
                err=True,
            )

    def _append(self, line: bytes) -> None:
        assert self._stream is not None
        written = 0
        while written < len(line):  # a disk that becomes full takes a part
            written += self._stream.write(line[written:]) or 0
        self._length += len(line)


def _open_report(path: Path) -> IO[bytes]:
    """Open a report for writing; refuse an existing file that is no report."""
    if path == STREAM:
        raise UsageError("--report -: give the name of a file, such as report.jsonl")
    try:
        if path.is_file():
            with path.open("rb") as former:
                if former.read(1) not in (b"", b"{"):
                    raise UsageError(
                        f"--report {path}: exists and is no report; give another name, or remove it"
                    )
        return path.open("wb", buffering=0)
    except OSError as error:
        raise UsageError(
            f"--report {path}: cannot be written ({error.strerror})"
        ) from error


def _format_line(file: FileReport, shorten: Callable[[str], str]) -> str:
    height, width = file.size or (None, None)
    plain = {
        "source": shorten(str(file.source)),
        "target": None if file.state == "left out" else shorten(str(file.target)),
        "state": file.state,
        "seconds": round(file.seconds, 3),
        "model": file.model or None,
        "strength": file.strength,
        "condition": file.condition or None,
        "tiles": file.tiles,
        "height": height,
        "width": width,
        "warnings": file.warnings,
        "error": shorten(file.error) or None,
    }
    line = json.dumps(plain, ensure_ascii=False)
    # bytes that are not UTF-8 stand as \udcXX, which os.fsencode turns into the same
    # name again
    if not line.isprintable():
        line = json.dumps(plain)
    return line + "\n"
