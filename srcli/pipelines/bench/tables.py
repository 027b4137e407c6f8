"""A benchmark as tables, and the Markdown and CSV files made of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from srcli.report.table import (
    csv_text,
    escape,
    make_table,
    markdown_section,
    printed_cost_table,
    significant,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from srcli.metrics.efficiency import ModelCost
    from srcli.pipelines.bench.run import Bench
    from srcli.pipelines.bench.timing import Speed
    from srcli.report.table import Cell, Table

COSTS = (
    "Costs: challenge FLOPs are convolution MACs plus one for every output of a ReLU; memory is "
    "that of one forward pass in fp32, PyTorch's default layout, beside weights and input."
)
CSV_COLUMNS = (
    *("scale", "model", "format", "lr_width", "lr_height", "tiles", "tile_width", "tile_height"),
    *("overlap", "batch", "rounds", "median_seconds", "fastest_seconds", "slowest_seconds"),
    *("sr_megapixels_per_second", "times_plain", "peak_memory", "conv_macs", "parameters"),
    *("challenge_flops_256x256", "conv_macs_1280x720", "forward_memory_256x256"),
    *("device", "processor", "threads", "torch"),
)


def tables(bench: Bench) -> list[Table]:
    """Return all tables: speeds by scale and size, costs, printed costs."""
    groups: dict[tuple[int, tuple[int, int]], list[Speed]] = {}
    for speed in bench.speeds:
        groups.setdefault((speed.scale, speed.size), []).append(speed)
    found = [_speeds(group) for group in groups.values()]
    if bench.costs:
        found.append(_costs(bench.costs))
    for scale in dict.fromkeys(row.scale for row in bench.published):
        own = {c.model: (c.parameters, c.challenge_flops) for c in bench.costs if c.scale == scale}
        found.append(printed_cost_table(bench.published, own, scale))
    return found


def notes(bench: Bench) -> list[str]:
    """Return the conditions and the meaning of the figures, a paragraph each."""
    found = [f"Machine: {bench.machine}.", bench.how, COSTS]
    if bench.busy:
        found.insert(0, bench.busy)
    return found


def bench_markdown(bench: Bench) -> str:
    """Return tables and notes as GitHub Markdown."""
    lines = [line for table in tables(bench) for line in markdown_section(table)]
    for note in notes(bench):
        lines += [escape(note), ""]
    return "\n".join(lines).rstrip() + "\n"


def bench_csv(bench: Bench) -> str:
    """Return a row for every speed, in all digits, with its model's costs and the machine.

    Seconds and bytes; an empty cell where there is no figure.
    """
    costs = {(cost.scale, cost.model): cost for cost in bench.costs}
    rows = []
    for speed in bench.speeds:
        cost = costs[speed.scale, speed.model]
        (height, width), (tile_height, tile_width) = speed.size, speed.tile
        values = {
            **speed.as_json(),
            **asdict(bench.machine),
            "format": speed.format,
            "lr_width": width,
            "lr_height": height,
            "tile_width": tile_width,
            "tile_height": tile_height,
            "parameters": cost.parameters,
            "challenge_flops_256x256": cost.challenge_flops,
            "conv_macs_1280x720": cost.hd_conv_macs,
            "forward_memory_256x256": cost.peak_memory,
        }
        rows.append([values[name] for name in CSV_COLUMNS])
    return csv_text(CSV_COLUMNS, rows)


def round_lines(bench: Bench) -> list[str]:
    """Return how each speed came about: tiles, batch and all rounds, a line each."""
    found = []
    for speed in bench.speeds:
        (height, width), (tile_height, tile_width) = speed.size, speed.tile
        times = " ".join(significant(value * 1000) for value in speed.seconds)
        found.append(
            f"{speed.model} x{speed.scale} {width}x{height} {speed.format}: tiles of "
            f"{tile_width}x{tile_height}, overlap {speed.overlap}, batch {speed.batch}; ms: {times}"
        )
    return found


def _speeds(group: list[Speed]) -> Table:
    first = group[0]
    (height, width), scale = first.size, first.scale
    compared = ["x plain"] if any(speed.plain for speed in group) else []
    rows = []
    for speed in group:
        fastest, slowest = (significant(f(speed.seconds) * 1000) for f in (min, max))
        cells: list[Cell] = [
            speed.model,
            speed.format,
            speed.tiles,
            _giga(speed.conv_macs, significant),
            significant(speed.median * 1000),
            f"{fastest}–{slowest}",
            significant(speed.sr_megapixels_per_second),
            _mebibytes(speed.peak_memory),
        ]
        if compared:
            cells.append(speed.times_plain and f"{speed.times_plain:.2f}")
        rows.append(cells)
    headings = ("tiles", "GMACs", "ms", "min–max", "SR MP/s", "MiB", *compared)
    size = f"{width}x{height} to {width * scale}x{height * scale}"
    title = f"x{scale}, {size}, {len(first.seconds)} rounds"
    return make_table(rows, ("model", "format"), headings, title=title)


def _costs(costs: tuple[ModelCost, ...]) -> Table:
    height, width = costs[0].size
    rows = (
        (
            cost.model,
            f"x{cost.scale}",
            f"{cost.parameters:,}",
            _giga(cost.conv_macs, "{:.3f}".format),
            _giga(cost.challenge_flops, "{:.3f}".format),
            _giga(cost.hd_conv_macs, "{:.1f}".format),
            _mebibytes(cost.peak_memory),
        )
        for cost in costs
    )
    numbers = ("parameters", "GMACs", "GFLOPs", "GMACs 720p", f"MiB ({costs[0].memory_of})")
    title = f"costs at {width}x{height} LR; 720p: for an SR of 1280x720"
    return make_table(rows, ("model", "scale"), numbers, title=title)


def _giga(count: int | None, shown: Callable[[float], str]) -> str | None:
    return None if count is None else shown(count / 1e9)


def _mebibytes(size: int | None) -> str | None:
    return None if size is None else significant(size / 2**20)
