"""The log of a training: a file of JSON lines, and a copy for TensorBoard."""

from __future__ import annotations

import json
import math
import tempfile
from typing import TYPE_CHECKING, Any, Protocol

from srcli.errors import DataError, UsageError
from srcli.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter

NOT_CURVES = frozenset({"event", "stage", "step", "total", "elapsed", "iterations"})
"""Fields of an entry that are no measurements."""
FLUSH_SECONDS = 10
"""Longest time until an entry is written."""


class LogWriter(Protocol):
    """A copy of the log in another form."""

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write an entry."""

    def close(self) -> None:
        """Write what is left, at the end."""


def write_entry(file: Path, entry: Mapping[str, object]) -> None:
    """Append an entry as a line of JSON; infinite numbers and NaN become null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in entry.items()
    }
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(finite) + "\n")


def rewind(file: Path, total: int) -> None:
    """Drop entries after iteration ``total``, and a half-written last line.

    A killed run has logged iterations after its checkpoint; they will be done again.
    """
    if not file.is_file():
        return
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _belongs(line, total)]
    if kept != lines:
        write_whole(file, b"".join(kept))


def _belongs(line: bytes, total: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(entry, dict) and entry.get("total", 0) <= total


class EventFiles:
    """Write entries of the log as TensorBoard's scalars: ``train/loss``, ``validation/Set5``."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed: pip install tensorboard"
            ) from error
        _require_writable(folder)
        self._make = SummaryWriter
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write the numbers of an entry; see ``LogWriter``."""
        total = entry["total"]
        try:
            if self._writer is None:
                # A resumed training repeats iterations after its checkpoint: "purge_step" drops the
                # entries of the killed run from here on.
                self._writer = self._make(
                    str(self._folder), purge_step=total, flush_secs=FLUSH_SECONDS
                )
            for name, value in scalars(entry).items():
                self._writer.add_scalar(name, value, total)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def close(self) -> None:
        """Write the remaining entries."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the measurements of an entry by name: ``train/loss``, ``validation/Set5``, ..."""
    return {
        f"{entry['event']}/{name}": float(value)
        for name, value in entry.get("sets", entry).items()
        if name not in NOT_CURVES and isinstance(value, int | float)
    }


def _require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, without making it."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        what = "is a file" if nearest == folder else f"{nearest} is a file"
        raise UsageError(f"--tensorboard {folder}: {what}; give a folder")
    try:  # permissions alone would not show read-only file systems
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"--tensorboard {folder}: cannot be written ({error.strerror or error})")
