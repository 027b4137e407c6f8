"""The picture of a card: one place as LR, by bicubic, by the model, and as HR, a row for a scale.

Of the photographs that come with scikit-image it takes the one whose gain over bicubic is the
middle one, and there the place where the two differ most.
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
"""Pixels of the picture for one of HR."""
GAP = 8


@dataclass(frozen=True, kw_only=True)
class CardPicture:
    """The picture, and what is to be seen on it."""

    pixels: Array
    """(H, W, 3) uint8."""
    rows: tuple[str, ...]
    """What each row shows, from left to right."""


def make_card_picture(
    model: str, scales: Sequence[int], engine: EngineOptions, progress: Progress | None = None
) -> CardPicture:
    """Enlarge photographs and put crops of them side by side.

    Args:
        model: A name or a weights file.
        scales: A row for each.
        engine: How to run it.
        progress: Told of everything.

    Raises:
        SrxError: If the model cannot be run.
    """
    models = list(dict.fromkeys((BASELINE, model)))
    options = EvalOptions(metrics=("psnr",), resamples=0, costs=False, engine=engine)
    rows, words = [], []
    for scale in scales:
        crops = CropCollector()
        found = evaluate(
            models,
            [BUILT_IN],
            scales=[scale],
            options=options,
            watchers=[crops],
            progress=progress,
        )
        for failure in found.failures:
            raise InferenceError(failure.reason)
        chosen = sorted(crops.comparisons, key=_gain)[len(crops.comparisons) // 2]
        rows.append(_row(chosen))
        shown = ", ".join(f"{name} ({psnr:.2f} dB)" for name, psnr in chosen.psnr.items())
        words.append(f"x{scale}, {chosen.picture}: LR, {shown}, HR")
    return CardPicture(pixels=_stacked(rows), rows=tuple(words))


def _gain(comparison: Comparison) -> float:
    psnr = list(comparison.psnr.values())
    return psnr[-1] - psnr[0]


def _row(comparison: Comparison) -> Array:
    lr = _zoomed(comparison.lr, ZOOM * comparison.scale)
    others = [_zoomed(each, ZOOM) for each in (*comparison.sr.values(), comparison.hr)]
    gap = np.full((lr.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for each in (lr, *others) for part in (gap, each)][1:], axis=1)


def _stacked(rows: Sequence[Array]) -> Array:
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for each in rows for part in (gap, each)][1:], axis=0)


def _zoomed(pixels: Array, factor: int) -> Array:
    larger: Array = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return larger
