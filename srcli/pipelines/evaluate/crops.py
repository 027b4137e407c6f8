"""Uses of an evaluation's SR pictures: files, crops that differ most, figures of crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.evaluation.scores import METRICS
from srcli.imaging.photograph import Photograph
from srcli.imaging.writing import write_photograph
from srcli.report.page import draw_sheet
from srcli.report.table import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.pipelines.evaluate.run import ScoredPicture

    Array = NDArray[Any]

CROP = 120
"""Edge of a crop in HR pixels."""
OVERVIEW = 160
"""Longest side of an overview."""
ZOOM = 3
"""Pixels of a figure for each of HR."""


def save_pictures(folder: Path, result: ScoredPicture) -> None:
    """Write the SR picture of every model as PNG: ``folder/x4/Set5/g-idrn/baby.png``."""
    luma_only = result.pair is not None and result.pair.lr.dtype.kind == "f"
    for model, pixels in result.sr.items():
        place = folder / f"x{result.scale}" / result.dataset / model.replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        photograph = Photograph(pixels=pixels[..., :1] if luma_only else pixels)
        write_photograph(place / f"{result.picture}.png", photograph, fmt="png")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same place of a picture in HR, in LR and made by each model: (h, w, 3) uint8."""

    scale: int
    dataset: str
    picture: str
    size: tuple[int, int]
    """(height, width) of the whole HR picture."""
    window: tuple[int, int, int, int]
    """Top, left, height, width of the crop in HR pixels; multiples of the scale."""
    overview: Array
    """The whole HR picture made small, to show where the crop lies."""
    hr: Array
    lr: Array
    sr: dict[str, Array]
    """By model."""
    psnr: dict[str, float]
    """Of the whole picture, by model, under the protocol."""


def cut_crops(result: ScoredPicture) -> Comparison:
    """Cut crops of a picture where the models differ most."""
    assert result.pair is not None  # it was enlarged
    hr, lr, scale = result.pair.hr, result.pair.lr, result.scale
    if lr.dtype.kind == "f":
        lr = np.clip(np.rint(lr.astype(np.float64) * 255), 0, 255).astype(np.uint8)
    window = find_window(hr, result.sr, scale=scale)
    top, left, height, width = window

    def crop(picture: Array, factor: int = 1) -> Array:
        rows = slice(top // factor, (top + height) // factor)
        return picture[rows, left // factor : (left + width) // factor].copy()

    overview = Image.fromarray(np.ascontiguousarray(hr))
    overview.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.LANCZOS)
    return Comparison(
        scale=scale,
        dataset=result.dataset,
        picture=result.picture,
        size=(hr.shape[0], hr.shape[1]),
        window=window,
        overview=np.asarray(overview),
        hr=crop(hr),
        lr=crop(lr, scale),
        sr={model: crop(picture) for model, picture in result.sr.items()},
        psnr=dict(result.psnr),
    )


def find_window(hr: Array, sr: Mapping[str, Array], *, scale: int) -> tuple[int, int, int, int]:
    """Find the window in which the models differ most from each other.

    With one model, or several that agree in every pixel, it is the window where they are farthest
    from HR. Pictures are (H, W, 3) uint8; place and size of the window are multiples of the scale,
    and its edge is less where the picture is smaller. Returned are top, left, height, width.
    """
    layers = [each.astype(np.float32).mean(axis=2) for each in sr.values()]
    if all(np.array_equal(layers[0], each) for each in layers[1:]):
        layers.append(hr.astype(np.float32).mean(axis=2))
    spread = np.stack(layers).std(axis=0)
    sums = np.zeros((spread.shape[0] + 1, spread.shape[1] + 1))  # sums[i, j]: of spread[:i, :j]
    sums[1:, 1:] = spread.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    height, width = (min(CROP, side) // scale * scale for side in spread.shape)
    tops = np.arange(0, spread.shape[0] - height + 1, scale)
    lefts = np.arange(0, spread.shape[1] - width + 1, scale)
    total = (
        sums[np.ix_(tops + height, lefts + width)]
        - sums[np.ix_(tops, lefts + width)]
        - sums[np.ix_(tops + height, lefts)]
        + sums[np.ix_(tops, lefts)]
    )
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return int(tops[row]), int(lefts[column]), height, width


def draw_figure(crops: Sequence[Comparison]) -> Array:
    """Draw a row for each picture: LR, the models and HR, with the PSNR of the whole picture.

    Pixels are enlarged as they are.
    """
    models = dict.fromkeys(model for each in crops for model in each.sr)
    digits, rows = METRICS["psnr"].digits - 1, []
    for each in crops:
        lr = _larger(each.lr, each.scale)
        shown = {f"{each.picture}, LR x{each.scale}": lr}
        for model in models:
            caption = f"{model}, {number(each.psnr.get(model), digits)} dB"
            shown[caption] = each.sr.get(model, np.full_like(each.hr, 255))
        shown["HR"] = each.hr
        rows.append({name: _larger(pixels, ZOOM) for name, pixels in shown.items()})
    return draw_sheet(rows, CROP * ZOOM)


def _larger(picture: Array, times: int) -> Array:
    return picture.repeat(times, axis=0).repeat(times, axis=1)
