"""Kill `srx upscale` at random moments until it is done, and compare with an undisturbed run.

Usage: python benchmarks/interrupted.py [--kills 20] [--size 1500x3000] [-m rrlfn] [-s 2]
           [--seed 1]

The scene is made by examples/make_scene.py. Every run gets SIGKILL after a random time,
and the same command continues; a completed run is compared, and the next one starts
over. Pixels, masks and tags must be equal, and no temporary files may remain.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio

ROOT = Path(__file__).resolve().parents[1]


def count_parts(folder: Path) -> int:
    return len(list(folder.glob(".*.parts/part-*"))) if folder.is_dir() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--size", default="1500x3000")
    parser.add_argument("-m", "--model", default="rrlfn")
    parser.add_argument("-s", "--scale", default="2")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = folder / "scene.tif"
        script = [sys.executable, str(ROOT / "examples" / "make_scene.py"), str(source)]
        subprocess.run(
            [*script, "--size", arguments.size, "--nodata-edges"], check=True
        )
        words = ["-m", arguments.model, "-s", arguments.scale, "-t", "128", "-v"]
        command = [sys.executable, "-m", "srcli", "upscale", str(source), *words]
        started = time.monotonic()
        subprocess.run(
            [*command, str(folder / "whole")], check=True, capture_output=True
        )
        undisturbed = time.monotonic() - started
        killed = folder / "killed"
        resumed = kills = finished = 0
        while kills < arguments.kills or not finished:
            # starting takes much of a run's time: kill after that
            limit = (
                undisturbed * moments.uniform(0.1, 0.5)
                if kills < arguments.kills
                else None
            )
            child = subprocess.Popen(
                [*command, str(killed)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            try:
                told = child.communicate(timeout=limit)[0].decode()
            except subprocess.TimeoutExpired:
                child.kill()
                told = child.communicate()[0].decode()
                kills += 1
                print(
                    f"kill {kills}: {count_parts(killed)} parts are there", flush=True
                )
            resumed += "kept from an earlier run" in told
            if child.returncode == 0:
                compare(folder / "whole" / source.name, killed)
                finished += 1
                shutil.rmtree(killed)
    print(
        f"{kills} kills, resumed {resumed} times, finished {finished} times: results are equal"
    )


def compare(whole: Path, killed: Path) -> None:
    with rasterio.open(whole) as a, rasterio.open(killed / whole.name) as b:
        same = np.array_equal(a.read(), b.read()) and a.profile == b.profile
        same = (
            same
            and np.array_equal(a.read_masks(), b.read_masks())
            and a.tags() == b.tags()
        )
    left = [path.name for path in killed.iterdir() if path.name != whole.name]
    if not same or left:
        raise SystemExit(f"equal: {same}; left behind: {left or 'nothing'}")


if __name__ == "__main__":
    main()
