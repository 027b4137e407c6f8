"""Compare upscaling a folder of photographs, decoding and encoding included, with its engine alone.

Usage: python benchmarks/folder.py [-m g-idrn] [-s 4] [--count 100] [--rounds 3]
           [--longest 320] [--threads N] [--markdown benchmarks/folder.md]

The photographs are cut and shrunk from scikit-image's, longer sides from a quarter of --longest on,
as JPEG, PNG, WebP and TIFF. "engine" enlarges them in memory, already decoded, by an engine that
has seen all of their sizes; "end to end" is what srx upscale does once Python has started, loading
the network included. Both take turns, every second round backwards.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from skimage import data
from timing_page import write_page

from srcli.imaging.reading import open_picture, read_photograph
from srcli.inference.engines import EngineOptions, EnginePool, choose_tiling
from srcli.inference.stream import run_stream
from srcli.metrics.machine import describe_machine, load_average, processors, threads
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import Prepared, prepare
from srcli.pipelines.upscale.run import upscale_files
from srcli.report.table import make_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = ("astronaut", "coffee", "chelsea", "rocket", "camera")
FORMATS = ("jpg", "png", "jpg", "webp", "jpg", "png", "tif", "jpg", "png", "jpg")


def make_pictures(folder: Path, count: int, longest: int) -> list[Path]:
    """Write photographs of mixed sizes, shapes and formats."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        whole = Image.fromarray(getattr(data, NAMES[number % len(NAMES)])())
        side = int(random.uniform(longest / 4, longest))
        shape = (side, int(side * random.uniform(0.5, 1)))
        width, height = shape if random.random() < 0.6 else shape[::-1]
        zoom = random.uniform(1.0, min(whole.width / width, whole.height / height))
        left = random.uniform(0, whole.width - width * zoom)
        top = random.uniform(0, whole.height - height * zoom)
        box = (left, top, left + width * zoom, top + height * zoom)
        paths.append(folder / f"{number:03}.{FORMATS[number % len(FORMATS)]}")
        whole.resize((width, height), Image.Resampling.BICUBIC, box=box).save(paths[-1])
    return paths


def time_engine(pool: EnginePool, pictures: Sequence[Prepared]) -> None:
    tiling = choose_tiling("", pool.network)
    works = (each.work(pool.network.scale, tiling, "picture")[0] for each in pictures)
    for work in run_stream(pool.engine(8), works):
        if work.error is not None:
            raise work.error


def time_in_turn(
    calls: dict[str, Callable[[], None]], rounds: int
) -> tuple[list[list[str]], dict[str, str]]:
    """Return a row for each round, and the medians of its two ratios."""
    rows: list[list[str]] = []
    ratios: dict[str, list[float]] = {"wall": [], "processor": []}
    for call in calls.values():  # warms up
        call()
    for number in range(rounds):
        spent = {}
        for kind in calls if number % 2 == 0 else reversed(calls):
            start, used = time.perf_counter(), time.process_time()
            calls[kind]()
            spent[kind] = (time.perf_counter() - start, time.process_time() - used)
        (engine, engine_cpu), (whole, whole_cpu) = spent["engine"], spent["end to end"]
        ratios["wall"].append(engine / whole)
        ratios["processor"].append(engine_cpu / whole_cpu)
        numbers = [f"{each:.2f}" for each in (engine, engine_cpu, whole, whole_cpu)]
        shares = [f"{engine / whole:.1%}", f"{engine_cpu / whole_cpu:.1%}"]
        rows.append([f"{number + 1}", *numbers, *shares])
        print(*rows[-1], sep="  ", flush=True)
    return rows, {kind: f"{median(each):.1%}" for kind, each in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-m", "--model", default="g-idrn")
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--longest", type=int, default=320, help="longest side, pixels")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    load = load_average()
    first: list[float] = []
    with threads(given.threads), tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        paths = make_pictures(folder, given.count, given.longest)
        pictures = [prepare(read_photograph(open_picture(path))) for path in paths]
        machine = EngineOptions(device="cpu")
        pool = EnginePool(given.model, given.scale, machine)
        options = UpscaleOptions(
            model=given.model, scale=given.scale, engine=machine, overwrite=True
        )

        def end_to_end() -> None:
            begun, seconds = time.perf_counter(), []
            done = upscale_files(
                [folder],
                out,
                options,
                on_file=lambda _: seconds.append(time.perf_counter() - begun),
            )
            assert done.count("done") == given.count
            first.append(seconds[0])

        calls = {"engine": lambda: time_engine(pool, pictures), "end to end": end_to_end}
        rows, found = time_in_turn(calls, given.rounds)
        described = describe_machine(torch.device("cpu"))
    pixels = sum(each.pixels.shape[0] * each.pixels.shape[1] for each in pictures)
    title = (
        f"{given.model} x{given.scale}, {given.count} photographs, {pixels / 1e6:.1f} megapixels"
    )
    numbers = ("engine, s", "its CPU s", "end to end, s", "its CPU s ", "wall", "processor")
    result = (
        f"Engine by end to end, medians: {found['wall']} of wall time, {found['processor']} of "
        f"processor time. First file after {median(first[1:]):.2f} s."
    )
    print(result)
    if given.markdown:
        about = f"{described}. Load at the start {load or 0:.1f} on {processors()} processors"
        table = make_table(rows, ("round",), numbers, title=title)
        write_page(given.markdown, "A folder of photographs", about, result, __doc__, table)


if __name__ == "__main__":
    main()
