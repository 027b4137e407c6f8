"""Judge by its pixels what a picture has gone through: blocks of JPEG, blur, noise, nothing.

The thresholds are those of EXPERIMENTS.md: measured on pictures made smaller without
more, and on the same after files, blur and noise of known strength.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array, Floats

if TYPE_CHECKING:
    from srcli.imaging.rasters.look import Look
    from srcli.imaging.rasters.selection import BandLayout

Condition = Literal["drawing", "blocks", "soft", "noise", "clean"]

VISIBLE_BLOCKINESS = 1.2
"""Blockiness from which blocks show."""
SOFT_SHARPNESS = 0.5
"""Share of a strong edge's rise within one pixel below which a picture is soft."""
NOISY_LEVELS = 2.0
"""Levels of noise in the smoothest places from which a picture is noisy."""
DRAWING_SHARE = 0.4
"""Share of neighbours of one colour from which a picture is a drawing, screenshot or
pixel art."""
SMALLEST_SIDE = 64
"""Pixels a side below which nothing can be measured."""
_LARGEST_SIDE = 512  # pixels that are measured, from the middle
_BLOCK = 8
_SMOOTH_STEP = 4  # levels: a step beside one that is larger belongs to the picture
_LEAST_STEP = 0.05  # levels; flat drawings have hardly any
_TRACES_SHARE = 0.8
"""Share of the steps that are not 0: antialiased drawings have as many small ones."""
_COLOURS_PER_PIXEL = 0.01  # for each pixel
_FEW_COLOURS = 512
"""Colours that are few in the smallest pictures, too: letters of two colours, smoothed,
have 256."""
_LEAST_RISE = 12  # levels that the rise of an edge has at least
_WHITE_NOISE_RATIO = 1.2
"""Noise over the spread of means of 4x4 pixels, at least: texture has less of it."""
_IMMERKAER_SHARE = np.sqrt(np.pi / 2) / 6
"""Standard deviation of white noise over the mean size of its Laplacians' difference."""


