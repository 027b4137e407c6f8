"""Metadata of a raster file: size, bands, georeference, tags, masks, block structure."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.rasters.opening import (
    dataset_files,
    for_shell,
    gdal_errors,
    open_with_georeference,
    reading_errors,
)

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from affine import Affine  # noqa: TC004 - see above
    from rasterio.control import GroundControlPoint  # noqa: TC004 - see above
    from rasterio.crs import CRS  # noqa: TC004 - see above
    from rasterio.io import DatasetReader
    from rasterio.rpc import RPC  # noqa: TC004 - see above

    from srcli.ports.image import Window

MOST_BANDS = 4096
"""Every band has a header of its own; a few bytes can claim 65,535 of them."""
MaskKind = Literal["none", "nodata", "dataset", "alpha", "band"]
"""How a file marks valid pixels: not at all, by a nodata value, by one mask for all bands, by an
alpha band, or by a mask for each band. NaN in floats is always invalid."""

# Tag namespaces that describe the structure of the file, or are kept in fields of their own.
_STRUCTURE = frozenset(
    {
        "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "COLOR_PROFILE", "RPC",
        "GEOLOCATION", "xml:gml.root-instance",
    }
)  # fmt: skip
_OUTDATED = (  # once the pixels change
    "STATISTICS_", "EXIF_PixelXDimension", "EXIF_PixelYDimension", "EXIF_SubjectArea",
    "EXIF_SubjectLocation", "EXIF_FocalPlane", "OVR_", "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE", "NODATA_VALUES",
)  # fmt: skip
_EXACT = 2**53
_BAND = re.compile(r'<VRTRasterBand [^>]*\bband="(\d+)"[^>]*>')
_LEGEND = re.compile(r"<(ColorTable|CategoryNames|GDALRasterAttributeTable)\b.*?</\1>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """Where a raster lies on the map, as far as its file says so."""

    crs: CRS | None = None
    transform: Affine | None = None
    """From (column, row) of a pixel's corner to coordinates; it may be the identity."""
    gcps: tuple[GroundControlPoint, ...] = ()
    gcps_crs: CRS | None = None
    rpcs: RPC | None = None
    """Rational polynomial coefficients: a sensor model."""

    @property
    def is_known(self) -> bool:
        """True if the file says in some way where it lies."""
        return self.transform is not None or bool(self.crs or self.gcps or self.rpcs)

    def enlarged(self, window: Window, scale: int) -> Georeference:
        """Return that of an enlarged window; it has control points only without a transform."""
        transform, rpcs = self.transform, copy.copy(self.rpcs)
        gcps = tuple(map(copy.copy, self.gcps)) if transform is None else ()
        if transform is not None:  # the upper left corner stays
            x, y = coordinates(transform, window.left, window.top)
            a, b, _, d, e, _ = transform[:6]
            transform = type(transform)(a / scale, b / scale, x, d / scale, e / scale, y)
        for point in gcps:  # like GDAL's, they count from the corner of the first pixel
            point.row = (point.row - window.top) * scale
            point.col = (point.col - window.left) * scale
        if rpcs is not None:  # these count from the centre of the first pixel
            rpcs.line_off = (rpcs.line_off + 0.5 - window.top) * scale - 0.5
            rpcs.samp_off = (rpcs.samp_off + 0.5 - window.left) * scale - 0.5
            rpcs.line_scale *= scale
            rpcs.samp_scale *= scale
        gcps_crs = self.gcps_crs if gcps else None
        return replace(self, transform=transform, gcps=gcps, gcps_crs=gcps_crs, rpcs=rpcs)


