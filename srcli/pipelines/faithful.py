"""The command bench --faithful: what a model draws that its picture has not.

Small pictures of our own making are enlarged by the engine of ``srx upscale``, with the
corrections of the model, and measured in levels of 255. None needs a reference: a ramp is
a ramp and a flat colour a flat colour at every size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from srcli.imaging.pixels.alpha import fill_transparent
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import resize
from srcli.inference.device import EngineOptions
from srcli.inference.engines import EnginePool, enlarge_array
from srcli.models import MODELS
from srcli.models.weights import PHOTO_MODEL, shipped_scales
from srcli.ports import Progress
from srcli.report.table import Table, make_table, number

Pixels = NDArray[np.uint8]
"""(H, W, 3)"""
Floats = NDArray[np.float64]
Enlarge = Callable[[Any], Any]
"""Of bytes to bytes, or of floats in [0, 1] to floats."""

SIDE = 64
"""Edge of the pictures, in pixels."""
SLOPES = (2, 4, 6)
"""Of the ramps, in levels a pixel."""
FRAMES = 16
"""Frames of the static scene."""
PHOTO_STRENGTHS = (0.5, 1.0)
"""Strengths of ``g-idrn-photo`` that are measured beside 0."""


@dataclass(frozen=True)
class Measure:
    """What is measured, and how much of it a model that is chosen unasked may show."""

    measure: Callable[[Enlarge, int], float]
    legend: str
    limit: float | None = None


@cache
def textures() -> dict[str, Pixels]:
    """Return the textures whose means must stay, by name."""
    chance = np.random.default_rng(0)
    levels = {"dark": (40, 8), "light": (215, 8), "strong": (60, 25)}
    pictures = {}
    for name, (level, sigma) in levels.items():
        pictures[name] = _bytes(level + chance.normal(0, sigma, (SIDE, SIDE, 3)))
    coarse = _bytes(120 + chance.normal(0, 20, (SIDE // 2, SIDE // 2, 3)))
    pictures["blotches"] = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)))
    leaves = Image.new("RGB", (SIDE, SIDE), (18, 30, 12))
    drawing = Image.new("RGB", (SIDE, SIDE), (190, 180, 150))
    for number_of_leaf in range(400):
        x, y = chance.uniform(-4, SIDE, 2)
        width, height = chance.uniform(2, 7, 2)
        light = chance.uniform(0.3, 1.3)
        green = tuple(int(light * channel) for channel in (90, 130, 40))
        box = (x, y, x + width, y + height)
        ImageDraw.Draw(leaves).ellipse(box, fill=green)
        if number_of_leaf % 20 == 0:
            line = (x, y, *chance.uniform(0, SIDE, 2))
            ImageDraw.Draw(drawing).line(line, fill=(70, 60, 90), width=2)
    pictures["leaves"] = np.asarray(leaves)
    pictures["drawing"] = np.asarray(drawing)
    return pictures


def sky() -> Pixels:
    """Return a soft blue ramp with a little noise."""
    down, right = np.mgrid[:SIDE, :SIDE]
    ramp = 0.4 * down[..., None] + 0.15 * right[..., None] + np.array([110, 150, 205])
    return _bytes(ramp + np.random.default_rng(1).normal(0, 1.2, ramp.shape))


def _bytes(values: Floats) -> Pixels:
    levels: Pixels = np.rint(values.clip(0, 255)).astype(np.uint8)
    return levels


def _by_phase(values: Floats, scale: int) -> Floats:
    """Return the means at each place within an input pixel, (scale * scale, C)."""
    height, width, channels = values.shape
    blocks = values.reshape(height // scale, scale, width // scale, scale, channels)
    means: Floats = blocks.mean(axis=(0, 2)).reshape(scale * scale, channels)
    return means


def measure_ramp(enlarge: Enlarge, scale: int) -> float:
    """Return the largest steps of ramps, above those of bicubic interpolation."""
    worst = 0.0
    down, right = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    directions = (down, right, (down + right) / 2, (down - right) / 2)
    colours = (np.ones(3), np.array([1.0, 0.5, -0.5]))
    for along, slope, colour in product(directions, SLOPES, colours):
        picture = _bytes(128 + along[..., None] * slope * colour)
        steps = []
        # bytes would hide steps, or make them: halves are rounded either way
        exact = picture.astype(np.float32) / 255
        for result in (enlarge(exact), resize(exact, scale)):
            # farther out the steepest ramp becomes black and white
            middle = slice(SIDE // 4 * scale, 3 * SIDE // 4 * scale)
            inner = result[middle, middle].astype(np.float64) * 255
            rows, columns = np.mgrid[: inner.shape[0], : inner.shape[1]]
            plane = np.column_stack([rows.ravel(), columns.ravel(), np.ones(rows.size)])
            values = inner.reshape(-1, 3)
            fitted = plane @ np.linalg.lstsq(plane, values, rcond=None)[0]
            residual = (values - fitted).reshape(inner.shape)
            steps.append(np.ptp(_by_phase(residual, scale), axis=0).max())
        worst = max(worst, steps[0] - steps[1])
    return worst


def measure_mean(enlarge: Enlarge, scale: int) -> float:
    """Return the largest shift of a channel's mean on the textures."""
    worst = 0.0
    for picture in textures().values():
        # Without the borders, where what lies outside is anybody's guess.
        middle = enlarge(picture)[8 * scale : -8 * scale, 8 * scale : -8 * scale]
        shift = middle.mean(axis=(0, 1)) - picture[8:-8, 8:-8].mean(axis=(0, 1))
        worst = max(worst, float(np.abs(shift).max()))
    return worst


