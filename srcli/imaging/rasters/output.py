"""Derive the profile of an enlarged raster from the input: bands, georeference, GDAL's options."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.imaging.formats import FORMATS
from srcli.imaging.metadata.descriptions import fit_description
from srcli.imaging.metadata.microscopy import names_pixel_unit
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.metadata.xmp import fit_xmp
from srcli.imaging.provenance import Provenance
from srcli.imaging.rasters.block_form import (
    OFF,
    PREDICTED,
    block_options,
    halves_fit,
    why_copied,
)
from srcli.imaging.rasters.info import (
    COLOURS,
    BandInfo,
    RasterInfo,
    enlarge_georeference,
)
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.stale_tags import fit_attribute_table, fit_tags
from srcli.ports.image import Window

DRIVERS = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG"}
"""GDAL's driver for each output format of rasters."""
_SOFTWARE = {"tif": "TIFFTAG_SOFTWARE", "png": "Software", "jpg": "EXIF_Software"}
"""Tags that GDAL's drivers write as the Software entry of a format."""
_MOST_PIXELS = {"png": 1_000_000, "jpg": 65_500}
"""Pixels a side that libpng and libjpeg write."""
_LARGEST_ROW = 2**26
"""Bytes of a row of blocks, which is held in memory; beyond, smaller blocks are
taken."""
_OF_ANY_BITS = PREDICTED | {
    "NONE", "PACKBITS", "LZMA", "CCITTRLE", "CCITTFAX3", "CCITTFAX4",
}  # fmt: skip
"""Compressions of values of any number of bits (NBITS)."""
_XMP = "xml:XMP"
_TABLE = "GDALRasterAttributeTable"
_DESCRIPTION = "TIFFTAG_IMAGEDESCRIPTION"


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
    """Of the file to be written: ``"tif"``, ``"png"`` or ``"jpg"``."""
    quality: int | None = None
    """1 to 100, for JPEG, also inside GeoTIFFs; None takes 95."""
    provenance: Provenance | None = None
    """Recorded in tags of the output; None records nothing."""

    def is_on(self, name: str, default: str) -> bool:
        """Tell if a creation option is on: GDAL takes all values but "no", "off" ... for yes."""
        return self.creation.get(name, default).upper() not in OFF


@dataclass(kw_only=True)
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
    notes: list[str] = field(default_factory=list)
    """Messages for the user on what is not kept."""

    @property
    def keeps_blocks(self) -> bool:
        """True if the blocks of the parts are those of the final file."""
        return not self.why_copied

    def copied_by_gdal(self, reason: str) -> OutputProfile:
        """Return the output whose parts have a form of their own."""
        return replace(self, blocks={}, why_copied=reason)

    @property
    def wants_halves(self) -> bool:
        """True if overviews start from one of half the size."""
        if self.driver != "COG":
            return bool(self.overviews)
        largest = max(self.height, self.width)
        side = int(self.blocks.get("BLOCKYSIZE", "512"))
        return self.creation.get("OVERVIEWS", "").upper() != "NONE" and largest > side

    @property
    def can_be_halved(self) -> bool:
        """True if overviews can be made of those of parts; see ``halves_fit``."""
        side = 256
        if self.driver == "COG":
            side = int(self.blocks.get("BLOCKYSIZE", "512"))
        return halves_fit(self.height, self.width, side)

    @property
    def has_halves(self) -> bool:
        """True if each part holds its overview of half the size."""
        return self.keeps_blocks and self.wants_halves and self.can_be_halved

    @property
    def is_sparse(self) -> bool:
        """True if blocks without data may be left out of the file."""
        return self.creation.get("SPARSE_OK", "NO").upper() not in OFF

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


