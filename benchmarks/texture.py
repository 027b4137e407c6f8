"""Texture of models: the mean luma gradient of what they make, beside that of the HR pictures.

Usage: python benchmarks/texture.py -m g-idrn -m attentive-gan -m runs/l1.safetensors [-s 4]
           [--data Set5 --data Set14]

Networks trained for PSNR are smoother than photographs. Gradient: the mean of |difference of
neighbours| in BT.601 luma, down and across, in levels of 255. PSNR is that of `srx eval`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import srcli
from srcli.imaging.colour import luma
from srcli.imaging.kernels import KERNELS
from srcli.metrics.protocol import PROTOCOLS

Picture = NDArray[np.uint8]


def gradient(picture: Picture) -> float:
    y = luma(picture).astype(np.float64)
    down, across = np.abs(np.diff(y, axis=0)).mean(), np.abs(np.diff(y, axis=1)).mean()
    return float(down + across) / 2


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
    print("| set | model | gradient | PSNR-Y |")
    print("| --- | --- | ---: | ---: |")
    for name in arguments.data or ["Set5"]:
        originals = pictures(name, arguments.scale)
        print(f"| {name} | HR | {np.mean([gradient(hr) for hr in originals]):.3f} | |")
        for model in arguments.model:
            gradients, scores = [], []
            for hr in originals:
                lr = KERNELS["bicubic"].shrink(hr, arguments.scale)
                sr = srcli.upscale(lr, model, arguments.scale, precision="fp32")
                gradients.append(gradient(sr))
                scores.append(protocol.score(sr, hr, arguments.scale)[0])
            print(f"| {name} | {model} | {np.mean(gradients):.3f} | {np.mean(scores):.3f} |")


if __name__ == "__main__":
    main()
