"""Write results as text: whole files atomically, pipes directly, ``--report`` line by line."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srcli.cli.console import echo
from srcli.errors import UsageError
from srcli.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from srcli.pipelines.upscale.reporter import FileReport


def write_formats(
    targets: Mapping[str, str | None], texts: Mapping[str, Callable[[], str]]
) -> None:
    """Write a result to the file of each option that was given, as ``write_text`` does.

    Raises:
        UsageError: If a file cannot be written.
    """
    for option, text in texts.items():
        if target := targets[option]:
            write_text(target, text())


def json_text(value: object) -> str:
    """Return plain values as lines of JSON; numbers that are not finite become null."""
    plain = json.loads(json.dumps(value), parse_constant=lambda _: None)  # NaN, Infinity
    return json.dumps(plain, indent=2) + "\n"


def write_json(target: str, value: object) -> None:
    """Write plain values as JSON, as ``write_text`` does.

    Raises:
        UsageError: If the file cannot be written.
    """
    write_text(target, json_text(value))


def write_text(target: str, text: str) -> None:
    """Write text to a file, or for '-' to standard output.

    A new or regular file is written whole or not at all; pipes and devices are written to directly.
    Characters that UTF-8 cannot encode, such as odd bytes of a file's name, are escaped.

    Raises:
        UsageError: If the file cannot be written.
    """
    if target == "-":
        escape_names()
        click.echo(text, nl=False)
        return
    file = Path(target)
    data = text.encode("utf-8", "backslashreplace")
    try:
        if is_replaceable(file):
            _replace(real_place(file), data)
        else:
            _pour(file, data)
    except BrokenPipeError:
        # the reader needs no more, as 'head' does: no failure of this command
        echo(f"warning: {target}: closed by its reader before the end", err=True)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror or error})") from error


def is_replaceable(file: Path) -> bool:
    """Return True if a name is free or a regular file, so that a new file may take its place.

    Pipes, devices and the files of standard output and error are not.

    Raises:
        OSError: If the name cannot be looked up.
    """
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return stat.S_ISREG(found.st_mode) and _standard(found) is None


def real_place(file: Path) -> Path:
    """Return the target of a link, else the name itself, so that links are kept.

    Raises:
        OSError: If links lead in a circle.
    """
    return file.resolve() if file.is_symlink() else file


def escape_names() -> None:
    r"""Make standard output escape characters that it cannot encode, such as ``\udcff``.

    File names may hold any bytes, and printing one must not end the command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _standard(found: os.stat_result) -> int | None:
    """Return 1 or 2 if standard output or error writes to this file, as /dev/stdout names it."""
    for number in (1, 2):
        with suppress(OSError):  # a closed one
            if os.path.samestat(os.fstat(number), found):
                return number
    return None


def _replace(file: Path, data: bytes) -> None:
    with replacing(file) as stream:
        stream.write(data)
        with suppress(FileNotFoundError):
            Path(stream.name).chmod(stat.S_IMODE(file.stat().st_mode))


def _pour(file: Path, data: bytes) -> None:
    number = _standard(file.stat())
    if number is None:
        with file.open("wb") as stream:
            stream.write(data)
        return
    # at the stream's own position: earlier output stays, and more may follow
    (sys.stdout if number == 1 else sys.stderr).flush()
    with os.fdopen(os.dup(number), "wb") as stream:
        stream.write(data)


@contextmanager
def report_lines(path: Path | None) -> Iterator[Callable[[FileReport], None]]:
    """Yield a function that writes one line per file at once; without a path it does nothing.

    If writing fails later, one warning is printed and the run goes on.

    Raises:
        UsageError: If the file cannot be written, has the name of a picture, or holds anything but
            an earlier report.
    """
    if path is None:
        yield lambda file: None
        return
    try:
        _refuse_other_files(path)
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--report {path}: cannot be written ({error.strerror})") from error
    failed = False

    def write(file: FileReport) -> None:
        nonlocal failed
        if failed:
            return
        try:
            stream.write(line_of(file))
            stream.flush()
        except OSError as error:
            failed = True
            echo(
                f"warning: --report {path}: cannot be written ({error.strerror}); the report ends "
                f"before {file.source}, upscaling goes on",
                err=True,
            )

    try:
        yield write
    finally:
        with suppress(OSError):  # writes the rest once more; that failure was told already
            stream.close()


def line_of(file: FileReport) -> str:
    r"""Return a report as a line of JSON that UTF-8 can encode.

    Bytes of file names that are not UTF-8 stand as ``\udcXX``, which ``json.loads`` and
    ``os.fsencode`` turn into the same name again.
    """
    plain = {
        "source": str(file.source),
        "target": str(file.target),
        "state": file.state,
        "seconds": round(file.seconds, 3),
        "model": file.model or None,
        "tiles": file.tiles,
        "height": file.size[0] if file.size else None,
        "width": file.size[1] if file.size else None,
        "warnings": list(file.warnings),
        "error": file.error or None,
    }
    line = json.dumps(plain, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(plain)
    return line + "\n"


def _refuse_other_files(path: Path) -> None:
    """Refuse names of pictures and files that are no report, as opening the report empties it."""
    from srcli.imaging.formats import READABLE_SUFFIXES
    from srcli.imaging.rasters.opening import RASTER_SUFFIXES

    # all outputs and nearly all inputs have such a suffix; others are recognised by content
    if path.suffix.lower() in READABLE_SUFFIXES | RASTER_SUFFIXES:
        raise UsageError(
            f"--report {path}: is the name of a picture; give another, such as report.jsonl"
        )
    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(1) not in (b"", b"{"):
                raise UsageError(
                    f"--report {path}: exists and is no report; give another name, or remove it"
                )
