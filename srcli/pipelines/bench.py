"""The command bench: speed, memory and work of models, measured side by side in one process."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import torch
from numpy.typing import NDArray

from srcli.errors import ModelError
from srcli.evaluation.pairs import real_picture
from srcli.inference.device import (
    EngineOptions,
    Precision,
    choose_device,
    network_half,
)
from srcli.inference.engines import enlarge_array, make_engine
from srcli.inference.tiling import choose_tiling
from srcli.machine import describe_machine, load_average, processor_count, torch_threads
from srcli.metrics.efficiency import Cost, count_macs, model_cost, peak_memory
from srcli.models import MODELS, build_network, entry_of, find_entry
from srcli.models.loading import load_model
from srcli.models.weights import shipped_scales
from srcli.pipelines.labels import label_models
from srcli.ports import Progress, Task, TileGrid
from srcli.recipes.plugins import allow_code, code_arguments, split_code
from srcli.recipes.published import PublishedRow, published_costs
from srcli.report.costs import cost_tables, work_text
from srcli.report.table import Table, make_table, significant

if TYPE_CHECKING:
    import numpy as np

    from srcli.inference.engine import TorchEngine
    from srcli.layers.network import Network

TIMING_METHOD = (
    "Time: one picture (scikit-image's astronaut, repeated to the size) from memory to memory "
    "through the engine, tiles and blending of srx upscale; every model and number format in turn, "
    "round by round, after a warm-up that does not count; median, fastest and slowest round. MACs: "
    "of the picture in one piece. Memory: the most that PyTorch held on a GPU beside the weights."
)
PLAIN = " Plain: the same network and tiles in fp32, PyTorch's default layout, one tile at a time."
FEWEST_ROUNDS = 3
"""Fewest rounds where their number follows from the time."""
MOST_ROUNDS = 100
"""Most rounds where their number follows from the time."""
BUSY_LOAD = 0.3
"""Load average per processor, before the first round, above which the machine was busy."""
BUSY_SPREAD = 1.3
"""Slowest round as a multiple of the median above which the machine was busy."""
Speed = dict[str, Any]
"""Speed of one model in one number format on one picture, as ``make_speeds`` and JSON have
it."""
PRECISIONS: dict[torch.dtype | None, Precision] = {
    None: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


@dataclass(frozen=True, kw_only=True)
class BenchOptions(EngineOptions):
    """Options of a benchmark; ``precisions`` take the place of the engine's one ``precision``."""

    scales: tuple[int, ...] = (4,)
    sizes: tuple[tuple[int, int], ...] = ((256, 256),)
    """LR (height, width) of the pictures."""
    precisions: tuple[Precision, ...] = ("auto",)
    """``auto`` is the choice of ``srx upscale`` for 8-bit pictures."""
    tile: int | None = None
    """Input pixels; None takes each model's default."""
    overlap: int | None = None
    rounds: int | None = None
    """None: until ``seconds`` have passed."""
    seconds: float = 5.0
    """For each scale and size, all models together."""
    compare_plain: bool = False
    """Run each model also in fp32, default layout, tile after tile."""
    threads: int | None = None
    """PyTorch's threads; None keeps their number."""
    published: Literal["models", "all"] | None = None
    """Costs printed in papers to show: those of the models, or all."""


@dataclass
class BenchCase:
    """One model in one number format on one picture, with its timings so far."""

    label: str
    engine: TorchEngine
    grid: TileGrid
    plain: bool
    """fp32 in PyTorch's default layout, tile after tile."""
    picture: NDArray[np.uint8]
    """(H, W, 3) uint8."""
    peak: int | None = None
    """Peak memory in bytes, measured by the warm-up run."""
    seconds: list[float] = field(default_factory=list)
    """Time of each round so far."""

    @property
    def format(self) -> str:
        """Number format, or ``plain``."""
        if self.plain:
            return "plain"
        return PRECISIONS[self.engine.half]

    def run(self) -> float:
        """Enlarge the picture, wait for the device, and return the seconds that it took."""
        start = time.perf_counter()
        enlarge_array(self.engine, self.picture, self.grid)
        if self.engine.device.type != "cpu":
            torch.accelerator.synchronize(self.engine.device)
        return time.perf_counter() - start


@dataclass(frozen=True)
class BenchResult:
    """All figures of a benchmark, as JSON has them."""

    machine: str
    how: str
    """Description of the method of measuring."""
    costs: tuple[Cost, ...]
    """Costs of every model at every scale."""
    speeds: tuple[Speed, ...]
    published: tuple[PublishedRow, ...] = ()
    """Costs printed in papers, to show beside these."""
    busy: str | None = None
    """Note that something else seems to have run meanwhile, or None."""


