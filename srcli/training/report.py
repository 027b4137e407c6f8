"""What a training tells of itself: loss and speed between two reports, and the log file."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from srcli.errors import InferenceError
from srcli.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Span:
    """Some iterations in a row."""

    means: dict[str, float]
    """Of their scalars, by name."""
    per_second: float
    iterations: int


class Meter:
    """Means and speed between two reports; asks the device for the values only when read."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._count = 0
        self._start = time.monotonic()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Note the scalars of one iteration, such as its loss."""
        self._count += 1
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    @property
    def age(self) -> float:
        """Seconds since the last report."""
        return time.monotonic() - self._start

    def take(self) -> Span | None:
        """Return what was since the last report, if there were any iterations.

        Raises:
            InferenceError: If a value was not finite.
        """
        if not self._count:
            return None
        found: list[float] = torch.stack(
            [torch.stack(values).mean() for values in self._values.values()]
        ).tolist()
        means = dict(zip(self._values, found, strict=True))
        per_second = self._count / max(self.age, 1e-9)
        span = Span(means=means, per_second=per_second, iterations=self._count)
        self._values.clear()
        self._count = 0
        self._start = time.monotonic()
        if not all(math.isfinite(mean) for mean in found):
            raise diverged()
        return span


def diverged() -> InferenceError:
    """Return the error of a training whose loss or weights are no longer finite."""
    return InferenceError(
        "the training has diverged: the loss or a weight is not a finite number",
        advice="what was saved before is kept. Train in another --out, from the best weights "
        "(--init .../best.safetensors) or anew, with a lower rate (--set "
        "stages.0.optimizer.learning_rate=...), with clipping (--set stages.0.optimizer.clip_norm=1"
        ") or in --precision fp32",
    )


class LogFile:
    """JSON lines, each with the number of the iteration (``total``) it belongs to.

    Args:
        path: The file; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, entry: dict[str, object]) -> None:
        """Append an entry; numbers that JSON does not know become null."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in entry.items()
        }
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(finite) + "\n")

    def rewind(self, total: int) -> None:
        """Drop what was logged after iteration ``total``, and a half-written last line.

        A killed run has logged iterations that its checkpoint does not know; they will come again.
        """
        if not self.path.is_file():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if _belongs(line, total)]
        if kept != lines:
            write_whole(self.path, b"".join(kept))


def _belongs(line: bytes, total: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(entry, dict) and entry.get("total", 0) <= total
