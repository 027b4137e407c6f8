"""Derive the profile of an enlarged raster (bands, georeference, options) from the input."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging import xmp
from srcli.imaging.pixel_map import PixelMap
from srcli.imaging.rasters import creation
from srcli.imaging.rasters.creation import OutputOptions, OutputShape, RasterFormat
from srcli.imaging.rasters.info import BandInfo, coordinates

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from affine import Affine  # noqa: TC004 - see above
    from rasterio.control import GroundControlPoint  # noqa: TC004 - see above
    from rasterio.crs import CRS  # noqa: TC004 - see above
    from rasterio.rpc import RPC  # noqa: TC004 - see above

    from srcli.imaging.provenance import Provenance
    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout
    from srcli.ports.image import Window

__all__ = ["OutputOptions", "OutputProfile", "disk_needed", "make_output"]

_COLOURS = ("red", "green", "blue")
_GRAY = {"palette": "gray"}
_SMALLEST_OVERVIEW = 256
_XMP = "xml:XMP"
_SOFTWARE: Mapping[RasterFormat, str] = {
    "tif": "TIFFTAG_SOFTWARE",
    "png": "Software",
    "jpg": "EXIF_Software",
}
"""Tags that GDAL's drivers write as the Software entry of a format."""


@dataclass(frozen=True, kw_only=True)
class OutputProfile:
    """Metadata and creation options of an output raster."""

    format: RasterFormat
    cog: bool = False
    height: int
    width: int
    dtype: str
    """numpy's name."""
    bands: tuple[BandInfo, ...]
    """Of the output, alpha last; their dtype and nodata are ignored in favour of those here."""
    alpha: bool = False
    """The last band is alpha."""
    mask: bool = False
    """The file has a mask of valid pixels for all bands."""
    nodata: float | None = None
    crs: CRS | None = None
    transform: Affine | None = None
    gcps: tuple[GroundControlPoint, ...] = ()
    gcps_crs: CRS | None = None
    rpcs: RPC | None = None
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one."""
    classes: bool = False
    """Some bands hold classes: overviews are not averaged."""
    overviews: tuple[int, ...] = ()
    """Decimation factors of the overviews to build."""
    creation: Mapping[str, str]
    """GDAL's creation options."""
    notes: tuple[str, ...] = ()
    """Messages for the user on what is not kept."""

    @property
    def channels(self) -> int:
        """Number of colour bands."""
        return len(self.bands) - self.alpha

    @property
    def driver(self) -> str:
        """GDAL's name of the format."""
        return "COG" if self.cog else creation.DRIVERS[self.format]


