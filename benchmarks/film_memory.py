"""Measure memory and threads of ``srx upscale`` of films of growing length.

Usage: python benchmarks/film_memory.py [--size 1920x1080] [--frames 50,150]
           [--words "-m bicubic -s 2"]

A clip of moving squares is made for each number of frames. Memory is the most that the
processes share among them (proportional set size) at a time, threads the most of one
process; both are looked at five times a second, on Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

PROC = Path("/proc")
MIB = 1024
"""Kibibytes in one."""


def main() -> None:
    """Print a line of a table for each number of frames."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", default="50,150")
    parser.add_argument("--words", default="-m bicubic -s 2")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print("| frames | MiB | threads | seconds |\n| --- | --- | --- | --- |")
    for count in map(int, options.frames.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder, "a.mp4")
            write_clip(clip, width, height, count)
            memory, threads, seconds = measure(clip, options.words.split())
        print(f"| {count} | {memory:.0f} | {threads} | {seconds:.0f} |", flush=True)


def write_clip(path: Path, width: int, height: int, count: int) -> None:
    """Write a film of squares that move to the right."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    picture = squares.repeat(16, 0).repeat(16, 1)[:height, :width]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, index, 1), "rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def measure(clip: Path, words: list[str]) -> tuple[float, int, float]:
    """Return the most MiB and threads of a run, and its seconds."""
    command = [sys.executable, "-m", "srcli", "upscale", clip, clip.with_name("b.mp4")]
    started = time.monotonic()
    run = subprocess.Popen([*command, *words, "-q"])
    most_memory = 0.0
    most_threads = 0
    while run.poll() is None:
        memory = 0.0
        for process in descendants(run.pid):
            try:
                rollup = (PROC / str(process) / "smaps_rollup").read_text()
                threads = len(list((PROC / str(process) / "task").iterdir()))
            except OSError:  # it has ended
                continue
            memory += int(rollup.partition("\nPss:")[2].split()[0]) / MIB
            most_threads = max(most_threads, threads)
        most_memory = max(most_memory, memory)
        time.sleep(0.2)
    if run.returncode:
        raise SystemExit(run.returncode)
    return most_memory, most_threads, time.monotonic() - started


def descendants(process: int) -> Iterator[int]:
    """Yield a process, and all that it has started."""
    yield process
    children = PROC / str(process) / "task" / str(process) / "children"
    try:
        numbers = children.read_text().split()
    except OSError:
        return
    for child in map(int, numbers):
        yield from descendants(child)


if __name__ == "__main__":
    main()
