"""Read what a raster says of itself: its bands, place on the map, tags and mask; no pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.files import open_input, read_input
from srcli.imaging.files.gdal import gdal_errors
from srcli.imaging.files.isobmff import read_jp2_colours
from srcli.imaging.rasters.dataset_names import DatasetName, for_shell
from srcli.imaging.rasters.gdal_access import reading_errors
from srcli.imaging.rasters.info import LEGEND, BandInfo, NodataOption, RasterInfo
from srcli.imaging.rasters.mosaics import parse_vrt
from srcli.imaging.rasters.nodata import fit_limits
from srcli.imaging.rasters.opening import (
    FINEST,
    OpenedRaster,
    dataset_files,
    keep_open,
)
from srcli.imaging.rasters.stale_tags import STRUCTURE, is_outdated
from srcli.imaging.rasters.value_tables import NAME, read_value_table

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MOST_BANDS = 4096
"""Every band has a header of its own; a few bytes can claim 65,535 of them."""
_TIFFS = (".tif", ".tiff")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_EXACT = 2**53
"""Whole numbers up to this are exact as 64-bit floats."""
_ARRAY_OF_ZARR = re.compile(r'ZARR:"([^"]+)":/(.+)')
# Elements of GDAL's VRT format that are kept, and never applied.
_TEXTS_OF_VRT = frozenset({"Description", "UnitType", "Offset", "Scale"})


def read_info(path: Path, nodata: NodataOption = "file") -> RasterInfo:
    """Read the metadata of any file with bands of real numbers, without decoding pixels.

    ``nodata`` is the value of pixels without data, instead of what the file says of
    them; of several the others are kept as they are, as ``BandInfo.codes``.
    """
    with keep_open(path) as opened:
        return replace(info_of(opened, nodata), opened=None)


def info_of(opened: OpenedRaster, nodata: NodataOption = "file") -> RasterInfo:
    """Return the metadata of an open raster; see ``read_info``."""
    path = opened.path
    dataset = opened.dataset
    with reading_errors(path, "its header cannot be read"):
        problem = _problem(path, dataset)
        if problem:
            raise PictureError(f"{path}: {problem}")
        notes = []
        if dataset.subdatasets:
            notes += _note_on_others(path, dataset)
        # opened instead of the product
        if f":{FINEST}:" in dataset.name and f":{FINEST}:" not in str(path):
            notes.append(_note_on_groups(path, dataset.name))
        if dataset.tags(ns="GEOLOCATION"):
            notes.append("geolocation arrays are ignored: warp it first, with gdalwarp")
        description = _describe_as_vrt(dataset)
        bands = tuple(_bands(path, dataset, description, nodata, notes))
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        block_share = 1.0
        if opened.sparse_blocks is not None:
            block_share = float(opened.sparse_blocks.present.mean())
        palette = None
        if bands[0].interpretation == "palette":
            with suppress(ValueError):  # where it has no colour table
                palette = dict(dataset.colormap(1))
        white_is_zero = structure.get("MINISWHITE") == "YES" and len(bands) == 1
        if white_is_zero and bands[0].bits != 1 and palette:
            # GDAL makes up this palette for gray whose lowest value is white; that of
            # one bit turns scans of text into gray of 8 bits, where it is asked for
            palette = None
            elements = dict(bands[0].vrt_elements)
            elements.pop("ColorTable", None)
            gray = replace(bands[0], interpretation="gray", vrt_elements=elements)
            bands = (gray,)
        return RasterInfo(
            path=path,
            files=dataset_files(path, dataset),
            height=dataset.height,
            width=dataset.width,
            bands=bands,
            georeference=_with_prj(path, _georeference(dataset, description)),
            driver=dataset.driver,
            tags=_tags(dataset, 0),
            palette=palette,
            white_is_zero=white_is_zero,
            is_premultiplied=_is_premultiplied(opened),
            mask=_mask(dataset, nodata),
            block_share=block_share,
            # GDAL shows sizes that it decodes a JPEG to as overviews; the file has none
            has_overviews=dataset.driver != "JPEG" and bool(dataset.overviews(1)),
            notes=tuple(notes),
            opened=opened,
        )


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a tag: ``0, 100``, ``{0,100}``, ``0b 100b``; none if it holds words."""
    words = re.split(r"[\s,;]+", text.strip(" \t\n[](){}"))
    try:
        # letters behind them are types of CDL
        return [
            float(re.sub(r"(?<=[\d.])[a-zA-Z]+$", "", word)) for word in words if word
        ]
    except ValueError:
        return []


