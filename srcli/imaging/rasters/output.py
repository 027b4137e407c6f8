"""Derive the profile of an enlarged raster from the input: bands, georeference, GDAL's options."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from srcli.errors import PictureError, UsageError
from srcli.imaging.files.provenance import REPEATED
from srcli.imaging.metadata.descriptions import fit_description, names_pixel_unit
from srcli.imaging.metadata.xmp import fit_xmp
from srcli.imaging.pixels.geometry import PixelMap
from srcli.imaging.rasters.creation import (
    creation_options,
    highest_value,
    is_lossy,
    overview_factors,
    with_blocks,
)
from srcli.imaging.rasters.info import (
    COLOURS,
    BandInfo,
    RasterInfo,
    enlarge_georeference,
)
from srcli.imaging.rasters.names import TABLES
from srcli.imaging.rasters.profile import OutputOptions, OutputProfile
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.stale_tags import fit_tags, without_counts
from srcli.imaging.rasters.transforms import zoom_level
from srcli.ports import Window

DRIVERS: dict[str, str] = TABLES["drivers"]
"""GDAL's driver for each output format of rasters."""
_SOFTWARE: dict[str, str] = TABLES["software"]
"""Tags that GDAL's drivers write as the Software entry of a format; what other programs
call it in MBTiles."""
_MOST_PIXELS = {"png": 1_000_000, "jpg": 65_500}
"""Pixels a side that libpng and libjpeg write."""
_XMP = "xml:XMP"
_TABLE = "GDALRasterAttributeTable"
_DESCRIPTION = "TIFFTAG_IMAGEDESCRIPTION"


def derive_profile(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    scale: int,
    options: OutputOptions,
    notes: list[str],
) -> OutputProfile:
    """Derive the profile of the enlarged raster, or refuse a format that cannot hold it.

    Georeference, tags, names, units, scales and interpretations of bands, nodata, mask,
    alpha and the colour profile are kept; statistics, which would be wrong, are not.
    ``notes`` get messages for the user on what is not kept.
    """
    bands = _without_counts(layout)
    keeps_sums = any(band.zero is not None for band in bands)
    is_white_zero = info.white_is_zero and layout.palette is None
    out = OutputProfile(
        driver="COG" if options.cog else DRIVERS.get(options.format, ""),
        height=window.height * scale,
        width=window.width * scale,
        dtype=layout.dtype,
        bands=bands,
        alpha=layout.alpha is not None,
        alpha_position=layout.alpha_position if options.format == "tif" else None,
        mask=info.mask is not None and layout.alpha is None,
        nodata=layout.nodata,
        step=scale if keeps_sums else 1,
        white_is_zero=is_white_zero and "ColorTable" not in bands[0].vrt_elements,
        georeference=enlarge_georeference(info.georeference, window, scale),
        classes=bool(layout.classes) or layout.is_packed,
    )
    _check_format(info.path, out, options)
    creation = creation_options(out, options, info.tags.get("", {}))
    if info.block_share < 1 and out.driver in ("GTiff", "COG"):
        creation = {"SPARSE_OK": "TRUE", **creation}
    out = replace(out, creation=creation)
    out = _with_nodata_marks(out, info, layout, options, notes)
    out = _with_transparency(out, info, notes)
    tags = _fit_tags(out, info, layout, window, options, notes)
    overviews = _choose_overviews(out, info, options.overviews)
    return with_blocks(replace(out, tags=tags, overviews=overviews))


def _choose_overviews(
    out: OutputProfile, info: RasterInfo, asked: bool | None
) -> tuple[int, ...]:
    """Return the factors of the overviews to build.

    ``asked`` is None where nobody has said if some are wanted.
    """
    are_wanted = False
    if out.driver == "GTiff":
        are_wanted = info.has_overviews if asked is None else asked
    elif out.driver == "COG":
        are_wanted = out.creation.get("OVERVIEWS", "").upper() != "NONE"
    elif out.driver == "MBTiles":  # a map has all its levels
        are_wanted = asked is not False
    if not are_wanted:
        return ()
    return overview_factors(out.height, out.width, out.overview_side)


