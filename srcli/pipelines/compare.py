"""The command compare: parts of a photograph enlarged by every model, side by side."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from srcli.errors import UsageError
from srcli.imaging.reading import read_photograph
from srcli.models import MODELS
from srcli.models.weights import shipped_scales
from srcli.pipelines.upscale.array import upscale
from srcli.report.page import draw_sheet, image_uri, render_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.ports.progress import Progress

    Pixels = NDArray[np.uint8]

SIDE = 80
"""Edge of a part that is chosen, in pixels of the photograph."""
MARGIN = 32
"""Pixels around a part that models see as well."""
SHARES = (1.0, 0.9, 0.5)
"""Parts by their detail: that with the most, one with more than nine in ten, one in the middle."""
CELL = 320
"""Longest side of a part on a sheet, in pixels."""


class Part(NamedTuple):
    """A part of a photograph, in its pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class ComparedParts:
    """Parts of a photograph as they are and as each model enlarges them."""

    parts: list[Part]
    shown: dict[str, list[Pixels]]
    """All parts by name, (H, W, 3) uint8; first the input, its pixels enlarged as they are."""
    seconds: dict[str, float]
    """Time by model."""

    def captions(self) -> dict[str, str]:
        """Return what stands below each picture, with the time for a megapixel of results."""
        area = sum(part[..., 0].size for part in self.shown["input"]) / 1e6
        times = {name: f"{name}, {spent / area:.1f} s/MP" for name, spent in self.seconds.items()}
        return {"input": "input", **times}


def compare(
    photo: Path, models: Sequence[str], scale: int, parts: Sequence[Part], progress: Progress
) -> ComparedParts:
    """Enlarge parts of a photograph by models, all by default; without any part, some are chosen.

    UsageError for parts outside the photograph, other errors as ``srcli.upscale`` raises them.
    """
    pixels = read_photograph(photo).pixels
    if pixels.dtype != np.uint8:
        white = 65535 if pixels.dtype == np.uint16 else 1
        pixels = (np.nan_to_num(pixels).clip(0, white) * (255 / white)).round().astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    height, width = pixels.shape[:2]
    for part in parts:
        if part.left + part.width > width or part.top + part.height > height:
            raise UsageError(f"--crop: ends outside {photo}, which has {width}x{height} pixels")
    own = (name for name, entry in MODELS.items() if not entry.compared)
    models = models or [name for name in own if scale in shipped_scales(name)]
    chosen, regions, insides = parts or choose_parts(pixels), [], []
    for part in chosen:
        top, left = max(part.top - MARGIN, 0), max(part.left - MARGIN, 0)
        bottom, right = part.top + part.height + MARGIN, part.left + part.width + MARGIN
        regions.append(np.ascontiguousarray(pixels[top:bottom, left:right]))
        down, across = scale * (part.top - top), scale * (part.left - left)
        height, width = scale * part.height, scale * part.width
        insides.append(np.s_[down : down + height, across : across + width])
    places = list(zip(regions, insides, strict=True))
    shown = {"input": [r.repeat(scale, axis=0).repeat(scale, axis=1)[at] for r, at in places]}
    seconds = {}
    task = progress.task("comparing", total=len(models), unit="models")
    for model in models:
        task.describe(model)
        upscale(regions[0][:8, :8], model, scale)  # loads it
        began = time.perf_counter()
        shown[model] = [upscale(region, model, scale)[at] for region, at in places]
        seconds[model] = time.perf_counter() - began
        task.advance(1)
    task.close()
    return ComparedParts(list(chosen), shown, seconds)


def choose_parts(pixels: Pixels) -> list[Part]:
    """Choose parts of much, less and little detail that do not overlap."""
    height, width = (min(SIDE, side) for side in pixels.shape[:2])
    steps = np.abs(np.diff(pixels.mean(axis=2, dtype=np.float32), axis=1, prepend=0))
    detail = {
        Part(left, top, width, height): float(
            steps[top : top + height, left + 1 : left + width].sum()
        )
        for top in range(0, steps.shape[0] - height + 1, height)
        for left in range(0, steps.shape[1] - width + 1, width)
    }
    order = sorted(detail, key=detail.__getitem__)
    return list(dict.fromkeys(order[round(share * (len(order) - 1))] for share in SHARES))


def compare_sheet(found: ComparedParts) -> Pixels:
    """Draw all parts, a row each, with captions below: (H, W, 3) uint8."""
    captions, rows = found.captions(), []
    for number, part in enumerate(found.parts):
        share = CELL / max(part.width, part.height)
        size = max(round(part.width * share), 1), max(round(part.height * share), 1)
        rows.append(
            {
                captions[name]: np.asarray(
                    Image.fromarray(np.ascontiguousarray(own[number])).resize(
                        size, Image.Resampling.LANCZOS
                    )
                )
                for name, own in found.shown.items()
            }
        )
    return draw_sheet(rows, CELL)


def compare_page(photo: Path, scale: int, found: ComparedParts) -> str:
    """Return a page with all parts in full size; it loads nothing."""
    return render_page(
        "srcli.pipelines",
        title=f"{photo.name} ×{scale}",
        parts=found.parts,
        shown={name: [image_uri(one) for one in own] for name, own in found.shown.items()},
        captions=found.captions(),
    )