def derive_profile(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    scale: int,
    options: OutputOptions,
) -> OutputProfile:
    """Derive the profile of the enlarged raster, or refuse a format that cannot hold it.

    Georeference, tags, names, units, scales and interpretations of bands, nodata, mask,
    alpha and the colour profile are kept; statistics, which would be wrong, are not.
    """
    out = OutputProfile(
        driver="COG" if options.cog else DRIVERS.get(options.format, ""),
        height=window.height * scale,
        width=window.width * scale,
        dtype=layout.dtype,
        bands=_with_counts(info, layout, window, scale),
        alpha=layout.alpha is not None,
        alpha_position=layout.alpha_position if options.format == "tif" else None,
        mask=info.mask is not None and layout.alpha is None,
        nodata=layout.nodata,
        georeference=enlarge_georeference(info.georeference, window, scale),
        classes=bool(layout.classes) or layout.is_packed,
    )
    out.white_is_zero = (
        info.white_is_zero and layout.palette is None and not out.palette
    )
    _check_format(info.path, out, options)
    out.creation = creation_options(out, options)
    if info.block_share < 1 and out.driver in ("GTiff", "COG"):
        out.creation = {"SPARSE_OK": "TRUE", **out.creation}
    _choose_nodata_marks(out, info, layout, options)
    out.tags = _tags(out, info, layout, window, options)
    has_overviews = options.overviews
    if has_overviews is None:
        has_overviews = info.has_overviews
    if has_overviews and out.driver == "GTiff":  # GDAL makes those of a COG
        out.overviews = overview_factors(out.height, out.width)
    _choose_blocks(out)
    return out


def _choose_blocks(out: OutputProfile) -> None:
    """Choose if the parts hold the compressed blocks of the file, and how these are made."""
    out.blocks = block_options(
        out.driver, out.creation, _photometric(out), predictor_of(out.dtype)
    )
    out.why_copied = why_copied(out.driver, out.creation, out.blocks, out.row_bytes)
    if out.keeps_blocks and out.driver == "COG":
        out.why_copied = _why_cog_is_copied(out)
    if out.why_copied:
        out.blocks = {}


def _why_cog_is_copied(out: OutputProfile) -> str:
    """Say why parts cannot hold the blocks of a COG, or its overviews; else nothing."""
    creation = out.creation
    compression = creation["COMPRESS"].upper()
    if out.alpha and compression == "JPEG":
        return "its alpha band becomes a mask"
    if compression == "WEBP" and creation.get("QUALITY") == "100":
        return "GDAL compresses its overviews with loss"
    if out.wants_halves:
        usual = "NEAREST" if out.classes else "AVERAGE"
        asked = creation.get("OVERVIEW_RESAMPLING", creation.get("RESAMPLING", ""))
        if asked.upper() != usual:
            return f"its overviews are made by {asked or 'another way'}"
        if not out.can_be_halved:
            return "its overviews are not those of its parts"
    return ""


def _with_counts(
    info: RasterInfo, layout: BandLayout, window: Window, scale: int
) -> tuple[BandInfo, ...]:
    """Return the output's bands; counts of pixels in their attribute tables are true.

    Each pixel becomes ``scale`` squared; how many a part of the raster has is not known.
    """
    is_part = (window.height, window.width) != (info.height, info.width)
    factor = scale**2
    if is_part or info.cutline is not None:
        factor = 0
    bands = []
    for band in layout.outputs:
        elements = dict(band.vrt_elements)
        if _TABLE in elements:
            elements[_TABLE] = fit_attribute_table(elements[_TABLE], factor)
            band = replace(band, vrt_elements=elements)
        bands.append(band)
    return tuple(bands)


def overview_factors(height: int, width: int) -> tuple[int, ...]:
    """Return the factors of overviews, of which the smallest is at most 256 pixels long."""
    count = math.ceil(math.log2(max(height / 256, width / 256, 1)))
    return tuple(2**step for step in range(1, count + 1))


