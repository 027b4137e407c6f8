"""The files that a mosaic is made of, mosaics of mosaics included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.rasters.opening import open_raster

if TYPE_CHECKING:
    from collections.abc import Iterable


def dataset_files(named: Iterable[str]) -> tuple[str, ...]:
    """Follow mosaics to what they draw on; GDAL names only the first level.

    Args:
        named: What GDAL names as a raster's files, itself among them.

    Returns:
        These, and then what the mosaics (.vrt) among them are made of; each once.
    """
    found = dict.fromkeys(named)
    waiting = [name for name in [*found][1:] if _is_mosaic(name)]
    while waiting:
        new = [name for name in _files(waiting.pop()) if name not in found]
        found |= dict.fromkeys(new)
        waiting += [name for name in new if _is_mosaic(name)]
    return tuple(found)


def _is_mosaic(name: str) -> bool:
    return name.lower().endswith(".vrt")


def _files(name: str) -> list[str]:
    path = Path(name)
    if not path.is_file():  # gone, or an address on the net: reading says so
        return []
    try:
        with open_raster(path) as dataset:
            return list(dataset.files)
    except PictureError:
        return []
