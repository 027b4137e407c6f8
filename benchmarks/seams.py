"""Measure seams, distance from the untiled result, and time by tile size and overlap.

Usage: python benchmarks/seams.py [-m g-idrn -m rrlfn ...] [-s 4] [--tiles 192:16,192:32,128:16]
           [--pictures SRX_DATA/aerial_test/town_roofs.png] [--side 640] [--not-calibrated]
           [--markdown FILE]

The pictures are taken as low-resolution input. "seam" is the seam figure, "distance" the mean of
|tiled - untiled|, both in levels of 255; "default" stands for the model's own tile and overlap.
Networks with global pooling see different statistics in a tile than in the whole picture; a
calibration on windows of the picture compensates for that, unless --not-calibrated is given.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.inference.engines import EngineOptions, EnginePool, choose_tiling, enlarge_array
from srcli.models import MODELS
from srcli.models.weights import shipped_scales
from srcli.pipelines.bench.seams import seam_figure

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
        distances.append(float(np.abs(tiled.clip(0, 1) - whole.clip(0, 1)).mean()) * 255)
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
    parser.add_argument("--side", type=int, default=640, help="pictures are cut to this square")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--not-calibrated", action="store_true", help="pool each tile on its own")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("SRX_DATA", "data")) / "aerial_test"
    paths = arguments.pictures or [folder / f"{name}.png" for name in AERIAL]
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        pictures.append(np.ascontiguousarray(pixels[: arguments.side, : arguments.side]))
    rows = []
    for name in arguments.model or MODELS:
        if MODELS[name].trained and arguments.scale not in shipped_scales(name):
            continue
        for text in arguments.tiles.split(","):
            given = None
            if text != "default":
                tile, overlap = text.split(":")
                given = (int(tile), int(overlap))
            calibrated = not arguments.not_calibrated
            rows.append(measure(name, arguments.scale, given, pictures, calibrated=calibrated))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if arguments.markdown:
        arguments.markdown.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
