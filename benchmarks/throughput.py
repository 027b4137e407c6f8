"""Pictures a second for 512x512 pictures: srx's defaults against the same network run plainly.

Plain means what a first script does: fp32, PyTorch's default memory layout, tile after tile.
Both run the same tiles of the same picture, alternating, in one process; the median counts.

Usage: python benchmarks/throughput.py [--model g-idrn] [--scale 4] [--rounds 3] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time

import torch
from skimage.data import astronaut

from srcli.inference.tiling import make_grid
from srcli.models.weights import load_model
from srcli.pipelines.engines import EngineOptions, choose_tiling, enlarge_array, make_engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="g-idrn")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    picture = astronaut()
    network = load_model(arguments.model, arguments.scale)
    tiling = choose_tiling(arguments.model, network)
    grid = make_grid(*picture.shape[:2], tile=tiling.tile, overlap=tiling.overlap)
    engines = {
        "srx": make_engine(network, EngineOptions()),
        "plain": make_engine(
            load_model(arguments.model, arguments.scale), EngineOptions(plain=True, batch=1)
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(arguments.rounds + 1):
        for name, engine in engines.items():
            start = time.perf_counter()
            enlarge_array(engine, picture, grid)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    result = {
        "machine": f"{platform.machine()}, {arguments.threads} threads, torch {torch.__version__}",
        "model": arguments.model,
        "scale": arguments.scale,
        "tile": tiling.tile,
        "overlap": tiling.overlap,
        "pictures_per_second": {name: round(1 / value, 4) for name, value in medians.items()},
        "ratio": round(medians["plain"] / medians["srx"], 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
