"""Tell rasters from photographs by the files beside them or their formats."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.photograph import Picture

if TYPE_CHECKING:
    from pathlib import Path

RASTER_SUFFIXES = frozenset(
    {
        ".vrt", ".gtiff", ".gtif", ".jp2", ".j2k", ".jpf", ".jpx", ".img", ".mrf", ".ntf", ".nitf",
        ".bil", ".bip", ".bsq", ".flt", ".hgt", ".dt0", ".dt1", ".dt2", ".ers", ".pix", ".rst",
        ".sdat", ".bag", ".gti",
    }
)  # fmt: skip
"""Lower-case suffixes of rasters that a search of a folder finds besides those of photographs; only
unambiguous ones. Files given by name may have any."""

# Formats of photographs that GDAL georeferences by files beside them, and such parts of .aux.xml.
_WITH_SIDECARS = frozenset({"png", "jpg", "gif", "bmp", "webp", "tif"})
_GEOREFERENCES = (b"<SRS", b"<GeoTransform", b"<GCPList", b"<GeodataXform", b'domain="RPC"')
# Other files beside a picture: the end of their name after its stem, a word in them, their meaning.
_COMPANIONS = (
    ("_RPC.TXT", b"LINE_OFF", "a sensor model"),
    ("_rpc.txt", b"LINE_OFF", "a sensor model"),
    (".RPB", b"lineOffset", "a sensor model"),
    (".rpb", b"lineOffset", "a sensor model"),
    (".tab", b"!table", "a place on the map"),
    (".TAB", b"!table", "a place on the map"),
)


def companion_reason(picture: Picture) -> str | None:
    """Return the reason to read a picture as a raster that a file beside it gives.

    Args:
        picture: Of a format of photographs.

    Returns:
        The property that photographs lack, for the user; None without such a file.
    """
    return _sidecar_reason(picture.path) if picture.format in _WITH_SIDECARS else None


def open_by_gdal(path: Path) -> Picture | None:
    """Open a file that is in no format of photographs as a raster.

    Args:
        path: The file.

    Returns:
        The raster; None if GDAL does not open it and its suffix is not one of rasters.
    """
    from srcli.imaging.rasters.opening import open_raster

    try:
        with open_raster(path) as dataset:
            reason, size = f"a format of GDAL ({dataset.driver})", dataset.shape
            bands, bits = dataset.count, np.dtype(dataset.dtypes[0]).itemsize * 8
    except PictureError:
        if path.suffix.lower() not in RASTER_SUFFIXES:
            return None
        # GDAL's error explains more than that it is no photograph
        reason, size, bands, bits = "a suffix of rasters", (0, 0), 0, 0
    height, width = size
    return Picture(
        path=path, format="", height=height, width=width, channels=bands, bits=bits, raster=reason
    )


def _sidecar_reason(path: Path) -> str | None:
    """Find a file beside a picture that georeferences or masks it."""
    ending = path.suffix.lower().removeprefix(".")
    worlds = ["wld"] if not ending else ["wld", f"{ending[0]}{ending[-1]}w", f"{ending}w"]
    for world in worlds:
        for suffix in (f".{world}", f".{world.upper()}"):
            if _is_world_file(path.with_suffix(suffix)):
                return f"a place on the map ({path.with_suffix(suffix).name})"
    for tail, word, what in _COMPANIONS:
        companion = path.with_name(path.stem + tail)
        if word in _beginning(companion):
            return f"{what} ({companion.name})"
    mask = path.with_name(f"{path.name}.msk")
    if os.path.isfile(mask):  # noqa: PTH113 - pathlib raises for names too long
        return f"a mask of valid pixels ({mask.name})"
    extra = path.with_name(f"{path.name}.aux.xml")
    text = _beginning(extra)
    if any(one in text for one in _GEOREFERENCES):
        return f"a place on the map ({extra.name})"
    return f"a nodata value ({extra.name})" if b"<NoDataValue" in text else None


def _beginning(path: Path) -> bytes:
    """Read the first bytes of a file; none if it is missing."""
    try:
        with path.open("rb") as stream:
            return stream.read(2**20)
    except OSError:
        return b""


def _is_world_file(path: Path) -> bool:
    """Tell if a file is a world file: six numbers, one a line."""
    try:
        with path.open("rb") as stream:
            words = stream.read(1024).split()
        return len([float(word) for word in words[:6]]) == 6
    except (OSError, ValueError):
        return False
