"""Measure ``srx upscale`` by one and by two workers, and predict what many would do.

Usage: python benchmarks/scale.py [--pictures 200] [--side 128] [--raster 8000] [--model rrlfn]
           [--scale 2] [--faster 100] [--storage 2] [--keep FOLDER] [--markdown benchmarks/scale.md]

Every worker has one thread and a core. A folder of small pictures and a raster go
through one process, two processes and a Ray cluster of two nodes on this machine, once
with a worker killed; all results must be equal bit for bit. The prediction is that of
scale_model.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import rasterio
from PIL import Image
from scale_model import Rates, in_words, measure_rates, predict, predictions, table

from srcli.inference.tiling import choose_tiling
from srcli.models.loading import load_model
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "one process": ["--device", "cpu"],
    "two processes": ["--device", "cpu,cpu"],
    "Ray, two nodes": ["--executor", "ray"],
    "Ray, a worker killed": ["--executor", "ray"],
}
KILLED = list(WAYS)[-1]


def make_pictures(folder: Path, count: int, side: int, scene: Path) -> None:
    folder.mkdir()
    with rasterio.open(scene) as file:
        pixels = file.read().transpose(1, 2, 0)
    steps = max(pixels.shape[0] - side, 1), max(pixels.shape[1] - side, 1)
    for i in range(count):
        top, left = (i * 97) % steps[0], (i * 61) % steps[1]
        Image.fromarray(pixels[top : top + side, left : left + side]).save(
            folder / f"{i:04}.png"
        )


def make_scene(path: Path, side: int) -> None:
    script = ROOT / "examples" / "make_scene.py"
    words = [sys.executable, str(script), str(path), "--size", f"{side}x{side}"]
    subprocess.run(
        [*words, "--compress", "none"], check=True, stdout=subprocess.DEVNULL
    )


@contextmanager
def ray_nodes():
    """Two Ray nodes with a processor each; the commands find them by RAY_ADDRESS."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()
        cluster.shutdown()


def kill_a_worker(out: Path) -> None:
    """Kill a worker of Ray once something of the result is there."""
    until = time.monotonic() + 3600
    while time.monotonic() < until:
        time.sleep(0.2)
        if not (any(out.glob("*.png")) or any(out.glob(".*/part-*"))):
            continue
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            if process.read_bytes().startswith(b"ray::do_unit"):
                os.kill(int(process.parent.name), signal.SIGKILL)
                return
    raise SystemExit("no worker to kill")


