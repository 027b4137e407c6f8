"""Make a test set of degraded pictures: HR/, and LR_<name>/X<scale>/ for every degradation.

Pictures are the given files and folders, else photographs of scikit-image. Measure a network under
a degradation with

    srx eval -m g-idrn -m bicubic -s 4 --hr OUT/HR --lr OUT/LR_photo/X4

Usage: python examples/degrade_pictures.py OUT [PICTURES ...] [--scale 4] [--seed 0]
       [--degradation photo --degradation aerial]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skimage import data

from srcli.data.degrading import degrade
from srcli.data.pictures import decode, find_pictures
from srcli.errors import SrxError
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.writing import write_photograph
from srcli.imaging.pixels.resize import mod_crop
from srcli.recipes.degradation import DEGRADATIONS

if TYPE_CHECKING:
    import numpy as np

NAMES = ("astronaut", "coffee", "chelsea", "rocket")


def pictures(paths: list[Path]) -> dict[str, np.ndarray]:
    if not paths:
        return {name: getattr(data, name)() for name in NAMES}
    refs = find_pictures(paths)
    found = {ref.name: decode(ref) for ref in refs}
    if len(found) < len(refs):
        sys.exit("error: two pictures have the same name; rename one")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("pictures", type=Path, nargs="*", help="files and folders")
    parser.add_argument("--scale", type=int, default=4, choices=(2, 3, 4))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--degradation", action="append", choices=tuple(DEGRADATIONS))
    arguments = parser.parse_args()
    scale = arguments.scale
    try:
        found = pictures(arguments.pictures)
    except SrxError as error:
        sys.exit(f"error: {error}")
    folders = {
        name: arguments.out / f"LR_{name}" / f"X{scale}"
        for name in arguments.degradation or ("bicubic", "photo", "aerial")
    }
    for folder in (arguments.out / "HR", *folders.values()):
        folder.mkdir(parents=True, exist_ok=True)
    for i, (name, picture) in enumerate(found.items()):
        hr = mod_crop(picture, scale)
        write_photograph(
            arguments.out / "HR" / f"{name}.png", Photograph(pixels=hr), fmt="png"
        )
        for degradation, folder in folders.items():
            # a seed per picture: different degradations, the same on every run
            lr = degrade(hr, scale, degradation, seed=1000 * arguments.seed + i)
            write_photograph(
                folder / f"{name}x{scale}.png", Photograph(pixels=lr), fmt="png"
            )
    print(f"{len(found)} pictures; measure with:")
    for folder in folders.values():
        print(
            f"  srx eval -m g-idrn -s {scale} --hr {arguments.out / 'HR'} --lr {folder}"
        )


if __name__ == "__main__":
    main()
