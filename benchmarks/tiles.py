"""Time one picture by tile size and overlap, and write benchmarks/tiles.md.

Usage: python benchmarks/tiles.py [-m g-idrn -m rrlfn ...] [-s 4] [--size 512] [--rounds 5]
           [--tiles 96:16,192:16,...] [--threads N] [--markdown FILE]

"computed" are the pixels of all tiles as a multiple of the picture's. All tilings take
turns, every second round backwards. What tilings cost in quality stands in seams.md.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import torch
from timing_page import make_parser, write_page

from srcli.inference.tiling import choose_tiling
from srcli.machine import describe_machine, load_average, torch_threads
from srcli.models.loading import load_model
from srcli.pipelines.bench import (
    BenchOptions,
    busy_note,
    make_cases,
    make_speeds,
    time_rounds,
)
from srcli.ports import Task
from srcli.report.table import make_table, significant

MODELS = ("g-idrn", "rrlfn", "nested-attn")
TILES = "64:16,96:16,128:16,192:8,192:16,192:32,256:16,384:16,1024:16"


def main() -> None:
    parser = make_parser(__doc__, MODELS)
    parser.add_argument("--tiles", default=TILES)
    given = parser.parse_args()
    load = load_average()
    tilings = [tuple(map(int, each.split(":"))) for each in given.tiles.split(",")]
    options = BenchOptions(
        sizes=((given.size, given.size),),
        device="cpu",
    )
    rows, every = [], []
    with torch_threads(given.threads):
        for name in given.models or MODELS:
            network = load_model(name, given.scale)
            (case,) = make_cases(name, name, network, options)
            own = (choose_tiling(name, network, *tiling) for tiling in tilings)
            grids = [tiling.padded_grid(given.size, given.size) for tiling in own]
            cases = [replace(case, grid=grid, seconds=[]) for grid in grids]
            time_rounds(cases, rounds=given.rounds, seconds=0, task=Task())
            speeds = list(make_speeds(cases))
            every += speeds
            best = min(speed["median_seconds"] for speed in speeds)
            for (tile, _), speed in zip(tilings, speeds, strict=True):
                height, width = speed["tile"]
                computed = speed["tiles"] * height * width / given.size**2
                times = [
                    significant(f(speed["seconds"]) * 1000) for f in (median, min, max)
                ]
                cells = (
                    tile,
                    speed["overlap"],
                    f"{width}x{height}",
                    speed["tiles"],
                    f"{computed:.2f}",
                )
                rows.append(
                    [name, *cells, *times, f"{speed['median_seconds'] / best:.2f}"]
                )
                print(*rows[-1], sep="  ", flush=True)
        machine = describe_machine(torch.device("cpu"))
    headings = (
        "tile",
        "overlap",
        "balanced",
        "tiles",
        "computed",
        "ms",
        "fastest",
        "slowest",
    )
    title = f"x{given.scale}, {given.size}x{given.size} LR, {given.rounds} rounds"
    table = make_table(rows, ("model",), (*headings, "x fastest"), title=title)
    if given.markdown:
        busy = busy_note(load, every)
        write_page(
            given.markdown, "Tile sizes on the CPU", machine, busy, __doc__, table
        )


if __name__ == "__main__":
    main()