def _is_premultiplied(opened: OpenedRaster) -> bool:
    """Tell if a TIFF stores colours multiplied by alpha, of which GDAL tells nothing.

    Of a mosaic the first of its TIFFs is looked at, as all are alike.
    """
    dataset = opened.dataset
    if all(colour.name != "alpha" for colour in dataset.colorinterp):
        return False
    tiffs = [name for name in dataset.files if name.lower().endswith(_TIFFS)]
    # GDAL can read more than we
    with suppress(PictureError, KeyError, ValueError):
        if dataset.driver == "VRT" and tiffs:
            with keep_open(Path(tiffs[0])) as first:
                return first.is_premultiplied
        return opened.is_premultiplied
    return False


def _georeference(dataset: DatasetReader, description: ET.Element) -> dict[str, Any]:
    """Return where a raster lies on the map; see ``RasterInfo``."""
    gcps, gcps_crs = dataset.gcps
    transform = dataset.transform
    rpcs = dataset.rpcs
    # the identity is one where GDAL tells of it, and none beside control points or RPCs
    is_told = description.find("GeoTransform") is not None
    if transform.is_identity and (gcps or rpcs is not None or not is_told):
        transform = None
    else:
        gcps = []
    crs = dataset.crs or None
    if gcps and gcps_crs:
        crs = gcps_crs
    epoch = None  # which rasterio's CRS does not hold
    for system in (description.find("SRS"), description.find("GCPList")):
        if system is not None and crs is not None:
            epoch = epoch or system.get("coordinateEpoch")
    return {
        "crs": crs, "transform": transform, "gcps": gcps, "rpcs": rpcs, "epoch": epoch,
    }  # fmt: skip


def _with_prj(path: Path, georeference: dict[str, Any]) -> dict[str, Any]:
    """Return a georeference with the system in a .prj file, which GDAL reads beside few formats."""
    from rasterio.crs import CRS

    prj = path.with_suffix(".prj")
    is_open = georeference["transform"] is not None and georeference["crs"] is None
    if is_open and not isinstance(path, DatasetName):
        with suppress(OSError, ValueError), open_input(prj) as stream:
            text = stream.read(65_536).decode()
            crs = CRS.from_wkt(text, morph_from_esri_dialect=True)
            return {**georeference, "crs": crs}
    return georeference


def _cast_nodata(dtype: str, value: float | None) -> float | None:
    """Convert a nodata value to a band's dtype; None if the dtype cannot hold it."""
    if value is None:
        return None
    number_type = np.dtype(dtype)
    if number_type.kind == "f":
        with np.errstate(over="ignore"):
            return float(number_type.type(value))
    limits = np.iinfo(number_type)
    if not float(value).is_integer() or not limits.min <= value <= limits.max:
        return None
    # GDAL and rasterio hand it over as a float, which may be another number
    if number_type.itemsize == 8 and abs(value) > _EXACT:
        return None
    return float(value)


def _in_half_floats(
    nodata: float | None, dtype: str, bits: int | None
) -> tuple[float, ...]:
    """Return what half floats hold for a nodata value that none of them equals.

    GDAL rounds towards 0 when it writes them, other programs to the nearest.
    """
    if nodata is None or dtype != "float32" or bits != 16 or not np.isfinite(nodata):
        return ()
    with np.errstate(over="ignore"):
        nearest = np.float16(nodata)
    values = {float(nearest), float(np.nextafter(nearest, np.float16(0)))}
    values.discard(nodata)
    return tuple(sorted(values)) if float(nearest) != nodata else ()


def _problem(path: Path, dataset: DatasetReader) -> str:
    """Return why a raster cannot be enlarged, and what to do; empty if it can."""
    if not dataset.count:
        names = _subdatasets(path, dataset)
        if not names:
            return "holds no bands; give a raster that has pixels"
        return (
            f"holds {len(names)} rasters; name one of them instead: {for_shell(names)}"
        )
    if dataset.count > MOST_BANDS:
        return (
            f"has {dataset.count:,} bands, and srx takes at most {MOST_BANDS:,}; copy some to a "
            "file of their own, with gdal_translate -b"
        )
    complex_types = {name for name in dataset.dtypes if name.startswith("complex")}
    if complex_types:
        return (
            f"values of type {', '.join(sorted(complex_types))} are not supported; convert them "
            "to integers of up to 32 bits, or to floats"
        )
    colours = _jp2_colours(path, dataset)
    if colours:
        return f"its colours are {colours}, which are not read from JPEG 2000; convert it to RGB"
    return ""


