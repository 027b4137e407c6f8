"""What a raster says of itself, as values: its bands, place on the map, tags and mask."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from srcli.imaging.pixels.arrays import Limits
from srcli.imaging.rasters.transforms import enlarge_transform
from srcli.ports import Window

if TYPE_CHECKING:
    from srcli.imaging.rasters.cutline import Cutline
    from srcli.imaging.rasters.opening import OpenedRaster

COLOURS = ("red", "green", "blue")
LEGEND = frozenset({"ColorTable", "CategoryNames", "GDALRasterAttributeTable"})
"""What GDAL's VRT format calls the meaning of values."""
NodataOption = float | tuple[float, ...] | Literal["file", "none"]
"""The value of pixels without data, or several: as the file says, none, or these."""


@dataclass(frozen=True, kw_only=True)
class BandInfo:
    """One band of a raster."""

    dtype: str
    """numpy's name: ``"uint16"``."""
    nodata: float | None = None
    """The value of pixels without data; None without one that the dtype can hold."""
    undeclared_nodata: tuple[float, ...] = ()
    """Values of pixels without data that the file does not declare."""
    codes: tuple[float, ...] = ()
    """Values that are no measurements, such as 250 for cloud; they are kept as they are."""
    measured: Limits | None = None
    """Lowest and highest measurement, where all values beyond them are such codes."""
    interpretation: str = "undefined"
    """GDAL's colour interpretation: gray, red, green, blue, alpha, palette, nir,
    undefined ..."""
    vrt_elements: Mapping[str, str] = field(default_factory=dict)
    """Elements of GDAL's VRT format by their names: name, unit, scale, offset,
    ``LEGEND``."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tags by namespace, ``""`` for the default one (``"IMAGERY"`` holds wavelengths);
    without statistics, which are wrong once pixels change."""
    bits: int | None = None
    """Bits of a stored value where these are fewer than those of the dtype (GDAL's
    NBITS)."""
    limits: Limits | None = None
    """Lowest and highest value of valid pixels: of a file by the tags ``valid_range``,
    ``valid_min`` and ``valid_max``, of an output see ``keep_bounds``."""
    packing: tuple[float, float] = (1.0, 0.0)
    """Scale and offset by which values become those of the unit."""
    zero: float | None = None
    """Value that stands for none of an amount, where sums of an output are those of the
    input; else None."""

    def stored(self, measurement: float) -> float:
        """Return the value that stands for a measurement; it may lie between two values."""
        scale, offset = self.packing
        value = (measurement - offset) / (scale or 1.0)
        # a number such as 0.3 / 0.1 is meant to be 3
        return round(value, 6) if math.isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class RasterInfo:
    """Metadata of one raster file."""

    path: Path
    files: tuple[str, ...] = ()
    """Names of all files it consists of: itself, sources of (nested) mosaics, masks
    beside it."""
    height: int
    width: int
    bands: tuple[BandInfo, ...]
    georeference: Mapping[str, Any]
    """Its place on the map, by rasterio's names: crs, transform (maybe the identity), gcps
    (without a transform; the crs is theirs), rpcs; and the epoch of the crs, a decimal
    year as text. Those that the file lacks are None, gcps empty."""
    driver: str = "GTiff"
    """GDAL's name of the format."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tags by namespace, ``""`` for the default one; none that describe the file's
    structure."""
    palette: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colours (R, G, B, A) of band 1's values."""
    white_is_zero: bool = False
    """The lowest value of the only band is white (TIFF's MINISWHITE)."""
    is_premultiplied: bool = False
    """Colours are stored multiplied by alpha (ExtraSamples 1 of a TIFF)."""
    mask: Literal["dataset", "band"] | None = None
    """Valid pixels are marked by one mask for all bands, or by one for each; not by
    alpha alone."""
    block_share: float = 1.0
    """Share of its blocks that a sparse file holds."""
    cutline: Cutline | None = None
    """Polygons outside of which the output is empty."""
    has_overviews: bool = False
    notes: tuple[str, ...] = ()
    """Messages for the user on parts of the file that are ignored."""
    opened: OpenedRaster | None = field(default=None, compare=False, repr=False)
    """The file, while it is open: without it, nothing can be read of its pixels."""

    def band(self, number: int) -> BandInfo:
        """Return a band by its number, from 1."""
        return self.bands[number - 1]

    def nodata_values(self, band: BandInfo) -> tuple[float, ...]:
        """Return the values of a band's pixels without data.

        Where a mask marks empty pixels, the declared nodata is a value as others are.
        """
        if band.nodata is None or self.mask is not None:
            return band.undeclared_nodata
        return (band.nodata, *band.undeclared_nodata)


def enlarge_georeference(
    georeference: Mapping[str, Any], window: Window, scale: int
) -> dict[str, Any]:
    """Return the place on the map of an enlarged window."""
    transform = georeference["transform"]
    rpcs = copy.copy(georeference["rpcs"])
    gcps = [copy.copy(point) for point in georeference["gcps"]]
    if transform is not None:
        transform = enlarge_transform(transform, window, scale)
    for point in gcps:  # like GDAL's, they count from the corner of the first pixel
        point.row = (point.row - window.top) * scale
        point.col = (point.col - window.left) * scale
    if rpcs is not None:  # these count from the centre of the first pixel
        rpcs.line_off = (rpcs.line_off + 0.5 - window.top) * scale - 0.5
        rpcs.samp_off = (rpcs.samp_off + 0.5 - window.left) * scale - 0.5
        rpcs.line_scale *= scale
        rpcs.samp_scale *= scale
    return {**georeference, "transform": transform, "gcps": gcps, "rpcs": rpcs}
