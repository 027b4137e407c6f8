"""Tell of pixels without data in pictures that are measured, where they count as picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.files.decoding import decoding, quiet_libraries
from srcli.imaging.photographs.photograph import LARGEST_AREA

if TYPE_CHECKING:
    from srcli.data.pictures import PictureRef

_TIFF_SUFFIXES = (".tif", ".tiff")
_MOST_BANDS = 4
"""Of pictures that are measured: red, green, blue and alpha."""


def note_on_empty_pixels(pictures: Sequence[PictureRef]) -> str:
    """Return a warning of GeoTIFFs that declare nodata, or a mask, which some pixels have.

    An area of one value is enlarged without error, so that scores are too high. Empty
    where all pixels hold data.
    """
    shares = []
    for picture in pictures:
        if picture.path.suffix.lower() in _TIFF_SUFFIXES:
            share = _empty_share(picture.path)
            if share:
                shares.append(share)
    if not shares:
        return ""
    count = "1 picture has" if len(shares) == 1 else f"{len(shares)} pictures have"
    return (
        f"{count} pixels without data ({sum(shares) / len(shares):.1%}), which count as picture: "
        "scores are higher than those of the picture alone; cut parts that have data, such as "
        "by gdal_translate -srcwin"
    )


def _empty_share(path: Path) -> float:
    """Return the share of a raster's pixels that are without data in all bands, 0 to 1."""
    import rasterio
    from rasterio.enums import MaskFlags

    try:
        with ExitStack() as stack:
            with decoding(path), quiet_libraries():
                dataset = rasterio.open(path, driver="GTiff", sharing=False)
                stack.enter_context(dataset)
            kinds = {kind for kinds in dataset.mask_flag_enums for kind in kinds}
            if kinds <= {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.per_dataset}:
                is_declared = MaskFlags.alpha not in kinds
                if not (is_declared and MaskFlags.per_dataset in kinds):
                    return 0.0
            pixel_count = dataset.width * dataset.height
            if pixel_count > LARGEST_AREA or dataset.count > _MOST_BANDS:
                return 0.0  # which is no picture to measure
            with decoding(path, pixel_count):
                masks = dataset.read_masks()
    except PictureError:
        return 0.0  # reading it gives the reason
    return float(np.mean(masks.max(axis=0) == 0))
