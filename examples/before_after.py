"""Before and after: an LR picture and its enlargements side by side, cropped and zoomed.

A photograph of scikit-image is made smaller by the scale, then enlarged by each model, so that the
original can stand beside the results.

Usage: python examples/before_after.py OUT.png [--scale 4] [--model bicubic --model g-idrn]
           [--jpeg 75]   (save the small picture as a JPEG of this quality first)
"""

from __future__ import annotations

import argparse
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

import srcli
from srcli.imaging.pixels.resize import mod_crop, resize

CROPS = {"astronaut": (10, 150, 192, 192), "rocket": (200, 270, 192, 192)}
"""Top, left, height, width in the original; both (by NASA and SpaceX) are in the public domain."""


def panel(picture: np.ndarray, label: str) -> Image.Image:
    image = Image.fromarray(picture).resize((288, 288), Image.Resampling.NEAREST)
    framed = Image.new("RGB", (296, 316), "white")
    framed.paste(image, (4, 4))
    ImageDraw.Draw(framed).text((6, 296), label, fill="black")
    return framed


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--model", action="append", dest="models")
    parser.add_argument("--jpeg", type=int, metavar="QUALITY")
    arguments = parser.parse_args()
    models = arguments.models or ["bicubic", "g-idrn"]
    scale = arguments.scale
    rows = []
    for name, (top, left, height, width) in CROPS.items():
        original = mod_crop(getattr(data, name)(), scale)
        small = resize(original, Fraction(1, scale))
        if arguments.jpeg:
            small = as_jpeg(small, arguments.jpeg)
        area = (slice(top, top + height), slice(left, left + width))
        nearest = small.repeat(scale, axis=0).repeat(scale, axis=1)
        panels = [panel(nearest[area], f"{name}, input")]
        panels.extend(
            panel(
                srcli.upscale(small, model=model, scale=scale)[area],
                f"{model} x{scale}",
            )
            for model in models
        )
        panels.append(panel(original[area], "original"))
        rows.append(np.hstack([np.asarray(p) for p in panels]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
