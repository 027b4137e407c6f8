"""Curves of a training: values by iteration, beside the start and bicubic interpolation."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = list[tuple[int, float]]
"""Pairs of iteration and value."""
MOST_POINTS = 200
"""Of a curve; of more values, means are drawn."""
EARLY = 0.25
"""Part of the iterations whose values may lie beyond the vertical axis."""


def draw_curve(
    axes: Axes, *, points: Points, axis: str, falling: bool, level: float | None
) -> None:
    """Draw a curve under the title of its ``axis``, and a line at the ``level`` of bicubic.

    ``falling`` is for values that begin high, as those of losses do. Neighbours are
    averaged where there are many. The first quarter does not widen the axis to where
    values begin, as every training begins badly, but trained weights (iteration 0) do.
    """
    size = -(-len(points) // MOST_POINTS)
    totals = []
    values = []
    for start in range(0, len(points), size):
        group = points[start : start + size]
        totals.append(group[-1][0])
        values.append(fmean(value for _, value in group))
    axes.plot(totals, values, marker="." if len(values) == 1 else "")
    late = [
        value
        for total, value in zip(totals, values, strict=True)
        if total >= EARLY * totals[-1]
    ]
    first_total, first = points[0]
    if first_total == 0:
        axes.plot(0, first, "o", label=f"the start, {first:.3f} dB")
        late.append(first)
    if level is not None:
        axes.axhline(level, color="gray", ls="--", label=f"bicubic, {level:.3f} dB")
        late.append(level)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    low = min([*values, *late] if falling else late)
    high = max(late if falling else [*values, *late])
    space = 0.06 * (high - low or min(abs(high), 1.0) or 1.0)
    axes.set(
        xlim=(-0.01 * totals[-1], 1.03 * totals[-1] or 1),
        ylim=(low - space, high + space),
        xlabel="iteration",
        ylabel=axis,
    )
