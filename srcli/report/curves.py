"""Curves of a training as one PNG picture, drawn by matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from srcli.report.charts import value_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def curves_png(curves: Mapping[str, Sequence[tuple[int, float]]], falling: Sequence[str]) -> bytes:
    """Draw curves below each other as one PNG picture, for slides and messages.

    Args:
        curves: Pairs of iteration and value, by heading; at least one.
        falling: Headings of curves whose values begin high.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3 * len(curves)), layout="constrained")
    rows = figure.subplots(len(curves), squeeze=False)[:, 0]
    for axes, (heading, points) in zip(rows, curves.items(), strict=True):
        axes.plot(*zip(*points, strict=True), marker="." if len(points) == 1 else "")
        axes.set_xlim(left=0)
        axes.set_ylim(value_limits([points], heading in falling))
        axes.set_title(heading, loc="left")
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("iterations")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