def measure_flat(enlarge: Enlarge, scale: int) -> float:
    """Return the largest change of flat colours."""
    worst = 0.0
    for colour in product((0, 128, 255), repeat=3):
        result = enlarge(np.full((24, 24, 3), colour, np.uint8))
        worst = max(worst, float(np.abs(result.astype(int) - colour).max()))
    return worst


def measure_overshoot(enlarge: Enlarge, scale: int) -> float:
    """Return how far areas beside black and white leave their own colours.

    Each has two slightly darker bars. The two input pixels beside the edge are left out:
    there every kernel rings.
    """
    worst = 0.0
    colours = ((255, 212, 48), (250, 200, 40), (96, 160, 220), (128, 128, 128))
    for colour, beside in product(colours, (0, 255)):
        picture = np.full((SIDE, 2 * SIDE, 3), beside, np.uint8)
        area = picture[:48]
        area[:] = colour
        area[38:44, 20:50] -= np.uint8(6)
        area[45:, 60:110] -= np.uint8(9)
        result = enlarge(picture)[: 46 * scale].astype(int)
        above = result - area[:46].max(axis=(0, 1))
        below = area[:46].min(axis=(0, 1)).astype(int) - result
        worst = max(worst, float(np.maximum(above, below).max()))
    return worst


def measure_grid(enlarge: Enlarge, scale: int) -> float:
    """Return the pattern of the scale's period in the sky, above bicubic interpolation's."""
    picture = sky()
    difference = enlarge(picture).astype(np.float64) - resize(picture, scale)
    return float(np.ptp(_by_phase(difference, scale), axis=0).max())


def measure_border(enlarge: Enlarge, scale: int) -> float:
    """Return how much the outermost input pixels of the sky change beside the others."""
    picture = sky()
    difference = enlarge(picture).astype(np.float64) - resize(picture, scale)
    inner = difference[scale:-scale, scale:-scale].mean(axis=(0, 1))
    sides = (
        difference[:scale],
        difference[-scale:],
        difference[:, :scale],
        difference[:, -scale:],
    )
    changes = [np.abs(side.mean(axis=(0, 1)) - inner).max() for side in sides]
    return float(max(changes))


def measure_alpha(enlarge: Enlarge, scale: int) -> float:
    """Return how far a cut-out on white leaves the colours that its edge lies between."""
    down, right = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    alpha = _bytes((SIDE / 3 - np.hypot(down, right)) * 80 + 128)
    colour = np.array([40, 90, 200], np.uint8)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[alpha > 0] = colour
    visible = fill_transparent(picture, alpha, "")
    share = resize(alpha[..., None], scale) / 255
    on_white = share * enlarge(visible) + (1 - share) * 255
    return float(max((colour - on_white).max(), (on_white - 255).max()))


def measure_flicker(enlarge: Enlarge, scale: int) -> float:
    """Return the noise of a static scene as a multiple of its input's."""
    scene = textures()["leaves"].astype(np.float64)
    chance = np.random.default_rng(2)
    frames = [_bytes(scene + chance.normal(0, 4, scene.shape)) for _ in range(FRAMES)]
    results = [enlarge(frame) for frame in frames]
    noise = np.std(frames, axis=0).mean()
    return float(np.std(results, axis=0).mean() / noise)


