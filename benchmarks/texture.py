"""Measure the texture of models' results: mean luma gradient, and its dependence on the LR grid.

Usage: python benchmarks/texture.py -m g-idrn -m attentive-gan -m runs/l1.safetensors [-s 4]
           [--data Set5 --data Set14]

Networks trained for PSNR are smoother than photographs. Gradient: the mean of
|difference of neighbours| in BT.601 luma, down and across, in levels of 255, beside
that of HR. Grid: the variation of these differences over the SCALE positions within an
LR pixel (standard deviation of their means over the mean): 0 for texture independent of
the grid. PSNR is that of `srx eval`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import srcli
from srcli.imaging.pixels.resize import downscale
from srcli.imaging.pixels.values import luma
from srcli.metrics.fidelity import PROTOCOLS

Picture = NDArray[np.uint8]


def gradient(picture: Picture) -> float:
    return float(np.mean([steps.mean() for steps in differences(picture)]))


def grid(picture: Picture, scale: int) -> float:
    found = []
    for steps in differences(picture):
        means = [steps[position::scale].mean() for position in range(scale)]
        found.append(np.std(means) / np.mean(means))
    return float(np.mean(found))


def differences(picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Absolute differences of neighbours, down and across, each along its first axis."""
    y = luma(picture).astype(np.float64)
    return np.abs(np.diff(y, axis=0)), np.abs(np.diff(y, axis=1)).T


def pictures(name: str, scale: int) -> list[Picture]:
    folder = Path(name)
    if not folder.is_dir():
        folder = Path(os.environ.get("SRX_DATA", "data")) / "benchmarks" / name
    found = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        height, width = (side // scale * scale for side in pixels.shape[:2])
        found.append(np.ascontiguousarray(pixels[:height, :width]))
    if not found:
        raise SystemExit(f"{folder}: no PNG pictures")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--data", action="append")
    arguments = parser.parse_args()
    protocol = PROTOCOLS["y"]
    print("| set | model | gradient | grid | PSNR-Y |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name in arguments.data or ["Set5"]:
        originals = pictures(name, arguments.scale)
        seen = np.mean(
            [(gradient(hr), grid(hr, arguments.scale)) for hr in originals], axis=0
        )
        print(f"| {name} | HR | {seen[0]:.3f} | {seen[1]:.3f} | |")
        for model in arguments.model:
            found = []
            for hr in originals:
                lr = downscale(hr, arguments.scale)
                sr = srcli.upscale(lr, model, arguments.scale, precision="fp32")
                psnr = protocol.score(sr, hr, arguments.scale)[0]
                found.append((gradient(sr), grid(sr, arguments.scale), psnr))
            row = " | ".join(f"{figure:.3f}" for figure in np.mean(found, axis=0))
            print(f"| {name} | {model} | {row} |")


if __name__ == "__main__":
    main()
