"""Time batches of training patches on the CPU; a batch of 16 should stay below 10 ms.

Usage: python benchmarks/patches.py [pictures.zip ...]   (without a zip: random pictures)
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from srcli.data.patches import PatchSampler
from srcli.data.pictures import decode, digest, find_pictures
from srcli.data.training_set import Pairs
from srcli.imaging.pixels.resize import downscale, mod_crop
from srcli.recipes.training import Stage

BATCH, PATCH, ROUNDS = 16, 48, 50


def pictures(paths):
    """Return pictures of the given files, or 64 random ones of 480x480."""
    if paths:
        return [decode(ref) for ref in find_pictures(paths)]
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (480, 480, 3), dtype=np.uint8) for _ in range(64)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "pictures",
        nargs="*",
        type=Path,
        help="zips, folders or files; without: random pictures",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = pictures(arguments.pictures)
    print(
        f"{len(images)} pictures, {BATCH} patches of {PATCH}x{PATCH} LR pixels, one thread"
    )
    for scale in (2, 3, 4):
        hr = [mod_crop(image, scale) for image in images]
        lr = [downscale(image, scale) for image in hr]
        pairs = Pairs(scale=scale, hr=hr, lr=lr, digest=digest(hr))
        sampler = PatchSampler(pairs)
        for prefer in (False, True):
            spent = []
            for step in range(ROUNDS):
                start = time.perf_counter()
                sampler.batch(
                    step, Stage(batch=BATCH, patch=PATCH, prefer_detail=prefer)
                )
                spent.append(1000 * (time.perf_counter() - start))
            kind = "detail preferred" if prefer else "uniform"
            print(
                f"x{scale} {kind:17}: median {statistics.median(spent):6.2f} ms, "
                f"worst {max(spent):6.2f} ms"
            )


if __name__ == "__main__":
    main()
