"""Measure peak memory, time and waiting of ``srx upscale`` on rasters of growing height.

Usage: python benchmarks/large.py [--width 20000] [--heights 2500,5000,10000,20000] [--keep FOLDER]
           [--markdown benchmarks/large.md]

Scenes are made by examples/make_scene.py. Every run is a separate process, whose peak
memory the system reports. A strip of 50,000 columns and a network on a window follow.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import rasterio

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Run:
    what: str
    size: tuple[int, int]
    command: str
    seconds: float
    peak: int
    waiting: str


def make_scene(path: Path, width: int, height: int) -> None:
    if not path.is_file():
        script = ROOT / "examples" / "make_scene.py"
        words = [sys.executable, str(script), str(path), "--size", f"{width}x{height}"]
        subprocess.run([*words, "--compress", "none"], check=True)


def measure(what: str, source: Path, out: Path, words: list[str]) -> Run:
    """Run one command and check what it wrote."""
    command = ["upscale", str(source), str(out), *words, "-v", "--no-resume"]
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "srcli", *command], stderr=log, stdout=log
        )
        _, status, usage = os.wait4(child.pid, 0)
        log.seek(0)
        told = log.read().decode()
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(told)
    pattern = r"([0-9.]+) s for reading.* ([0-9.]+) s for writing; ([0-9.]+) s after"
    found = re.search(pattern, " ".join(told.split()))
    assert found is not None, told
    target = out / source.name
    with rasterio.open(source) as before, rasterio.open(target) as after:
        scale = int(words[words.index("-s") + 1])
        if "--srcwin" not in words:
            assert (after.width, after.height) == (
                scale * before.width,
                scale * before.height,
            )
            close = [
                abs(a - b) for a, b in zip(before.bounds, after.bounds, strict=True)
            ]
            assert max(close) < 1e-9 * abs(before.transform.a), close
        size = (after.width, after.height)
    target.unlink()
    return Run(
        what=what,
        size=size,
        command=" ".join(["srx", "upscale", source.name, "out/", *words]),
        seconds=seconds,
        peak=usage.ru_maxrss * 1024,
        waiting=" / ".join(found.groups()),
    )


def table(runs: list[Run]) -> str:
    lines = [
        "| what | output | peak memory, MiB | time, s | output megapixels/s | waited for reading / "
        "for writing / end of the file, s | command |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for run in runs:
        width, height = run.size
        speed = width * height / 1e6 / run.seconds
        lines.append(
            f"| {run.what} | {width:,} x {height:,} | {run.peak / MIB:,.0f} | {run.seconds:,.0f} "
            f"| {speed:.1f} | {run.waiting} | `{run.command}` |"
        )
    return "\n".join(lines) + "\n"


def write_table(file: Path, text: str) -> None:
    """Replace the first table of a Markdown file and keep the text around it."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    begin = next(
        (i for i, line in enumerate(lines) if line.startswith("|")), len(lines)
    )
    end = begin
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    whole = [*lines[:begin], *text.strip().splitlines(), *lines[end:]]
    file.write_text("\n".join(whole) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=20_000)
    parser.add_argument("--heights", default="2500,5000,10000,20000")
    parser.add_argument("--strip", default="50000x1000", help="size, or none")
    parser.add_argument(
        "--keep", type=Path, help="folder in which scenes are kept for later runs"
    )
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        out = Path(scratch) / "out"
        runs = []
        for height in map(int, arguments.heights.split(",")):
            source = folder / f"scene_{arguments.width}x{height}.tif"
            make_scene(source, arguments.width, height)
            words = ["-m", "bicubic", "-s", "2"]
            runs.append(measure(f"bicubic x2, height {height:,}", source, out, words))
            print(table(runs[-1:]), flush=True)
        window = [
            "-m",
            "g-idrn",
            "-s",
            "2",
            "--srcwin",
            "1000",
            "500",
            str(arguments.width // 4),
        ]
        what = f"g-idrn x2, a window of {arguments.width // 4:,} x 1,000"
        runs.append(measure(what, source, out, [*window, "1000"]))
        if arguments.strip != "none":
            width, height = map(int, arguments.strip.split("x"))
            source = folder / f"strip_{width}x{height}.tif"
            make_scene(source, width, height)
            words = ["-m", "bicubic", "-s", "4"]
            runs.append(measure(f"bicubic x4, {width:,} columns", source, out, words))
            words = ["-m", "rrlfn", "-s", "4", "--srcwin", "0", "0", str(width), "200"]
            runs.append(
                measure(f"rrlfn x4, {width:,} columns, 200 rows", source, out, words)
            )
    text = table(runs)
    print(text)
    if arguments.markdown:
        write_table(arguments.markdown, text)


if __name__ == "__main__":
    main()
