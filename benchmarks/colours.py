"""Measure how far models move the colours of pictures: means of channels, and of small areas.

Usage: SRX_DATA=FOLDER python benchmarks/colours.py -m g-idrn-photo [-m ...] [-s 4]
           [--strength 0.5] [--quality 75] [--free]

Six pieces of photographs, 128x128 pixels, are enlarged; each result is made smaller
again by the means of areas and compared with its input. Figures are levels of 255, the
largest of six pictures for means of channels, and the average for areas of 16x16 input
pixels. ``--quality`` saves the input as JPEG before; ``--free`` lets networks that would
hold the input's colours move them.
"""

from __future__ import annotations

import argparse
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import srcli
from srcli.models import MODELS

SIDE = 128
AREA = 16
FILES = ("Set5/bird", "Set5/butterfly", "Set14/baboon", "Set14/flowers")


def middle_of(pixels: np.ndarray) -> np.ndarray:
    """Cut the middle out of a picture, (SIDE, SIDE, 3)."""
    top = (pixels.shape[0] - SIDE) // 2
    left = (pixels.shape[1] - SIDE) // 2
    return np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])


def read_pieces() -> list[np.ndarray]:
    """Read the six pieces, two of them from scikit-image."""
    pieces = [data.astronaut()[40:168, 170:298], data.chelsea()[60:188, 120:248]]
    for name in FILES:
        path = Path(os.environ["SRX_DATA"], "benchmarks", f"{name}.png")
        pieces.append(middle_of(np.asarray(Image.open(path).convert("RGB"))))
    return pieces


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Save pixels as JPEG and read them again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def area_means(values: np.ndarray, side: int) -> np.ndarray:
    """Return the means of square areas of (H, W, 3)."""
    rows = values.shape[0] // side
    columns = values.shape[1] // side
    return values.reshape(rows, side, columns, side, 3).mean(axis=(1, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--strength", type=float)
    parser.add_argument("--quality", type=int, help="save inputs as JPEG before")
    parser.add_argument("--free", action="store_true", help="do not hold colours")
    words = parser.parse_args()
    for model in words.model:
        if words.free:
            MODELS[model] = replace(MODELS[model], holds_colours=False)
        largest_mean = 0.0
        of_areas = []
        for piece in read_pieces():
            pixels = as_jpeg(piece, words.quality) if words.quality else piece
            enlarged = srcli.upscale(
                pixels, model, words.scale, strength=words.strength
            )
            shift = area_means(enlarged.astype(float), words.scale) - pixels
            means = np.abs(shift.mean(axis=(0, 1)))
            largest_mean = max(largest_mean, float(means.max()))
            of_areas.append(np.abs(area_means(shift, AREA)).mean())
        print(
            f"{model} x{words.scale}: channels {largest_mean:.2f} at most, "
            f"areas {np.mean(of_areas):.2f} on average",
            flush=True,
        )


if __name__ == "__main__":
    main()
