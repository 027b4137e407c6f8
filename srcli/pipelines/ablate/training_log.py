"""What the log of a training tells of it: curves of validation, and the time of an iteration."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from srcli.training.monitor import LOG_STEPS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainingLog:
    """The parts of a log that an ablation shows."""

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """By set: iteration and PSNR-Y in dB of every validation."""
    seconds: float | None = None
    """Median time of an iteration; None where too few were run to tell."""


def read_log(file: Path) -> TrainingLog:
    """Read ``log.jsonl``; lines that are damaged, and a log that is missing, tell nothing."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return TrainingLog()
    curves: dict[str, list[tuple[int, float]]] = {}
    speeds: list[float] = []
    for line in lines:
        entry = _entry(line)
        # Some few iterations, which have no entry or say no number in older logs, tell no speed.
        whole = entry.get("iterations", LOG_STEPS) >= LOG_STEPS
        if entry.get("event") == "train" and whole and entry.get("per_second"):
            speeds.append(float(entry["per_second"]))
        if entry.get("event") != "validation":
            continue
        for dataset, psnr in entry.get("sets", {}).items():
            if isinstance(psnr, float):
                curves.setdefault(dataset, []).append((int(entry["total"]), psnr))
    return TrainingLog(curves=curves, seconds=1 / median(speeds) if speeds else None)


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