def make_output(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    scale: int,
    options: OutputOptions | None = None,
) -> OutputProfile:
    """Derive the profile of the enlarged raster.

    Georeference, tags, names, units, scales and interpretations of bands, nodata, mask, alpha and
    the colour profile are kept; statistics, which would be wrong, are not.

    Raises:
        UsageError: If the options contradict each other.
        PictureError: If the format cannot hold the result.
    """
    options = options or OutputOptions()
    notes: list[str] = []
    bands, alpha = _bands(info, layout), layout.has_alpha
    names = layout.interpretations
    mask = info.mask in ("dataset", "band") and not alpha
    palette = len(bands) == 1 and "<ColorTable" in bands[0].legend
    shape = OutputShape(
        height=window.height * scale,
        width=window.width * scale,
        bands=layout.channels + layout.has_alpha,
        dtype=layout.dtype,
        rgb=names == _COLOURS,
        alpha=layout.has_alpha,
        inverted=info.inverted and not (layout.palette or palette),
        classes=bool(layout.classes),
        palette=palette,
        bits=bands[0].bits if len({band.bits for band in bands}) == 1 else None,
        mask=mask,
    )
    fmt = creation.check_format(info.path, options, shape)
    nodata = layout.nodata
    if nodata is not None:
        notes += _nodata_notes(info, layout, nodata)
    largest = creation.nbits_limit(options, layout.dtype)
    if largest is not None:
        notes.append(f"NBITS holds values up to {largest:,}: larger ones are cut")
    lossy = creation.is_lossy(options, layout.dtype)
    if nodata is not None and not layout.has_alpha and lossy:
        notes.append(f"nodata {nodata:g} becomes a mask: lossy compression changes values")
        mask, nodata = True, None
    if info.mask == "band" and mask and nodata is None and not layout.dtype.startswith("float"):
        notes.append("pixels that are empty in some bands only become 0 there; see --nodata")
    if fmt == "png" and mask:
        # a mask would go into a file of its own that few programs read
        bands = (*bands, BandInfo(dtype=layout.dtype, interpretation="alpha"))
        alpha, mask = True, False
    elif fmt == "jpg" and alpha:
        notes.append("jpg has no transparency: the alpha band is left out")
        bands, alpha = bands[:-1], False
    shape = replace(shape, bands=len(bands), alpha=alpha)
    tags = dict(_tags(info, layout, fmt, options.provenance))
    if _XMP in tags:
        tags[_XMP] = _fitted_xmp(tags[_XMP], window, shape, notes)
    if (icc := _profile(info, names, notes)) is not None:
        tags["COLOR_PROFILE"] = {"SOURCE_ICC_PROFILE": base64.b64encode(icc).decode("ascii")}
    gcps = () if info.has_transform else info.gcps
    if info.has_transform and info.gcps:
        notes.append("ground control points left out: the transform says the same")
    if options.overviews and max(shape.height, shape.width) <= _SMALLEST_OVERVIEW:
        notes.append(
            f"no overviews: {shape.width}x{shape.height} pixels are few enough without "
            f"(at most {_SMALLEST_OVERVIEW} a side)"
        )
    return OutputProfile(
        format=fmt,
        cog=options.cog,
        height=shape.height,
        width=shape.width,
        dtype=layout.dtype,
        bands=bands,
        alpha=alpha,
        mask=mask,
        nodata=nodata,
        crs=info.crs,
        transform=(scaled_transform(info.transform, window, scale) if info.has_transform else None),
        gcps=scaled_points(gcps, window, scale) if gcps else (),
        gcps_crs=info.gcps_crs if gcps else None,
        rpcs=scaled_rpcs(info.rpcs, window, scale) if info.rpcs else None,
        tags=tags,
        classes=shape.classes,
        overviews=_overview_factors(shape) if creation.wants_overviews(options) else (),
        creation=creation.creation_options(shape, options, info.compression),
        notes=tuple(notes),
    )


def scaled_transform(transform: Affine, window: Window, scale: float) -> Affine:
    """Return the transform of an enlarged window; its upper left corner stays in place.

    Args:
        transform: Of the entire raster, from (column, row) of a pixel's corner to coordinates; it
            may be rotated, south-up or have oblong pixels.
        window: The enlarged part, in pixels of the raster.
        scale: Pixels of the result per pixel, along each side.

    Returns:
        From (column, row) of the enlarged window to the same coordinates.
    """
    x, y = coordinates(transform, window.left, window.top)
    a, b, _, d, e, _ = transform[:6]
    return type(transform)(a / scale, b / scale, x, d / scale, e / scale, y)


def scaled_points(
    points: Sequence[GroundControlPoint], window: Window, scale: float
) -> tuple[GroundControlPoint, ...]:
    """Return the ground control points of an enlarged window.

    Like GDAL's, they count from the corner of the first pixel, not from its centre. Points outside
    the window are kept: they locate the others as well. Arguments as for ``scaled_transform``.
    """
    scaled = tuple(map(copy.copy, points))
    for point in scaled:
        point.row = (point.row - window.top) * scale
        point.col = (point.col - window.left) * scale
    return scaled


def scaled_rpcs(rpcs: RPC, window: Window, scale: float) -> RPC:
    """Return the rational polynomial coefficients (sensor model) of an enlarged window.

    Unlike control points they count from the centre of the first pixel. Arguments as for
    ``scaled_transform``.
    """
    scaled = copy.copy(rpcs)
    scaled.line_off = (rpcs.line_off + 0.5 - window.top) * scale - 0.5
    scaled.samp_off = (rpcs.samp_off + 0.5 - window.left) * scale - 0.5
    scaled.line_scale = rpcs.line_scale * scale
    scaled.samp_scale = rpcs.samp_scale * scale
    return scaled