@dataclass(frozen=True, kw_only=True)
class BandInfo:
    """One band of a raster."""

    dtype: str
    """numpy's name: ``"uint16"``."""
    nodata: float | None = None
    """The value of pixels without data; None without one that the dtype can hold."""
    interpretation: str = "undefined"
    """GDAL's colour interpretation: gray, red, green, blue, alpha, palette, nir, undefined ..."""
    description: str | None = None
    unit: str | None = None
    scale: float = 1.0
    """Factor from values to the quantity that they stand for; kept, never applied."""
    offset: float = 0.0
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one (``"IMAGERY"`` holds wavelengths); without
    statistics, which are wrong once pixels change."""
    bits: int | None = None
    """Bits of a stored value where these are fewer than those of the dtype (GDAL's NBITS)."""
    legend: str = ""
    """Meaning of the values as XML elements of GDAL's VRT format: colour table, category names,
    raster attribute table; empty without any."""


@dataclass(frozen=True, kw_only=True)
class RasterInfo:
    """Metadata of one raster file."""

    path: Path
    files: tuple[str, ...] = ()
    """Names of all files it consists of: itself, sources of (nested) mosaics, masks beside it."""
    height: int
    width: int
    bands: tuple[BandInfo, ...]
    place: Georeference
    driver: str = "GTiff"
    """GDAL's name of the format."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one; none that describe the file's structure."""
    palette: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colours (R, G, B, A) of band 1's values."""
    inverted: bool = False
    """The lowest value of the only band is white (TIFF's MINISWHITE)."""
    mask: MaskKind = "none"
    block_height: int
    block_width: int
    compression: str | None = None
    """Value of GDAL's creation option: ``"DEFLATE"``; None if not compressed."""
    overviews: tuple[int, ...] = ()
    """Decimation factors of the overviews within the file or beside it."""
    icc: str = ""
    """Colour profile in base64; empty without one."""
    notes: tuple[str, ...] = ()
    """Messages for the user on parts of the file that are ignored."""


def read_info(path: Path) -> RasterInfo:
    """Read the metadata of any file with bands of real numbers, without decoding pixels."""
    dataset, georeferenced = open_with_georeference(path)
    with dataset, reading_errors(path, "its header cannot be read"):
        _check(path, dataset)
        notes = []
        if dataset.subdatasets:
            names = _subdatasets(path, dataset)
            notes.append(
                f"holds {len(names)} pictures: only the first is used; name another, such as "
                f"{for_shell(names[-1:])}"
            )
        if dataset.tags(ns="GEOLOCATION"):
            notes.append("geolocation arrays are ignored: warp it first, with gdalwarp")
        bands = _bands(dataset, notes)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        points, points_crs = dataset.gcps
        transform, rpcs = dataset.transform, dataset.rpcs
        # beside control points or RPCs, the identity means no transform
        stated = georeferenced and not (transform.is_identity and (points or rpcs is not None))
        block_height, block_width = dataset.block_shapes[0]
        profile, palette = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE", ""), None
        if bands[0].interpretation == "palette":
            with suppress(ValueError):  # where it has no colour table
                palette = dict(dataset.colormap(1))
        return RasterInfo(
            path=path,
            files=dataset_files(dataset),
            height=dataset.height,
            width=dataset.width,
            bands=bands,
            place=Georeference(
                crs=dataset.crs or None,
                transform=transform if stated else None,
                gcps=tuple(points),
                gcps_crs=points_crs or None,
                rpcs=rpcs,
            ),
            driver=dataset.driver,
            tags=_tags(dataset, 0),
            palette=palette,
            inverted=structure.get("MINISWHITE") == "YES" and len(bands) == 1,
            mask=_mask(dataset),
            block_height=block_height,
            block_width=block_width,
            # "YCbCr JPEG" is JPEG
            compression=structure.get("COMPRESSION", "").upper().rpartition(" ")[2] or None,
            overviews=tuple(dataset.overviews(1)),
            icc=profile,
            notes=tuple(notes),
        )


def cast_nodata(dtype: str, value: float | None) -> float | None:
    """Convert a nodata value to a band's dtype; None if the dtype cannot hold it."""
    kind = np.dtype(dtype)
    if value is None:
        return None
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return float(kind.type(value))
    limits = np.iinfo(kind)
    if kind.itemsize == 8 and abs(value) > _EXACT:
        return None  # GDAL and rasterio hand it over as a float, which is another number
    if not np.isfinite(value) or value != int(value) or not limits.min <= value <= limits.max:
        return None
    return float(value)


def coordinates(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Return the coordinates (x, y) of a place in pixels; affine's operator for it changed."""
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def _check(path: Path, dataset: DatasetReader) -> None:
    problem, names = "", [] if dataset.count else _subdatasets(path, dataset)
    if names:
        problem = f"holds {len(names)} rasters; name one of them instead: {for_shell(names)}"
    elif not dataset.count:
        problem = "holds no bands; give a raster that has pixels"
    elif dataset.count > MOST_BANDS:
        problem = (
            f"has {dataset.count:,} bands, and srx takes at most {MOST_BANDS:,}; copy some to a "
            "file of their own, with gdal_translate -b"
        )
    elif unknown := sorted({one for one in dataset.dtypes if one.startswith("complex")}):
        problem = (
            f"values of type {', '.join(unknown)} are not supported; convert them to integers of "
            "up to 32 bits, or to floats"
        )
    if problem:
        raise PictureError(f"{path}: {problem}")


def _subdatasets(path: Path, dataset: DatasetReader) -> list[str]:
    """Names of the rasters in a container, with its path as it was given."""
    tags = dataset.tags(ns="SUBDATASETS")  # rasterio's own list changes their spelling
    keys = sorted((key for key in tags if key.endswith("_NAME")), key=lambda key: (len(key), key))
    return [tags[key].replace(str(path.absolute()), str(path)) for key in keys]


def _bands(dataset: DatasetReader, notes: list[str]) -> tuple[BandInfo, ...]:
    legends, bands = _legends(dataset), []
    # each of these goes through all bands
    values = zip(
        dataset.indexes,
        dataset.dtypes,
        dataset.nodatavals,
        dataset.colorinterp,
        dataset.descriptions,
        dataset.units,
        dataset.scales,
        dataset.offsets,
        strict=True,
    )
    for band, dtype, stated, interpretation, description, unit, scale, offset in values:
        nodata = cast_nodata(dtype, stated)
        if nodata is None and stated is not None:
            notes.append(f"band {band}: nodata value {stated:g} cannot occur in {dtype}: ignored")
        text = dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", "")
        bits = int(text) if text.isdecimal() else 0
        one = BandInfo(
            dtype=dtype,
            nodata=nodata,
            interpretation=interpretation.name,
            description=description or None,
            unit=unit or None,
            scale=float(scale),
            offset=float(offset),
            tags=_tags(dataset, band),
            bits=bits if 0 < bits < np.dtype(dtype).itemsize * 8 else None,
            legend=legends.get(band, ""),
        )
        bands.append(one)
    return tuple(bands)


def _legends(dataset: DatasetReader) -> dict[int, str]:
    # rasterio has no calls for category names and attribute tables; GDAL writes them into VRTs
    import rasterio.shutil
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(ext=".vrt") as memory:
            rasterio.shutil.copy(dataset, memory.name, driver="VRT")
            text = memory.read().decode(errors="replace")
    except gdal_errors():
        return {}  # not every file can be described so
    _, *pieces = _BAND.split(text)  # number and content of each band
    return {
        int(number): "".join(legend[0] for legend in _LEGEND.finditer(band))
        for number, band in zip(pieces[::2], pieces[1::2], strict=True)
    }


def _tags(dataset: DatasetReader, band: int) -> dict[str, dict[str, str]]:
    """Tags of a band by namespace, of the file if it is 0."""
    found: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(["", *dataset.tag_namespaces(band)]):
        tags = dataset.tags(band, ns=name or None)
        kept = {key: value for key, value in tags.items() if not key.startswith(_OUTDATED)}
        if kept and name not in _STRUCTURE:
            found[name] = kept
    return found


def _mask(dataset: DatasetReader) -> MaskKind:
    flags = {flag.name for flags in dataset.mask_flag_enums for flag in flags}
    if "alpha" in flags:
        return "alpha"  # the alpha band itself has no mask
    if not all(dataset.mask_flag_enums):
        return "band"  # no flag at all means a mask of that band alone
    # NODATA_VALUES, a tuple for all bands together, is evaluated by GDAL's mask only
    if "per_dataset" in flags:
        return "dataset"
    return "nodata" if "nodata" in flags else "none"