def classify_condition(pixels: Array) -> Condition:
    """Say in one word what (H, W, C) of 1 or 3 channels, uint8 or uint16, has gone through.

    Only the middle is looked at; ``clean`` are pictures of fewer than 64 pixels a side,
    in which nothing can be measured.
    """
    top, left = (max(side - _LARGEST_SIDE, 0) // 2 for side in pixels.shape[:2])
    middle = pixels[top : top + _LARGEST_SIDE, left : left + _LARGEST_SIDE]
    if min(middle.shape[:2]) < SMALLEST_SIDE:
        return "clean"
    white = np.iinfo(pixels.dtype).max // 255
    gray = middle.mean(axis=2, dtype=np.float32) / np.float32(white)
    if is_drawing(middle.astype(np.int32) // white):
        return "drawing"
    if blockiness(gray) >= VISIBLE_BLOCKINESS:
        return "blocks"
    if sharpness(gray) < SOFT_SHARPNESS:
        return "soft"
    return "noise" if noise_level(gray) >= NOISY_LEVELS else "clean"


def classify_raster_condition(
    look: Look, layout: BandLayout
) -> Condition | Literal[""]:
    """Return the condition of most of an aerial picture, that is RGB of 8 bits, no palette.

    Parts all over it are looked at; those with holes, and drawings, do not count.
    Empty for all other rasters: their values are measurements, which no network may
    restore.
    """
    if not layout.rgb or layout.dtype != "uint8" or layout.palette is not None:
        return ""
    conditions: Counter[Condition] = Counter()
    numbers = [layout.bands[index] for index in layout.rgb]
    bands = [look.windows(number, side=512, along=3) for number in numbers]
    alphas = bands[0]
    if layout.alpha:
        alphas = look.windows(layout.alpha, side=512, along=3)
    for *colours, alpha in zip(*bands, alphas, strict=True):
        is_full = all(window.valid.all() for window in colours)
        if layout.alpha:
            is_full = is_full and bool((alpha.pixels > 0).all())
        if is_full:
            pixels = np.dstack([window.pixels for window in colours])
            conditions[classify_condition(pixels)] += 1
    del conditions["drawing"]
    if 2 * conditions["clean"] >= conditions.total():
        return "clean"
    del conditions["clean"]
    return conditions.most_common(1)[0][0]


def blockiness(gray: Floats) -> float:
    """Compare steps across the borders of 8x8 blocks with all others, in smooth places.

    Blocks may begin anywhere, as they do after turning or cropping. The ratio is about
    1 without blocks.
    """
    return float(np.mean([_along_rows(gray), _along_rows(gray.T)]))


def _along_rows(gray: Floats) -> float:
    """Return the blockiness of steps along rows, which cross the upright borders of blocks."""
    steps = np.abs(np.diff(gray, axis=1))
    inner = steps[:, 1:-1]
    smooth = (steps[:, :-2] < _SMOOTH_STEP) & (steps[:, 2:] < _SMOOTH_STEP)
    means = np.ones(_BLOCK)
    for phase in range(_BLOCK):  # the column at which blocks may begin
        places = smooth[:, phase::_BLOCK]
        if places.any():
            means[phase] = inner[:, phase::_BLOCK][places].mean()
    highest = int(means.argmax())
    return float(means[highest] / max(np.delete(means, highest).mean(), _LEAST_STEP))


def is_drawing(values: NDArray[np.int32]) -> bool:
    """Return True if many neighbours (H, W, C) are equal, few nearly so, and colours are few.

    Files with losses leave traces, and colours, around all that was drawn.
    """
    down = np.abs(np.diff(values, axis=0)).max(axis=2).ravel()
    across = np.abs(np.diff(values, axis=1)).max(axis=2).ravel()
    steps = np.concatenate([down, across])
    changes = steps[np.flatnonzero(steps)]
    if len(changes) > (1 - DRAWING_SHARE) * len(steps):
        return False
    if (changes <= _SMOOTH_STEP).sum() > _TRACES_SHARE * len(changes):
        return False
    colours = values @ (1 << 8 * np.arange(values.shape[2]))
    most_colours = max(_COLOURS_PER_PIXEL * colours.size, _FEW_COLOURS)
    return len(np.unique(colours)) <= most_colours


def sharpness(gray: Floats) -> float:
    """Return how much of the rise of the strongest edges happens from one pixel to the next.

    The median over the steepest twentieth of all rises over four pixels: 1 for ideal
    edges, 0.25 for ramps; 1 as well if there is no edge.
    """
    medians = []
    for lines in (gray, gray.T):
        steps = np.abs(np.diff(lines, axis=1))
        rise = np.abs(lines[:, 4:] - lines[:, :-4])
        spans = np.lib.stride_tricks.sliding_window_view(steps, 4, axis=1)
        steepest = spans.max(axis=2)
        edges = rise >= max(np.percentile(rise, 95), _LEAST_RISE)
        if edges.any():
            medians.append(np.median(steepest[edges] / rise[edges]))
    if not medians:
        return 1.0
    return float(np.mean(medians))


def noise_level(gray: Floats) -> float:
    """Estimate the standard deviation of white noise, in levels, in the smoothest places.

    By the Laplacian's difference, to which ramps and edges give little (Immerkær 1996),
    in blocks of 8x8 pixels; 0 if what is there is texture, which has larger forms as
    well.
    """
    rows = gray[:-2] - 2 * gray[1:-1] + gray[2:]
    difference = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    fine = np.abs(difference) * _IMMERKAER_SHARE
    height, width = (side // _BLOCK for side in fine.shape)

    def means(values: Floats, edge: int) -> Floats:
        inner = values[: height * _BLOCK, : width * _BLOCK]
        down = height * _BLOCK // edge
        across = width * _BLOCK // edge
        averages: Floats = inner.reshape(down, edge, across, edge).mean(axis=(1, 3))
        return averages

    quarters = means(gray[1:-1, 1:-1], _BLOCK // 2).reshape(height, 2, width, 2)
    light = quarters.mean(axis=(1, 3)).ravel()
    # no noise shows where it is clipped
    inside = (light > _BLOCK) & (light < 255 - _BLOCK)
    if not inside.any():
        return 0.0
    noise = means(fine, _BLOCK).ravel()[inside]
    spread = quarters.std(axis=(1, 3)).ravel()[inside]
    smoothest = np.argsort(spread)[: max(len(spread) // 10, 4)]
    white = (
        np.median(noise[smoothest] / (spread[smoothest] + 0.1)) >= _WHITE_NOISE_RATIO
    )
    return float(np.percentile(noise, 10)) if white else 0.0
