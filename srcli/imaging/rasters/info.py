"""What a raster says of itself, and what is enlarged of it: bands, which go together, a window."""

from __future__ import annotations

import copy
import math
import os
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from srcli.errors import PictureError, UsageError
from srcli.files import open_input
from srcli.imaging.boxes import read_jp2_colours
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.held import find_blanks
from srcli.imaging.rasters.opening import (
    DatasetName,
    dataset_files,
    for_shell,
    gdal_errors,
    open_raster,
    reading_errors,
)
from srcli.ports.image import Window

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.io import DatasetReader

    from srcli.imaging.photograph import Picture

MOST_BANDS = 4096
"""Every band has a header of its own; a few bytes can claim 65,535 of them."""
COLOURS = ("red", "green", "blue")
_SLACK = 1e-4
"""Pixels by which bounds may miss a pixel's edge, because printed coordinates are
rounded."""
# Tag namespaces that describe the structure of the file, or are kept in fields of their
# own.
_STRUCTURE = frozenset({
    "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "GEOLOCATION",
    "xml:gml.root-instance",
})  # fmt: skip
_OUTDATED = (  # once the pixels change
    "STATISTICS_", "EXIF_PixelXDimension", "EXIF_PixelYDimension", "EXIF_SubjectArea",
    "EXIF_SubjectLocation", "EXIF_FocalPlane", "OVR_", "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE", "NODATA_VALUES",
)  # fmt: skip
_EXACT = 2**53
_WORDS = frozenset(
    {"Description", "UnitType", "Offset", "Scale"}
)  # which are never applied
LEGEND = frozenset({"ColorTable", "CategoryNames", "GDALRasterAttributeTable"})
"""What GDAL's VRT format calls the meaning of values."""


@dataclass(frozen=True, kw_only=True)
class BandInfo:
    """One band of a raster."""

    dtype: str
    """numpy's name: ``"uint16"``."""
    nodata: float | None = None
    """The value of pixels without data; None without one that the dtype can hold."""
    fills: tuple[float, ...] = ()
    """Values of pixels without data that the file does not declare."""
    interpretation: str = "undefined"
    """GDAL's colour interpretation: gray, red, green, blue, alpha, palette, nir,
    undefined ..."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Elements of GDAL's VRT format by their names: name, unit, scale, offset,
    ``LEGEND``."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one (``"IMAGERY"`` holds wavelengths);
    without statistics, which are wrong once pixels change."""
    bits: int | None = None
    """Bits of a stored value where these are fewer than those of the dtype (GDAL's
    NBITS)."""


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
    place: Mapping[str, Any]
    """Where it lies on the map, by rasterio's names; None, or empty, if it does not say
    so: crs, transform (it may be the identity), gcps (without a transform; crs is
    theirs), rpcs."""
    driver: str = "GTiff"
    """GDAL's name of the format."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one; none that describe the file's
    structure."""
    palette: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colours (R, G, B, A) of band 1's values."""
    inverted: bool = False
    """The lowest value of the only band is white (TIFF's MINISWHITE)."""
    mask: Literal["dataset", "band"] | None = None
    """Valid pixels are marked by one mask for all bands, or by one for each; not by
    alpha alone."""
    filled: float = 1.0
    """Share of its blocks that a sparse file holds."""
    has_overviews: bool = False
    notes: tuple[str, ...] = ()
    """Messages for the user on parts of the file that are ignored."""


def read_info(
    path: Path, nodata: float | Literal["file", "none"] = "file"
) -> RasterInfo:
    """Read the metadata of any file with bands of real numbers, without decoding pixels.

    ``nodata`` is the value of pixels without data, instead of what the file says of
    them.
    """
    with (
        open_raster(path) as dataset,
        reading_errors(path, "its header cannot be read"),
    ):
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
        bands = tuple(_bands(path, dataset, nodata, notes))
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        blanks = find_blanks(dataset)
        palette = None
        if bands[0].interpretation == "palette":
            with suppress(ValueError):  # where it has no colour table
                palette = dict(dataset.colormap(1))
        return RasterInfo(
            path=path,
            files=dataset_files(path, dataset),
            height=dataset.height,
            width=dataset.width,
            bands=bands,
            place=_place(dataset),
            driver=dataset.driver,
            tags=_tags(dataset, 0),
            palette=palette,
            inverted=structure.get("MINISWHITE") == "YES" and len(bands) == 1,
            mask=_mask(dataset, nodata),
            filled=1.0 if blanks is None else blanks.share,
            has_overviews=bool(dataset.overviews(1)),
            notes=tuple(notes),
        )


