"""The log of a training: means of losses, speed, and the file of JSON lines."""

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


def diverged() -> InferenceError:
    """Return the error of a training whose loss or weights are no longer finite."""
    return InferenceError(
        "the training has diverged: the loss or a weight is not a finite number",
        advice="what was saved before is kept. Train in another --out, from the best weights "
        "(--init .../best.safetensors) or anew, with a lower rate (--set "
        "stages.0.optimizer.learning_rate=...), with clipping (--set stages.0.optimizer.clip_norm=1"
        ") or in --precision fp32",
    )


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Means over some iterations in a row."""

    means: dict[str, float]
    """Of the scalars of each iteration, by name."""
    per_second: float
    """Iterations a second."""
    iterations: int


class AverageMeter:
    """Collect scalars of iterations; values are copied from the device only when read."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._count = 0
        self._start = time.monotonic()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of one iteration, such as its loss."""
        self._count += 1
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    @property
    def age(self) -> float:
        """Seconds since the last call of ``take``."""
        return time.monotonic() - self._start

    def take(self) -> Averages | None:
        """Return the means since the last call, and begin anew; None without any iteration.

        Raises:
            InferenceError: If a mean is not finite.
        """
        if not self._count:
            return None
        found: list[float] = torch.stack(
            [torch.stack(values).mean() for values in self._values.values()]
        ).tolist()
        averages = Averages(
            means=dict(zip(self._values, found, strict=True)),
            per_second=self._count / max(self.age, 1e-9),
            iterations=self._count,
        )
        self._values.clear()
        self._count = 0
        self._start = time.monotonic()
        if not all(math.isfinite(mean) for mean in found):
            raise diverged()
        return averages


class LogFile:
    """JSON lines, each with the number of the iteration (``total``) it belongs to.

    Args:
        path: The file; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, entry: dict[str, object]) -> None:
        """Append an entry; infinite numbers and NaN become null."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in entry.items()
        }
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(finite) + "\n")

    def rewind(self, total: int) -> None:
        """Drop entries after iteration ``total``, and a half-written last line.

        A killed run has logged iterations after its checkpoint; they will be done again.
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
