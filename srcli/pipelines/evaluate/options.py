"""Options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import UsageError, did_you_mean
from srcli.evaluation.pairs import CHAINS, KERNELS
from srcli.metrics.fidelity import (
    LUMA_FLOAT,
    PROTOCOLS,
    EvaluationProtocol,
    require_perceptual,
)
from srcli.metrics.registry import DEFAULT_METRICS, METRICS

if TYPE_CHECKING:
    from srcli.inference.device import Precision

BY_TILES = "srx upscale the LR pictures, then srx eval --sr FOLDER"
"""The way of results that are not those of a network on whole pictures."""


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Options of an evaluation, apart from models, sets and scales.

    ``auto`` precision is fp32 here: a hundredth of a decibel matters in a table.
    """

    device: str = "auto"
    precision: Precision = "auto"
    tta: bool = False
    value_range: int | None = None
    """White inside a network of other software; see ``EngineOptions``."""
    protocol: str | None = None
    """A key of ``PROTOCOLS``; None is ``y``, or the chain's own."""
    chain: str = "rgb8"
    kernel: str = "bicubic"
    jpeg: int | None = None
    """Quality (1..100) of a JPEG that LR is saved as first; None for none."""
    metrics: tuple[str, ...] = DEFAULT_METRICS
    shave: int | None = None
    """Border left out on each side, in HR pixels; None is the scale."""
    costs: bool = True
    """Measure parameters, MACs and memory of each model."""
    published: str | None = None
    """Rows of papers to add: ``models`` for those of the models measured, or
    ``all``."""
    lr_folder: Path | None = None
    """LR pictures of the only set, if they are not where sets usually have them."""

    def __post_init__(self) -> None:
        """Refuse unknown names and options that contradict each other."""
        for option, names, table in (
            ("--protocol", (self.protocol or "y",), PROTOCOLS),
            ("--chain", (self.chain,), CHAINS),
            ("--kernel", (self.kernel,), KERNELS),
            ("--metrics", self.metrics, METRICS),
        ):
            for name in names:
                if name not in table:
                    hint = did_you_mean(name, table)
                    raise UsageError(
                        f"{option} {name}{hint}: there are {', '.join(table)}"
                    )
        if not self.metrics:
            raise UsageError(f"--metrics: name at least one of {', '.join(METRICS)}")
        if self.on_luma:  # it makes LR by bicubic and does not round it
            for name, default in (
                ("protocol", None),
                ("jpeg", None),
                ("kernel", "bicubic"),
            ):
                if getattr(self, name) != default:
                    raise UsageError(
                        f"--chain luma-float has a {name} of its own; drop --{name}"
                    )
        require_perceptual(name for name in self.metrics if METRICS[name].needs_piq)

    @property
    def on_luma(self) -> bool:
        """True if Y alone goes through the model."""
        return self.chain == LUMA_FLOAT.name

    @property
    def rules(self) -> EvaluationProtocol:
        """The protocol by which pictures are compared."""
        if self.on_luma:
            return LUMA_FLOAT
        return PROTOCOLS[self.protocol or "y"]

    def resolve_shave(self, scale: int) -> int:
        """Return the border left out on each side at a scale, in HR pixels."""
        if self.shave is None:
            return scale
        return self.shave

    def describe(self, lr: str) -> str:
        """Describe everything that decides the scores; ``lr`` is the origin of LR."""
        border = "scale" if self.shave is None else str(self.shave)
        jpeg = ""
        if self.jpeg is not None:
            jpeg = f", LR from a JPEG of quality {self.jpeg} (4:2:0)"
        run = "whole pictures"
        if self.tta:
            run += ", mean over 8 flips and rotations"
        return (
            f"protocol {self.rules.name}: {self.rules.description}, border of "
            f"{border} pixels left out; LR: {lr}; "
            f"chain {self.chain}: {CHAINS[self.chain]}{jpeg}; "
            f"{self.precision}, {run}"
        )