def bench(
    models: Sequence[str],
    options: BenchOptions | None = None,
    *,
    labels: Sequence[str] = (),
    progress: Progress | None = None,
) -> BenchResult:
    """Measure models side by side.

    Models are names of ``srx models`` or weights files, perhaps with ``labels``; repeated
    ones run once.
    InferenceError if a picture does not fit into memory, other SrxErrors if models and
    options make no sense here.
    """
    options = options or BenchOptions()
    progress = progress or Progress()
    label_of = label_models(models, labels)
    load = load_average()
    device = choose_device(options.device)
    scales = dict.fromkeys(options.scales)
    costs = []
    speeds: list[Speed] = []
    cases_by_size: dict[tuple[int, ...], list[BenchCase]] = {}
    with (
        torch_threads(options.threads),
        closing(progress.task("timing", unit="pictures")) as task,
    ):
        for scale, (model, label) in product(scales, label_of.items()):
            task.describe(f"{label} x{scale}")
            network = _load_network(model, scale, options.value_range, progress)
            for case in make_cases(model, label, network, options):
                cases_by_size.setdefault((scale, *case.picture.shape), []).append(case)
            costs.append(model_cost(network, model=label, device=device))
        for cases in cases_by_size.values():
            time_rounds(
                cases, rounds=options.rounds, seconds=options.seconds, task=task
            )
        for cases in cases_by_size.values():
            speeds += make_speeds(cases)
        machine = describe_machine(device)
    published = []
    if options.published:
        names = None
        if options.published == "models":
            names = [cost["model"] for cost in costs]
        for scale in scales:
            published += published_costs(scale, names)
        if not published:
            progress.warn(
                "--published: no paper prints costs of these models at these scales"
            )
    return BenchResult(
        machine=machine,
        how=TIMING_METHOD + PLAIN if options.compare_plain else TIMING_METHOD,
        costs=tuple(costs),
        speeds=tuple(speeds),
        published=tuple(published),
        busy=busy_note(load, speeds),
    )


def _load_network(
    model: str, scale: int, value_range: int | None, progress: Progress
) -> Network:
    """Load a network, with random weights where there are none: its speed is the same."""
    code, weights = split_code(model)
    allow_code(code)
    lacks_weights = (
        model in MODELS
        and find_entry(model, scale).needs_weights
        and scale not in shipped_scales(model)
    )
    if weights and not lacks_weights:
        network = load_model(model, scale, value_range=value_range)
        for note in network.notes:
            progress.message(note)
        return network
    options = code_arguments(model)
    network = build_network(code or model, scale=scale, options=options).deploy()
    if network.needs_weights:
        progress.warn(
            f"{model} x{scale}: there are no weights; it is timed with random ones"
        )
    return network


def make_cases(
    model: str, label: str, network: Network, options: BenchOptions
) -> Iterator[BenchCase]:
    """Yield the cases of a network to time: every picture in every number format.

    Formats that are the same on this device run once; the network itself is not
    changed.
    """
    device = choose_device(options.device)
    formats = {}
    for precision in options.precisions:
        name = PRECISIONS[network_half(network, device, precision)]
        formats[name] = replace(options, precision=name)
    variants = list(formats.values())
    if options.compare_plain:
        variants.append(replace(options, precision="fp32", plain=True, batch=1))
    tiling = choose_tiling(model, network, options.tile, options.overlap)
    for engine_options in variants:
        # A copy for each: engines change the memory layout of the weights.
        entry = entry_of(model, network)
        engine = make_engine(copy.deepcopy(network), engine_options, entry=entry)
        for size in dict.fromkeys(options.sizes):
            grid = tiling.padded_grid(*size)
            yield BenchCase(
                label, engine, grid, engine_options.plain, real_picture(*size)
            )


def time_rounds(
    cases: Sequence[BenchCase], *, rounds: int | None, seconds: float, task: Task
) -> None:
    """Time cases in turn, round by round, every second round backwards.

    So a machine that becomes slower or faster meanwhile treats them alike. Without a
    number of rounds they are run until ``seconds`` have passed for all together, 3 to
    100 times.
    """
    task.grow(len(cases) * (1 + (rounds or FEWEST_ROUNDS)))
    for case in cases:
        task.describe(f"{case.label} x{case.engine.scale} {case.format}")
        case.peak = peak_memory(case.run, case.engine.device)
        task.advance(1)
    began = time.perf_counter()
    for round_number in range(rounds or MOST_ROUNDS):
        if rounds is None and round_number >= FEWEST_ROUNDS:
            if time.perf_counter() - began >= seconds:
                break
            task.grow(len(cases))
        in_turn = reversed(cases) if round_number % 2 else cases
        for case in in_turn:
            case.seconds.append(case.run())
            task.advance(1)