def upscale(source: Path, out: Path, words: list[str], way: str) -> tuple[float, int]:
    """Run one command; return its seconds and the tiles that it computed."""
    cores = sorted(os.sched_getaffinity(0))[: 1 if way == "one process" else 2]
    report = out.with_suffix(".jsonl")
    command = [sys.executable, "-m", "srcli", "upscale", str(source), str(out), *words]
    killer = threading.Thread(target=kill_a_worker, args=(out,), daemon=True)
    if way == KILLED:
        killer.start()
    started = time.monotonic()
    subprocess.run(
        [*command, *WAYS[way], "--report", str(report), "-q"],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    seconds = time.monotonic() - started
    if way == KILLED:
        killer.join(1)
        assert not killer.is_alive(), "nothing was killed"
    lines = [
        json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()
    ]
    return seconds, sum(line["tiles"] for line in lines)


def digests(out: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in out.iterdir()
    }


def measure(
    source: Path, place: Path, words: list[str]
) -> dict[str, tuple[float, int]]:
    """Run a command in all ways and check that the results are equal."""
    found = {}
    for way in WAYS:
        out = place / f"{source.stem}-{way.replace(' ', '-').replace(',', '')}"
        out.mkdir()
        found[way] = upscale(source, out, words, way)
        print(f"{source.name}, {way}: {found[way][0]:.1f} s", flush=True)
        first = place / f"{source.stem}-one-process"
        # hidden: what a killed worker was writing
        same = {k: v for k, v in digests(out).items() if k[0] != "."} == digests(first)
        assert same, f"{source}: {way} differs from one process"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--side", type=int, default=128, help="of the pictures")
    parser.add_argument("--raster", type=int, default=8000, help="side in pixels")
    parser.add_argument("--model", default="rrlfn")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument(
        "--faster", type=float, default=100, help="GPU relative to this core"
    )
    parser.add_argument(
        "--storage", type=float, default=2, help="GB/s of shared storage"
    )
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ray_nodes():
        place = given.keep or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        text = run(given, place)
    print(text)
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")


def run(given: argparse.Namespace, place: Path) -> str:
    raster, pictures, one = place / "raster.tif", place / "pictures", place / "one"
    make_scene(raster, given.raster)
    make_pictures(pictures, given.pictures, given.side, raster)
    make_pictures(one, 1, 32, raster)
    words = ["-m", given.model, "-s", str(given.scale)]
    starts = {way: upscale(one, place / way, words, way)[0] for way in list(WAYS)[:3]}
    starts[KILLED] = starts["Ray, two nodes"]
    runs = {source: measure(source, place, words) for source in (pictures, raster)}
    rows = []
    for source, found in runs.items():
        alone = found["one process"][0]
        for way, (seconds, tiles) in found.items():
            work = (alone - starts["one process"]) / (seconds - starts[way])
            cells = [
                source.stem,
                way,
                f"{seconds:.1f}",
                f"{starts[way]:.1f}",
                str(tiles),
            ]
            rows.append([*cells, f"{alone / seconds:.2f}", f"{work:.2f}"])
    head = ["input", "way", "s", "s, start alone", "tiles", "speed-up", "without start"]
    measured = table(head, rows)

    options = settle(Asked(model=given.model, scale=given.scale))
    own = measure_rates(
        raster, place / "raster-one-process" / raster.name, options, place
    )
    seconds, tiles = runs[raster]["one process"]
    out = (given.raster * given.scale) ** 2
    work = seconds - starts["one process"] - out / own["merge"]
    rates = Rates(
        start=starts["one process"],
        tile=work / tiles,
        storage=given.storage * 1e9,
        **own,
    )
    cut = choose_tiling(given.model, load_model(given.model, given.scale))
    tiling = cut.tile, cut.overlap
    checked = [
        [str(n), in_words(predict(given.raster, n, rates, tiling, given.scale)[0]),
         in_words(runs[raster][way][0])]
        for n, way in ((1, "one process"), (2, "two processes"))
    ]  # fmt: skip
    made_by = " ".join(["python", "benchmarks/scale.py", *sys.argv[1:]])
    pictures_are = f"{given.pictures} pictures of {given.side}x{given.side} pixels"
    return f"""# Several workers

Made by `{made_by}` with {given.model} x{given.scale}:
{pictures_are}, and a raster of {given.raster:,}x{given.raster:,}. Every worker has
one thread; one process has one core, two workers have two. All outputs are equal bit for bit.
"Start alone" is the same command with one picture of 32x32.

{measured}
## Model

A worker takes {rates.tile * 1e3:.1f} ms for a tile, reads {rates.read / 1e6:.0f} megapixels a
second and stores {rates.write / 1e6:.0f} megapixels of output as parts; one machine merges
{rates.merge / 1e6:.0f} megapixels a second. The network, reading and compressing go on side by
side; a worker computes one row of tiles twice; the merge follows. Storage is assumed to move
{given.storage:g} GB/s for all workers together. The rates are those of the run with one worker, so
that the one with two checks the model.

{table(["workers", "predicted", "measured"], checked)}
What it predicts, for this core and for a worker that is {given.faster:g} times as fast (a GPU;
assumed), with the step that takes longest:

{predictions(rates, tiling, given.scale, given.faster)}"""


if __name__ == "__main__":
    main()