def _tags(
    out: OutputProfile,
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    options: OutputOptions,
) -> dict[str, Mapping[str, str]]:
    """Return the tags of the output; notes are added on those that are left out."""
    numbers = [*layout.bands]
    if layout.alpha:
        numbers.insert(layout.alpha_position or 0, layout.alpha)
    tags = fit_tags(
        info.tags,
        (info.height, info.width),
        window,
        out.height // window.height,
        keeps_bands=numbers == list(range(1, len(info.bands) + 1)),
    )
    if options.provenance is not None:
        tags[""] = _provenance_tags(out, tags[""], info, layout, options)
    pixels = PixelMap(
        before=(window.height, window.width), after=(out.height, out.width)
    )
    plain = dict(tags.get("", {}))
    if _DESCRIPTION in plain:
        whole = (info.height, info.width)
        description = fit_description(plain.pop(_DESCRIPTION), pixels, whole)
        if description:
            plain[_DESCRIPTION] = description
    has_no_unit = plain.get("TIFFTAG_RESOLUTIONUNIT", "").startswith("1")
    if has_no_unit or names_pixel_unit(plain.get(_DESCRIPTION, "")):
        # pixels for a unit that the description names, as ImageJ does
        for key in plain.keys() & {"TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION"}:
            with suppress(ValueError):
                plain[key] = str(float(plain[key]) * out.width / window.width)
    tags[""] = plain
    if _XMP in tags:  # sizes and regions in it are enlarged, too
        text = tags[_XMP].get(_XMP, "").encode(errors="surrogateescape")
        packet, lost = fit_xmp(text, pixels)
        tags[_XMP] = {**tags[_XMP], _XMP: packet.decode(errors="surrogateescape")}
        out.notes += lost
    profile = tags.pop("COLOR_PROFILE", {}).get("SOURCE_ICC_PROFILE")
    if profile and _profile_fits(out, profile):
        tags["COLOR_PROFILE"] = {"SOURCE_ICC_PROFILE": profile}
    elif profile:
        out.notes.append(
            "colour profile left out: it is for other bands than the output has"
        )
    namespaces = sorted(set(tags) - {"", _XMP, "COLOR_PROFILE"})
    has_band_tags = any(band.tags.get("") for band in out.bands)
    if namespaces and has_band_tags and out.driver != "GTiff":
        out.notes.append(
            f"tags {', '.join(namespaces)} left out: {out.driver} holds those of bands"
        )
    return tags


def _provenance_tags(
    out: OutputProfile,
    plain: Mapping[str, str],
    info: RasterInfo,
    layout: BandLayout,
    options: OutputOptions,
) -> dict[str, str]:
    """Return plain tags with the output's provenance in place of an earlier one."""
    assert options.provenance is not None
    tags = {key: text for key, text in plain.items() if not key.startswith("SRX_")}
    earlier = software_of(tags)
    tags[_SOFTWARE[options.format]] = options.provenance.software(earlier)
    # GDAL puts them beside a JPEG, into a file that only a place on the map needs as
    # well
    if options.format != "jpg" or any(info.georeference.values()):
        tags |= options.provenance.tags
    if layout.classes:  # enlarged by no model
        numbers = [str(out.band_order.index(index) + 1) for index in layout.classes]
        tags["SRX_NEAREST_BANDS"] = ",".join(numbers)
    return tags


def software_of(tags: Mapping[str, str]) -> str:
    """Return the Software entry among GDAL's tags of a file; empty without one."""
    software = ""
    for key in reversed(_SOFTWARE.values()):
        software = tags.get(key, software)
    return software


def _profile_fits(out: OutputProfile, profile: str) -> bool:
    """Tell if a colour profile, in base64, is for the colours of the first bands."""
    with suppress(binascii.Error):
        interpretations = tuple(band.interpretation for band in out.stored_bands)
        space = base64.b64decode(profile)[16:20]
        if space == b"RGB ":
            return interpretations[:3] == COLOURS
        if space == b"GRAY":
            return interpretations[:1] == ("gray",)
    return False


