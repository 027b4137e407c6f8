"""Check every network on a GPU against the CPU, time all ways to run them, write benchmarks/gpu.md.

Usage: bash benchmarks/gpu.sh [--device cuda] [--quick] [--seconds 530]
           [--markdown benchmarks/gpu.md] [--only Engine --only Compiled]

Sections: outputs against those of the CPU, ways to run a network, the whole engine by
tile and batch, convolutions by width, copies, training, a compiled network. Each has
its share of the time; the file is written after every row, so that a time limit loses
little. Tests are apart: pytest -m gpu.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_timing import (
    HALVES,
    Rows,
    enlarge,
    load,
    photo,
    sweep_tiles,
    time_compiled,
    time_convolutions,
    time_networks,
    time_training,
    time_transfers,
)

from srcli.inference.engine import TorchEngine
from srcli.inference.tiling import choose_tiling
from srcli.models import MODELS

TIMED = ("g-idrn", "rrlfn", "nested-attn")
Section = tuple[str, float, list[str], Callable[[Any], Rows]]
"""Title, share of the time, columns, rows."""


def compare_outputs(given: Any) -> Rows:
    """Compare tiles of a photograph with those that the CPU computes in fp32, in levels of 255."""
    picture = photo(72, 80) / np.float32(255)
    for name in given.models:
        tiling = replace(choose_tiling(name, load(name)), tile=48, overlap=8)
        wanted = enlarge(
            TorchEngine(load(name), device=torch.device("cpu")), picture, tiling
        )
        row = [name]
        for half in (None, *HALVES.values()):
            engine = TorchEngine(load(name), device=given.device, half=half)
            difference = np.abs(enlarge(engine, picture, tiling) - wanted) * 255
            row.append(f"{difference.max():.4f} / {difference.mean():.5f}")
        yield row


SECTIONS: list[Section] = [
    (
        "Outputs: largest / mean difference from fp32 on the CPU, levels of 255",
        0.2,
        ["model", "fp32", *HALVES],
        compare_outputs,
    ),
    (
        "Networks: one forward pass",
        0.25,
        [
            "model",
            "batch x H x W",
            "way",
            "ms: median (fastest–slowest)",
            "pictures/s",
            "x eager fp32",
        ],
        time_networks,
    ),
    (
        "Engine, uint8 to uint8 in memory",
        0.2,
        [
            "model",
            "engine",
            "tile",
            "batch",
            "ms: median (fastest–slowest)",
            "SR megapixels/s",
        ],
        sweep_tiles,
    ),
    (
        "Convolutions: 3x3 of 16x192x192, ms: median (fastest–slowest)",
        0.02,
        [
            "channels",
            *(f"{name}{tuned}" for name in HALVES for tuned in ("", ", tuned")),
        ],
        time_convolutions,
    ),
    (
        "Copies of 48 MiB",
        0.02,
        ["copy", "ms: median (fastest–slowest)", "GB/s"],
        time_transfers,
    ),
    (
        "Training g-idrn x4",
        0.2,
        ["optimiser", "format", "batch", "patch", "CUDA graphs", "iterations/s"],
        time_training,
    ),
    (
        "Compiled: g-idrn x4 in half precision",
        0.1,
        ["way", "size", "s: first pass", "ms: median (fastest–slowest)"],
        time_compiled,
    ),
]


def describe(given: Any) -> str:
    device = given.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or "CPU"
    )
    versions = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    return f"{name}, {os.cpu_count()} processors, {versions}, Python {platform.python_version()}"


def write(given: Any, text: list[str]) -> None:
    content = "\n".join(text) + "\n"
    given.markdown.write_text(content, encoding="utf-8")
    if out := os.environ.get("OUT"):
        Path(out, "gpu.md").write_text(content, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, two models: tries the script"
    )
    parser.add_argument("--seconds", type=float, default=530, help="for all sections")
    parser.add_argument(
        "--markdown", type=Path, default=Path(__file__).with_name("gpu.md")
    )
    parser.add_argument(
        "--only", action="append", help="a section whose title begins so; several times"
    )
    given = parser.parse_args()
    sections = [
        each for each in SECTIONS if each[0].startswith(tuple(given.only or [""]))
    ]
    whole = sum(share for _, share, _, _ in sections)
    given.models = ("g-idrn", "ddsr") if given.quick else tuple(MODELS)
    given.timed = ("g-idrn", "rrlfn") if given.quick else TIMED
    start, failed = time.monotonic(), False
    text = [
        "# On a GPU",
        "",
        f"`bash benchmarks/gpu.sh {shlex.join(sys.argv[1:])}`, {datetime.now(UTC):%Y-%m-%d}.",
        f"{describe(given)}.",
    ]
    spare = 0.0
    for title, share, columns, section in sections:
        text += [
            "",
            f"## {title}",
            "",
            f"| {' | '.join(columns)} |",
            "| --- " * len(columns) + "|",
        ]
        begun = time.monotonic()
        # with what the sections before have left
        limit = share / whole * given.seconds + spare
        print(f"[{begun - start:.0f} s] {title}")
        try:
            for row in section(given):
                text.append(f"| {' | '.join(row)} |")
                print("  " + "  ".join(row))
                write(given, text)
                if time.monotonic() - begun > limit:
                    text += ["", "Out of time; the rest was left out."]
                    break
        except Exception as error:  # noqa: BLE001 - the other sections are worth having
            failed = True
            traceback.print_exc()
            text += ["", f"Failed: {type(error).__name__}: {str(error)[:200]}"]
        spare = limit - (time.monotonic() - begun)
        write(given, text)
    print(f"[{time.monotonic() - start:.0f} s] {given.markdown}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
