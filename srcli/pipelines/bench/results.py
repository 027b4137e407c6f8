"""What a benchmark found: speeds, costs and seams, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from srcli.evaluation.scores import ModelCost
from srcli.metrics.machine import Machine

TRUST = 2.0
"""Without overlap the seam figure must be at least this many times the one with overlap."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One model in one number format on one picture."""

    scale: int
    model: str
    precision: str
    """``fp32``, ``bf16`` or ``fp16``: as it ran."""
    plain: bool
    """fp32 in PyTorch's default layout, tile after tile: what the others are compared with."""
    size: tuple[int, int]
    """LR (height, width) of the picture."""
    tiles: int
    tile: tuple[int, int]
    """(height, width) of a tile, input pixels."""
    overlap: int
    batch: int
    """Tiles at once."""
    conv_macs: int
    """Multiply-accumulates of the convolutions for the picture in one piece."""
    seconds: tuple[float, ...]
    """Of every round, in order: one picture from memory to memory."""
    peak_memory: int | None
    """Bytes that PyTorch held at most beside the weights; None where it keeps no account."""
    times_plain: float | None = None
    """How many times as fast as the plain run of the same model; None without one."""

    @property
    def median(self) -> float:
        """Seconds of one picture."""
        return median(self.seconds)

    @property
    def fastest(self) -> float:
        """Seconds of the fastest round."""
        return min(self.seconds)

    @property
    def slowest(self) -> float:
        """Seconds of the slowest round."""
        return max(self.seconds)

    @property
    def sr_megapixels_per_second(self) -> float:
        """SR pixels a second by the median, in millions."""
        return self.size[0] * self.size[1] * self.scale**2 / 1e6 / self.median

    @property
    def format(self) -> str:
        """Number format, or that it is the plain run."""
        return "plain" if self.plain else self.precision

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, with what follows from the rounds."""
        return {
            **asdict(self),
            "rounds": len(self.seconds),
            "median_seconds": self.median,
            "fastest_seconds": self.fastest,
            "slowest_seconds": self.slowest,
            "pictures_per_second": 1 / self.median,
            "sr_megapixels_per_second": self.sr_megapixels_per_second,
        }


@dataclass(frozen=True, kw_only=True)
class Seams:
    """The seam figure of one model, in levels of 255; see ``srcli.pipelines.bench.seams``."""

    scale: int
    model: str
    precision: str
    tile: int
    overlap: int
    figure: float
    without_overlap: float
    """The figure with an overlap of 0, where seams must show."""

    @property
    def trusted(self) -> bool:
        """Whether the measurement sees seams where they are bound to be; else it is broken."""
        return 0 < self.without_overlap >= TRUST * self.figure

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "trusted": self.trusted}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All figures of a run."""

    machine: Machine
    how: str
    """How times and memory were measured, in words."""
    costs: tuple[ModelCost, ...]
    """Of every model at every scale."""
    speeds: tuple[Speed, ...]
    seams: tuple[Seams, ...]
    seams_picture: str | None
    """File that the seams were measured on, with its size."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "machine": asdict(self.machine),
            "how": self.how,
            "costs": [asdict(cost) for cost in self.costs],
            "speeds": [speed.as_json() for speed in self.speeds],
            "seams": [each.as_json() for each in self.seams],
            "seams_picture": self.seams_picture,
        }
