"""Time every network on the CPU beside plain loops, and write benchmarks/cpu.md.

Usage: python benchmarks/cpu.py [-m g-idrn -m rrlfn ...] [-s 4] [--size 512] [--rounds 5]
           [--threads N] [--markdown benchmarks/cpu.md]

Plain is the usual loop: the network in fp32, PyTorch's default layout, tile after tile.
By hand is ``benchmarks/openvino_by_hand.py``: the same network converted to bf16 by
OpenVINO, whole picture, default options (``pip install openvino``). The others are what
--precision gives. All of them take turns, every second round backwards; all are from
uint8 to uint8 in memory.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING

import torch
from openvino_by_hand import ByHand, Picture
from timing_page import make_parser, write_page

from srcli.evaluation.pairs import real_picture
from srcli.inference.device import cpu_has_bf16
from srcli.machine import describe_machine, load_average, torch_threads
from srcli.models.loading import load_model
from srcli.pipelines.bench import (
    BenchOptions,
    Speed,
    busy_note,
    make_cases,
    make_speeds,
    time_rounds,
)
from srcli.ports import Task
from srcli.report.table import make_table, significant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.inference.engine import TorchEngine

MODELS = ("g-idrn", "rrlfn", "nested-attn", "attentive-gan", "ddsr")
Seconds = dict[str, list[float]]
"""Of all rounds, by column."""
COLUMNS = ("plain", "fp32", "bf16", "by hand")


@dataclass
class HandCase:
    """By hand, with what ``time_rounds`` takes of a case."""

    label: str
    engine: TorchEngine
    """Of another case: for its scale and device."""
    picture: Picture
    hand: ByHand
    peak: int | None = None
    seconds: list[float] = field(default_factory=list)
    format = "by hand"

    def run(self) -> float:
        start = time.perf_counter()
        self.hand(self.picture)
        return time.perf_counter() - start


def measure(
    name: str, scale: int, size: int, rounds: int
) -> tuple[Seconds, list[Speed]]:
    """Return all seconds, and the speeds that ``busy_note`` takes."""
    network = load_model(name, scale)
    picture = real_picture(size, size)
    options = BenchOptions(
        sizes=((size, size),),
        precisions=("fp32", "bf16") if cpu_has_bf16() else ("fp32",),
        device="cpu",
        compare_plain=True,
    )
    cases = list(make_cases(name, name, network, options))
    by_hand = HandCase(name, cases[0].engine, picture, ByHand(name, scale, size, size))
    time_rounds([*cases, by_hand], rounds=rounds, seconds=0, task=Task())  # type: ignore[list-item]
    speeds = list(make_speeds(cases))
    found = {speed["format"]: list(speed["seconds"]) for speed in speeds}
    return found | {"by hand": by_hand.seconds}, speeds


def rows(name: str, found: Seconds) -> Iterator[list[str | None]]:
    """Yield medians with fastest and slowest, then multiples of the plain loop's speed."""
    times: list[str | None] = [name, "ms"]
    ratios: list[str | None] = ["", "x plain"]
    for column in COLUMNS:
        seconds = found.get(column)
        if seconds is None:
            times.append(None)
            ratios.append(None)
            continue
        middle, low, high = (significant(f(seconds) * 1000) for f in (median, min, max))
        times.append(f"{middle} ({low}–{high})")
        # Of each round, so that load on the machine hits both alike.
        ratios.append(
            f"{median(a / b for a, b in zip(found['plain'], seconds, strict=True)):.2f}"
        )
    yield times
    yield ratios


def main() -> None:
    given = make_parser(__doc__, MODELS).parse_args()
    load = load_average()
    table: list[list[str | None]] = []
    speeds: list[Speed] = []
    with torch_threads(given.threads):
        machine = describe_machine(torch.device("cpu"))
        about = (
            f"{machine}, OpenVINO {version('openvino')}, native bf16: "
            f"{'yes' if cpu_has_bf16() else 'no'}, AMX: "
            f"{'yes' if torch.cpu._is_amx_tile_supported() else 'no'}"
        )
        size = f"{given.size}x{given.size}"
        title = f"x{given.scale}, {size} LR, {given.rounds} rounds: median (fastest–slowest)"
        for name in given.models or MODELS:
            found, own = measure(name, given.scale, given.size, given.rounds)
            speeds += own
            own_rows = list(rows(name, found))
            table += own_rows
            print(
                "\n".join(
                    "  ".join(str(cell or "") for cell in row) for row in own_rows
                )
            )
            # after each network: a round of the slowest takes minutes
            if given.markdown:
                page = make_table(table, ("model", ""), COLUMNS, title=title)
                busy = busy_note(load, speeds)
                write_page(
                    given.markdown, "Engines on the CPU", about, busy, __doc__, page
                )


if __name__ == "__main__":
    main()
