"""Write a synthetic georeferenced aerial picture of any size, 0.2 m per pixel, in constant memory.

A place looks the same in every window. The land is a distorted Voronoi diagram with roads for
borders; houses, trees and cars are small relief models, lit by one sun that also casts shadows.
The package scene/ draws it.

Usage: python examples/make_scene.py OUT.tif --size 5000x4000 [--dtype uint16] [--bands 4]
       [--seed 1] [--nodata-edges] [--crs EPSG:32632] [--pixel 0.2] [--blocks 512]
       [--compress none]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
from scene.picture import coverage, render
from scene.tiles import TILE

from srcli.files import hidden_name


def write(path: Path, size: tuple[int, int], options: argparse.Namespace) -> None:
    """Write a scene block by block, under a temporary name until it is complete."""
    import rasterio
    from rasterio import Affine
    from rasterio.windows import Window

    east, north, step = 691_000.0, 5_335_000.0, options.pixel
    if options.crs.is_geographic:
        east, north, step = 11.0, 48.0, options.pixel / 111_320
    profile = {
        "driver": "GTiff", "width": size[0], "height": size[1], "count": options.bands,
        "dtype": options.dtype, "crs": options.crs,
        "transform": Affine(step, 0, east, 0, -step, north),
        "nodata": 0 if options.nodata_edges else None, "photometric": "RGB", "bigtiff": "IF_SAFER",
        "tiled": True, "blockxsize": options.blocks, "blockysize": options.blocks,
    }  # fmt: skip
    if options.compress == "deflate":
        profile |= {"compress": "deflate", "predictor": 2}
    part, stride = hidden_name(path, f".{os.getpid()}.part"), max(TILE, options.blocks)
    try:
        with (
            rasterio.Env(GDAL_CACHEMAX=128),
            rasterio.open(part, "w", **profile) as out,
        ):
            out.descriptions = ("red", "green", "blue", "near infrared")[
                : options.bands
            ]
            for y in range(0, size[1], stride):
                for x in range(0, size[0], stride):
                    window = x, y, min(stride, size[0] - x), min(stride, size[1] - y)
                    inside = (
                        coverage(size, window) if options.nodata_edges else np.True_
                    )
                    if inside.any():
                        pixels = render(
                            options.seed, window, options.bands, options.dtype
                        )
                        out.write(
                            pixels.transpose(2, 0, 1) * inside, window=Window(*window)
                        )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line, with the size as two numbers and the CRS as an object."""
    from rasterio.crs import CRS

    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    add = parser.add_argument
    add("out", type=Path)
    add("--size", required=True, help="WIDTHxHEIGHT in pixels")
    add(
        "--dtype",
        choices=("uint8", "uint16"),
        default="uint8",
        help="uint16 holds 11 bits",
    )
    add("--bands", type=int, choices=(3, 4), default=3, help="4: near infrared as well")
    add("--seed", type=int, default=0)
    add(
        "--nodata-edges",
        action="store_true",
        help="data in a rotated rectangle, 0 around it",
    )
    add("--crs", default="EPSG:32632")
    add("--pixel", type=float, default=0.2, help="size in the georeference, metres")
    add("--blocks", type=int, choices=(128, 256, 512, 1024), default=512)
    add("--compress", choices=("deflate", "none"), default="deflate")
    options = parser.parse_args()
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", options.size)
    if not found or options.seed < 0 or options.pixel <= 0:
        parser.error(
            "--size looks like 5000x4000; --seed is 0 or more, --pixel more than 0"
        )
    options.size = int(found[1]), int(found[2])
    try:
        options.crs = CRS.from_user_input(options.crs)
    except ValueError:
        parser.error(
            f"--crs {options.crs}: PROJ does not know it; EPSG:32632 is one it knows"
        )
    return options


def main() -> None:
    options, started = parse_arguments(), time.perf_counter()
    try:
        write(options.out, options.size, options)
    except OSError as error:
        sys.exit(f"error: {options.out}: {error}")
    width, height = options.size
    rate = width * height / 1e6 / (time.perf_counter() - started)
    print(
        f"{options.out} {width}x{height}x{options.bands} {options.dtype}, {rate:.1f} Mpixel/s"
    )


if __name__ == "__main__":
    main()
