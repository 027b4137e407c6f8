"""Uses of an evaluation's SR pictures: files, crops that differ most, figures of crops."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from srcli.errors import UsageError, did_you_mean
from srcli.evaluation.scores import METRICS
from srcli.files import write_whole
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.writing import write_photograph
from srcli.report.table import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.pipelines.evaluate.run import ScoredPicture

    Array = NDArray[Any]

CROP = 120
"""Edge of a crop in HR pixels, where no other is asked for."""
OVERVIEW = 160
"""Longest side of an overview."""
CELL = 2.0
"""Edge of a crop in a figure, in inches."""
DPI = 150


def save_pictures(folder: Path, result: ScoredPicture) -> None:
    """Write the SR picture of every model as PNG: ``folder/x4/Set5/g-idrn/baby.png``."""
    luma_only = result.pair is not None and result.pair.lr.dtype.kind == "f"
    for model, pixels in result.sr.items():
        place = folder / f"x{result.scale}" / result.dataset / model.replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.ascontiguousarray(pixels[..., :1] if luma_only else pixels)
        photograph = Photograph(pixels=pixels, alpha=None, metadata=Metadata())
        write_photograph(place / f"{result.picture}.png", photograph, fmt="png")


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


class CropPlace(NamedTuple):
    """A part of a picture that is to be shown, in HR pixels."""

    picture: str
    """Name of the picture in tables."""
    left: int
    top: int
    width: int
    height: int

    def inside(self, hr: Array, scale: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width, widened to multiples of the scale."""
        _, left, top, width, height = self
        bottom, right = (-(-end // scale) * scale for end in (top + height, left + width))
        top, left = top // scale * scale, left // scale * scale
        if bottom > hr.shape[0] or right > hr.shape[1]:
            raise UsageError(
                f"--crop {self.picture}: ends at {right}, {bottom}; the picture has "
                f"{hr.shape[1]}x{hr.shape[0]} pixels at x{scale}"
            )
        return top, left, bottom - top, right - left


def cut_places(result: ScoredPicture, places: Sequence[CropPlace]) -> list[Comparison]:
    """Cut the crops at the places in a picture; without any place, where the models differ most."""
    own = [place for place in places if place.picture == result.picture]
    return [cut_crops(result, place) for place in (own if places else [None])]


def cut_crops(result: ScoredPicture, place: CropPlace | None = None) -> Comparison:
    """Cut the crops at a place, or where the models differ most."""
    assert result.pair is not None  # it was enlarged
    hr, lr, scale = result.pair.hr, result.pair.lr, result.scale
    if lr.dtype.kind == "f":
        lr = np.clip(np.rint(lr.astype(np.float64) * 255), 0, 255).astype(np.uint8)
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
        picture=result.picture,
        size=(hr.shape[0], hr.shape[1]),
        window=window,
        overview=np.asarray(overview),
        hr=crop(hr),
        lr=crop(lr, scale),
        sr={model: crop(picture) for model, picture in result.sr.items()},
        psnr=dict(result.psnr),
    )


def find_window(
    hr: Array, sr: Mapping[str, Array], *, scale: int, edge: int = CROP
) -> tuple[int, int, int, int]:
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


def write_figure(
    file: Path, crops: Sequence[Comparison], places: Sequence[CropPlace], pictures: Iterable[str]
) -> None:
    """Write a figure of crops: a row for each place, LR, the models and HR in columns.

    Each crop has its name and the PSNR of the whole picture. Pixels are enlarged as they are. The
    same crops give the same bytes; no crops, no file. Places in pictures that there are not are
    refused.
    """
    from matplotlib.figure import Figure

    known = dict.fromkeys(pictures)
    for place in places:
        if place.picture not in known:
            hint, names = did_you_mean(place.picture, known), ", ".join(known)
            raise UsageError(f"--crop {place.picture}: no such picture{hint}; there are: {names}")
    if not crops:
        return
    models = list(dict.fromkeys(model for each in crops for model in each.sr))
    figure = Figure(figsize=(CELL * (len(models) + 2), (CELL + 0.35) * len(crops)), dpi=DPI)
    grid = figure.subplots(len(crops), len(models) + 2, squeeze=False)
    digits = METRICS["psnr"].digits - 1
    for axes in grid.flat:
        axes.set_axis_off()
    for row, each in zip(grid, crops, strict=True):
        titles = [f"{each.picture}\nLR, x{each.scale}"]
        titles += [f"{name}\n{number(each.psnr.get(name), digits)} dB" for name in models]
        shown = [each.lr, *(each.sr.get(name) for name in models), each.hr]
        for axes, title, pixels in zip(row, [*titles, "HR\n"], shown, strict=True):
            if pixels is not None:
                axes.imshow(pixels, interpolation="nearest")
                axes.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.4)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    try:
        write_whole(file, stream.getvalue())
    except OSError as error:
        raise UsageError(f"--figure {file}: cannot be written ({error.strerror})") from error