def _without_counts(layout: BandLayout) -> tuple[BandInfo, ...]:
    """Return the output's bands, whose attribute tables count no pixels of the input."""
    bands = []
    for band in layout.outputs:
        elements = dict(band.vrt_elements)
        if _TABLE in elements:
            elements[_TABLE] = without_counts(elements[_TABLE])
            band = replace(band, vrt_elements=elements)
        bands.append(band)
    return tuple(bands)


def _fit_tags(
    out: OutputProfile,
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    options: OutputOptions,
    notes: list[str],
) -> dict[str, Mapping[str, str]]:
    """Return the tags of the input that fit; ``notes`` tell of those left out."""
    numbers = [*layout.bands]
    if layout.alpha:
        numbers.insert(layout.alpha_position or 0, layout.alpha)
    tags = fit_tags(
        info.tags,
        out.height // window.height,
        is_part=(window.height, window.width) != (info.height, info.width),
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
        notes += lost
    profile = tags.pop("COLOR_PROFILE", {}).get("SOURCE_ICC_PROFILE")
    if profile and _profile_fits(out, profile):
        tags["COLOR_PROFILE"] = {"SOURCE_ICC_PROFILE": profile}
    elif profile:
        notes.append(
            "colour profile left out: it is for other bands than the output has"
        )
    namespaces = sorted(set(tags) - {"", _XMP, "COLOR_PROFILE"})
    has_band_tags = any(band.tags.get("") for band in out.bands)
    if namespaces and has_band_tags and out.driver != "GTiff":
        notes.append(
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
    provenance = options.provenance
    if not layout.smooth:
        provenance = replace(provenance, model=REPEATED, weights="", strength="")
    tags = {key: text for key, text in plain.items() if not key.startswith("SRX_")}
    earlier = software_of(tags)
    tags[_SOFTWARE[options.format]] = provenance.software(earlier)
    # GDAL puts them beside a JPEG, into a file that only a place on the map needs as
    # well
    if options.format != "jpg" or any(info.georeference.values()):
        tags |= provenance.tags
    if layout.classes:  # enlarged by no model
        numbers = [str(out.band_order.index(index) + 1) for index in layout.classes]
        tags["SRX_NEAREST_BANDS"] = ",".join(numbers)
    return tags


def software_of(tags: Mapping[str, str]) -> str:
    """Return the Software entry among GDAL's tags of a file; empty without one."""
    return next((tags[key] for key in _SOFTWARE.values() if key in tags), "")


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


def _with_nodata_marks(
    out: OutputProfile,
    info: RasterInfo,
    layout: BandLayout,
    options: OutputOptions,
    notes: list[str],
) -> OutputProfile:
    """Return a profile that marks its empty pixels by a nodata value or a mask."""
    nodata = out.nodata
    mask = out.mask
    _note_on_nodata(nodata, info, layout, notes)
    highest = highest_value(out.dtype, options.creation.get("NBITS", ""))
    if highest is not None:
        notes.append(f"NBITS holds values up to {highest:,}: larger ones are cut")
    if nodata is not None and not out.alpha and is_lossy(options, out.dtype):
        notes.append(
            f"nodata {nodata:g} becomes a mask: lossy compression changes values"
        )
        mask = True
        nodata = None
    is_zero = nodata is None and not out.dtype.startswith("float")
    if info.mask == "band" and mask and is_zero:
        notes.append(
            "pixels that are empty in some bands only become 0 there; see --nodata"
        )
    if out.driver == "MBTiles":
        # tiles have no value of no data, and GDAL leaves out those that are black and
        # not known to be opaque
        if not (out.alpha or out.palette):
            mask = mask or nodata is not None or not _is_of_jpeg_tiles(out)
        nodata = None
    return replace(out, mask=mask, nodata=nodata)


def _note_on_nodata(
    nodata: float | None, info: RasterInfo, layout: BandLayout, notes: list[str]
) -> None:
    """Tell that the only nodata value of an output is not that of all bands of the input."""
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
        notes.append(
            f"one nodata value is kept: {nodata:g} stands for no data in all bands, also in "
            f"{','.join(differing)}; values of {nodata:g} there are moved to the one beside "
            "it, those of classes stay"
        )


def _with_transparency(
    out: OutputProfile, info: RasterInfo, notes: list[str]
) -> OutputProfile:
    """Return a profile with mask or alpha as its format can: a mask as alpha, or no alpha."""
    is_opaque = _is_of_jpeg_tiles(out)
    if out.driver in ("PNG", "MBTiles") and out.mask:
        if is_opaque:
            notes.append(
                "tiles of JPEG have no transparency: pixels without data are seen, but "
                "for tiles that have no others"
            )
        # a mask would go into a file of its own that few programs read
        bands = (*out.bands, BandInfo(dtype=out.dtype, interpretation="alpha"))
        return replace(out, bands=bands, alpha=True, mask=False)
    if not out.alpha or not (out.driver == "JPEG" or is_opaque):
        return out
    if out.driver == "JPEG":
        notes.append("jpg has no transparency: the alpha band is left out")
    elif info.driver != "MBTiles":  # of which GDAL makes one, which is opaque
        notes.append("tiles of JPEG have no transparency: alpha is left out")
    return replace(out, bands=out.bands[:-1], alpha=False)


def _is_of_jpeg_tiles(out: OutputProfile) -> bool:
    return out.creation.get("TILE_FORMAT", "").upper() == "JPEG"


def _marks_pixels_beside_colours(out: OutputProfile) -> bool:
    """Tell if pixels without data are marked in a way that a format has beside colours only."""
    if out.driver == "MBTiles":
        return out.mask or out.nodata is not None
    return out.driver == "PNG" and out.mask


def _is_web_map(out: OutputProfile) -> bool:
    """Tell if the pixels are those of a zoom level of Web Mercator."""
    system = out.georeference["crs"]
    transform = out.georeference["transform"]
    if system is None or transform is None or system.to_epsg() != 3857:
        return False
    return zoom_level(transform) is not None


def _check_format(path: Path, out: OutputProfile, options: OutputOptions) -> None:
    """Refuse a format that cannot hold the raster, or a compression that changes classes."""
    fmt = options.format
    dtypes = {"tif": (out.dtype,), "png": ("uint8", "uint16")}.get(fmt, ("uint8",))
    most = _MOST_PIXELS.get(fmt, math.inf)
    problem = ""
    advice = "take --format tif"
    if fmt not in DRIVERS:
        problem = f"rasters are written as {', '.join(DRIVERS)}, not as {fmt}"
    elif fmt == "mbtiles" and not _is_web_map(out):
        problem = (
            "its enlargement is of no zoom level of a web map (EPSG:3857, 2 or 4 times "
            "those of an input that is one)"
        )
        advice += "; gdalwarp and gdal_translate -of MBTiles resample that"
    elif out.classes and is_lossy(options, out.dtype):
        problem = "lossy compression would change its classes"
        if fmt == "jpg":
            problem = "jpg would change its classes"
        advice += " without lossy compression, or --classes no"
    elif out.palette and _marks_pixels_beside_colours(out):
        problem = f"{fmt} holds no palette beside pixels without data"
        advice += ", or --nodata none"
    elif out.white_is_zero and out.driver != "GTiff":
        name = "COG" if fmt == "tif" else fmt
        problem = f"its lowest value is white (MINISWHITE), which {name} cannot store"
        advice += ", without --cog"
    elif fmt != "tif" and (options.cog or (options.overviews and fmt != "mbtiles")):
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
