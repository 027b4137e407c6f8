"""Time the copy of a raster's file, from its finished canvas, by each compression.

Usage: python benchmarks/compressions.py [--size 4000x3000]

The scene of examples/make_scene.py is enlarged twice by bicubic interpolation. Processor
time counts, as others may use the machine; the median of three runs is printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from srcli.imaging.rasters.creation import creation_options
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.profile import OutputOptions
from srcli.imaging.rasters.publishing import copy_canvas, folder_bytes, write_vrt
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.reporter import Ending, Reporter
from srcli.pipelines.upscale.run import upscale_due
from srcli.ports import Progress

ROOT = Path(__file__).resolve().parents[1]
CHOICES = (
    {},
    {"COMPRESS": "ZSTD"},
    {"COMPRESS": "ZSTD", "ZSTD_LEVEL": "1"},
    {"COMPRESS": "LZW"},
    {"COMPRESS": "JPEG"},
    {"COMPRESS": "NONE"},
)
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="4000x3000")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = folder / "scene.tif"
        script = ROOT / "examples" / "make_scene.py"
        subprocess.run([sys.executable, script, scene, "--size", size], check=True)
        options = settle(Asked(model="bicubic", scale=2))
        reporter = Reporter(Progress())
        reporter.ending = Ending(text="measuring", seconds=1.0, finish=measure)
        upscale_due([scene], folder / "out.tif", options, reporter, None)
        print(reporter.files[0].error)


def measure(parts: Parts, on_share: Callable[[float], None]) -> None:
    """Write the file by each compression, and print a table."""
    del on_share
    write_vrt(parts)  # which finishes the canvas
    print("| creation options | processor seconds | seconds | MB |")
    print("| --- | ---: | ---: | ---: |")
    for asked in CHOICES:
        creation = creation_options(parts.output, OutputOptions(creation=asked))
        output = replace(parts.output, creation=creation)
        times = []
        for _ in range(ROUNDS):
            folder = parts.folder / "copy"
            folder.mkdir(exist_ok=True)
            started = (time.process_time(), time.monotonic())
            copy_canvas(parts, output, folder / "out.tif")
            processor = time.process_time() - started[0]
            times.append((processor, time.monotonic() - started[1]))
            size = folder_bytes(folder)
        processor, wall = map(statistics.median, zip(*times, strict=True))
        words = " ".join(f"-co {key}={value}" for key, value in asked.items())
        print(
            f"| {words or 'none'} | {processor:.1f} | {wall:.1f} | {size / 1e6:.0f} |"
        )


if __name__ == "__main__":
    main()