def disk_needed(output: OutputProfile) -> int:
    """Estimate the bytes on disk without compression: the parts and the result copied from them."""
    # blocks at the lower and right edge are full-sized
    block_height, block_width = (
        int(output.creation.get(key, "1")) for key in ("BLOCKYSIZE", "BLOCKXSIZE")
    )
    height = -(-output.height // block_height) * block_height
    width = -(-output.width // block_width) * block_width
    pixels = height * width * len(output.bands) * np.dtype(output.dtype).itemsize
    pixels += height * width // 8 * output.mask
    total = pixels + pixels // 1000  # incompressible blocks grow slightly
    overviews = total * 7 // 20 if output.overviews else 0  # a third, plus edges
    # a COG's are made in a file of their own first
    return total * 2 + overviews * (2 if output.cog else 1) + 2**20


def _bands(info: RasterInfo, layout: BandLayout) -> tuple[BandInfo, ...]:
    colours = [info.bands[band - 1] for band in layout.bands]
    if layout.palette:  # whose metadata describe its indices, not colours
        colours = [BandInfo(dtype=layout.dtype)] * layout.channels
    bands = [
        replace(band, interpretation=name)
        if place in layout.classes
        # what interpolation makes of indices is gray, and needs all values of the dtype
        else replace(band, interpretation=_GRAY.get(name, name), bits=None, legend="")
        for place, (band, name) in enumerate(zip(colours, layout.interpretations, strict=True))
    ]
    if layout.alpha is not None:
        alpha = info.bands[layout.alpha - 1]
        bands.append(replace(alpha, interpretation="alpha", bits=None, legend=""))
    elif layout.has_alpha:
        bands.append(BandInfo(dtype=layout.dtype, interpretation="alpha"))
    return tuple(bands)


def _tags(
    info: RasterInfo, layout: BandLayout, fmt: RasterFormat, provenance: Provenance | None
) -> Mapping[str, Mapping[str, str]]:
    """Return the input's tags by namespace, with the provenance among those of the default one."""
    if provenance is None:
        return info.tags
    own = info.tags.get("", {})
    earlier = next((own[key] for key in _SOFTWARE.values() if key in own), "")
    software = {_SOFTWARE[fmt]: provenance.software(earlier)}
    repeated = ",".join(str(place + 1) for place in layout.classes)  # which no model has made
    nearest = {"SRX_NEAREST_BANDS": repeated} if repeated else {}
    return {**info.tags, "": {**own, **software, **provenance.tags, **nearest}}


def _fitted_xmp(
    tags: Mapping[str, str], window: Window, shape: OutputShape, notes: list[str]
) -> Mapping[str, str]:
    """Return XMP whose sizes and regions are those of the enlarged raster."""
    pixels = PixelMap(before=(window.height, window.width), after=(shape.height, shape.width))
    packet, lost = xmp.fit(tags.get(_XMP, "").encode(errors="surrogateescape"), pixels)
    notes += lost
    return {**tags, _XMP: packet.decode(errors="surrogateescape")}


def _nodata_notes(info: RasterInfo, layout: BandLayout, nodata: float) -> list[str]:
    """Explain the change of bands whose nodata value differs from the output's."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for place, band in enumerate(layout.bands):
        # compared as text, because NaN differs from itself
        if str(info.bands[band - 1].nodata) != str(nodata):
            found[place in layout.classes].append(str(band))
    ends = {
        True: "the values of its classes stay as they are",
        False: f"values of {nodata:g} there are moved to the one beside it",
    }
    return [
        f"one nodata value is kept: {nodata:g} stands for no data in band"
        f"{'s' * (len(others) > 1)} {','.join(others)} too; {ends[classes]}"
        for classes, others in found.items()
        if others
    ]


def _profile(info: RasterInfo, names: tuple[str, ...], notes: list[str]) -> bytes | None:
    """Return the colour profile if it fits the output's colours."""
    if info.icc is None:
        return None
    kind = {b"RGB ": _COLOURS, b"GRAY": ("gray",)}.get(info.icc[16:20])
    if kind is not None and names[: len(kind)] == kind:
        return info.icc
    notes.append("colour profile left out: it is for other bands than the output has")
    return None


def _overview_factors(shape: OutputShape) -> tuple[int, ...]:
    """Powers of two until the smallest overview is at most 256 pixels long."""
    factors, factor = [], 1
    while max(shape.height, shape.width) > factor * _SMALLEST_OVERVIEW:
        factor *= 2
        factors.append(factor)
    return tuple(factors)
