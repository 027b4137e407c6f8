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
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.metadata.xmp import fit_xmp
from srcli.imaging.rasters.block_form import (
    RESAMPLINGS,
    block_options,
    highest_value,
    overview_factors,
    overview_side,
    why_copied,
)
from srcli.imaging.rasters.creation import (
    copied_by_gdal,
    creation_options,
    is_lossy,
    photometric_of,
    predictor_of,
)
from srcli.imaging.rasters.info import (
    COLOURS,
    BandInfo,
    RasterInfo,
    enlarge_georeference,
)
from srcli.imaging.rasters.profile import OutputOptions, OutputProfile
from srcli.imaging.rasters.selection import BandLayout
from srcli.imaging.rasters.stale_tags import fit_tags, without_counts
from srcli.imaging.rasters.transforms import zoom_level
from srcli.ports.image import Window

DRIVERS = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG", "mbtiles": "MBTiles"}
"""GDAL's driver for each output format of rasters."""
_SOFTWARE = {
    "tif": "TIFFTAG_SOFTWARE",
    "png": "Software",
    "jpg": "EXIF_Software",
    "mbtiles": "generator",
}
"""Tags that GDAL's drivers write as the Software entry of a format; what other programs
call it in MBTiles."""
_MOST_PIXELS = {"png": 1_000_000, "jpg": 65_500}
"""Pixels a side that libpng and libjpeg write."""
_TILE_SIDE = 256
"""Of MBTiles."""
_XMP = "xml:XMP"
_TABLE = "GDALRasterAttributeTable"
_DESCRIPTION = "TIFFTAG_IMAGEDESCRIPTION"


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
    profile = OutputProfile(
        driver="COG" if options.cog else DRIVERS.get(options.format, ""),
        height=window.height * scale,
        width=window.width * scale,
        dtype=layout.dtype,
        bands=_without_counts(layout),
        alpha=layout.alpha is not None,
        alpha_position=layout.alpha_position if options.format == "tif" else None,
        mask=info.mask is not None and layout.alpha is None,
        nodata=layout.nodata,
        georeference=enlarge_georeference(info.georeference, window, scale),
        classes=bool(layout.classes) or layout.is_packed,
    )
    is_white_zero = info.white_is_zero and layout.palette is None
    profile = replace(profile, white_is_zero=is_white_zero and not profile.palette)
    _check_format(info.path, profile, options)
    profile = _with_creation_options(profile, info, options)
    profile = _with_nodata_marks(profile, info, layout, options)
    profile = _with_transparency(profile, info)
    profile = _with_tags(profile, info, layout, window, options)
    overviews = _choose_overviews(profile, info, options.overviews)
    return _with_blocks(replace(profile, overviews=overviews))


def _with_creation_options(
    profile: OutputProfile, info: RasterInfo, options: OutputOptions
) -> OutputProfile:
    """Return a profile with GDAL's options; those of a sparse input leave blocks out."""
    creation = creation_options(profile, options, info.tags.get("", {}))
    if info.block_share < 1 and profile.driver in ("GTiff", "COG"):
        creation = {"SPARSE_OK": "TRUE", **creation}
    return replace(profile, creation=creation)


def _choose_overviews(
    out: OutputProfile, info: RasterInfo, asked: bool | None
) -> tuple[int, ...]:
    """Return the factors of the overviews to build.

    ``asked`` is None where nobody has said if some are wanted.
    """
    if out.driver == "GTiff" and (info.has_overviews if asked is None else asked):
        return overview_factors(out.height, out.width)
    if out.driver == "COG" and out.creation.get("OVERVIEWS", "").upper() != "NONE":
        side = overview_side(out.driver, out.creation)
        return overview_factors(out.height, out.width, side)
    if out.driver == "MBTiles" and asked is not False:  # a map has all its levels
        return overview_factors(out.height, out.width, _TILE_SIDE)
    return ()


def _with_blocks(out: OutputProfile) -> OutputProfile:
    """Return a profile with the form of the canvas, which tells if that of the file is another."""
    blocks = block_options(
        out.driver, out.creation, photometric_of(out), predictor_of(out.dtype)
    )
    reason = why_copied(out.driver, out.creation, blocks, out.row_bytes)
    if not reason and out.driver == "COG":
        reason = _why_cog_is_copied(out)
    if reason:
        return copied_by_gdal(out, reason)
    return replace(out, blocks=blocks, why_copied="")


def _why_cog_is_copied(out: OutputProfile) -> str:
    """Say why a canvas cannot hold the blocks of a COG, or its overviews; else nothing."""
    compression = out.creation["COMPRESS"].upper()
    if out.alpha and compression == "JPEG":
        return "its alpha band becomes a mask"
    if compression == "JPEG" and photometric_of(out) == "RGB" and len(out.bands) > 3:
        return "GDAL stores colours with further bands as they are"
    if compression == "WEBP" and out.creation.get("QUALITY") == "100":
        return "GDAL compresses its overviews with loss"
    if out.overviews and out.resampling not in RESAMPLINGS:
        return f"its overviews are made by {out.resampling}"
    return ""


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


def _with_tags(
    out: OutputProfile,
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    options: OutputOptions,
) -> OutputProfile:
    """Return a profile with the tags of the input that fit, and notes on those left out."""
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
    notes: list[str] = []
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
    return replace(out, tags=tags, notes=(*out.notes, *notes))


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
    for key in _SOFTWARE.values():
        if key in tags:
            return tags[key]
    return ""


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
    out: OutputProfile, info: RasterInfo, layout: BandLayout, options: OutputOptions
) -> OutputProfile:
    """Return a profile that marks its empty pixels by a nodata value or a mask, with notes."""
    notes = [*_note_on_nodata(out, info, layout)]
    nodata = out.nodata
    mask = out.mask
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
    return replace(out, mask=mask, nodata=nodata, notes=(*out.notes, *notes))


def _note_on_nodata(
    out: OutputProfile, info: RasterInfo, layout: BandLayout
) -> tuple[str, ...]:
    """Tell that the only nodata value of an output is not that of all bands of the input."""
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
    if nodata is None or not differing:
        return ()
    return (
        f"one nodata value is kept: {nodata:g} stands for no data in all bands, also in "
        f"{','.join(differing)}; values of {nodata:g} there are moved to the one beside "
        "it, those of classes stay",
    )


def _with_transparency(out: OutputProfile, info: RasterInfo) -> OutputProfile:
    """Return a profile with mask or alpha as its format can: a mask as alpha, or no alpha."""
    if out.driver in ("PNG", "MBTiles") and out.mask:
        note = ""
        if _is_of_jpeg_tiles(out):
            note = (
                "tiles of JPEG have no transparency: pixels without data are seen, but "
                "for tiles that have no others"
            )
        # a mask would go into a file of its own that few programs read
        bands = (*out.bands, BandInfo(dtype=out.dtype, interpretation="alpha"))
        return _noted(replace(out, bands=bands, alpha=True, mask=False), note)
    if out.driver == "JPEG" and out.alpha:
        note = "jpg has no transparency: the alpha band is left out"
        return _noted(replace(out, bands=out.bands[:-1], alpha=False), note)
    if _is_of_jpeg_tiles(out) and out.alpha:
        note = "tiles of JPEG have no transparency: alpha is left out"
        if info.driver == "MBTiles":  # of which GDAL makes one, which is opaque
            note = ""
        return _noted(replace(out, bands=out.bands[:-1], alpha=False), note)
    return out


def _noted(out: OutputProfile, note: str) -> OutputProfile:
    """Return a profile with a note more, unless that is empty."""
    return replace(out, notes=(*out.notes, note)) if note else out


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
