"""The metrics of quality that ``srx eval`` measures.

One entry is a metric: its name for ``--metrics``, its column and its legend follow; the
help in ``cli/evaluate.py`` names it, too. Its function stands in ``fidelity.py``, or in
a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from srcli.imaging.pixels.arrays import Array
from srcli.metrics import fidelity, ifc

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
    """In words, for the legend, with "lower is better" where it is."""
    measure: Callable[[Array, Array], float]
    """Compares SR, or what ``sees`` names instead, with HR, the border left out: arrays
    (H, W) or (H, W, C) in 0 to 255, by ``colours`` as they are stored."""
    sees: Sees = "planes"
    lower_is_better: bool = False
    minimum: int = 1
    """Pixels that each side must have at least, without the border."""
    needs_piq: bool = False
    """Computed by the library piq, with weights that users put into PyTorch's cache."""


METRICS = {
    "psnr": Metric(
        heading="PSNR dB",
        digits=3,
        meaning="peak signal-to-noise ratio, peak 255",
        measure=fidelity.psnr,
    ),
    "ssim": Metric(
        heading="SSIM",
        digits=4,
        meaning="structural similarity (Wang et al. 2004)",
        measure=fidelity.ssim,
        minimum=fidelity.WINDOW,
    ),
    "ifc": Metric(
        heading="IFC",
        digits=3,
        meaning="information fidelity criterion on Y, bits a pixel (Sheikh et al. 2005)",
        measure=ifc.ifc,
        sees="luma",
        minimum=ifc.MINIMUM,
    ),
    "consistency": Metric(
        heading="cons. dB",
        digits=2,
        meaning="PSNR between the LR picture and the SR picture made small again",
        measure=fidelity.psnr,
        sees="small",
    ),
    "low": Metric(
        heading="low dB",
        digits=3,
        meaning="PSNR of the low frequencies: a Gaussian of 9x9 pixels, sigma 1.5",
        measure=lambda sr, hr: fidelity.split_psnr(sr, hr).low,
    ),
    "high": Metric(
        heading="high dB",
        digits=3,
        meaning="PSNR of the high frequencies, which that Gaussian takes away",
        measure=lambda sr, hr: fidelity.split_psnr(sr, hr).high,
    ),
    "lpips": Metric(
        heading="LPIPS",
        digits=4,
        meaning="perceptual distance (Zhang et al. 2018), VGG-16; lower is better",
        measure=partial(fidelity.perceptual_distance, "lpips"),
        sees="colours",
        lower_is_better=True,
        needs_piq=True,
    ),
    "dists": Metric(
        heading="DISTS",
        digits=4,
        meaning="distance of structure and texture (Ding et al. 2020); lower is better",
        measure=partial(fidelity.perceptual_distance, "dists"),
        sees="colours",
        lower_is_better=True,
        needs_piq=True,
    ),
}
"""By the names of ``--metrics``."""
DEFAULT_METRICS = ("psnr", "ssim", "ifc", "consistency")
