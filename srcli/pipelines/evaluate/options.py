"""Options of an evaluation: protocol, chain, metrics, device; checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from srcli.errors import UsageError, did_you_mean
from srcli.evaluation.scores import DEFAULT_METRICS, METRICS
from srcli.evaluation.sets import CHAINS, Chain
from srcli.imaging.resize import KERNELS, ResizeKernel
from srcli.inference.engines import EngineOptions
from srcli.metrics.fidelity import LUMA_FLOAT, PROTOCOLS, EvaluationProtocol, require_perceptual


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Everything that is not a model, a set or a scale."""

    protocol: str | None = None
    """A key of ``PROTOCOLS``; None is ``y``, or the chain's own."""
    chain: str = "rgb8"
    kernel: str = "bicubic"
    jpeg: int | None = None
    """Quality (1..100) of a JPEG that LR is saved as first; None for none."""
    metrics: tuple[str, ...] = DEFAULT_METRICS
    shave: int | None = None
    """Border left out on each side, in HR pixels; None is the scale."""
    tile: int | None = None
    """LR pixels; None runs pictures whole."""
    costs: bool = True
    """Measure parameters, MACs and memory of each model."""
    published: str | None = None
    """Rows of papers to add: ``models`` for those of the models measured, or ``all``."""
    lr_folder: Path | None = None
    """LR pictures of the only set, if they are not where sets usually have them."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    """``auto`` precision is fp32 here: a hundredth of a decibel matters in a table."""

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
                    raise UsageError(f"{option} {name}{hint}: there are {', '.join(table)}")
        if not self.metrics:
            raise UsageError(f"--metrics: name at least one of {', '.join(METRICS)}")
        if self.chain == LUMA_FLOAT.name:  # it makes LR by bicubic and does not round it
            given = {"protocol": self.protocol, "jpeg": self.jpeg}
            given |= {"kernel": self.kernel != "bicubic" or None}
            for name in (name for name, value in given.items() if value is not None):
                raise UsageError(f"--chain luma-float has a {name} of its own; drop --{name}")
        require_perceptual(name for name in self.metrics if METRICS[name].lower_is_better)

    @property
    def rules(self) -> EvaluationProtocol:
        """The protocol by which pictures are compared."""
        return LUMA_FLOAT if self.chain == LUMA_FLOAT.name else PROTOCOLS[self.protocol or "y"]

    @property
    def conversions(self) -> Chain:
        """The chain; with LR from a JPEG, its chroma at half size, where one is asked for."""
        if self.jpeg is None:
            return CHAINS[self.chain]
        return Chain(
            f"jpeg{self.jpeg}",
            f"uint8 RGB in and out, LR from a JPEG of quality {self.jpeg} (4:2:0)",
            jpeg=self.jpeg,
        )

    @property
    def lr_kernel(self) -> ResizeKernel:
        """The kernel that makes LR."""
        return KERNELS[self.kernel]

    def border(self, scale: int) -> int:
        """Return the pixels of HR that are left out on each side."""
        return scale if self.shave is None else self.shave

    @property
    def engine_options(self) -> EngineOptions:
        """Device and precision, ``auto`` resolved to fp32."""
        own = self.engine
        return replace(own, precision="fp32") if own.precision == "auto" else own

    def describe(self, lr: str) -> str:
        """Describe everything that decides the numbers, with LR's origin."""
        border = "scale" if self.shave is None else str(self.shave)
        run = "whole pictures" if self.tile is None else f"tiles of {self.tile}"
        if self.engine.tta:
            run += ", mean over 8 flips and rotations"
        if self.engine.back_project:
            run += ", back-projected"
        return (
            f"protocol {self.rules.name}: {self.rules.description}, border of "
            f"{border} pixels left out; LR: {lr}; "
            f"chain {self.conversions.name}: {self.conversions.description}; "
            f"{self.engine_options.precision}, {run}"
        )
