"""The command compare: parts of a photograph enlarged by every model, to look at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.errors import UsageError
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.models import MODELS
from srcli.models.weights import shipped_scales
from srcli.pipelines.labels import label_models
from srcli.pipelines.upscale.array import upscale
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.choosing import choose_model
from srcli.pipelines.upscale.options import settle
from srcli.ports import Progress
from srcli.report.page import draw_sheet
from srcli.report.pictures import (
    Part,
    choose_parts,
    cut_part,
    draw_turns,
    repeat_pixels,
)

Pixels = NDArray[np.uint8]

PART_MARGIN = 32
"""Pixels around a part that models see as context."""
CELL_SIDE = 320
"""Least length of a part's longer side on the sheet, in pixels."""

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
    labels: Sequence[str] = (),
) -> Rows:
    """Enlarge parts of a photograph by models; without any, by all models and in chosen parts.

    ``labels`` are names for models, where not empty; see ``label_models``.
    UsageError for parts outside the photograph, other errors as ``srcli.upscale`` raises them.
    """
    opened = open_picture(photo)
    if not opened.format:  # GDAL alone reads it
        raise _no_photograph(opened)
    photograph = read_photograph(opened)
    pixels = photograph.pixels
    if pixels.dtype != np.uint8:
        white = 65535 if pixels.dtype == np.uint16 else 1
        if white == 1 and opened.raster:
            raise _no_photograph(opened)
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
    for part, row in rows.items():
        region, inside = cut_part(pixels, part, PART_MARGIN, scale)
        regions.append((np.ascontiguousarray(region), inside))
        row["input"] = repeat_pixels(region, scale)[inside]
    area = sum(region[:, :, 0].size for region, _ in regions) * scale**2 / 1e6
    task = progress.task("comparing", total=len(models), unit="models")
    for model, label in label_models(models, labels).items():
        task.describe(label)
        options = settle(Asked(model=model, scale=scale))
        # ``auto`` looks at the whole photograph
        chosen, _ = choose_model(photograph, options, opened.format)
        enlarge = partial(upscale, model=chosen, scale=scale, strength=options.strength)
        enlarge(regions[0][0][:8, :8])  # loads it
        began = time.perf_counter()
        results = [enlarge(region)[inside] for region, inside in regions]
        seconds = (time.perf_counter() - began) / area
        name = f"{label} ({chosen})" if options.auto else label
        caption = f"{name}: {seconds:.1f} s a megapixel"
        for row, result in zip(rows.values(), results, strict=True):
            row[caption] = result
        task.advance(1)
    task.close()
    return rows


def _no_photograph(picture: Picture) -> UsageError:
    """Return the error for a raster that is looked at otherwise."""
    return UsageError(
        f"{picture.path}: is a raster ({picture.raster}); "
        "try models on a part of it by 'srx upscale -srcwin'"
    )


def compare_sheet(rows: Rows) -> Pixels:
    """Draw all parts, a row each, with captions below: (H, W, 3) uint8."""
    lines, cell = _fit_cells(rows)
    return draw_sheet(lines, cell)


def compare_turns(rows: Rows) -> list[Pixels]:
    """Draw a frame for the input and for each model: all parts, and the caption below.

    Frames are (H, W, 3) uint8 of the same size.
    """
    lines, _ = _fit_cells(rows)
    turns = {}
    for caption in lines[0]:
        turns[caption] = [line[caption] for line in lines]
    return draw_turns(turns)


def _fit_cells(rows: Rows) -> tuple[list[dict[str, Pixels]], int]:
    """Enlarge all parts to one length of their longer sides, and return that as well."""
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
    return lines, cell
