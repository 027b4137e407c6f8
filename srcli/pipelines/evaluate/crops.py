"""Uses of an evaluation's SR pictures: files, crops that differ most, a picture of a model.

The picture of a model shows crops of LR, bicubic, the model and HR, a row per scale: of
scikit-image's photographs the one with the median gain over bicubic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.errors import InferenceError, UsageError
from srcli.evaluation.sets import BUILT_IN
from srcli.evaluation.windows import find_window
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.writing import write_photograph
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.inference.engines import EngineOptions
    from srcli.pipelines.evaluate.set_run import EnlargedPicture

    Array = NDArray[Any]

OVERVIEW = 160
"""Longest side of an overview."""
BASELINE = "bicubic"
ZOOM = 2
"""Pixels of the picture per pixel of HR."""
GAP = 8
"""White pixels between crops."""


def save_pictures(folder: Path, result: EnlargedPicture) -> None:
    """Write the SR picture of every model as PNG: ``folder/x4/Set5/g-idrn/baby.png``.

    Raises:
        PictureError: If the disk does not take one.
    """
    for model, pixels in result.sr.items():
        place = folder / f"x{result.scale}" / result.dataset / model.replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.ascontiguousarray(pixels[..., :1] if result.chain.luma_only else pixels)
        photograph = Photograph(pixels=pixels, alpha=None, metadata=Metadata())
        write_photograph(place / f"{result.pair.name}.png", photograph, fmt="png")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Crops of the same place in HR, LR and the SR picture of each model."""

    scale: int
    dataset: str
    picture: str
    size: tuple[int, int]
    """(height, width) of the whole HR picture."""
    window: tuple[int, int, int, int]
    """Top, left, height, width of the crop in HR pixels; multiples of the scale."""
    overview: Array
    """The whole HR picture made small, (h, w, 3) uint8, to show where the crop lies."""
    hr: Array
    """(H, W, 3) uint8."""
    lr: Array
    """(H / scale, W / scale, 3) uint8."""
    sr: dict[str, Array]
    """By model, (H, W, 3) uint8."""
    psnr: dict[str, float]
    """Of the whole picture, by model, under the protocol."""


@dataclass(frozen=True, kw_only=True)
class CropPlace:
    """A part of a picture that is to be shown."""

    picture: str
    """Name of the picture in tables."""
    window: tuple[int, int, int, int]
    """Left, top, width, height in HR pixels."""

    @classmethod
    def parse(cls, text: str) -> CropPlace:
        """Read ``IMG:X,Y,W,H``.

        Raises:
            UsageError: If it has another form, or nothing lies inside.
        """
        picture, colon, numbers = text.rpartition(":")
        parts = numbers.split(",")
        if not colon or len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
            raise UsageError(f"--crop {text}: give IMG:X,Y,W,H, such as bird:100,60,80,80")
        left, top, width, height = map(int, parts)
        if min(width, height) < 1:
            raise UsageError(f"--crop {text}: width and height must be above 0")
        return cls(picture=picture, window=(left, top, width, height))

    def inside(self, hr: Array, scale: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width, widened to multiples of the scale.

        Raises:
            UsageError: If the picture (H, W, 3) ends before.
        """
        left, top, width, height = self.window
        bottom, right = (-(-end // scale) * scale for end in (top + height, left + width))
        top, left = top // scale * scale, left // scale * scale
        if bottom > hr.shape[0] or right > hr.shape[1]:
            raise UsageError(
                f"--crop {self.picture}: ends at {right}, {bottom}; the picture has "
                f"{hr.shape[1]}x{hr.shape[0]} pixels at x{scale}"
            )
        return top, left, bottom - top, right - left


def cut_crops(result: EnlargedPicture, place: CropPlace | None = None) -> Comparison:
    """Cut the crops at a place, or where the models differ most."""
    hr, scale = result.pair.hr, result.scale
    lr = np.clip(np.rint(result.chain.to_levels(result.pair.lr)), 0, 255).astype(np.uint8)
    window = place.inside(hr, scale) if place else find_window(hr, result.sr, scale=scale)
    top, left, height, width = window

    def crop(picture: Array, factor: int = 1) -> Array:
        rows = slice(top // factor, (top + height) // factor)
        return picture[rows, left // factor : (left + width) // factor].copy()

    overview = Image.fromarray(np.ascontiguousarray(hr))
    overview.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.LANCZOS)
    return Comparison(
        scale=scale,
        dataset=result.dataset,
        picture=result.pair.name,
        size=(hr.shape[0], hr.shape[1]),
        window=window,
        overview=np.asarray(overview),
        hr=crop(hr),
        lr=crop(lr, scale),
        sr={model: crop(picture) for model, picture in result.sr.items()},
        psnr=dict(result.psnr),
    )


def make_card_picture(
    model: str, scales: Sequence[int], engine: EngineOptions
) -> tuple[Array, list[str]]:
    """Enlarge photographs and put crops of them side by side, a row for each scale.

    Returns:
        (H, W, 3) uint8, and a caption for each row: its crops from left to right.

    Raises:
        SrxError: If the model cannot be run.
    """
    models = list(dict.fromkeys((BASELINE, model)))
    options = EvalOptions(metrics=("psnr",), resamples=0, costs=False, engine=engine)
    rows, captions = [], []
    for scale in scales:
        pictures: list[EnlargedPicture] = []
        found = evaluate(
            models,
            [BUILT_IN],
            scales=[scale],
            options=options,
            on_picture=[pictures.append],
        )
        for failure in found.failures:
            raise InferenceError(failure.reason)
        crops = sorted(map(cut_crops, pictures), key=_gain)
        chosen = crops[len(crops) // 2]
        lr = _zoomed(chosen.lr, ZOOM * scale)
        others = [_zoomed(each, ZOOM) for each in (*chosen.sr.values(), chosen.hr)]
        rows.append(_joined([lr, *others], axis=1))
        shown = ", ".join(f"{name} ({psnr:.2f} dB)" for name, psnr in chosen.psnr.items())
        captions.append(f"x{scale}, {chosen.picture}: LR, {shown}, HR")
    return _joined(rows, axis=0), captions


def _gain(comparison: Comparison) -> float:
    psnr = list(comparison.psnr.values())
    return psnr[-1] - psnr[0]


def _joined(parts: Sequence[Array], *, axis: int) -> Array:
    """Join pictures along an axis, with gaps between them."""
    gap = np.full_like(parts[0].take(range(GAP), axis), 255)
    return np.concatenate([each for part in parts for each in (gap, part)][1:], axis)


def _zoomed(pixels: Array, factor: int) -> Array:
    larger: Array = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return larger
