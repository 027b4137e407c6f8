"""An output raster as it is asked for, and as it is to be written: values alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from srcli.imaging.files.provenance import Provenance
from srcli.imaging.rasters.block_form import (
    COG_BLOCK,
    OFF,
    OVERVIEW_BLOCK,
    SMALLEST_OVERVIEW,
    halves_fit,
)
from srcli.imaging.rasters.info import BandInfo


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

    def is_on(self, name: str, default: str) -> bool:
        """Tell if a creation option is on: GDAL takes all values but "no", "off" ... for yes."""
        return self.creation.get(name, default).upper() not in OFF


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
    white_is_zero: bool = False
    """The lowest value of the only band is white."""
    georeference: Mapping[str, Any]
    """Where it lies on the map; see ``RasterInfo``."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one."""
    classes: bool = False
    """Some bands hold classes, or bytes of heights: overviews are not averaged."""
    overviews: tuple[int, ...] = ()
    """Decimation factors of the overviews to build; GDAL chooses those of a COG."""
    creation: Mapping[str, str] = field(default_factory=dict)
    blocks: Mapping[str, str] = field(default_factory=dict)
    """Creation options of the blocks that parts hold; of none, parts are compressed
    quickly and without loss."""
    why_copied: str = "it is no raster of its own"
    """Why GDAL copies the parts into the final file, decoded and encoded anew; empty
    where the compressed blocks of the parts are those of the file."""
    levels_in_parts: int = 0
    """Overviews that each part holds, from that of half the size down."""
    encoded_levels: int = 0
    """Those of them whose final blocks it holds; a last one more is stored without loss."""
    notes: tuple[str, ...] = ()
    """Messages for the user on what is not kept."""

    @property
    def keeps_blocks(self) -> bool:
        """True if the blocks of the parts are those of the final file."""
        return not self.why_copied

    @property
    def is_joined(self) -> bool:
        """True if parts may go into the file one by one: it begins with their blocks alone."""
        return self.keeps_blocks and self.driver == "GTiff" and not self.overviews

    def copied_by_gdal(self, reason: str) -> OutputProfile:
        """Return the output whose parts have a form of their own."""
        return replace(
            self, blocks={}, why_copied=reason, levels_in_parts=0, encoded_levels=0
        )

    @property
    def smallest_overview(self) -> int:
        """Longest side of the smallest overview, in pixels, at most."""
        if self.driver != "COG":
            return SMALLEST_OVERVIEW
        return int(self.blocks.get("BLOCKYSIZE", COG_BLOCK))

    @property
    def wants_halves(self) -> bool:
        """True if overviews start from one of half the size."""
        if self.driver != "COG":
            return bool(self.overviews)
        is_large = max(self.height, self.width) > self.smallest_overview
        return self.creation.get("OVERVIEWS", "").upper() != "NONE" and is_large

    @property
    def can_be_halved(self) -> bool:
        """True if overviews can be made of those of parts; see ``halves_fit``."""
        return halves_fit(self.height, self.width, self.smallest_overview)

    @property
    def has_halves(self) -> bool:
        """True if each part holds its overview of half the size."""
        return self.keeps_blocks and self.levels_in_parts > 0

    @property
    def overview_block(self) -> int:
        """Height and width of the blocks of overviews."""
        if self.driver != "COG":
            return OVERVIEW_BLOCK
        return self.smallest_overview

    @property
    def whole_rows(self) -> int:
        """Rows that hold whole blocks of the file, and of overviews encoded in parts."""
        high = int(self.blocks["BLOCKYSIZE"])
        if self.has_halves and self.encoded_levels:
            return math.lcm(high, 2 * self.overview_block)
        return high

    @property
    def is_sparse(self) -> bool:
        """True if blocks without data may be left out of the file."""
        return self.creation.get("SPARSE_OK", "NO").upper() not in OFF

    @property
    def leaves_blocks_out(self) -> bool:
        """True if blocks of the file without data are nowhere, in parts neither."""
        is_whole = self.nodata is not None or not self.dtype.startswith("float")
        return self.keeps_blocks and self.is_sparse and not self.has_halves and is_whole

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
