"""Tabulate costs that papers print, with parameters and work of the same networks counted here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from srcli.recipes.published import is_of
from srcli.report.table import Column, Row, Table, columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.recipes.published import PublishedRow
    from srcli.report.table import Cell

NOTE = (
    "Printed times are of the paper's device and pictures: compare them within their table, never "
    "with times measured here. GFLOPs: of a 256x256 LR picture, as efficient-SR challenges count."
)


class CountedCost(Protocol):
    """Parameters and work of a model, counted here at LR pictures of 256x256."""

    @property
    def model(self) -> str:
        """Its label."""

    @property
    def scale(self) -> int:
        """Its factor."""

    @property
    def parameters(self) -> int:
        """Learnable numbers."""

    @property
    def challenge_flops(self) -> int | None:
        """As efficient-SR challenges count them; None where they cannot be counted."""


def printed_cost_table(
    rows: Sequence[PublishedRow], costs: Sequence[CountedCost], scale: int
) -> Table:
    """Return printed parameters, work and times of a scale, each with its source and its device.

    Args:
        rows: From ``published_costs``, of any scales.
        costs: Counted here, of any scales.
        scale: Rows of others are left out.
    """
    lines = []
    for row in (each for each in rows if each.scale == scale):
        here = next((c for c in costs if c.scale == scale and is_of(row, [c.model])), None)
        flops = here.challenge_flops if here else None
        cells: list[Cell] = [
            row.method,
            f"{row.parameters:,.0f}" if row.parameters else None,
            f"{here.parameters / 1e3:,.0f}" if here else None,
            f"{row.gflops:.2f}" if row.gflops else None,
            f"{flops / 1e9:.2f}" if flops is not None else None,
            f"{row.milliseconds:g}" if row.milliseconds else None,
            "; ".join(filter(None, (row.source, row.timed_on, row.note))),
        ]
        lines.append(Row(cells=tuple(cells)))
    numbers = ("K", "K here", "GFLOPs", "GFLOPs here", "ms")
    columns = (*columns_of(("printed",), numbers), Column("source", kind="text"))
    title = f"x{scale}, printed costs"
    return Table(title=title, columns=columns, rows=tuple(lines), notes=(NOTE,))
