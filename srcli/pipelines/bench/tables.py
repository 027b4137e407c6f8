"""A benchmark as tables for people, as Markdown, and as CSV with a row for every speed."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.report.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.evaluation.scores import ModelCost
    from srcli.pipelines.bench.results import Bench, Seams, Speed

NOTHING = "–"
"""Stands where there is no number."""
COSTS = (
    "Costs: challenge FLOPs are convolution MACs plus one for every output of a ReLU; memory is "
    "that of one forward pass in fp32, PyTorch's default layout, beside weights and input."
)
SEAMS = (
    "Seams: mean excess of steps across tile borders, in levels of 255; without overlap it must be "
    "at least twice as large, or the measurement is broken."
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Printed cells under headings."""

    title: str
    labels: tuple[str, ...]
    """Headings of the first columns, which hold words."""
    numbers: tuple[str, ...]
    """Headings of the others."""
    rows: tuple[tuple[str, ...], ...]


def tables(bench: Bench) -> list[Table]:
    """Everything that was measured: speeds by scale and size, costs, seams."""
    groups: dict[tuple[int, tuple[int, int]], list[Speed]] = {}
    for speed in bench.speeds:
        groups.setdefault((speed.scale, speed.size), []).append(speed)
    found = [_speeds(group) for group in groups.values()]
    if bench.costs:
        found.append(_costs(bench.costs))
    if bench.seams:
        found.append(_seams(bench.seams, bench.seams_picture or ""))
    return found


def notes(bench: Bench) -> list[str]:
    """What the tables' figures hold for and mean, a paragraph each."""
    found = [f"Machine: {bench.machine}.", bench.how, COSTS]
    return [*found, SEAMS] if bench.seams else found


def markdown(bench: Bench) -> str:
    """Return tables and notes as GitHub Markdown."""
    lines: list[str] = []
    for table in tables(bench):
        lines += [f"### {escape(table.title)}", ""]
        lines.append(_line([*table.labels, *table.numbers]))
        lines.append(_line(["---"] * len(table.labels) + ["---:"] * len(table.numbers)))
        lines += [_line([escape(cell) for cell in row]) for row in table.rows]
        lines.append("")
    for note in notes(bench):
        lines += [escape(note), ""]
    return "\n".join(lines).rstrip() + "\n"


def csv_text(bench: Bench) -> str:
    """Return a row for every speed, in all digits, with its model's costs and the machine.

    Seconds and bytes; an empty cell where there is no figure.
    """
    stream = io.StringIO()
    rows = list(_csv_rows(bench))
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def round_lines(bench: Bench) -> list[str]:
    """Return how each speed came about: tiles, batch and all rounds, a line each."""
    found = []
    for speed in bench.speeds:
        (height, width), (tile_height, tile_width) = speed.size, speed.tile
        times = " ".join(figures(value * 1000) for value in speed.seconds)
        found.append(
            f"{speed.model} x{speed.scale} {width}x{height} {speed.format}: tiles of "
            f"{tile_width}x{tile_height}, overlap {speed.overlap}, batch {speed.batch}; ms: {times}"
        )
    return found


def figures(value: float, count: int = 3) -> str:
    """Return a number with so many significant digits, never fewer than its whole part has."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, count - 1 - math.floor(math.log10(abs(value))))}f}"


def _speeds(group: list[Speed]) -> Table:
    first = group[0]
    (height, width), scale = first.size, first.scale
    compared = any(speed.plain for speed in group)
    numbers = ("tiles", "GMACs", "ms", "min–max", "SR MP/s", "MiB")
    return Table(
        title=f"x{scale}, {width}x{height} to {width * scale}x{height * scale}, "
        f"{len(first.seconds)} rounds",
        labels=("model", "format"),
        numbers=(*numbers, "x plain") if compared else numbers,
        rows=tuple(_speed_cells(speed, compared=compared) for speed in group),
    )


def _speed_cells(speed: Speed, *, compared: bool) -> tuple[str, ...]:
    cells = (
        speed.model,
        speed.format,
        str(speed.tiles),
        figures(speed.conv_macs / 1e9),
        figures(speed.median * 1000),
        f"{figures(speed.fastest * 1000)}–{figures(speed.slowest * 1000)}",
        figures(speed.sr_megapixels_per_second),
        _mebibytes(speed.peak_memory),
    )
    if not compared:
        return cells
    return (*cells, NOTHING if speed.times_plain is None else f"{speed.times_plain:.2f}")


def _costs(costs: tuple[ModelCost, ...]) -> Table:
    height, width = costs[0].size
    return Table(
        title=f"costs at {width}x{height} LR; 720p: for an SR of 1280x720",
        labels=("model", "scale"),
        numbers=("parameters", "GMACs", "GFLOPs", "GMACs 720p", f"MiB ({costs[0].memory_of})"),
        rows=tuple(
            (
                cost.model,
                f"x{cost.scale}",
                f"{cost.parameters:,}",
                f"{cost.conv_macs / 1e9:.3f}",
                f"{cost.challenge_flops / 1e9:.3f}",
                f"{cost.hd_conv_macs / 1e9:.1f}",
                _mebibytes(cost.peak_memory),
            )
            for cost in costs
        ),
    )


def _seams(seams: tuple[Seams, ...], picture: str) -> Table:
    return Table(
        title=f"seams on {picture}",
        labels=("model", "scale", "format", "verdict"),
        numbers=("tile", "overlap", "figure", "overlap 0"),
        rows=tuple(
            (
                each.model,
                f"x{each.scale}",
                each.precision,
                "sound" if each.trusted else "measurement broken",
                str(each.tile),
                str(each.overlap),
                f"{each.figure:.4f}",
                f"{each.without_overlap:.4f}",
            )
            for each in seams
        ),
    )


def _csv_rows(bench: Bench) -> Iterator[dict[str, object]]:
    costs = {(cost.scale, cost.model): cost for cost in bench.costs}
    for speed in bench.speeds:
        cost = costs[speed.scale, speed.model]
        yield {
            "scale": speed.scale,
            "model": speed.model,
            "format": speed.format,
            "lr_width": speed.size[1],
            "lr_height": speed.size[0],
            "tiles": speed.tiles,
            "tile_width": speed.tile[1],
            "tile_height": speed.tile[0],
            "overlap": speed.overlap,
            "batch": speed.batch,
            "rounds": len(speed.seconds),
            "median_seconds": speed.median,
            "fastest_seconds": speed.fastest,
            "slowest_seconds": speed.slowest,
            "sr_megapixels_per_second": speed.sr_megapixels_per_second,
            "times_plain": speed.times_plain,
            "peak_memory": speed.peak_memory,
            "conv_macs": speed.conv_macs,
            "parameters": cost.parameters,
            "challenge_flops_256x256": cost.challenge_flops,
            "conv_macs_1280x720": cost.hd_conv_macs,
            "forward_memory_256x256": cost.peak_memory,
            "device": bench.machine.device,
            "processor": bench.machine.processor,
            "threads": bench.machine.threads,
            "torch": bench.machine.torch,
        }


def _mebibytes(size: int | None) -> str:
    return NOTHING if size is None else figures(size / 2**20)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