def companion_reason(picture: Picture) -> str | None:
    """Return what files beside a picture, as GDAL reads them, say that makes it a raster."""
    stem, ending = os.path.splitext(picture.path)  # noqa: PTH122 - paths are slow to make
    # world files (.wld, .tifw, .tfw), sensor models, MapInfo's places
    tails = (
        ".wld",
        f"{ending}w",
        f"{ending[:2]}{ending[-1:]}w",
        "_rpc.txt",
        ".rpb",
        ".tab",
    )
    names = [stem + either for tail in tails for either in (tail, tail.upper())]
    names += [f"{picture.path}{tail}" for tail in (".msk", ".aux.xml")]
    if not any(map(os.path.exists, names)):
        return None
    try:
        info = read_info(picture.path)
    except PictureError:
        return None
    known = {
        "a place on the map": any(
            info.place[name] for name in ("transform", "gcps", "rpcs")
        ),
        "a mask of valid pixels": info.mask == "dataset",
        "a nodata value": any(band.nodata is not None for band in info.bands),
    }
    return next(
        (f"{what}, by a file beside it" for what, there in known.items() if there), None
    )


def _place(dataset: DatasetReader) -> dict[str, Any]:
    from rasterio.errors import NotGeoreferencedWarning

    (gcps, gcps_crs), transform, rpcs = dataset.gcps, dataset.transform, dataset.rpcs
    # an identity transform and none at all look alike: only a warning distinguishes
    # them
    with quiet_pillow(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset.read_transform()
    is_placed = not any(one.category is NotGeoreferencedWarning for one in caught)
    # beside control points or RPCs, the identity means no transform
    if is_placed and not (transform.is_identity and (gcps or rpcs is not None)):
        gcps = []
    else:
        transform = None
    crs = (gcps_crs if gcps else None) or dataset.crs or None
    return {"crs": crs, "transform": transform, "gcps": gcps, "rpcs": rpcs}


def enlarge_place(
    place: Mapping[str, Any], window: Window, scale: int
) -> dict[str, Any]:
    """Return the place on the map of an enlarged window."""
    transform, rpcs = place["transform"], copy.copy(place["rpcs"])
    gcps = [copy.copy(point) for point in place["gcps"]]
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
    return {**place, "transform": transform, "gcps": gcps, "rpcs": rpcs}


def _cast_nodata(dtype: str, value: float) -> float | None:
    """Convert a nodata value to a band's dtype; None if the dtype cannot hold it."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return float(kind.type(value))
    limits = np.iinfo(kind)
    held = float(value).is_integer() and limits.min <= value <= limits.max
    # GDAL and rasterio hand it over as a float, which may be another number
    return (
        float(value) if held and (kind.itemsize < 8 or abs(value) <= _EXACT) else None
    )


def coordinates(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Return the coordinates (x, y) of a place in pixels; affine's operator for it changed."""
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def _check(path: Path, dataset: DatasetReader) -> None:
    problem = ""
    if names := [] if dataset.count else _subdatasets(path, dataset):
        problem = (
            f"holds {len(names)} rasters; name one of them instead: {for_shell(names)}"
        )
    elif not dataset.count:
        problem = "holds no bands; give a raster that has pixels"
    elif dataset.count > MOST_BANDS:
        problem = (
            f"has {dataset.count:,} bands, and srx takes at most {MOST_BANDS:,}; copy some to a "
            "file of their own, with gdal_translate -b"
        )
    elif unknown := sorted(
        {one for one in dataset.dtypes if one.startswith("complex")}
    ):
        problem = (
            f"values of type {', '.join(unknown)} are not supported; convert them to integers of "
            "up to 32 bits, or to floats"
        )
    elif colours := _jp2_colours(path, dataset):
        problem = f"its colours are {colours}, which are not read from JPEG 2000; convert it to RGB"
    if problem:
        raise PictureError(f"{path}: {problem}")


def _jp2_colours(path: Path, dataset: DatasetReader) -> str:
    if not dataset.driver.startswith("JP2") or isinstance(path, DatasetName):
        return ""
    with suppress(OSError), open_input(path) as stream:
        return read_jp2_colours(stream)
    return ""


def _subdatasets(path: Path, dataset: DatasetReader) -> list[str]:
    """Names of the rasters in a container, with its path as it was given."""
    tags = dataset.tags(ns="SUBDATASETS")  # rasterio's own list changes their spelling
    keys = sorted(
        (key for key in tags if key.endswith("_NAME")), key=lambda key: (len(key), key)
    )
    return [tags[key].replace(str(path.absolute()), str(path)) for key in keys]


def _bands(
    path: Path,
    dataset: DatasetReader,
    asked: float | Literal["file", "none"],
    notes: list[str],
) -> Iterator[BandInfo]:
    described = _describe(dataset)
    # each of these goes through all bands
    values = zip(
        dataset.indexes,
        dataset.dtypes,
        dataset.nodatavals,
        dataset.colorinterp,
        strict=True,
    )
    for band, dtype, own, interpretation in values:
        stated = own if asked == "file" else None if asked == "none" else float(asked)
        nodata = None if stated is None else _cast_nodata(dtype, stated)
        if nodata is None and stated is not None:
            if asked != "file":
                raise UsageError(f"--nodata {stated:g}: {path} has {dtype} values")
            notes.append(
                f"band {band}: nodata value {stated:g} cannot occur in {dtype}: ignored"
            )
        text = dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", "")
        bits = int(text) if text.isdecimal() else 0
        yield BandInfo(
            dtype=dtype,
            nodata=nodata,
            interpretation=interpretation.name,
            about=described.get(band, {}),
            tags=_tags(dataset, band),
            bits=bits if 0 < bits < np.dtype(dtype).itemsize * 8 else None,
        )


def _describe(dataset: DatasetReader) -> dict[int, dict[str, str]]:
    """What GDAL writes of each band into VRTs: for category names rasterio has no calls."""
    import rasterio.shutil
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(ext=".vrt") as memory:
            rasterio.shutil.copy(dataset, memory.name, driver="VRT")
            tree = ET.fromstring(memory.read().decode(errors="replace"))
    except gdal_errors(ET.ParseError):
        return {}  # not every file can be described so
    return {
        int(band.get("band", "0")): {
            one.tag: ET.tostring(one, "unicode").strip()
            for one in band
            if one.tag in _WORDS | LEGEND
        }
        for band in tree.findall("VRTRasterBand")
    }


def _tags(dataset: DatasetReader, band: int) -> dict[str, dict[str, str]]:
    """Tags of a band by namespace, of the file if it is 0."""
    found: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(["", *dataset.tag_namespaces(band)]):
        tags = dataset.tags(band, ns=name or None)
        kept = {
            key: value for key, value in tags.items() if not key.startswith(_OUTDATED)
        }
        if kept and name not in _STRUCTURE:
            found[name] = kept
    return found


def _mask(
    dataset: DatasetReader, nodata: float | Literal["file", "none"]
) -> Literal["dataset", "band"] | None:
    flags = {flag.name for flags in dataset.mask_flag_enums for flag in flags}
    # the alpha band itself has no mask; the option takes precedence over one
    if "alpha" in flags or nodata not in ("file", "none"):
        return None
    if not all(dataset.mask_flag_enums):
        return "band"  # no flag at all means a mask of that band alone
    # NODATA_VALUES, a tuple for all bands together, is evaluated by GDAL's mask only
    return "dataset" if "per_dataset" in flags else None


@dataclass(frozen=True, kw_only=True)
class BandLayout:
    """Bands of the output and their sources in the file."""

    bands: tuple[int, ...]
    """Colour bands, numbered from 1 as in the file, in the order of the output; without
    alpha. Of a palette: ``(1,)``, which becomes three bands, or one if all its colours
    are gray."""
    smooth: tuple[int, ...]
    """Indices of the output's colour bands, from 0, that the network sees. The others
    hold classes or flags: they are enlarged by nearest neighbour, so that no other
    values arise."""
    groups: tuple[tuple[int, ...], ...]
    """Places in ``smooth``, each once: groups of three go through the network as R, G
    and B, others alone."""
    alpha: int | None = None
    """Alpha band of the file, from 1; 0 for that of a colour table with transparent
    colours or a nodata value; None without one."""
    alpha_place: int | None = None
    """Place of alpha among the bands of the output file, from 0; None is the last."""
    soft_alpha: tuple[float, float] | None = None
    """Lowest and highest value of an alpha band that is interpolated; None repeats its
    pixels."""
    palette: NDArray[np.uint8] | None = None
    """Colours (values of band 1, 4) by which it is turned into R, G and B, or gray, and
    alpha; values without one are transparent black."""
    outputs: tuple[BandInfo, ...]
    """The bands of the output, alpha last; their dtype and nodata do not count."""
    notes: tuple[str, ...] = ()
    """Messages for the user on the choice."""
    remarks: tuple[str, ...] = ()
    """The same on bands that the file itself says to hold classes."""
    dtype: str
    """Of the output, and of the pixels that are read."""
    nodata: float | None = None
    """Value of invalid pixels of the output, in all bands; None if they are marked
    otherwise (NaN, a mask, alpha)."""

    @property
    def channels(self) -> int:
        """Number of colour bands of the output."""
        return len(self.outputs) - (self.alpha is not None)

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the output's colour bands that the network does not see."""
        return tuple(
            place for place in range(self.channels) if place not in self.smooth
        )


def choose_layout(
    info: RasterInfo,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
    classes: Collection[int] = (),
) -> BandLayout:
    """Choose the bands of the output and group those that are R, G and B.

    All bands are numbered from 1, as in the file. ``bands`` are kept in this order,
    alpha if it is among them; None keeps all. ``rgb`` are red, green and blue; None
    takes those that the file interprets so, else the first three of three or four
    bands, else none. See ``choose_bands`` for ``classes``.
    """
    wanted = tuple(bands) if bands is not None else tuple(range(1, len(info.bands) + 1))
    _check_numbers(info, "--bidx", wanted)
    if info.palette is not None and wanted == (1,) and 1 not in classes and rgb is None:
        return _palette_layout(info)
    names = {band: info.bands[band - 1].interpretation for band in wanted}
    alpha = next((band for band in wanted if names[band] == "alpha"), None)
    kept = tuple(band for band in wanted if band != alpha)
    smooth = tuple(band for band in kept if band not in classes)
    chosen, note = _find_rgb(info, smooth, rgb)
    if not kept:
        raise PictureError(
            f"{info.path}: only an alpha band is left; choose more bands by --bidx"
        )
    if chosen and (rgb is not None or bands is not None):
        # show a composite chosen by the user, such as 4,3,2, in the colours it was
        # enlarged in
        names = {
            band: "undefined" if name in COLOURS else name
            for band, name in names.items()
        }
        names.update(zip(chosen, COLOURS, strict=True))
    outputs = [
        replace(info.bands[band - 1], interpretation=names[band]) for band in kept
    ]
    for place, band in enumerate(outputs):
        if kept[place] in smooth:
            # what interpolation makes of indices is gray, and needs all values of the
            # dtype
            is_index = band.interpretation == "palette"
            outputs[place] = replace(
                band,
                interpretation="gray" if is_index else band.interpretation,
                bits=None if is_index or band.dtype.startswith("float") else band.bits,
                about={
                    key: text for key, text in band.about.items() if key not in LEGEND
                },
            )
    if alpha is not None:
        outputs.append(info.bands[alpha - 1])
    together = tuple(smooth.index(band) for band in chosen)
    groups = [(place,) for place in range(len(smooth)) if place not in together]
    said_by_user = bands is not None and len(kept) == 3  # which three, in this order
    return BandLayout(
        bands=kept,
        smooth=tuple(place for place, band in enumerate(kept) if band in smooth),
        groups=tuple(sorted([*groups, *([together] if together else [])], key=min)),
        alpha=alpha,
        alpha_place=None if alpha is None else wanted.index(alpha),
        outputs=tuple(outputs),
        notes=(note,) if note and not said_by_user else (),
        dtype=_output_dtype(info, kept, smooth, alpha),
        nodata=next(
            (n for b in kept if (n := info.bands[b - 1].nodata) is not None), None
        ),
    )


def _palette_layout(info: RasterInfo) -> BandLayout:
    band, colours = info.bands[0], info.palette or {}
    table = np.zeros((int(np.iinfo(band.dtype).max) + 1, 4), np.uint8)
    known = [value for value in colours if 0 <= value < len(table)]
    for value in known:
        table[value] = colours[value]
    # as in scanned plans of one bit: three equal bands would triple the work and the
    # file
    gray = bool((table[known, :3] == table[known, :1]).all())
    clear = band.nodata is not None or bool((table[known, 3] < 255).any())
    if band.nodata is not None:
        table[int(band.nodata), 3] = 0
    names = (*(("gray",) if gray else COLOURS), *(("alpha",) if clear else ()))
    return BandLayout(
        bands=(1,),
        smooth=(0,) if gray else (0, 1, 2),
        groups=((0,),) if gray else ((0, 1, 2),),
        alpha=0 if clear else None,
        palette=table,
        # the metadata of a palette describe its indices, not colours
        outputs=tuple(BandInfo(dtype="uint8", interpretation=name) for name in names),
        notes=(
            f"palette turned into {'gray' if gray else 'RGB'}{' and alpha' * clear}",
        ),
        dtype="uint8",
    )


def _find_rgb(
    info: RasterInfo, kept: tuple[int, ...], asked: Sequence[int] | None
) -> tuple[tuple[int, ...], str]:
    """Return the bands that are R, G and B, none or three, and a note for the user."""
    if asked is not None:
        _check_numbers(info, "--rgb", asked)
        if not {*asked} <= {*kept}:
            raise UsageError(
                f"--rgb {_list(asked)}: give bands that are kept; neither alpha nor classes, which "
                "--classes no takes for colours"
            )
        return tuple(asked), ""
    names = [info.bands[band - 1].interpretation for band in kept]
    if all(names.count(colour) == 1 for colour in COLOURS):
        return tuple(kept[names.index(colour)] for colour in COLOURS), ""
    names = [_described_colour(info.bands[band - 1]) for band in kept]
    if all(names.count(colour) == 1 for colour in COLOURS):
        return tuple(kept[names.index(colour)] for colour in COLOURS), ""
    if len(kept) in (3, 4):
        first = kept[:3]
        return (
            first,
            f"bands {_list(first)} are taken for red, green, blue; --rgb names others",
        )
    many = f"{len(kept)} bands, each enlarged alone; --rgb names three that go together"
    return (), many if len(kept) > 4 else ""


def _described_colour(band: BandInfo) -> str:
    """Return red, green or blue if the name of a band says so, such as ``B04``; else nothing.

    The numbers are those of Sentinel-2 and Landsat 8 and 9.
    """
    text = re.sub("<[^>]*>", "", band.about.get("Description", "")).lower()
    words = re.findall("[a-z0-9]+", text)
    if "edge" in words or not words:
        return ""
    for colour, letter, number in zip(COLOURS, "rgb", "432", strict=True):
        if colour in words or words == [letter]:
            return colour
        if {*words} & {f"b{number}", f"b0{number}", f"band{number}"} and not {
            *words
        } & {*COLOURS}:
            return colour
    return ""


def _output_dtype(
    info: RasterInfo, kept: tuple[int, ...], smooth: tuple[int, ...], alpha: int | None
) -> str:
    """Return the dtype of the bands that go through the network, if it can hold the classes."""
    dtypes = {b: info.bands[b - 1].dtype for b in (*kept, alpha) if b is not None}
    dtype = dtypes[(smooth or kept)[0]]
    same = {*(smooth or kept), alpha}
    if all(
        k == dtype if b in same else np.can_cast(k, dtype) for b, k in dtypes.items()
    ):
        return dtype
    raise PictureError(
        f"{info.path}: bands {_list(sorted(dtypes))} hold values of several kinds "
        f"({', '.join(sorted(set(dtypes.values())))}); choose bands of one kind by --bidx"
    )


def _check_numbers(info: RasterInfo, option: str, bands: Sequence[int]) -> None:
    if max(bands) > len(info.bands):
        raise PictureError(
            f"{info.path}: has {len(info.bands)} band(s), so {option} {_list(bands)} does not fit"
        )


def choose_window(
    info: RasterInfo,
    *,
    srcwin: Sequence[int] | None = None,
    bounds: Sequence[float] | None = None,
) -> tuple[Window, tuple[str, ...]]:
    """Turn --srcwin or --bounds into a window of a file and notes; the entire file without both.

    ``srcwin`` is (column, row, width, height) in pixels from the upper left corner,
    ``bounds`` (left, bottom, right, top) in the file's coordinate system: all pixels
    that they touch are taken, also of rotated rasters. What lies beyond the file is
    cut.
    """
    whole = 0, 0, info.width, info.height
    option, edges, notes = "--srcwin", whole, list[str]()
    if bounds is not None:
        option, edges = "--bounds", _enclosing(info, bounds, notes)
    elif srcwin is not None:
        column, row, width, height = srcwin
        if min(width, height) < 1:
            raise UsageError(
                f"--srcwin {_list(srcwin)}: give a width and a height of at least 1"
            )
        edges = column, row, column + width, row + height
    left, top = max(edges[0], 0), max(edges[1], 0)
    right, bottom = min(edges[2], info.width), min(edges[3], info.height)
    if right <= left or bottom <= top:
        extent = f"has {info.width}x{info.height} pixels"
        if info.place["transform"] is not None:
            extent += (
                f" and bounds {_list(_bounding_box(info.place['transform'], whole))}"
            )
        raise PictureError(
            f"{info.path}: {option} lies outside the file, which {extent}"
        )
    if (left, top, right, bottom) != edges:
        notes = [
            f"{option} reaches beyond the file: {right - left}x{bottom - top} pixels from column "
            f"{left}, row {top} are used"
        ]
    return Window(top=top, left=left, height=bottom - top, width=right - left), tuple(
        notes
    )


def _enclosing(
    info: RasterInfo, bounds: Sequence[float], notes: list[str]
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom edge in pixels; notes if they lie outside the bounds."""
    if not (
        all(map(math.isfinite, bounds))
        and bounds[0] < bounds[2]
        and bounds[1] < bounds[3]
    ):
        raise UsageError(
            f"--bounds {_list(bounds)}: give left,bottom,right,top with left < right, bottom < top"
        )
    transform = info.place["transform"]
    if transform is None or transform.is_degenerate:
        found = (
            "ground control points only"
            if info.place["gcps"]
            else "no place on the map"
        )
        raise PictureError(
            f"{info.path}: has {found}, so --bounds cannot be found; use --srcwin"
        )
    exact = _bounding_box(~transform, bounds)
    left, top = (math.floor(one + _SLACK) for one in exact[:2])
    right, bottom = (math.ceil(one - _SLACK) for one in exact[2:])
    edges = left, top, max(right, left + 1), max(bottom, top + 1)
    if any(abs(a - b) > _SLACK for a, b in zip(edges, exact, strict=True)):
        box = _list(_bounding_box(transform, edges))
        notes.append(
            f"--bounds snapped outwards to whole pixels: {box} (left,bottom,right,top)"
        )
    return edges


def _bounding_box(
    transform: Affine, edges: Sequence[float]
) -> tuple[float, float, float, float]:
    """Return the least and largest coordinates that a box given by its edges is mapped to."""
    places = [coordinates(transform, x, y) for x in edges[::2] for y in edges[1::2]]
    across, up = zip(*places, strict=True)
    return min(across), min(up), max(across), max(up)


def _list(numbers: Sequence[float]) -> str:
    return ",".join(f"{one:.12g}" for one in numbers)
