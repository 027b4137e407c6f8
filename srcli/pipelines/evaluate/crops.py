"""What else is done with SR pictures while they are at hand: kept as files, cut for a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from srcli.evaluation.chains import Chain
from srcli.evaluation.pairs import Pair
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.writing import write_photograph
from srcli.pipelines.evaluate.comparison import Comparison, cut

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

OVERVIEW = 160
"""Longest side of an overview."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One picture, once every model has enlarged it."""

    scale: int
    dataset: str
    pair: Pair
    chain: Chain
    sr: Mapping[str, Array]
    """By model, (H, W, 3) uint8."""
    psnr: Mapping[str, float]


class Watcher(Protocol):
    """Looks at finished pictures."""

    def see(self, seen: Seen) -> None:
        """Take what is wanted of a picture."""


class PictureSaver:
    """Writes SR pictures as PNG: ``folder/x4/Set5/g-idrn/baby.png``.

    Args:
        folder: Made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def see(self, seen: Seen) -> None:
        """Write the picture of every model.

        Raises:
            PictureError: If the disk does not take it.
        """
        for model, pixels in seen.sr.items():
            place = self.folder / f"x{seen.scale}" / seen.dataset / model.replace("/", "_")
            place.mkdir(parents=True, exist_ok=True)
            plain = pixels[..., :1] if seen.chain.name == "luma-float" else pixels
            photograph = Photograph(
                pixels=np.ascontiguousarray(plain), alpha=None, metadata=Metadata()
            )
            write_photograph(place / f"{seen.pair.name}.png", photograph, fmt="png")


class CropCollector:
    """Keeps the most telling crop of every picture, for the HTML report."""

    def __init__(self) -> None:
        self.comparisons: list[Comparison] = []

    def see(self, seen: Seen) -> None:
        """Cut one picture."""
        lr = np.clip(np.rint(seen.chain.levels(seen.pair.lr)), 0, 255).astype(np.uint8)
        window, hr, small, sr = cut(seen.pair.hr, lr, seen.sr, scale=seen.scale)
        height, width = seen.pair.hr.shape[:2]
        shrunk = Image.fromarray(np.ascontiguousarray(seen.pair.hr))
        shrunk.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.LANCZOS)
        self.comparisons.append(
            Comparison(
                scale=seen.scale,
                dataset=seen.dataset,
                picture=seen.pair.name,
                size=(height, width),
                window=window,
                overview=np.asarray(shrunk),
                hr=hr,
                lr=small,
                sr=sr,
                psnr=dict(seen.psnr),
            )
        )
