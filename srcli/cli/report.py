"""Write a JSON line for every file of a run (``--report``)."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from srcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from srcli.pipelines.upscale.reporter import FileReport


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
        _check(path)
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
            click.echo(
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
    r"""Return a report as a line of JSON.

    Args:
        file: Result of a file.

    Returns:
        A line that UTF-8 can encode. Bytes of file names that are not UTF-8 stand as ``\udcXX``,
        which ``json.loads`` and ``os.fsencode`` turn into the same name again.
    """
    plain = {
        "source": str(file.source),
        "target": str(file.target),
        "state": file.state,
        "seconds": round(file.seconds, 3),
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


def _check(path: Path) -> None:
    """Refuse names of pictures and files that are no report, as opening the report empties it."""
    from srcli.imaging.formats import READABLE_SUFFIXES
    from srcli.imaging.rasters.detection import RASTER_SUFFIXES

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
