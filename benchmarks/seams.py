"""Measure seams, distance from the untiled result, and time by tile size and overlap.

Usage: python benchmarks/seams.py [-m g-idrn -m rrlfn ...] [-s 4] [--tiles 192:16,192:32,128:16]
           [--pictures SRX_DATA/aerial_test/town_roofs.png] [--side 640] [--not-calibrated]
           [--markdown FILE]

The pictures are taken as low-resolution input. "seam" is the seam figure, "distance"
the mean of |tiled - untiled|, both in levels of 255; "default" stands for the model's
own tile and overlap. Networks with global pooling see different statistics in a tile
than in the whole picture; a calibration on windows of the picture compensates for that,
unless --not-calibrated is given.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.errors import UsageError
from srcli.inference.device import EngineOptions
from srcli.inference.engines import EnginePool, enlarge_array
from srcli.inference.tiling import TileAxis, Tiling, choose_tiling
from srcli.models import MODELS
from srcli.models.weights import shipped_scales

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.inference.engine import Engine

Array = NDArray[np.uint8]
AERIAL = ("town_roofs", "forest_road", "fields_lakes")


@dataclass(frozen=True, kw_only=True)
class Row:
    model: str
    tile: int
    overlap: int
    seam: float
    distance: float
    seconds: float


def seam_figure(engine: Engine, pixels: NDArray[np.uint8], tiling: Tiling) -> float:
    """Measure the excess of steps across tile borders, in levels of 255.

    The picture is enlarged twice, the second time with the tile grid moved by half a
    tile. Over all places where the first has a tile border and the second has none, it
    is the absolute mean of |step across the place in the first| - |step in the second|.
    0 means that seams are invisible.

    Args:
        engine: Runs the network.
        pixels: (H, W, 3) uint8, at least 4x3 tiles large.
        tiling: Tile size and overlap; no edge is mirrored around the picture.

    Raises:
        UsageError: If the picture has fewer tiles.
    """
    height, width = pixels.shape[:2]
    first = tiling.grid(height, width)
    if min(len(first.tops), len(first.lefts)) < 3 or first.count < 12:
        raise UsageError(
            f"{width}x{height} has fewer than 4x3 tiles of {tiling.tile}; use a larger picture"
        )
    # Tiles are balanced to the picture: their actual size says where borders are.
    half = min(first.tile_height, first.tile_width) // 2
    shift = half - half % tiling.step
    tops, lefts = (
        (0, *(start - shift for start in starts[1:]), starts[-1])
        for starts in (first.tops, first.lefts)
    )
    moved = replace(first, tops=tops, lefts=lefts)
    unit = pixels.astype(np.float32) / np.float32(255)
    a = enlarge_array(engine, unit, first)
    b = enlarge_array(engine, unit, moved)
    differences = []
    axes = (
        (first.tops, moved.tops, first.tile_height),
        (first.lefts, moved.lefts, first.tile_width),
    )
    for axis, (own, other, length) in enumerate(axes):
        places = borders(own, length, tiling.overlap, engine.scale)
        for at in sorted(places - borders(other, length, tiling.overlap, engine.scale)):
            steps = steps_across(a, at, axis) - steps_across(b, at, axis)
            differences.append(steps.ravel())
    return float(abs(np.concatenate(differences).mean()) * 255)


def borders(starts: Sequence[int], tile: int, overlap: int, scale: int) -> set[int]:
    """Output pixels at which the blend between two tiles begins, is half, or ends."""
    places = {
        place
        for i in range(len(starts) - 1)
        for begin, end in [TileAxis(starts, tile, overlap).joint(i)]
        for place in (begin, (begin + end) / 2, end)
    }
    return {math.ceil(place * scale - 0.5) for place in places}


def steps_across(picture: NDArray[Any], at: int, axis: int) -> NDArray[np.float64]:
    lines = picture.swapaxes(0, axis)[at - 1 : at + 1].astype(np.float64)
    steps: NDArray[np.float64] = np.abs(lines[1] - lines[0])
    return steps


def measure(
    name: str,
    scale: int,
    given: tuple[int, int] | None,
    pictures: list[Array],
    *,
    calibrated: bool = True,
) -> Row:
    pool = EnginePool(name, scale, EngineOptions(precision="fp32"))
    engine = pool.engine(8)
    engine.calibrates &= calibrated
    tiling = choose_tiling(name, pool.network, *(given or (None, None)))
    seams, distances, seconds = [], [], 0.0
    for pixels in pictures:
        seams.append(seam_figure(engine, pixels, tiling))
        unit = pixels.astype(np.float32) / np.float32(255)
        grid = tiling.grid(*pixels.shape[:2])
        start = time.perf_counter()
        tiled = enlarge_array(engine, unit, grid)
        seconds += time.perf_counter() - start
        whole = enlarge_array(engine, unit)
        distances.append(
            float(np.abs(tiled.clip(0, 1) - whole.clip(0, 1)).mean()) * 255
        )
    return Row(
        model=f"{name} x{scale}",
        tile=tiling.tile,
        overlap=tiling.overlap,
        seam=max(seams),
        distance=float(np.mean(distances)),
        seconds=seconds,
    )


def table(rows: list[Row]) -> str:
    lines = [
        "| model | tile | overlap | seam, worst picture | distance, mean | time, s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r.model} | {r.tile} | {r.overlap} | {r.seam:.4f} | {r.distance:.4f} "
        f"| {r.seconds:.1f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", choices=list(MODELS))
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--tiles", default="default")
    parser.add_argument("--pictures", nargs="*", type=Path)
    parser.add_argument(
        "--side", type=int, default=640, help="pictures are cut to this square"
    )
    parser.add_argument("--markdown", type=Path)
    parser.add_argument(
        "--not-calibrated", action="store_true", help="pool each tile on its own"
    )
    arguments = parser.parse_args()
    folder = Path(os.environ.get("SRX_DATA", "data")) / "aerial_test"
    paths = arguments.pictures or [folder / f"{name}.png" for name in AERIAL]
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        pictures.append(
            np.ascontiguousarray(pixels[: arguments.side, : arguments.side])
        )
    rows = []
    for name in arguments.model or MODELS:
        if MODELS[name].needs_weights and arguments.scale not in shipped_scales(name):
            continue
        for text in arguments.tiles.split(","):
            given = None
            if text != "default":
                tile, overlap = text.split(":")
                given = (int(tile), int(overlap))
            calibrated = not arguments.not_calibrated
            rows.append(
                measure(name, arguments.scale, given, pictures, calibrated=calibrated)
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if arguments.markdown:
        arguments.markdown.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
