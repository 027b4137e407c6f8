"""The command compare: parts of a photograph enlarged by every model, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.errors import UsageError
from srcli.imaging.reading import open_picture, read_photograph
from srcli.models import MODELS
from srcli.models.weights import shipped_scales
from srcli.pipelines.upscale.array import upscale
from srcli.pipelines.upscale.choosing import choose_model
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.ports.progress import Progress
from srcli.report.page import draw_sheet

Pixels = NDArray[np.uint8]

PART_SIDE = 80
"""Side of a part that is chosen, in pixels of the photograph."""
PART_MARGIN = 32
"""Pixels around a part that models see as context."""
DETAIL_RANKS = (1.0, 0.9, 0.5)
"""Ranks of the chosen parts among all by detail: the most, nine tenths, the middle."""
CELL_SIDE = 320
"""Least length of a part's longer side on the sheet, in pixels."""

Part = tuple[int, int, int, int]
"""Left, top, width and height of a part of a photograph, in its pixels."""
Rows = dict[Part, dict[str, "Pixels"]]
"""Pictures of each part of a photograph, (H, W, 3) uint8, by their captions: first the
input, its pixels enlarged as they are; then the result of each model, captioned with
the time for a megapixel of results."""


def compare(
    photo: Path,
    models: Sequence[str],
    scale: int,
    parts: Sequence[Part],
    progress: Progress,
) -> Rows:
    """Enlarge parts of a photograph by models; without any, by all models and in chosen parts.

    UsageError for parts outside the photograph, other errors as ``srcli.upscale`` raises them.
    """
    opened = open_picture(photo)
    photograph = read_photograph(opened)
    pixels = photograph.pixels
    if pixels.dtype != np.uint8:
        white = 65535 if pixels.dtype == np.uint16 else 1
        if white == 1 and opened.raster:
            raise UsageError(
                f"{photo}: is a raster ({opened.raster}); "
                "try models on a part of it by 'srx upscale -srcwin'"
            )
        levels = np.nan_to_num(pixels).clip(0, white) * (255 / white)
        pixels = levels.round().astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    height, width = pixels.shape[:2]
    for left, top, part_width, part_height in parts:
        if left + part_width > width or top + part_height > height:
            raise UsageError(
                f"--crop: ends outside {photo}, which has {width}x{height} pixels"
            )
    if not models:
        models = []
        for name, entry in MODELS.items():
            if (entry.file or not entry.is_baseline) and scale in shipped_scales(name):
                models.append(name)
    rows: Rows = {part: {} for part in parts or choose_parts(pixels)}
    regions = []
    for (left, top, width, height), row in rows.items():
        above = max(top - PART_MARGIN, 0)
        before = max(left - PART_MARGIN, 0)
        region = pixels[
            above : top + height + PART_MARGIN, before : left + width + PART_MARGIN
        ]
        start_row = scale * (top - above)
        start_column = scale * (left - before)
        inside = np.s_[
            start_row : start_row + scale * height,
            start_column : start_column + scale * width,
        ]
        regions.append((np.ascontiguousarray(region), inside))
        row["input"] = region.repeat(scale, axis=0).repeat(scale, axis=1)[inside]
    area = sum(region[:, :, 0].size for region, _ in regions) * scale**2 / 1e6
    task = progress.task("comparing", total=len(models), unit="models")
    for model in models:
        task.describe(model)
        options = UpscaleOptions(model=model, scale=scale)
        # ``auto`` looks at the whole photograph
        chosen, _ = choose_model(photograph, options, opened.format)
        enlarge = partial(
            upscale, model=chosen, scale=scale, strength=options.engine.strength
        )
        enlarge(regions[0][0][:8, :8])  # loads it
        began = time.perf_counter()
        results = [enlarge(region)[inside] for region, inside in regions]
        caption = f"{model}, {(time.perf_counter() - began) / area:.1f} s/MP"
        for row, result in zip(rows.values(), results, strict=True):
            row[caption] = result
        task.advance(1)
    task.close()
    return rows


def choose_parts(pixels: Pixels) -> list[Part]:
    """Choose parts by ``DETAIL_RANKS`` that do not overlap."""
    height, width = (min(PART_SIDE, side) for side in pixels.shape[:2])
    steps = np.abs(np.diff(pixels.mean(axis=2, dtype=np.float32), axis=1, prepend=0))
    detail = {}
    for top in range(0, steps.shape[0] - height + 1, height):
        for left in range(0, steps.shape[1] - width + 1, width):
            inside = steps[top : top + height, left + 1 : left + width]
            detail[left, top, width, height] = float(inside.sum())
    order = sorted(detail, key=detail.__getitem__)
    chosen = (order[round(share * (len(order) - 1))] for share in DETAIL_RANKS)
    return list(dict.fromkeys(chosen))


def compare_sheet(rows: Rows) -> Pixels:
    """Draw all parts, a row each, with captions below: (H, W, 3) uint8."""
    cell = CELL_SIDE
    for row in rows.values():
        cell = max(cell, *(max(picture.shape) for picture in row.values()))
    lines = []
    for (_, _, width, height), row in rows.items():
        share = cell / max(width, height)
        size = max(round(width * share), 1), max(round(height * share), 1)
        line = {}
        for caption, picture in row.items():
            image = Image.fromarray(np.ascontiguousarray(picture))
            line[caption] = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
        lines.append(line)
    return draw_sheet(lines, cell)
