"""How an evaluation is to be made: protocol, chain, metrics, device; checked once, in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import UsageError
from srcli.evaluation.chains import CHAINS, through_jpeg
from srcli.evaluation.measuring import Measure
from srcli.evaluation.scores import METRICS
from srcli.imaging.kernels import KERNELS
from srcli.inference.engines import EngineOptions
from srcli.metrics.protocol import LUMA_FLOAT, PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Everything that is not a model, a set or a scale."""

    protocol: str | None = None
    """A key of ``PROTOCOLS``; None is ``y``, or what the chain brings with it."""
    chain: str = "rgb8"
    kernel: str = "bicubic"
    jpeg: int | None = None
    """Quality (1..100) of a JPEG that LR goes through; None for none."""
    metrics: tuple[str, ...] = tuple(METRICS)
    shave: int | None = None
    """Border left out on each side, in HR pixels; None is the scale."""
    resamples: int = 10_000
    """Of the bootstrap; 0 gives no intervals."""
    tile: int | None = None
    """LR pixels; None runs pictures whole."""
    costs: bool = True
    """Measure what each model costs."""
    published: str | None = None
    """Rows of papers to add: ``models`` for those of the models measured, or ``all``."""
    cache: Path | None = None
    """Folder of stored scores."""
    lr_folder: Path | None = None
    """LR pictures of the only set, if they are not where sets usually have them."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    """``auto`` precision is fp32 here: a hundredth of a decibel matters in a table."""

    def __post_init__(self) -> None:
        """Refuse what does not exist or fit together.

        Raises:
            UsageError: With the names there are.
        """
        _known("--protocol", self.protocol or "y", PROTOCOLS)
        _known("--chain", self.chain, CHAINS)
        _known("--kernel", self.kernel, KERNELS)
        for name in self.metrics:
            _known("--metrics", name, METRICS)
        if not self.metrics:
            raise UsageError(f"--metrics: name at least one of {', '.join(METRICS)}")
        if self.shave is not None and self.shave < 0:
            raise UsageError(f"--shave must be at least 0, got {self.shave}")
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise UsageError(f"--jpeg must be 1 to 100, got {self.jpeg}")
        if self.resamples < 0:
            raise UsageError(f"--bootstrap must be at least 0, got {self.resamples}")
        if self.chain == LUMA_FLOAT.name:
            if self.protocol is not None:
                raise UsageError("--chain luma-float has a protocol of its own; leave --protocol")
            if self.kernel != "bicubic":
                raise UsageError("--chain luma-float makes LR by bicubic; leave --kernel")
            if self.jpeg is not None:
                raise UsageError("--chain luma-float rounds no LR; leave --jpeg")

    def measure(self, scale: int) -> Measure:
        """How pictures of one scale are scored."""
        luma = self.chain == LUMA_FLOAT.name
        return Measure(
            protocol=LUMA_FLOAT if luma else PROTOCOLS[self.protocol or "y"],
            chain=CHAINS[self.chain] if self.jpeg is None else through_jpeg(self.jpeg),
            kernel=KERNELS[self.kernel],
            scale=scale,
            shave=scale if self.shave is None else self.shave,
            metrics=self.metrics,
        )

    @property
    def engine_options(self) -> EngineOptions:
        """Device and precision, ``auto`` resolved."""
        if self.engine.precision == "auto":
            return replace(self.engine, precision="fp32")
        return self.engine

    @property
    def made(self) -> str:
        """How LR is made, in words."""
        return f"{self.measure(1).kernel.description} of the mod-cropped HR"

    def describe(self, lr: str = "") -> str:
        """Return everything that decides the numbers, in words.

        Args:
            lr: Where LR comes from, if not all of it is made.
        """
        measure = self.measure(1)
        border = "scale" if self.shave is None else str(self.shave)
        run = "whole pictures" if self.tile is None else f"tiles of {self.tile}"
        if self.engine.tta:
            run += ", mean over 8 flips and rotations"
        if self.engine.back_project:
            run += ", back-projected"
        return (
            f"protocol {measure.protocol.name}: {measure.protocol.description}, border of {border} "
            f"pixels left out; LR: {lr or self.made}; "
            f"chain {measure.chain.name}: {measure.chain.description}; "
            f"{self.engine_options.precision}, {run}"
        )


def _known(option: str, name: str, table: Mapping[str, object]) -> None:
    if name not in table:
        raise UsageError(f"{option} {name}: there are {', '.join(table)}")
