"""Derive the profile of an enlarged raster from the input: bands, georeference, GDAL's options."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.imaging.fitting import PixelMap, fit_xmp
from srcli.imaging.photograph import FORMATS, Provenance
from srcli.imaging.rasters.info import COLOURS, BandInfo, enlarge_place
from srcli.ports.image import Window

if TYPE_CHECKING:
    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout

DRIVERS = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG"}
_SOFTWARE = {"tif": "TIFFTAG_SOFTWARE", "png": "Software", "jpg": "EXIF_Software"}
"""Tags that GDAL's drivers write as the Software entry of a format."""
_MOST_PIXELS = {"png": 1_000_000, "jpg": 65_500}
"""Pixels a side that libpng and libjpeg write."""
_LARGEST_ROW = 2**26
"""Bytes of a row of blocks, which is held in memory; beyond, smaller blocks are
taken."""
_PREDICTED = frozenset({"LZW", "DEFLATE", "ZSTD"})
_OF_ANY_BITS = _PREDICTED | {
    "NONE",
    "PACKBITS",
    "LZMA",
    "CCITTRLE",
    "CCITTFAX3",
    "CCITTFAX4",
}
"""Compressions of values of any number of bits (NBITS)."""
_XMP = "xml:XMP"


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The user's options for the output format."""

    creation: Mapping[str, str] = field(default_factory=dict)
    """--co by names in capitals, which overrides the defaults."""
    overviews: bool = False
    """Build overviews inside the file."""
    cog: bool = False
    """Cloud-optimized GeoTIFF, overviews included."""
    format: str = "tif"
    """Of the file to be written: ``"tif"``, ``"png"`` or ``"jpg"``."""
    quality: int | None = None
    """1 to 100, for JPEG, also inside GeoTIFFs; None takes 95."""
    provenance: Provenance | None = None
    """Recorded in tags of the output; None records nothing."""

    def is_on(self, name: str, default: str) -> bool:
        """Tell if GDAL reads the value of a creation option as true: all but "no", "off" ..."""
        return self.creation.get(name, default).upper() not in (
            "NO",
            "FALSE",
            "OFF",
            "0",
        )


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
    alpha_place: int | None = None
    """Place of alpha in the file, from 0; None is the last."""
    mask: bool = False
    """The file has a mask of valid pixels for all bands."""
    nodata: float | None = None
    inverted: bool = False
    """The lowest value of the only band is white."""
    place: Mapping[str, Any]
    """See ``RasterInfo``."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By namespace, ``""`` for the default one."""
    classes: bool = False
    """Some bands hold classes: overviews are not averaged."""
    overviews: tuple[int, ...] = ()
    """Decimation factors of the overviews to build; GDAL chooses those of a COG."""
    creation: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Messages for the user on what is not kept."""

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
    def order(self) -> tuple[int, ...]:
        """Places in ``bands`` of the bands of the file, in its order."""
        places = list(range(len(self.bands)))
        if self.alpha and self.alpha_place is not None:
            places.insert(self.alpha_place, places.pop())
        return tuple(places)

    @property
    def stored(self) -> tuple[BandInfo, ...]:
        """The bands in the order of the file."""
        return tuple(self.bands[place] for place in self.order)

    @property
    def palette(self) -> bool:
        """True if the only band has a colour table."""
        return len(self.bands) == 1 and "ColorTable" in self.bands[0].about


def make_output(
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
        bands=layout.outputs,
        alpha=layout.alpha is not None,
        alpha_place=layout.alpha_place if options.format == "tif" else None,
        mask=info.mask is not None and layout.alpha is None,
        nodata=layout.nodata,
        place=enlarge_place(info.place, window, scale),
        classes=bool(layout.classes),
    )
    out.inverted = info.inverted and layout.palette is None and not out.palette
    _check_format(info.path, out, options)
    out.creation = creation_options(out, options)
    if info.filled < 1 and out.driver in ("GTiff", "COG"):
        out.creation = {"SPARSE_OK": "TRUE", **out.creation}
    _choose_marks(out, info, layout, options)
    out.tags = tags = {**info.tags}
    if options.provenance is not None:
        before = info.tags.get("", {}).items()  # maybe of an enlargement
        tags[""] = own = {
            key: text for key, text in before if not key.startswith("SRX_")
        }
        earlier = next((own[key] for key in _SOFTWARE.values() if key in own), "")
        own[_SOFTWARE[options.format]] = options.provenance.software(earlier)
        # GDAL puts them beside a JPEG, into a file that only a place on the map needs
        # as well
        if options.format != "jpg" or any(info.place.values()):
            own |= options.provenance.tags
        if layout.classes:  # which no model has made
            places = (out.order.index(place) + 1 for place in layout.classes)
            own["SRX_NEAREST_BANDS"] = ",".join(map(str, places))
    if _XMP in tags:  # whose sizes and regions become those of the enlarged raster
        pixels = PixelMap(
            before=(window.height, window.width), after=(out.height, out.width)
        )
        text = tags[_XMP].get(_XMP, "").encode(errors="surrogateescape")
        packet, lost = fit_xmp(text, pixels)
        tags[_XMP] = {**tags[_XMP], _XMP: packet.decode(errors="surrogateescape")}
        out.notes += lost
    if profile := tags.pop("COLOR_PROFILE", {}).get("SOURCE_ICC_PROFILE"):  # in base64
        space = b""
        with suppress(binascii.Error):
            space = base64.b64decode(profile)[16:20]
        wanted = {b"RGB ": COLOURS, b"GRAY": ("gray",)}.get(space, ("",))
        if wanted == tuple(band.interpretation for band in out.stored[: len(wanted)]):
            tags["COLOR_PROFILE"] = {"SOURCE_ICC_PROFILE": profile}
        else:
            out.notes.append(
                "colour profile left out: it is for other bands than the output has"
            )
    spaces = sorted({*tags} - {"", _XMP, "COLOR_PROFILE"})
    if (
        out.driver != "GTiff"
        and spaces
        and any(band.tags.get("") for band in out.bands)
    ):
        out.notes.append(
            f"tags {', '.join(spaces)} left out: {out.driver} holds those of bands"
        )
    if options.overviews and out.driver != "COG":  # which has them anyway
        # until the smallest one is at most 256 pixels long
        count = math.ceil(math.log2(max(out.height / 256, out.width / 256, 1)))
        out.overviews = tuple(2**step for step in range(1, count + 1))
    return out


def _choose_marks(
    out: OutputProfile, info: RasterInfo, layout: BandLayout, options: OutputOptions
) -> None:
    """Choose how the output marks its empty pixels: nodata, mask or alpha."""
    nodata, bits = out.nodata, options.creation.get("NBITS", "")
    # compared as text, because NaN differs from itself
    others = [b for b in layout.bands if str(info.bands[b - 1].nodata) != str(nodata)]
    if nodata is not None and others:
        out.notes.append(
            f"one nodata value is kept: {nodata:g} stands for no data in band"
            f"{'s' * (len(others) > 1)} {','.join(map(str, others))} too; values of {nodata:g} "
            "there are moved to the one beside it, those of classes stay"
        )
    if (
        bits.isdecimal()
        and out.dtype.startswith("uint")
        and int(bits) < np.iinfo(out.dtype).bits
    ):
        out.notes.append(
            f"NBITS holds values up to {2 ** int(bits) - 1:,}: larger ones are cut"
        )
    if nodata is not None and not out.alpha and is_lossy(options, out.dtype):
        out.notes.append(
            f"nodata {nodata:g} becomes a mask: lossy compression changes values"
        )
        out.mask, out.nodata = True, None
    zero = out.nodata is None and not out.dtype.startswith("float")
    if info.mask == "band" and out.mask and zero:
        out.notes.append(
            "pixels that are empty in some bands only become 0 there; see --nodata"
        )
    if out.driver == "PNG" and out.mask:
        # a mask would go into a file of its own that few programs read
        out.bands = (*out.bands, BandInfo(dtype=out.dtype, interpretation="alpha"))
        out.alpha, out.mask = True, False
    elif out.driver == "JPEG" and out.alpha:
        out.notes.append("jpg has no transparency: the alpha band is left out")
        out.bands, out.alpha = out.bands[:-1], False


def disk_needed(output: OutputProfile) -> int:
    """Estimate the bytes on disk without compression: the parts and the result copied from them."""
    # blocks at the lower and right edge are full-sized
    high, wide = (
        int(output.creation.get(name, "1")) for name in ("BLOCKYSIZE", "BLOCKXSIZE")
    )
    area = -(-output.height // high) * high * -(-output.width // wide) * wide
    pixels = (
        area * len(output.bands) * np.dtype(output.dtype).itemsize
        + area // 8 * output.mask
    )
    total = pixels + pixels // 1000  # incompressible blocks grow slightly
    # those of a COG are made in a file of their own first
    overviews = 2 if output.driver == "COG" else bool(output.overviews)
    return total * 2 + total * 7 // 20 * overviews + 2**20  # a third, plus edges


def _check_format(path: Path, out: OutputProfile, options: OutputOptions) -> None:
    """Refuse formats that cannot hold the raster, and what would change classes."""
    fmt = options.format
    kinds = {"tif": (out.dtype,), "png": ("uint8", "uint16")}.get(fmt, ("uint8",))
    most = _MOST_PIXELS.get(fmt, math.inf)
    problem, advice = "", "take --format tif"
    if fmt not in DRIVERS:
        problem = f"rasters are written as tif, png or jpg, not as {fmt}"
    elif out.classes and is_lossy(options, out.dtype):
        problem = (
            f"{'jpg' if fmt == 'jpg' else 'lossy compression'} would change its classes"
        )
        advice += " without lossy compression, or --classes no"
    elif fmt == "png" and out.palette and out.mask:
        problem = "png holds no palette beside a mask of valid pixels"
    elif out.inverted and out.driver != "GTiff":
        name = "COG" if fmt == "tif" else fmt
        problem = f"its lowest value is white (MINISWHITE), which {name} cannot store"
        advice += ", without --cog"
    elif fmt != "tif" and (options.cog or options.overviews):
        raise UsageError(
            f"{path}: --cog and --overviews are for --format tif, not {fmt}"
        )
    elif out.dtype not in kinds:
        problem = f"{fmt} holds {' or '.join(kinds)} values, not {out.dtype}"
    elif fmt != "tif" and out.channels not in (1, 3):
        problem = f"{fmt} holds 1 or 3 bands, not {out.channels} (--bidx 1,2,3 chooses)"
    elif max(out.height, out.width) > most:
        problem = (
            f"{fmt} holds at most {most:,} pixels a side, not {out.width}x{out.height}"
        )
    if problem:
        raise PictureError(f"{path}: {problem}; {advice}")


def creation_options(out: OutputProfile, options: OutputOptions) -> Mapping[str, str]:
    """Choose GDAL's creation options."""
    wanted = options.creation
    for name in (
        "BLOCKXSIZE",
        "BLOCKYSIZE",
        "BLOCKSIZE",
    ):  # which GDAL does not survive
        if not wanted.get(name, "16").isdecimal() or int(wanted.get(name, 1)) == 0:
            raise UsageError(
                f"--co {name}={wanted[name]}: give a number of pixels, such as 512"
            )
    quality = str(options.quality or FORMATS["jpg"].default_quality)
    kind = wanted.get("COMPRESS", "DEFLATE").upper()
    bits = out.bits
    ours = {}
    if (
        bits is not None
        and kind in _OF_ANY_BITS
        and (out.driver != "PNG" or bits in (1, 2, 4))
    ):
        ours["NBITS"] = str(bits)
    if out.driver == "JPEG":
        return {"QUALITY": quality, **wanted}
    if out.driver == "PNG":  # tags in the file too, where they stay with it
        return {"WRITE_METADATA_AS_TEXT": "YES", **ours, **wanted}
    predicted = kind in _PREDICTED and "NBITS" not in {**ours, **wanted}
    ours |= {"COMPRESS": kind, "BIGTIFF": "IF_SAFER", "NUM_THREADS": "ALL_CPUS"}
    if out.driver == "COG":
        if "RESAMPLING" not in wanted:
            ours["OVERVIEW_RESAMPLING"] = "NEAREST" if out.classes else "AVERAGE"
        ours |= {"QUALITY": quality} if kind == "JPEG" else {}
        ours |= {"PREDICTOR": "YES"} if predicted else {}
        return {**ours, **wanted}
    rgb = tuple(band.interpretation for band in out.stored[:3]) == COLOURS
    gray = "MINISWHITE" if out.inverted else "MINISBLACK"
    ours["PHOTOMETRIC"] = "RGB" if rgb else "PALETTE" if out.palette else gray
    ours["INTERLEAVE"] = "PIXEL"
    if kind == "JPEG":
        ours["JPEG_QUALITY"] = quality
        planar = wanted.get("INTERLEAVE", "").upper() == "BAND"
        if rgb and len(out.bands) == 3 and out.dtype == "uint8" and not planar:
            ours["PHOTOMETRIC"] = "YCBCR"  # chroma at half the resolution: much smaller
    if predicted:
        ours["PREDICTOR"] = "3" if out.dtype.startswith("float") else "2"
    if options.is_on("TILED", "YES"):
        row = out.width * len(out.bands) * np.dtype(out.dtype).itemsize
        side = 512 if row * 512 <= _LARGEST_ROW else 256
        text = str(min(side, -(-max(out.height, out.width) // 16) * 16))
        ours |= {"TILED": "YES", "BLOCKXSIZE": text, "BLOCKYSIZE": text}
    return {**ours, **wanted}


def is_lossy(options: OutputOptions, dtype: str) -> bool:
    """Tell if the compression may change values."""
    wanted = options.creation
    if options.format != "tif":
        return options.format == "jpg"
    # DISCARD_LSB has a number for each band
    if any(
        set(wanted.get(name, "")) - set("0., ")
        for name in ("DISCARD_LSB", "MAX_Z_ERROR")
    ):
        return True
    webp = not options.cog and options.is_on("WEBP_LOSSLESS", "NO")
    lossless = {
        "JPEG": False,
        "WEBP": webp or wanted.get("QUALITY") == "100",
        "JXL": options.is_on("JXL_LOSSLESS", "YES"),
    }
    cut = dtype.startswith("float") and "NBITS" in wanted
    return not lossless.get(wanted.get("COMPRESS", "").upper(), not cut)
