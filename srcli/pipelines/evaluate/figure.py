"""A figure of crops side by side as PNG: a row for each place, LR, the models and HR in columns."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from srcli.errors import UsageError, did_you_mean
from srcli.evaluation.scores import METRICS
from srcli.files import write_whole
from srcli.pipelines.evaluate.crops import CropPlace, cut_crops
from srcli.report.table import number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.pipelines.evaluate.crops import Comparison
    from srcli.pipelines.evaluate.set_run import EnlargedPicture

CELL = 2.0
"""Edge of a crop in inches."""
DPI = 150


class FigureCrops:
    """Collect the crops of a figure while an evaluation runs; called with every picture.

    Args:
        places: Parts of pictures to show; none for the place of every picture where the models
            differ most.
    """

    def __init__(self, places: Sequence[CropPlace]) -> None:
        self.places = places
        self.crops: list[Comparison] = []
        self._seen: list[str] = []

    def __call__(self, result: EnlargedPicture) -> None:
        """Cut the crops of a picture.

        Raises:
            UsageError: If a place does not lie inside the picture.
        """
        self._seen.append(result.pair.name)
        own = [place for place in self.places if place.picture == result.pair.name]
        for place in own if self.places else [None]:
            self.crops.append(cut_crops(result, place))

    def write(self, file: Path) -> None:
        """Write the figure, if there are crops.

        Raises:
            UsageError: If a place is in a picture that was not there, or the file cannot be
                written.
        """
        for place in self.places:
            if place.picture not in self._seen:
                hint, known = did_you_mean(place.picture, self._seen), dict.fromkeys(self._seen)
                raise UsageError(
                    f"--crop {place.picture}: no such picture{hint}; there are: {', '.join(known)}"
                )
        if not self.crops:
            return
        try:
            write_whole(file, crops_figure(self.crops))
        except OSError as error:
            raise UsageError(f"--figure {file}: cannot be written ({error.strerror})") from error


def crops_figure(crops: Sequence[Comparison]) -> bytes:
    """Draw crops side by side, each with its name and the PSNR of the whole picture; a PNG file.

    Pixels are enlarged as they are. The same crops give the same bytes.
    """
    from matplotlib.figure import Figure

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
    return stream.getvalue()
