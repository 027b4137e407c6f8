"""The seam figure of a model as it is benchmarked: with its overlap, and without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError, PictureError, UsageError
from srcli.imaging.reading import read_photograph
from srcli.pipelines.bench.results import Seams
from srcli.pipelines.bench.seams import seam_figure

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.pipelines.bench.cases import PreparedModel

    Array = NDArray[Any]


def measure_seams(model: PreparedModel, picture: Array) -> Seams:
    """Measure the seam figure with the model's overlap and without.

    Args:
        model: Model and tiling.
        picture: (H, W, 3) uint8, at least 4x3 tiles large.

    Raises:
        UsageError: If the picture is smaller, or there is no overlap to compare with.
    """
    own = model.tiling
    if own.overlap == 0:
        raise UsageError("--seams compares with an overlap of 0; give another --overlap")
    figures = []
    for overlap in (own.overlap, 0):
        try:
            figure = seam_figure(model.engine, picture, replace(own, overlap=overlap))
        except UsageError as error:
            raise UsageError(f"--seams, {model.title}: {error} or a smaller --tile") from error
        figures.append(figure)
    return Seams(
        scale=model.scale,
        model=model.model,
        precision=model.precision,
        tile=own.tile,
        overlap=own.overlap,
        figure=figures[0],
        without_overlap=figures[1],
    )


def read_rgb(path: Path) -> Array:
    """Read an 8-bit picture as (H, W, 3); gray stands in all three, alpha is left out.

    Raises:
        DataError: If it cannot be read, or has more bits.
    """
    try:
        pixels = read_photograph(path).pixels
    except PictureError as error:
        raise DataError(str(error)) from error
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: has {pixels.dtype} values; seams are measured on 8-bit pictures")
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
