"""Figures of the store as typed values; one that is missing, failed or of another shape is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from srcli.pipelines.ablate.results import Cost, Curve, Memory, SetScores
from srcli.recipes.ablation import METRICS

Figure = Mapping[str, Any]

LAST = "last.safetensors"
"""What is measured: the best weights by validation may be older than what a last stage did."""

_OTHER_SHAPE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that has come to its end."""

    iterations: int
    seconds: float | None
    """An iteration; None where too few were run to tell."""
    curves: Mapping[str, Curve]
    """By set."""
    weights: str
    """Name of the file in the folder of the training."""


def failure_of(figure: Figure) -> str:
    """Return why something failed; empty where it did not, or has not been tried."""
    return str(figure.get("failure") or "")


def read_cost(figure: Figure) -> Cost | None:
    """Read what a variant costs."""
    try:
        return Cost(
            parameters=int(figure["parameters"]),
            macs=int(figure["macs"]),
            memory=tuple(_memory(each) for each in figure["memory"]),
        )
    except _OTHER_SHAPE:
        return None


def read_training(figure: Figure) -> Trained | None:
    """Read what a training came to."""
    try:
        return Trained(
            iterations=int(figure["iterations"]),
            seconds=_number(figure["seconds"]),
            curves={
                str(dataset): tuple((int(at), float(psnr)) for at, psnr in points)
                for dataset, points in figure["curves"].items()
            },
            weights=str(figure.get("weights", LAST)),
        )
    except _OTHER_SHAPE:
        return None


def read_scores(figure: Figure) -> SetScores | None:
    """Read the scores of one training on one set."""
    try:
        pictures = {
            str(name): {str(metric): float(value) for metric, value in values.items()}
            for name, values in figure["pictures"].items()
        }
        left_out = tuple(map(str, figure.get("left_out", ())))
        scores = SetScores(
            pictures=pictures,
            seconds=_number(figure["seconds"]),
            left_out=left_out,
            of=int(figure.get("of", len(pictures))),
        )
    except _OTHER_SHAPE:
        return None
    whole = all(metric in values for values in pictures.values() for metric in METRICS)
    return scores if pictures and whole else None


def _memory(plain: Figure) -> Memory:
    height, width = plain["size"]
    peak = plain["peak"]
    return Memory(
        size=(int(height), int(width)),
        peak=None if peak is None else int(peak),
        of=str(plain["of"]),
        reason=str(plain.get("reason", "")),
    )


def _number(value: Any) -> float | None:  # noqa: ANN401 - of a file
    return None if value is None else float(value)
