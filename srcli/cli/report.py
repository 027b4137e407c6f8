"""JSON lines about every file of a run."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from srcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from srcli.pipelines.report import FileReport


@contextmanager
def report_lines(path: Path | None) -> Iterator[Callable[[FileReport], None]]:
    """Yield a function that writes one line a file, at once; without a path it does nothing.

    Raises:
        UsageError: If the file cannot be written.
    """
    if path is None:
        yield lambda file: None
        return
    try:
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--report {path}: cannot be written ({error.strerror})") from error
    with stream:

        def write(file: FileReport) -> None:
            stream.write(json.dumps(as_json(file), ensure_ascii=False) + "\n")
            stream.flush()

        yield write


def as_json(file: FileReport) -> dict[str, object]:
    """Return a report as plain values."""
    return {
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
