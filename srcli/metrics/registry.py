"""The metrics of quality that ``srx eval`` measures.

One entry is a metric: its name for ``--metrics``, its column, its legend and the words
of the help follow. A measure of some lines stands in ``fidelity.py``, or in a module of
its own. Nothing that computes is imported before a metric is measured, as ``--help``
names them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from srcli.metrics import fidelity, ifc  # imported once they measure

if TYPE_CHECKING:
    from srcli.imaging.pixels.arrays import Array

Sees = Literal["planes", "luma", "colours", "small"]
"""What a metric compares of SR and HR: the planes that the protocol compares, Y, 0 to 255;
all three channels as they are stored, 8 or 16 bits; or LR pictures, of which the first
is the SR picture made small again."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measure of quality, as tables show it and as it is computed."""

    heading: str
    digits: int
    """Behind the point, in tables."""
    meaning: str
    """In words, for the legend."""
    measure: Callable[[Array, Array], float]
    """Compares SR, or what ``sees`` names instead, with HR, the border left out: (H, W) or
    (H, W, C), float64 in 0 to 255; by ``colours`` as they are stored, so that they must
    become floats before they are subtracted."""
    sees: Sees = "planes"
    lower_is_better: bool = False
    minimum: int = 1
    """Pixels that each side must have at least, without the border."""
    needs_piq: bool = False
    """Computed by the library piq, with weights that users put into PyTorch's cache."""
    remark: str = ""
    """In the help, behind its name and those beside it with the same remark."""

    @property
    def legend(self) -> str:
        """The meaning, and which way is better where that is down."""
        if self.lower_is_better:
            return f"{self.meaning}; lower is better"
        return self.meaning


METRICS = {
    "psnr": Metric(
        heading="PSNR dB",
        digits=3,
        meaning="peak signal-to-noise ratio, peak 255",
        measure=lambda sr, hr: fidelity.psnr(sr, hr),
    ),
    "ssim": Metric(
        heading="SSIM",
        digits=4,
        meaning="structural similarity (Wang et al. 2004)",
        measure=lambda sr, hr: fidelity.ssim(sr, hr),
        minimum=11,  # its window
    ),
    "ifc": Metric(
        heading="IFC",
        digits=3,
        meaning="information fidelity criterion on Y, bits a pixel (Sheikh et al. 2005)",
        measure=lambda sr, hr: ifc.ifc(sr, hr),
        sees="luma",
        minimum=72,  # the filter of its coarsest level
    ),
    "consistency": Metric(
        heading="cons. dB",
        digits=2,
        meaning="PSNR between the LR picture and the SR picture made small again",
        measure=lambda sr, hr: fidelity.psnr(sr, hr),
        sees="small",
    ),
    "low": Metric(
        heading="low dB",
        digits=3,
        meaning="PSNR of the low frequencies: a Gaussian of 9x9 pixels, sigma 1.5",
        measure=lambda sr, hr: fidelity.split_psnr(sr, hr).low,
        remark="frequencies",
    ),
    "high": Metric(
        heading="high dB",
        digits=3,
        meaning="PSNR of the high frequencies, which that Gaussian takes away",
        measure=lambda sr, hr: fidelity.split_psnr(sr, hr).high,
        remark="frequencies",
    ),
    "lpips": Metric(
        heading="LPIPS",
        digits=4,
        meaning="perceptual distance (Zhang et al. 2018), VGG-16",
        measure=lambda sr, hr: fidelity.perceptual_distance("lpips", sr, hr),
        sees="colours",
        lower_is_better=True,
        needs_piq=True,
        remark="which need piq",
    ),
    "dists": Metric(
        heading="DISTS",
        digits=4,
        meaning="distance of structure and texture (Ding et al. 2020)",
        measure=lambda sr, hr: fidelity.perceptual_distance("dists", sr, hr),
        sees="colours",
        lower_is_better=True,
        needs_piq=True,
        remark="which need piq",
    ),
}
"""By the names of ``--metrics``."""
DEFAULT_METRICS = ("psnr", "ssim", "ifc", "consistency")


def describe_further_metrics() -> str:
    """Name the metrics that are measured only when they are asked for, with their remarks."""
    further = [name for name in METRICS if name not in DEFAULT_METRICS]
    groups = []
    for remark, names in groupby(further, lambda name: METRICS[name].remark):
        group = ", ".join(names)
        groups.append(f"{group} ({remark})" if remark else group)
    return ", ".join(groups)
