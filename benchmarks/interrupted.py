"""Kill `srx upscale` at random moments until it is done, and compare with a run left alone.

Usage: python benchmarks/interrupted.py [--kills 20] [--size 1500x3000] [-m rrlfn] [-s 2]
           [--seed 1]

The scene is made by examples/make_scene.py. Every run gets SIGKILL after a random time, and the
same command goes on; after the last kill it is left alone. Pixels and masks must be equal.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio

ROOT = Path(__file__).resolve().parents[1]


def journal_rows(folder: Path) -> int:
    journals = list(folder.glob(".*.journal")) if folder.is_dir() else []
    return sum(path.read_bytes().count(b"\n") for path in journals)


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
        subprocess.run([*script, "--size", arguments.size, "--nodata-edges"], check=True)
        words = ["-m", arguments.model, "-s", arguments.scale, "-t", "128", "-v"]
        command = [sys.executable, "-m", "srcli", "upscale", str(source), *words]
        started = time.monotonic()
        subprocess.run([*command, str(folder / "whole")], check=True, capture_output=True)
        alone = time.monotonic() - started
        killed = folder / "killed"
        resumed = kills = 0
        while True:
            child = subprocess.Popen(
                [*command, str(killed)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            try:
                # most of a run's time is spent on starting: aim behind that
                limit = None if kills == arguments.kills else alone * moments.uniform(0.1, 0.5)
                told = child.communicate(timeout=limit)[0].decode()
            except subprocess.TimeoutExpired:
                child.kill()
                told = child.communicate()[0].decode()
                kills += 1
                print(f"kill {kills}: {journal_rows(killed)} lines in the journal", flush=True)
            resumed += bool(re.search("goes on where an earlier run stopped", told))
            if child.returncode == 0:
                break
        with (
            rasterio.open(folder / "whole" / source.name) as a,
            rasterio.open(killed / source.name) as b,
        ):
            same = np.array_equal(a.read(), b.read()) and np.array_equal(
                a.read_masks(), b.read_masks()
            )
            same = same and a.tags() == b.tags() and a.profile == b.profile
        left = [path.name for path in killed.iterdir() if path.name != source.name]
    print(
        f"{kills} kills, resumed {resumed} times; equal: {same}; left behind: {left or 'nothing'}"
    )
    if not same or left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
