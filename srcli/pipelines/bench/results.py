"""Results of a benchmark: speeds, costs and seams."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from srcli.evaluation.scores import ModelCost
from srcli.metrics.machine import Machine

TRUST = 2.0
"""Least ratio of the seam figure without overlap to the one with overlap."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Speed of one model in one number format on one picture."""

    scale: int
    model: str
    precision: str
    """``fp32``, ``bf16`` or ``fp16``."""
    plain: bool
    """The reference run: fp32 in PyTorch's default layout, tile after tile."""
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
    """Most bytes that PyTorch held beside the weights; None if it cannot be measured."""
    times_plain: float | None = None
    """Speed as a multiple of the plain run of the same model; None without one."""

    @property
    def median(self) -> float:
        """Median seconds of one picture."""
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
        """Millions of SR pixels per second, by the median."""
        return self.size[0] * self.size[1] * self.scale**2 / 1e6 / self.median

    @property
    def format(self) -> str:
        """Number format, or ``plain``."""
        return "plain" if self.plain else self.precision

    def as_json(self) -> dict[str, Any]:
        """Return all fields and figures derived from them as JSON values."""
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
    """The figure with an overlap of 0, which must be visible."""

    @property
    def trusted(self) -> bool:
        """True if the measurement detects the seams without overlap; else it is broken."""
        return 0 < self.without_overlap >= TRUST * self.figure

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {**asdict(self), "trusted": self.trusted}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All figures of a benchmark."""

    machine: Machine
    how: str
    """Description of the method of measuring."""
    costs: tuple[ModelCost, ...]
    """Of every model at every scale."""
    speeds: tuple[Speed, ...]
    seams: tuple[Seams, ...]
    seams_picture: str | None
    """Name and size of the picture that seams were measured on."""

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {
            "machine": asdict(self.machine),
            "how": self.how,
            "costs": [asdict(cost) for cost in self.costs],
            "speeds": [speed.as_json() for speed in self.speeds],
            "seams": [each.as_json() for each in self.seams],
            "seams_picture": self.seams_picture,
        }