def make_speeds(cases: Sequence[BenchCase]) -> Iterator[Speed]:
    """Summarise the rounds of each case; all are of one picture size and scale."""
    plain = {case.label: median(case.seconds) for case in cases if case.plain}
    for case in cases:
        grid = case.grid
        engine = case.engine
        seconds = median(case.seconds)
        height, width = case.picture.shape[:2]
        work = None
        with suppress(ModelError):
            work = count_macs(engine.network, height, width)
        times_plain = None
        if case.label in plain and not case.plain:
            times_plain = plain[case.label] / seconds
        yield {
            "scale": engine.scale,
            "model": case.label,
            "precision": PRECISIONS[engine.half],
            "plain": case.plain,
            "format": case.format,
            "size": (height, width),  # of LR
            "tiles": grid.count,
            "tile": (grid.tile_height, grid.tile_width),  # input pixels
            "overlap": grid.overlap,
            "batch": min(
                grid.count, engine.batch_size(grid.tile_height, grid.tile_width)
            ),
            # of the picture in one piece; None where it cannot be counted
            "conv_macs": work and work.convolutions,
            "matrix_macs": work and work.products,
            "seconds": tuple(case.seconds),  # of every round: from memory to memory
            "peak_memory": case.peak,
            "times_plain": times_plain,
            "rounds": len(case.seconds),
            "median_seconds": seconds,
            "fastest_seconds": min(case.seconds),
            "slowest_seconds": max(case.seconds),
            "pictures_per_second": 1 / seconds,
            "sr_megapixels_per_second": (
                height * width * engine.scale**2 / 1e6 / seconds
            ),
        }


def busy_note(load: float | None, speeds: Sequence[Speed]) -> str | None:
    """Return a note if load or spread show that something else ran meanwhile; else None.

    The load is the average before the first round; the speeds are all that was
    measured.
    """
    signs = []
    if load is not None and load > BUSY_LOAD * processor_count():
        signs.append(
            f"load average {load:.1f} on {processor_count()} processors at the start"
        )
    spread = max(speed["slowest_seconds"] / speed["median_seconds"] for speed in speeds)
    if spread > BUSY_SPREAD:
        signs.append(f"slowest round {spread:.1f} times the median")
    if not signs:
        return None
    return f"Busy machine: {', '.join(signs)}. Repeat on an idle one; these times are too long."


def bench_report(bench: BenchResult) -> list[Table | str]:
    """Return tables of speeds and costs, and lines on machine and method."""
    blocks: list[Table | str] = []
    for _, speeds in groupby(bench.speeds, key=itemgetter("scale", "size")):
        blocks.append(_speed_table(list(speeds)))
    for scale in dict.fromkeys(cost["scale"] for cost in bench.costs):
        tables = cost_tables(bench.costs, bench.published, scale)
        blocks += [table for table in tables if table.rows]
    if bench.busy:
        blocks.append(bench.busy)
    return [*blocks, f"Machine: {bench.machine}.", bench.how]


def _speed_table(speeds: Sequence[Speed]) -> Table:
    """Tabulate the speeds on pictures of one size at one scale."""
    headings = ["tiles", "GMACs", "ms", "min–max", "SR MP/s", "MiB"]
    if any(speed["plain"] for speed in speeds):
        headings.append("x plain")
    rows = []
    for speed in speeds:
        milliseconds, fastest, slowest = (
            significant(speed[key] * 1000)
            for key in ("median_seconds", "fastest_seconds", "slowest_seconds")
        )
        peak = speed["peak_memory"]
        times = speed["times_plain"]
        cells = [
            speed["model"],
            speed["format"],
            speed["tiles"],
            work_text(
                speed["conv_macs"],
                speed["matrix_macs"],
                lambda macs: significant(macs / 1e9),
            ),
            milliseconds,
            f"{fastest}–{slowest}",
            significant(speed["sr_megapixels_per_second"]),
            None if peak is None else significant(peak / 2**20),
            times and f"{times:.2f}",
        ]
        rows.append(cells[: 2 + len(headings)])
    scale = speeds[0]["scale"]
    height, width = speeds[0]["size"]
    size = f"{width}x{height} to {width * scale}x{height * scale}"
    title = f"x{scale}, {size}, {speeds[0]['rounds']} rounds"
    return make_table(rows, ("model", "format"), headings, title=title)
