"""``-`` for one picture from standard input or to standard output, and lines of ``--report``."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from srcli.cli.console import echo
from srcli.errors import PictureError, SrxError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import FileReport

STREAM = Path("-")
"""Standard input, or standard output."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Inputs and output of a run, with temporary files in place of standard input and output."""

    inputs: list[Path]
    output: Path
    to_stdout: bool = False
    """The picture goes to standard output: all else that is printed goes to standard error."""
    names: tuple[tuple[str, str], ...] = ()
    """Temporary files, each with its name for the user."""

    def named(self, text: str) -> str:
        """Return a text for the user without names of temporary files."""
        for path, name in self.names:
            text = text.replace(path, name)
        return text

    def report(self, file: FileReport) -> FileReport:
        """Return a report without names of temporary files."""
        if not self.names:
            return file
        source, target = (Path(self.named(str(path))) for path in (file.source, file.target))
        return replace(file, source=source, target=target, error=self.named(file.error))

    def send(self) -> None:
        """Copy the finished picture to standard output."""
        if any(path != self.output for path in self.output.parent.iterdir()):
            echo(
                "warning: standard output: georeference or tags that this format keeps in files "
                "beside the picture are left out; -f tif holds them",
                err=True,
            )
        try:
            with self.output.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()
        except BrokenPipeError:
            with suppress(OSError):  # nothing is left for Python to write at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise PictureError("standard output: was closed before all was written") from None


@contextmanager
def open_streams(
    inputs: Sequence[Path], output: Path, options: UpscaleOptions
) -> Iterator[Streams]:
    """Yield inputs and output as files; ``-`` among them becomes a temporary one."""
    if STREAM not in (*inputs, output):
        yield Streams(inputs=list(inputs), output=output)
        return
    from srcli.pipelines.upscale.plan import name_in_folder

    _check_streams(inputs, output)
    with TemporaryDirectory(prefix="srx-") as folder:
        source, target, names = inputs[0], output, []
        if source == STREAM:
            # also by this name, an output is known to be of another picture from standard input
            source = _receive(Path(folder) / "stdin")
            names.append((str(source), "standard input"))
        if output == STREAM:
            place = Path(folder) / "stdout"
            place.mkdir()
            target = place / f"standard output.{name_in_folder(source, place, options).format}"
            names.append((str(target), "standard output"))
        streams = Streams(
            inputs=[source], output=target, to_stdout=output == STREAM, names=tuple(names)
        )
        try:
            yield streams
        except SrxError as error:
            error.args = (streams.named(str(error)),)
            raise


def _check_streams(inputs: Sequence[Path], output: Path) -> None:
    from srcli.pipelines.upscale.plan import is_folder

    if len(inputs) > 1 or (output == STREAM and inputs[0].is_dir()):
        raise UsageError("-: standard input and output hold one picture, which is upscaled alone")
    if inputs[0] == STREAM and output != STREAM and is_folder(output):
        raise UsageError(f"{output}: give a file name for the picture from standard input")
    if inputs[0] == STREAM and sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal; give it a picture: < in.png")
    if output == STREAM and sys.stdout.isatty():
        raise UsageError(
            "-: standard output is a terminal, which shows no pictures; redirect it: > out.png"
        )


def _receive(folder: Path) -> Path:
    """Copy standard input into a file that is named by its format, and as private."""
    from srcli.imaging.photograph import format_of_content

    stdin = sys.stdin.buffer
    head = stdin.read(64)
    name = format_of_content(head)
    folder.mkdir()
    path = folder / f"standard input{f'.{name}' if name else ''}"
    with path.open("xb") as file:
        file.write(head)
        shutil.copyfileobj(stdin, file)
    times = 0, 0  # a pipe has none
    with suppress(OSError):
        state = os.fstat(stdin.fileno())
        if stat.S_ISREG(state.st_mode):
            path.chmod(stat.S_IMODE(state.st_mode) | 0o600)
            times = state.st_atime_ns, state.st_mtime_ns
    os.utime(path, ns=times)
    return path


@contextmanager
def report_lines(path: Path | None) -> Iterator[Callable[[FileReport], None]]:
    """Yield a function that writes one line per file at once; without a path it does nothing.

    Names of pictures and files that are no report are refused, as opening the report empties it.
    If writing fails later, one warning is printed and the run goes on.
    """
    from srcli.pipelines.upscale.plan import SUFFIXES

    if path is None:
        yield lambda file: None
        return
    # all outputs and nearly all inputs have such a suffix; others are recognised by content
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(
            f"--report {path}: is the name of a picture; give another, such as report.jsonl"
        )
    try:
        if path.is_file():
            with path.open("rb") as former:
                if former.read(1) not in (b"", b"{"):
                    raise UsageError(
                        f"--report {path}: exists and is no report; give another name, or remove it"
                    )
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--report {path}: cannot be written ({error.strerror})") from error

    def write(file: FileReport) -> None:
        if stream.closed:
            return
        try:
            stream.write(_line_of(file))
            stream.flush()
        except OSError as error:
            with suppress(OSError):  # writes the rest once more
                stream.close()
            echo(
                f"warning: --report {path}: cannot be written ({error.strerror}); the report ends "
                f"before {file.source}, upscaling goes on",
                err=True,
            )

    try:
        yield write
    finally:
        with suppress(OSError):
            stream.close()


def _line_of(file: FileReport) -> str:
    r"""Return a report as a line of JSON.

    Bytes of file names that are not UTF-8 stand as ``\udcXX``, which ``json.loads`` and
    ``os.fsencode`` turn into the same name again.
    """
    height, width = file.size or (None, None)
    plain = {
        "source": str(file.source),
        "target": str(file.target),
        "state": file.state,
        "seconds": round(file.seconds, 3),
        "model": file.model or None,
        "condition": file.condition or None,
        "tiles": file.tiles,
        "height": height,
        "width": width,
        "warnings": file.warnings,
        "error": file.error or None,
    }
    line = json.dumps(plain, ensure_ascii=False)
    return (line if line.isprintable() else json.dumps(plain)) + "\n"