MEASURES = {
    "ramp": Measure(
        measure_ramp,
        "steps within a pixel of soft ramps of 2 to 6 levels a pixel, in four directions and "
        "two colours, above those of bicubic interpolation",
        0.5,
    ),
    "mean": Measure(
        measure_mean,
        "largest shift of a channel's mean on six textures: white noise, dark, light and "
        "strong, blotches, leaves, drawings",
        0.3,
    ),
    "flat": Measure(measure_flat, "largest change of 27 flat colours"),
    "overshoot": Measure(
        measure_overshoot, "beyond the colours of areas beside black and white", 20.0
    ),
    "grid": Measure(
        measure_grid,
        "pattern of the scale's period in a sky with a little noise, peak to peak",
        0.6,
    ),
    "border": Measure(
        measure_border,
        "change of the outermost pixels of that sky beside the others",
        0.5,
    ),
    "alpha": Measure(
        measure_alpha, "beyond the colours of a cut-out on white, along its soft edge"
    ),
    "flicker": Measure(
        measure_flicker,
        f"noise of a static scene of {FRAMES} frames, as a multiple of its input's",
    ),
}
"""By their headings."""


@dataclass(frozen=True)
class Faithfulness:
    """The figures of one model at one scale, as JSON has them."""

    model: str
    scale: int
    figures: dict[str, float]
    """By the names of ``MEASURES``, in levels of 255."""

    @property
    def beyond(self) -> list[str]:
        """The measures whose limit it exceeds."""
        names = []
        for name, figure in self.figures.items():
            limit = MEASURES[name].limit
            if limit is not None and figure > limit:
                names.append(name)
        return names


def measure_faithfulness(
    models: Sequence[str],
    scales: Sequence[int],
    options: EngineOptions | None = None,
    *,
    progress: Progress | None = None,
) -> list[Faithfulness]:
    """Measure models at scales; without models all whose weights ship, at theirs.

    ModelError if one does not exist or lacks the scale.
    """
    options = options or EngineOptions()
    progress = progress or Progress()
    cases = list(_cases(models, scales, options))
    results = []
    with closing(progress.task("measuring", total=len(cases), unit="models")) as task:
        for label, pool in cases:
            task.describe(f"{label} x{pool.scale}")
            results.append(_measure(label, pool))
            task.advance(1)
    return results


def _cases(
    models: Sequence[str], scales: Sequence[int], options: EngineOptions
) -> Iterator[tuple[str, EnginePool]]:
    """Yield what is measured, with its label: mixed weights of photographs, too."""
    for model in models or [name for name in MODELS if shipped_scales(name)]:
        for scale in scales or shipped_scales(model):
            yield model, EnginePool(model, scale, options)
            if model == PHOTO_MODEL and options.strength is None:
                for strength in PHOTO_STRENGTHS:
                    mixed = replace(options, strength=strength)
                    pool = EnginePool(model, scale, mixed)
                    yield f"{model}, strength {strength:g}", pool


def _measure(label: str, pool: EnginePool) -> Faithfulness:
    tiling = pool.tiling()

    def enlarge(pixels: Array) -> Array:
        grid = tiling.padded_grid(*pixels.shape[:2])
        engine = pool.engine(8 * pixels.itemsize)
        return enlarge_array(engine, pixels, grid, name=label)

    figures = {}
    for name, entry in MEASURES.items():
        figures[name] = entry.measure(enlarge, pool.scale)
    return Faithfulness(label, pool.scale, figures)


def faithfulness_report(results: Sequence[Faithfulness]) -> list[Table | str]:
    """Return the table, and what its columns mean; figures beyond a limit are marked."""
    rows = []
    for result in results:
        cells = []
        for name, figure in result.figures.items():
            mark = "!" if name in result.beyond else ""
            cells.append(number(figure, 2) + mark)
        rows.append((result.model, f"x{result.scale}", *cells))
    notes = []
    for name, measure in MEASURES.items():
        limit = ""
        if measure.limit is not None:
            limit = f"; limit {measure.limit:g}"
        notes.append(f"{name}: {measure.legend}{limit}")
    how = f"In levels of 255, !: beyond its limit. {'. '.join(notes)}."
    return [make_table(rows, ("model", "scale"), MEASURES), how]
