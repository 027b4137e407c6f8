"""Draw soft ramps, and darken photographs, to train networks on.

Usage: python benchmarks/ramp_pages.py OUT [--count 280] [--dark FOLDER] [--dark-count 60]

Photographs that are worth training on are full of detail, so networks never meet a sky.
Every ramp is 480x480: one to three soft waves of up to 6 levels a pixel in any direction,
in any colours, rounded to bytes. FOLDER holds training pictures, every n-th of which is
written again with an eighth to a half of its light: textures in shadows. As recipes take
the more detailed one of two places (``prefer_detail``), a fifth of the pictures has to be
ramps for 4 % of the patches to be ramps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from srcli.data.training_set import OUR_HELD_OUT, photograph_of

SIDE = 480
STEEPEST = 6.0
"""Steepest slope of a wave, in levels of 255 for a pixel."""


def draw_ramp(chance: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a picture (480, 480, 3) of one to three waves on one colour."""
    down, right = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    picture = np.ones((SIDE, SIDE, 3)) * chance.uniform(0, 255, 3)
    for _ in range(chance.integers(1, 4)):
        angle = chance.uniform(0, np.pi)
        along = down * np.sin(angle) + right * np.cos(angle)
        length = np.exp(chance.uniform(np.log(40), np.log(4 * SIDE)))
        wave = np.sin(2 * np.pi * (along / length + chance.random()))
        # the steepest slope of a sine is 2 pi times its height for each length
        highest = min(120.0, STEEPEST * length / (2 * np.pi))
        colour = chance.uniform(-1, 1, 3)
        if chance.random() < 0.5:  # light without colour, as of most skies
            colour[:] = colour[0]
        picture += wave[..., None] * colour * chance.uniform(0.1, 1) * highest
    return np.rint(picture.clip(0, 255)).astype(np.uint8)


def darken(file: Path, chance: np.random.Generator) -> Image.Image:
    """Return a picture with an eighth to a half of its light."""
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    darker = pixels * np.exp(chance.uniform(np.log(1 / 8), np.log(1 / 2)))
    return Image.fromarray(np.rint(darker).astype(np.uint8))


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=280)
    parser.add_argument("--dark", type=Path)
    parser.add_argument("--dark-count", type=int, default=60)
    arguments = parser.parse_args()
    chance = np.random.default_rng(0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.count):
        ramp = Image.fromarray(draw_ramp(chance))
        ramp.save(arguments.out / f"ramp-{number:04}.png")
    if arguments.dark:
        files = []
        for file in sorted(arguments.dark.iterdir()):
            # those that trainings are judged by stay unknown to them
            if photograph_of(file.stem) not in OUR_HELD_OUT:
                files.append(file)
        for number in range(arguments.dark_count):
            file = files[number * len(files) // arguments.dark_count]
            darken(file, chance).save(arguments.out / f"dark-{number:04}.png")


if __name__ == "__main__":
    main()
