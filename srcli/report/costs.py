"""Tables of what models cost: work, memory and parameters, beside those that papers print."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from srcli.report.table import Table, make_table, short

if TYPE_CHECKING:
    from srcli.recipes.published import PublishedRow

WORK = {
    "conv_macs": "matrix_macs",
    "challenge_flops": "matrix_macs",
    "hd_conv_macs": "hd_matrix_macs",
}
"""Figures of work, and those of matrix products that they do not have."""
LEAST_PRODUCTS = 0.01
"""Least share of the convolutions' MACs from which matrix products are shown."""
MACS_NOTE = (
    "MACs: multiply-accumulates of the convolutions; after +, from 1 % of these on, those of "
    "linear layers, matrix products and attention."
)
COST_NOTE = (
    f"{MACS_NOTE} FLOPs: as efficient-SR challenges count them, MACs and one for every output of "
    "an activation. Peak memory: of one forward pass."
)
PRINTED_COSTS_NOTE = (
    "Printed times are of the paper's device and pictures: compare them within their table, never "
    "with times measured here. GFLOPs: of a 256x256 LR picture, as efficient-SR challenges count."
)


def work_text(
    macs: float | None, products: float | None, write: Callable[[float], str] = short
) -> str | None:
    """Return the MACs of convolutions, and behind a + those of matrix products that count."""
    if macs is None:
        return None
    if products and products > LEAST_PRODUCTS * macs:
        return f"{write(macs)} + {write(products)}"
    return write(macs)


def cost_texts(cost: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """Return parameters and MACs of a model's costs, as JSON has them, for a table."""
    if cost is None:
        return None, None
    parameters = cost["parameters"] and short(cost["parameters"])
    return parameters, work_text(cost["conv_macs"], cost["matrix_macs"])


def cost_tables(
    costs: Iterable[Mapping[str, Any]], printed: Iterable[PublishedRow], scale: int
) -> list[Table]:
    """Tabulate the costs of models at a scale; then those that papers print.

    ``costs`` are as JSON has them (``model_cost``).
    """
    measured_rows = []
    notes = [COST_NOTE]
    for cost in costs:
        if cost["scale"] == scale:
            cells = (
                cost["model"],
                cost["parameters"] and short(cost["parameters"]),
                f"{cost['size'][1]}×{cost['size'][0]}",
                *(
                    work_text(cost[work], cost[products])
                    for work, products in WORK.items()
                ),
                cost["peak_memory"] and f"{cost['peak_memory'] / 2**20:.0f} MiB",
            )
            measured_rows.append(cells)
            if cost["uncounted"]:
                names = ", ".join(cost["uncounted"])
                notes.append(f"Not counted in {cost['model']}: {names}.")
    printed_rows = []
    for row in printed:
        if row.scale == scale:
            remarks = "; ".join(filter(None, (row.source, row.timed_on, row.note)))
            printed_cells = (
                row.method,
                row.parameters and f"{row.parameters:,.0f}",
                row.gflops and f"{row.gflops:.2f}",
                row.milliseconds and f"{row.milliseconds:g}",
                remarks,
            )
            printed_rows.append(printed_cells)
    headings = (
        "parameters",
        "LR size",
        "MACs",
        "FLOPs",
        "MACs to 1280×720",
        "peak memory",
    )
    return [
        make_table(
            measured_rows,
            ("model",),
            headings,
            title=f"x{scale}, cost",
            notes=tuple(notes),
        ),
        make_table(
            printed_rows,
            ("printed",),
            ("K", "GFLOPs", "ms"),
            ("source",),
            title=f"x{scale}, printed costs",
            notes=(PRINTED_COSTS_NOTE,),
        ),
    ]
