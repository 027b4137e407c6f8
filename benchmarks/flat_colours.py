"""Measure how far shipped weights shift flat colours, and write it into their cards.

Usage: python benchmarks/flat_colours.py

A picture of one colour should come out as that colour. Of 21 colours, six saturated and
fifteen random, the largest difference of any value counts, in levels of 255. Above one
level, cards state it; ship_weights.py refuses such weights.
"""

from __future__ import annotations

import argparse
import re
from itertools import product

import numpy as np

import srcli
from srcli.models import MODELS
from srcli.models.weights import shipped_scales, weights_path

HARMLESS_LEVELS = 1
SATURATED = [*product((0, 255), repeat=3)][1:-1]
RANDOM = np.random.default_rng(28).integers(0, 256, (15, 3)).tolist()
LINE = re.compile(r"^flat_colours = .*\n", re.MULTILINE)


def largest_shift(model: str, scale: int) -> int:
    """Return the largest difference between a flat picture and its enlargement, levels of 255."""
    worst = 0
    for colour in (*SATURATED, *RANDOM):
        flat = np.full((64, 64, 3), colour, np.uint8)
        enlarged = srcli.upscale(flat, model, scale, device="cpu", precision="fp32")
        worst = max(worst, int(np.abs(enlarged.astype(int) - colour).max()))
    return worst


def card_line(shift: int) -> str:
    """Return the line of a card; empty for a harmless shift."""
    return f"flat_colours = {shift}\n" if shift > HARMLESS_LEVELS else ""


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for name, entry in MODELS.items():
        for scale in shipped_scales(name) if entry.needs_weights else ():
            shift = largest_shift(name, scale)
            print(f"{name} x{scale}: {shift}", flush=True)
            card = weights_path(name, scale).with_suffix(".toml")
            text = LINE.sub("", card.read_text(encoding="utf-8"))
            heading = "[measured]\n"
            card.write_text(
                text.replace(heading, heading + card_line(shift)), encoding="utf-8"
            )


if __name__ == "__main__":
    main()
