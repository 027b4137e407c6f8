"""Make the picture of a model's card: crops of LR, bicubic, the model and HR, a row per scale.

Of scikit-image's photographs it takes the one with the median gain over bicubic, and there the
region where the two differ most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import InferenceError
from srcli.evaluation.sets import BUILT_IN
from srcli.pipelines.evaluate.crops import CropCollector
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.inference.engines import EngineOptions
    from srcli.pipelines.evaluate.crops import Comparison
    from srcli.ports.progress import Progress

    Array = NDArray[Any]

BASELINE = "bicubic"
ZOOM = 2
"""Pixels of the picture per pixel of HR."""
GAP = 8
"""White pixels between crops."""


@dataclass(frozen=True, kw_only=True)
class CardPicture:
    """Crops side by side, with captions."""

    pixels: Array
    """(H, W, 3) uint8."""
    rows: tuple[str, ...]
    """Caption of each row: its crops from left to right."""


def make_card_picture(
    model: str, scales: Sequence[int], engine: EngineOptions, progress: Progress | None = None
) -> CardPicture:
    """Enlarge photographs and put crops of them side by side.

    Args:
        model: A name or a weights file.
        scales: Factors, a row for each.
        engine: Device, precision and batch.
        progress: Passed to the evaluation.

    Raises:
        SrxError: If the model cannot be run.
    """
    models = list(dict.fromkeys((BASELINE, model)))
    options = EvalOptions(metrics=("psnr",), resamples=0, costs=False, engine=engine)
    rows, captions = [], []
    for scale in scales:
        crops = CropCollector()
        found = evaluate(
            models,
            [BUILT_IN],
            scales=[scale],
            options=options,
            on_picture=[crops.add],
            progress=progress,
        )
        for failure in found.failures:
            raise InferenceError(failure.reason)
        chosen = sorted(crops.comparisons, key=_gain)[len(crops.comparisons) // 2]
        lr = _zoomed(chosen.lr, ZOOM * scale)
        others = [_zoomed(each, ZOOM) for each in (*chosen.sr.values(), chosen.hr)]
        rows.append(_joined([lr, *others], axis=1))
        shown = ", ".join(f"{name} ({psnr:.2f} dB)" for name, psnr in chosen.psnr.items())
        captions.append(f"x{scale}, {chosen.picture}: LR, {shown}, HR")
    return CardPicture(pixels=_joined(rows, axis=0), rows=tuple(captions))


def _gain(comparison: Comparison) -> float:
    psnr = list(comparison.psnr.values())
    return psnr[-1] - psnr[0]


def _joined(parts: Sequence[Array], *, axis: int) -> Array:
    """Join pictures along an axis, with gaps between them."""
    gap = np.full_like(parts[0].take(range(GAP), axis), 255)
    return np.concatenate([each for part in parts for each in (gap, part)][1:], axis)


def _zoomed(pixels: Array, factor: int) -> Array:
    larger: Array = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return larger
