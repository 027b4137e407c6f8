"""Score one SR picture against its HR picture by every metric asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from srcli.errors import DataError
from srcli.evaluation.chains import Chain
from srcli.imaging.kernels import ResizeKernel
from srcli.metrics import fidelity, ifc
from srcli.metrics.protocol import EvaluationProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from srcli.evaluation.pairs import Pair

    Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Everything that decides scores at one scale, apart from the pictures."""

    protocol: EvaluationProtocol
    chain: Chain
    kernel: ResizeKernel
    scale: int
    shave: int
    """Border left out on each side, in pixels."""
    metrics: tuple[str, ...]

    def require_size(self, pair: Pair, where: str) -> None:
        """Refuse a picture that is too small for a metric.

        Args:
            pair: The picture.
            where: Its name in messages.

        Raises:
            DataError: With the size that is needed.
        """
        needs = {"ssim": fidelity.WINDOW, "ifc": ifc.MINIMUM}
        least = max(needs.get(name, 1) for name in self.metrics) + 2 * self.shave
        height, width = pair.hr.shape[:2]
        if min(height, width) < least:
            remedy = "; --metrics psnr,ssim need less" if "ifc" in self.metrics else ""
            raise DataError(
                f"{where}: {width}x{height} is too small to be measured; {', '.join(self.metrics)} "
                f"with a border of {self.shave} left out need {least}x{least} pixels{remedy}"
            )


class Reference:
    """One HR picture, prepared for scoring the SR pictures of all candidates.

    Args:
        pair: HR and LR.
        settings: Protocol, chain and border.
    """

    def __init__(self, pair: Pair, settings: ScoreSettings) -> None:
        self._pair = pair
        self._settings = settings

    def score(self, sr: Array, metrics: Sequence[str]) -> dict[str, float]:
        """Return the wanted metrics of (H, W, 3) uint8 of the HR picture's size."""
        planes = self._planes(sr) if {"psnr", "ssim"} & set(metrics) else sr
        measures: dict[str, Callable[[], float]] = {
            "psnr": lambda: fidelity.psnr(planes, self._hr),
            "ssim": lambda: fidelity.ssim(planes, self._hr),
            "ifc": lambda: self._ifc_reference.score(self._luma(sr)),
            "consistency": lambda: self._consistency(sr),
        }
        return {name: measures[name]() for name in metrics}

    @cached_property
    def _hr(self) -> Array:
        return self._planes(self._pair.hr)

    @cached_property
    def _ifc_reference(self) -> ifc.IfcReference:
        on_luma = self._settings.protocol.channel != "rgb"
        return ifc.IfcReference(self._hr if on_luma else self._luma(self._pair.hr))

    def _planes(self, picture: Array, shave: int | None = None) -> Array:
        shave = self._settings.shave if shave is None else shave
        return self._settings.protocol.planes(picture, shave, gray=self._pair.gray)

    def _luma(self, picture: Array) -> Array:
        own = self._settings
        return own.protocol.luma_plane(picture, own.shave, gray=self._pair.gray)

    def _consistency(self, sr: Array) -> float:
        own, lr = self._settings, self._pair.lr
        small = own.chain.downscale(sr, own.scale, own.kernel)
        if lr.dtype.kind == "f":
            return fidelity.psnr(own.chain.to_levels(small), own.chain.to_levels(lr))
        return fidelity.psnr(self._planes(small, 0), self._planes(lr, 0))
