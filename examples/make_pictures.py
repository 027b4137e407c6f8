"""Write small copies of scikit-image's photographs into a folder, to try srx on.

Usage: python examples/make_pictures.py FOLDER [--size 128] [--jpeg 50]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from skimage import data

NAMES = ("astronaut", "coffee", "chelsea", "rocket")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--size", type=int, default=160, help="longer side of the pictures, pixels"
    )
    parser.add_argument(
        "--jpeg", type=int, help="save JPEGs of this quality instead of PNGs"
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        picture = Image.fromarray(getattr(data, name)())
        picture.thumbnail((arguments.size, arguments.size), Image.Resampling.BICUBIC)
        target = arguments.folder / f"{name}.{'jpg' if arguments.jpeg else 'png'}"
        picture.save(target, **({"quality": arguments.jpeg} if arguments.jpeg else {}))
        print(f"{target} {picture.width}x{picture.height}")


if __name__ == "__main__":
    main()
