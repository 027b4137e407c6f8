"""Use the SR pictures of an evaluation while it runs: save them, or cut crops that differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.evaluation.chains import Chain
from srcli.evaluation.pairs import Pair
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.writing import write_photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

CROP = 120
"""Edge of a crop in HR pixels."""
OVERVIEW = 160
"""Longest side of an overview."""


@dataclass(frozen=True, kw_only=True)
class EnlargedPicture:
    """One picture after every model has enlarged it."""

    scale: int
    dataset: str
    pair: Pair
    chain: Chain
    sr: Mapping[str, Array]
    """By model, (H, W, 3) uint8."""
    psnr: Mapping[str, float]
    """By model, of the whole picture under the protocol."""


def save_pictures(folder: Path, result: EnlargedPicture) -> None:
    """Write the SR picture of every model as PNG: ``folder/x4/Set5/g-idrn/baby.png``.

    Args:
        folder: Made if it is missing.
        result: The pictures.

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


class CropCollector:
    """Keeps one comparison of every picture, for the HTML report."""

    def __init__(self) -> None:
        self.comparisons: list[Comparison] = []

    def add(self, result: EnlargedPicture) -> None:
        """Cut the crops where the models differ most."""
        hr, scale = result.pair.hr, result.scale
        lr = np.clip(np.rint(result.chain.to_levels(result.pair.lr)), 0, 255).astype(np.uint8)
        window = top, left, height, width = find_window(hr, result.sr, scale=scale)

        def crop(picture: Array, factor: int = 1) -> Array:
            rows = slice(top // factor, (top + height) // factor)
            return picture[rows, left // factor : (left + width) // factor].copy()

        overview = Image.fromarray(np.ascontiguousarray(hr))
        overview.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.LANCZOS)
        self.comparisons.append(
            Comparison(
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
        )


def find_window(
    hr: Array, sr: Mapping[str, Array], *, scale: int, edge: int = CROP
) -> tuple[int, int, int, int]:
    """Find the window in which the models differ most from each other.

    With one model, or several that agree in every pixel, it is the window where they are farthest
    from HR.

    Args:
        hr: (H, W, 3) uint8.
        sr: By model, (H, W, 3) uint8.
        scale: The factor; the window's place and size are multiples of it.
        edge: Edge of the window, which is less where the picture is smaller.

    Returns:
        Top, left, height, width.
    """
    layers = [each.astype(np.float32).mean(axis=2) for each in sr.values()]
    if all(np.array_equal(layers[0], each) for each in layers[1:]):
        layers.append(hr.astype(np.float32).mean(axis=2))
    spread = np.stack(layers).std(axis=0)
    sums = np.zeros((spread.shape[0] + 1, spread.shape[1] + 1))  # sums[i, j]: of spread[:i, :j]
    sums[1:, 1:] = spread.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    height, width = (min(edge, side) // scale * scale for side in spread.shape)
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
