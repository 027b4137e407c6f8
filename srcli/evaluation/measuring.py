"""Score one SR picture against its HR picture, on every metric asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from srcli.errors import DataError
from srcli.evaluation.chains import Chain
from srcli.imaging.kernels import Kernel
from srcli.metrics import ifc
from srcli.metrics.fidelity import psnr, ssim
from srcli.metrics.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from srcli.evaluation.pairs import Pair

    Array = NDArray[Any]

SSIM_WINDOW = 11


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How pictures are scored, whatever made them."""

    protocol: Protocol
    chain: Chain
    kernel: Kernel
    scale: int
    shave: int
    """Pixels left out on each side."""
    metrics: tuple[str, ...]

    @property
    def least(self) -> int:
        """Shortest side of an HR picture that can be measured, in pixels."""
        needs = [1]
        if "ssim" in self.metrics:
            needs.append(SSIM_WINDOW)
        if "ifc" in self.metrics:
            needs.append(ifc.MINIMUM)
        return max(needs) + 2 * self.shave

    def check(self, pair: Pair, where: str) -> None:
        """Refuse a picture that is too small.

        Raises:
            DataError: With the size that is needed.
        """
        height, width = pair.hr.shape[:2]
        if min(height, width) < self.least:
            raise DataError(
                f"{where}: {width}x{height} is too small to be measured; {', '.join(self.metrics)} "
                f"with a border of {self.shave} left out need {self.least}x{self.least} pixels"
                + (
                    "; --metrics psnr,ssim need less"
                    if self.least > SSIM_WINDOW + 2 * self.shave
                    else ""
                )
            )


class Reference:
    """One HR picture made ready, for all models that are scored against it.

    Args:
        pair: HR and LR.
        measure: How to score.
    """

    def __init__(self, pair: Pair, measure: Measure) -> None:
        self.pair = pair
        self.measure = measure

    def score(self, sr: Array, metrics: Sequence[str]) -> dict[str, float]:
        """Score (H, W, 3) uint8 of the HR picture's size."""
        planes = self._planes(sr) if {"psnr", "ssim"} & set(metrics) else sr
        measures: dict[str, Callable[[], float]] = {
            "psnr": lambda: psnr(planes, self._hr),
            "ssim": lambda: ssim(planes, self._hr),
            "ifc": lambda: self._ifc_reference.score(self._luma(sr)),
            "consistency": lambda: self._consistency(sr),
        }
        return {name: measures[name]() for name in metrics}

    @cached_property
    def _hr(self) -> Array:
        return self._planes(self.pair.hr)

    @cached_property
    def _ifc_reference(self) -> ifc.IfcReference:
        on_luma = self.measure.protocol.channel != "rgb"
        return ifc.IfcReference(self._hr if on_luma else self._luma(self.pair.hr))

    def _planes(self, picture: Array) -> Array:
        own = self.measure
        return own.protocol.planes(picture, own.shave, gray=self.pair.gray)

    def _luma(self, picture: Array) -> Array:
        own = self.measure
        return own.protocol.luma_plane(picture, own.shave, gray=self.pair.gray)

    def _consistency(self, sr: Array) -> float:
        own, lr = self.measure, self.pair.lr
        small = own.chain.smaller(sr, own.scale, own.kernel)
        if lr.dtype.kind == "f":
            return psnr(own.chain.levels(small), own.chain.levels(lr))
        return psnr(
            own.protocol.planes(small, 0, gray=self.pair.gray),
            own.protocol.planes(lr, 0, gray=self.pair.gray),
        )