def _choose_nodata_marks(
    out: OutputProfile, info: RasterInfo, layout: BandLayout, options: OutputOptions
) -> None:
    """Choose how the output marks its empty pixels: nodata, mask or alpha."""
    nodata = out.nodata
    # compared as text, because NaN differs from itself
    same = [str(nodata)]
    if nodata != nodata:  # a value without data in any band
        same.append("None")
    differing = [
        str(number)
        for number in layout.bands
        if str(info.band(number).nodata) not in same
    ]
    if nodata is not None and differing:
        out.notes.append(
            f"one nodata value is kept: {nodata:g} stands for no data in all bands, also in "
            f"{','.join(differing)}; values of {nodata:g} there are moved to the one beside "
            "it, those of classes stay"
        )
    bits = options.creation.get("NBITS", "")
    if bits.isdecimal() and out.dtype.startswith("uint"):
        highest = 2 ** int(bits) - 1
        if highest < np.iinfo(out.dtype).max:
            out.notes.append(
                f"NBITS holds values up to {highest:,}: larger ones are cut"
            )
    if nodata is not None and not out.alpha and is_lossy(options, out.dtype):
        out.notes.append(
            f"nodata {nodata:g} becomes a mask: lossy compression changes values"
        )
        out.mask = True
        out.nodata = None
    is_zero = out.nodata is None and not out.dtype.startswith("float")
    if info.mask == "band" and out.mask and is_zero:
        out.notes.append(
            "pixels that are empty in some bands only become 0 there; see --nodata"
        )
    if out.driver == "PNG" and out.mask:
        # a mask would go into a file of its own that few programs read
        out.bands = (*out.bands, BandInfo(dtype=out.dtype, interpretation="alpha"))
        out.alpha = True
        out.mask = False
    elif out.driver == "JPEG" and out.alpha:
        out.notes.append("jpg has no transparency: the alpha band is left out")
        out.bands = out.bands[:-1]
        out.alpha = False


