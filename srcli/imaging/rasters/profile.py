"""An output raster as it is asked for, and as it is to be written: values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from srcli.imaging.files.provenance import Provenance
from srcli.imaging.rasters.info import COLOURS, BandInfo

OVERVIEW_SIDE = 256
"""Longest side of the smallest overview, and of the blocks of all, but for a COG, where it
is that of its blocks."""
COG_BLOCK = "512"
_OFF = frozenset({"NO", "FALSE", "OFF", "0"})
"""How GDAL's options say no."""


def is_on(options: Mapping[str, str], name: str, default: str) -> bool:
    """Tell if an option of GDAL's is on: all values but "no", "off" ... mean yes."""
    return options.get(name, default).upper() not in _OFF


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The user's options for the output format."""

    creation: Mapping[str, str] = field(default_factory=dict)
    """--co by names in capitals, which overrides the defaults."""
    overviews: bool | None = None
    """Build overviews inside a GeoTIFF; None builds some where the input has some."""
    cog: bool = False
    """Cloud-optimized GeoTIFF, overviews included."""
    format: str = "tif"
    """Of the file to be written: ``"tif"``, ``"png"``, ``"jpg"`` or ``"mbtiles"``."""
    quality: int | None = None
    """1 to 100, for JPEG, also inside GeoTIFFs; None takes 95."""
    provenance: Provenance | None = None
    """Recorded in tags of the output; None records nothing."""


@dataclass(frozen=True, kw_only=True)
class OutputProfile:
    """Metadata and creation options of an output raster."""

    driver: str
    """GDAL's name of the format."""
    height: int
    width: int
    dtype: str
    """numpy's name."""
    bands: tuple[BandInfo, ...]
    """Of the output, alpha last; their dtype and nodata are ignored in favour of those
    here."""
    alpha: bool = False
    """The last band is alpha."""
    alpha_position: int | None = None
    """Position of alpha among the bands of the file, from 0; None is the last."""
    mask: bool = False
    """The file has a mask of valid pixels for all bands."""
    nodata: float | None = None
    step: int = 1
    """Rows of the output that one row of the input becomes, where they must not be parted."""
    white_is_zero: bool = False
    """The lowest value of the only band is white."""
    georeference: Mapping[str, Any]
    """Where it lies on the map; see ``RasterInfo``."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one."""
    classes: bool = False
    """Some bands hold classes, or bytes of heights: overviews are not averaged."""
    overviews: tuple[int, ...] = ()
    """Decimation factors of the overviews to build; none of a COG that GDAL copies, which
    chooses them."""
    creation: Mapping[str, str] = field(default_factory=dict)
    blocks: Mapping[str, str] = field(default_factory=dict)
    """Creation options of the blocks that parts and canvas hold, a GeoTIFF in tiles."""
    why_copied: str = "it is no raster of its own"
    """Why GDAL copies the canvas into the final file, decoded and encoded anew; empty
    where its compressed blocks are those of the file."""

    @property
    def keeps_blocks(self) -> bool:
        """True if the blocks of the canvas are those of the final file."""
        return not self.why_copied

    @property
    def resampling(self) -> str:
        """How overviews are made, as GDAL names it in small letters."""
        usual = "nearest" if self.classes else "average"
        asked = self.creation.get("RESAMPLING", usual)
        return self.creation.get("OVERVIEW_RESAMPLING", asked).lower()

    @property
    def is_sparse(self) -> bool:
        """True if blocks without data may be left out of the file."""
        return is_on(self.creation, "SPARSE_OK", "NO")

    @property
    def predictor(self) -> int:
        """The PREDICTOR of TIFFs that suits the dtype; 1 for none, as of half floats."""
        if self.dtype == "float16":
            return 1
        return 3 if self.dtype.startswith("float") else 2

    @property
    def photometric(self) -> str:
        """What the bands of a TIFF mean, as its tag and GDAL's option name it."""
        if tuple(band.interpretation for band in self.stored_bands[:3]) == COLOURS:
            return "RGB"
        if self.palette:
            return "PALETTE"
        return "MINISWHITE" if self.white_is_zero else "MINISBLACK"

    @property
    def overview_side(self) -> int:
        """Length of blocks of overviews, and of the smallest overview at most."""
        if self.driver != "COG":
            return OVERVIEW_SIDE
        return int(self.creation.get("BLOCKSIZE", COG_BLOCK))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of pixels of all bands, in memory."""
        return self.width * len(self.bands) * np.dtype(self.dtype).itemsize

    @property
    def channels(self) -> int:
        """Number of colour bands."""
        return len(self.bands) - self.alpha

    @property
    def bits(self) -> int | None:
        """Bits of all values, where these are fewer than those of the dtype; else None."""
        bits = {band.bits for band in self.bands}
        return bits.pop() if len(bits) == 1 else None

    @property
    def band_order(self) -> tuple[int, ...]:
        """Indices in ``bands`` of the bands of the file, in its order."""
        indices = list(range(len(self.bands)))
        if self.alpha and self.alpha_position is not None:
            indices.insert(self.alpha_position, indices.pop())
        return tuple(indices)

    @property
    def stored_bands(self) -> tuple[BandInfo, ...]:
        """The bands in the order of the file."""
        return tuple(self.bands[index] for index in self.band_order)

    @property
    def palette(self) -> bool:
        """True if the only band has a colour table."""
        return len(self.bands) == 1 and "ColorTable" in self.bands[0].vrt_elements