def _jp2_colours(path: Path, dataset: DatasetReader) -> str:
    """Return the colour space of a JPEG 2000 file if it is an unusual one; else empty."""
    if not dataset.driver.startswith("JP2") or isinstance(path, DatasetName):
        return ""
    with suppress(OSError), open_input(path) as stream:
        return read_jp2_colours(stream)
    return ""


def _subdatasets(path: Path, dataset: DatasetReader) -> list[str]:
    """Return the names of the rasters in a container, with its path as the user wrote it."""
    tags = dataset.tags(ns="SUBDATASETS")  # rasterio's own list changes their spelling
    names = []
    for key in sorted(tags, key=lambda key: (len(key), key)):
        if key.endswith("_NAME") and not _is_axis(tags[key]):
            names.append(_spelled(tags[key], path))
    return names


def _spelled(name: str, path: Path) -> str:
    """Return a name of GDAL's with the path in it as the user wrote it."""
    return name.replace(str(path.absolute()), str(path))


def _is_axis(name: str) -> bool:
    """Tell if an array of a Zarr store holds coordinates or the system, and no picture."""
    match = _ARRAY_OF_ZARR.fullmatch(name)
    if match is None:
        return False
    for header in ("zarr.json", ".zarray"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            return (
                len(json.loads(read_input(Path(*match.groups(), header)))["shape"]) < 2
            )
    return False


def _note_on_groups(path: Path, name: str) -> str:
    """Return a note on the other bands of a Sentinel-2 product; ``name`` is that of its finest."""
    name = _spelled(name, path)
    names = [
        name.replace(f":{FINEST}:", f":{group}:") for group in ("20m", "60m", "TCI")
    ]
    return f"its bands of 10 m are enlarged; name others instead: {for_shell(names)}"


def _note_on_others(path: Path, dataset: DatasetReader) -> list[str]:
    """Return a note on the rasters of a container besides the one that GDAL has opened.

    Bounds of coordinates, as climate models write them, are no pictures.
    """
    names = _subdatasets(path, dataset)
    used = dataset.tags(1).get("NETCDF_VARNAME", "")
    unnamed = [
        name
        for name in names
        if not (used and name.endswith(f":{used}"))
        and not name.endswith(("_bnds", "_bounds"))
    ]
    if len(names) == 1 or (used and not unnamed):
        return []
    return [
        f"holds {len(names)} pictures: only {used or 'the first'} is used; name another, such "
        f"as {for_shell(unnamed[-1:] or names[-1:])}"
    ]


def _bands(
    path: Path,
    dataset: DatasetReader,
    description: ET.Element,
    option: NodataOption,
    notes: list[str],
) -> Iterator[BandInfo]:
    """Yield the bands of a file; notes are added on nodata values that cannot occur."""
    asked: Sequence[float] = ()
    if option not in ("file", "none"):
        asked = np.atleast_1d(option).tolist()
    elements = _read_vrt_elements(description)
    if dataset.count == 1 and (table := read_value_table(path)):
        elements[1] = {NAME: table, **elements.get(1, {})}
    of_all_bands = dataset.tags()
    # each of these goes through all bands
    values = zip(
        dataset.indexes,
        dataset.dtypes,
        dataset.nodatavals,
        dataset.colorinterp,
        zip(dataset.scales, dataset.offsets, strict=True),
        strict=True,
    )
    for band, dtype, stated, interpretation, packing in values:
        tags = _tags(dataset, band)
        further = asked[1:]
        if option == "file":
            further = numbers_in(tags.get("", {}).get("missing_value", ""))
        else:
            stated = asked[0] if asked else None
        nodata, *casts = [_cast_nodata(dtype, value) for value in (stated, *further)]
        for value, cast in zip(asked, (nodata, *casts), strict=False):
            if cast is None:
                raise UsageError(f"--nodata {value:g}: {path} has {dtype} values")
        if nodata is None and stated is not None:
            notes.append(
                f"band {band}: nodata value {stated:g} cannot occur in {dtype}: ignored"
            )
        codes = tuple(value for value in casts if value not in (None, nodata))
        text = dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", "")
        bits = None
        if text.isdecimal() and 0 < int(text) < np.dtype(dtype).itemsize * 8:
            bits = int(text)
        undeclared = _in_half_floats(nodata, dtype, bits)
        if option == "file":
            undeclared += codes
            codes = ()
        header = BandInfo(
            dtype=dtype,
            nodata=nodata,
            undeclared_nodata=undeclared,
            codes=codes,
            interpretation=interpretation.name,
            vrt_elements=elements.get(band, {}),
            tags=tags,
            bits=bits,
            packing=packing,
        )
        limits = _find_limits(header, {**of_all_bands, **tags.get("", {})})
        yield replace(header, limits=limits)


def _find_limits(band: BandInfo, tags: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the lowest and highest value that valid pixels of a band may have.

    A network and bicubic interpolation overshoot at edges, and readers that know the
    range take what lies beyond it for no data.
    The tags ``valid_range``, ``valid_min`` and ``valid_max`` state them (NetCDF User Guide,
    CF conventions). A range of whole numbers is one of values as they are stored, that of
    floats beside packed integers one of measurements. None where no range is stated.
    """
    by_name = {name.lower(): text for name, text in tags.items()}
    # a file must not state both forms; where it does, this counts for netCDF4, too
    texts = _NUMBER.findall(by_name.get("valid_range", ""))
    if len(texts) != 2:
        texts = []
        for name, unlimited in (("valid_min", "-inf"), ("valid_max", "inf")):
            numbers = _NUMBER.findall(by_name.get(name, ""))
            texts.append(numbers[0] if len(numbers) == 1 else unlimited)
    low, high = map(float, texts)
    if not low < high or (low, high) == (-np.inf, np.inf):
        return None
    is_packed = band.packing != (1.0, 0.0) and not band.dtype.startswith("float")
    if is_packed and any("." in text or "e" in text.lower() for text in texts):
        low, high = sorted([band.stored(low), band.stored(high)])
    low, high = fit_limits((low, high), band.dtype, band.nodata)
    return (low, high) if low < high else None


def _describe_as_vrt(dataset: DatasetReader) -> ET.Element:
    """Return GDAL's description of a raster; it holds what rasterio has no calls for."""
    import rasterio.shutil
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(ext=".vrt") as memory:
            rasterio.shutil.copy(dataset, memory.name, driver="VRT")
            text = memory.read().decode(errors="replace")
        return parse_vrt(text)
    except gdal_errors(ET.ParseError):
        return ET.Element("none")  # not every file can be described as a VRT


def _read_vrt_elements(description: ET.Element) -> dict[int, dict[str, str]]:
    """Return the ``vrt_elements`` of each band."""
    elements = {}
    for band in description.findall("VRTRasterBand"):
        texts = {}
        for element in band:
            if element.tag in _TEXTS_OF_VRT | LEGEND:
                texts[element.tag] = ET.tostring(element, "unicode").strip()
        elements[int(band.get("band", "0"))] = texts
    return elements


def _tags(dataset: DatasetReader, band: int) -> dict[str, dict[str, str]]:
    """Return the tags of a band by namespace; those of the file for band 0."""
    tags = {}
    for namespace in dict.fromkeys(["", *dataset.tag_namespaces(band)]):
        items = dataset.tags(band, ns=namespace or None)
        lasting = {key: text for key, text in items.items() if not is_outdated(key)}
        if lasting and namespace.lower() not in STRUCTURE:
            tags[namespace] = lasting
    return tags


def _mask(
    dataset: DatasetReader, nodata: NodataOption
) -> Literal["dataset", "band"] | None:
    """Return if there is one mask for all bands, or one for each; see ``RasterInfo.mask``.

    None where alpha is the mask, or where an option replaces it.
    """
    from rasterio.enums import MaskFlags

    flags = set(chain.from_iterable(dataset.mask_flag_enums))
    # alpha is no mask of its own, and a value of --nodata replaces masks
    if MaskFlags.alpha in flags or nodata not in ("file", "none"):
        return None
    if not all(dataset.mask_flag_enums):
        return "band"  # no flag at all means a mask of that band alone
    # NODATA_VALUES, a tuple for all bands together, is evaluated by GDAL's mask only
    if MaskFlags.per_dataset in flags:
        return "dataset"
    return None
