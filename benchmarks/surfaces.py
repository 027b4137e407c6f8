"""Measure how far networks are off on made surfaces, whose larger versions are known exactly.

usage: python benchmarks/surfaces.py [-m MODEL ...]

Errors are root mean squares, as shares of the range from 0 to 1. Elevation is as smooth
as this; srx gives it to a network only where its detail is well above the network's
error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import srcli

Floats = NDArray[np.float64]
SIDE = 128
MARGIN = 8
"""Pixels at the borders that do not count: nothing is known beyond them."""
SURFACES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "plain": lambda x, y: 0.003 + 0 * x,
    "ramp": lambda x, y: 0.1 + 0.8 * x / SIDE,
    "waves": lambda x, y: 0.5 + 0.4 * np.sin(x / 17) * np.cos(y / 13),
    "low waves": lambda x, y: 0.5 + 0.001 * np.sin(x / 5) * np.cos(y / 4),
    "furrows beside a mountain": lambda x, y: (
        0.04 + 8e-5 * np.sin(x / 1.5) + 0.95 * np.clip((x - 80) / 48, 0, 1) ** 2
    ),
}


def heights(surface: Callable[[Floats, Floats], Floats], scale: int) -> Floats:
    """Heights in the middle of pixels, ``scale`` times as many on each side."""
    centres = (np.arange(SIDE * scale) + 0.5) / scale - 0.5
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return surface(x, y)


def error(model: str, surface: Callable[[Floats, Floats], Floats], scale: int) -> float:
    low = heights(surface, 1).astype(np.float32)
    off = srcli.upscale(low, model, scale) - heights(surface, scale)
    inner = slice(MARGIN * scale, -MARGIN * scale)
    return float(np.sqrt((off[inner, inner] ** 2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-m", "--model", action="append", help="bicubic and g-idrn by default"
    )
    models = parser.parse_args().model or ["bicubic", "g-idrn"]
    print("| surface | scale |", " | ".join(models), "|")
    print("| --- | ---: |", " | ".join(["---:"] * len(models)), "|")
    for name, surface in SURFACES.items():
        for scale in (2, 3, 4):
            errors = [f"{error(model, surface, scale):.1e}" for model in models]
            print(f"| {name} | x{scale} |", " | ".join(errors), "|", flush=True)


if __name__ == "__main__":
    main()