def disk_needed(output: OutputProfile) -> int:
    """Estimate the bytes on disk without compression: the parts and the result copied from them."""
    # blocks at the lower and right edge are full-sized
    high = int(output.creation.get("BLOCKYSIZE", "1"))
    wide = int(output.creation.get("BLOCKXSIZE", "1"))
    area = -(-output.height // high) * high * -(-output.width // wide) * wide
    size = area * len(output.bands) * np.dtype(output.dtype).itemsize
    if output.mask:
        size += area // 8
    size += size // 1000  # incompressible blocks grow slightly
    overviews_size = size * 7 // 20  # a third, plus edges
    total = size * 2 + 2**20
    if output.has_halves:  # in the parts, and overviews of them in a file of their own
        total += size // 4 + overviews_size
    if output.creation.get("OVERVIEWS") == "NONE":
        return total
    if output.driver == "COG":  # whose overviews are made in a file of their own first
        total += overviews_size * 2
    elif output.overviews:
        total += overviews_size
    return total


def _check_format(path: Path, out: OutputProfile, options: OutputOptions) -> None:
    """Refuse a format that cannot hold the raster, or a compression that changes classes."""
    fmt = options.format
    dtypes = {"tif": (out.dtype,), "png": ("uint8", "uint16")}.get(fmt, ("uint8",))
    most = _MOST_PIXELS.get(fmt, math.inf)
    problem = ""
    advice = "take --format tif"
    if fmt not in DRIVERS:
        problem = f"rasters are written as tif, png or jpg, not as {fmt}"
    elif out.classes and is_lossy(options, out.dtype):
        problem = "lossy compression would change its classes"
        if fmt == "jpg":
            problem = "jpg would change its classes"
        advice += " without lossy compression, or --classes no"
    elif fmt == "png" and out.palette and out.mask:
        problem = "png holds no palette beside a mask of valid pixels"
    elif out.white_is_zero and out.driver != "GTiff":
        name = "COG" if fmt == "tif" else fmt
        problem = f"its lowest value is white (MINISWHITE), which {name} cannot store"
        advice += ", without --cog"
    elif fmt != "tif" and (options.cog or options.overviews):
        raise UsageError(
            f"{path}: --cog and --overviews are for --format tif, not {fmt}"
        )
    elif out.dtype not in dtypes:
        problem = f"{fmt} holds {' or '.join(dtypes)} values, not {out.dtype}"
    elif fmt != "tif" and out.channels not in (1, 3):
        problem = f"{fmt} holds 1 or 3 bands, not {out.channels} (--bidx 1,2,3 chooses)"
    elif max(out.height, out.width) > most:
        problem = (
            f"{fmt} holds at most {most:,} pixels a side, not {out.width}x{out.height}"
        )
    if problem:
        raise PictureError(f"{path}: {problem}; {advice}")


def creation_options(out: OutputProfile, options: OutputOptions) -> Mapping[str, str]:
    """Return GDAL's creation options: those of the user, and defaults for the others."""
    asked = options.creation
    # GDAL crashes on others
    for name in ("BLOCKXSIZE", "BLOCKYSIZE", "BLOCKSIZE"):
        if name in asked and (not asked[name].isdecimal() or int(asked[name]) == 0):
            raise UsageError(
                f"--co {name}={asked[name]}: give a number of pixels, such as 512"
            )
    quality = str(options.quality or FORMATS["jpg"].default_quality)
    match out.driver:
        case "JPEG":
            defaults = {"QUALITY": quality}
        case "PNG":  # tags inside the file as well, where they are not lost
            defaults = {"WRITE_METADATA_AS_TEXT": "YES"}
            if out.bits in (1, 2, 4):
                defaults["NBITS"] = str(out.bits)
        case _:
            defaults = _tiff_options(out, options, quality)
    return {**defaults, **asked}


def _tiff_options(
    out: OutputProfile, options: OutputOptions, quality: str
) -> dict[str, str]:
    """Return the default creation options of a GeoTIFF or COG with the user's compression."""
    asked = options.creation
    compression = asked.get("COMPRESS", "DEFLATE").upper()
    defaults = {
        "COMPRESS": compression,
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    if out.bits is not None and compression in _OF_ANY_BITS:
        defaults["NBITS"] = str(out.bits)
    has_all_bits = "NBITS" not in defaults and "NBITS" not in asked
    is_predicted = compression in PREDICTED and has_all_bits
    if out.driver == "COG":
        if options.overviews is False:
            defaults["OVERVIEWS"] = "NONE"
        if "RESAMPLING" not in asked:
            defaults["OVERVIEW_RESAMPLING"] = "NEAREST" if out.classes else "AVERAGE"
        if compression == "JPEG":
            defaults["QUALITY"] = quality
        if is_predicted and out.dtype != "float16":
            defaults["PREDICTOR"] = "YES"
        return defaults
    if is_predicted:
        defaults["PREDICTOR"] = str(predictor_of(out.dtype))
    defaults["INTERLEAVE"] = "PIXEL"
    defaults["PHOTOMETRIC"] = _photometric(out)
    if compression == "JPEG":
        defaults["JPEG_QUALITY"] = quality
        is_planar = asked.get("INTERLEAVE", "").upper() == "BAND"
        is_rgb = defaults["PHOTOMETRIC"] == "RGB" and len(out.bands) == 3
        if is_rgb and out.dtype == "uint8" and not is_planar:
            # chroma at half the resolution: much smaller
            defaults["PHOTOMETRIC"] = "YCBCR"
    if options.is_on("TILED", "YES"):
        side = 512 if out.row_bytes * 512 <= _LARGEST_ROW else 256
        text = str(min(side, -(-max(out.height, out.width) // 16) * 16))
        defaults |= {"TILED": "YES", "BLOCKXSIZE": text, "BLOCKYSIZE": text}
    return defaults


def predictor_of(dtype: str) -> int:
    """Return the PREDICTOR of TIFFs that suits a dtype; 1 for none, as of half floats."""
    if dtype == "float16":
        return 1
    return 3 if dtype.startswith("float") else 2


def _photometric(out: OutputProfile) -> str:
    """Return what the bands of a TIFF mean, as its tag and GDAL's option name it."""
    if tuple(band.interpretation for band in out.stored_bands[:3]) == COLOURS:
        return "RGB"
    if out.palette:
        return "PALETTE"
    if out.white_is_zero:
        return "MINISWHITE"
    return "MINISBLACK"


def is_lossy(options: OutputOptions, dtype: str) -> bool:
    """Tell if the compression may change values."""
    if options.format != "tif":
        return options.format == "jpg"
    asked = options.creation
    for name in ("DISCARD_LSB", "MAX_Z_ERROR"):
        if set(asked.get(name, "")) - set("0., "):  # DISCARD_LSB has one for each band
            return True
    match asked.get("COMPRESS", "").upper():
        case "JPEG":
            return True
        case "WEBP":
            is_lossless = not options.cog and options.is_on("WEBP_LOSSLESS", "NO")
            return not is_lossless and asked.get("QUALITY") != "100"
        case "JXL":
            return not options.is_on("JXL_LOSSLESS", "YES")
        case _:
            return dtype.startswith("float") and "NBITS" in asked
