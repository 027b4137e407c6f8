"""TIFF files: metadata by their tags, pixels read by GDAL, and written by libvips.

Of the readers tried, Pillow keeps 8 of 16-bit colour, the wheels of libvips know no
ZSTD and then give wrong pixels, tifffile alone knows no LZW. What is written has its
directory of tags packed anew behind the pixels, because neither libvips nor GDAL nor
tifffile writes EXIF to TIFF, and Pillow does not beside 16-bit colour.
"""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from srcli.errors import PictureError
from srcli.imaging import claims, exif, labels, pillow, vips
from srcli.imaging.aliases import alias_of_file
from srcli.imaging.exif import Entry, Layout, read_directory, read_start
from srcli.imaging.photograph import DAMAGE, LARGEST_AREA, Array, Metadata, Picture
from srcli.imaging.resize import to_dtype

# Tags of the main directory.
_KIND, _WIDTH, _HEIGHT, _BITS, _MODEL, _SAMPLES, _EXTRA = (
    254,
    256,
    257,
    258,
    262,
    277,
    338,
)
_RESOLUTION = (282, 283, 296)  # across, down, and their unit
_SAMPLE_FORMAT, _SUB_DIRECTORIES, _COLOUR_MAP = 339, 330, 320
_COMPRESSION, _JPEG = 259, 7
_USUAL_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34887, 34925, 50000, 50001)
_COMPRESSIONS = {
    6: "old-style JPEG",
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}
_WHITE_IS_0, _LAB = 0, 8
_SENSOR = (
    32803,
    34892,
)  # photometric: a pixel for each colour filter, or three before development
_PLACES = ((273, 279), (324, 325))  # offsets and lengths of strips, and of tiles
_NEEDED = frozenset(
    {_BITS, _SAMPLES, _COLOUR_MAP, _EXTRA, _SAMPLE_FORMAT, *chain(*_PLACES)}
)
"""Tags without whose values pixels come out wrong."""
_XMP, _IPTC, _ICC, _GEO_KEYS = 700, 33723, 34675, 34735
_TRANSFER, _WHITE, _PRIMARIES = 301, 318, 319
_NUMBERS = (3, 4, 5)  # whole numbers and fractions, as types of entries
_DEFAULT_CURVE = (
    2.2,
)  # of TIFF 6.0, where primaries are told without a transfer function
_PREMULTIPLIED = 1  # a value of ExtraSamples
_DESCRIPTIVE = frozenset(
    {
        270,
        271,
        272,
        305,
        306,
        315,
        316,
        18246,
        18249,
        33432,
        40091,
        40092,
        40093,
        40094,
        40095,
    }
)
"""Tags that describe the photograph (title, camera, author ...), not how it is
stored."""
_RASTER_TAGS = {
    **dict.fromkeys((33550, 33922, 34264), "a place on the map (GeoTIFF)"),
    34735: "a coordinate system (GeoTIFF)",
    50844: "a sensor model (RPC)",
    42112: "GDAL's tags",
    42113: "a nodata value",
}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MOST_PAGES_TO_A_MASK = 32  # it stands among the overviews of the first picture
# Photometric interpretation: a word for it and its number of colours.
_MODELS = {
    0: ("gray", 1), 1: ("gray", 1), 2: ("RGB", 3), 3: ("palette", 1), 5: ("CMYK", 4),
    6: ("YCbCr", 3), 8: ("LAB", 3),
}  # fmt: skip
# Sample format and bits per value: bits of the photograph.
_DEPTHS = {(1, bits): 8 if bits <= 8 else 16 for bits in range(1, 17)} | {
    (3, 16): 32, (3, 32): 32, (3, 64): 32,
}  # fmt: skip
_INCH, _CENTIMETRE = 2, 3  # of ResolutionUnit
LARGEST_CLASSIC = 2**32 - 2**26
"""Bytes of pixels beyond which BigTIFF is written."""
# no look at files that happen to lie beside, and no picture half read
_GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
}


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the layout and the metadata of a TIFF file's first page.

    If its layout is not that of a photograph, the picture has a ``refusal``.
    PictureError for what a camera's sensor saw, before which there mostly is a preview
    of some 200 pixels.
    """
    tags, layout, following, page = _read_tags(stream)
    height, width, orientation = (
        _numbers(tags, tag, 0)[0] for tag in (_HEIGHT, _WIDTH, exif.ORIENTATION)
    )
    bits, kinds, samples = (
        _numbers(tags, tag, 1) for tag in (_BITS, _SAMPLE_FORMAT, _SAMPLES)
    )
    claims.check_tiff(path, tags, stream)
    photometric = _numbers(tags, _MODEL, -1)[0]
    preview = _numbers(tags, _KIND, 0)[0] & _REDUCED and _SUB_DIRECTORIES in tags
    if preview or photometric in _SENSOR:
        raise PictureError(
            f"{path}: a camera's raw file; develop it first, to TIFF or JPEG"
        )
    model, colours = _MODELS.get(photometric, ("", 0))
    # format 4 is "undefined", which is taken as a whole number
    depth, *others = {
        _DEPTHS.get((1 if kind == 4 else kind, bits[0]), 0) for kind in kinds
    }
    spare = samples[0] - colours
    wrong = {
        "bands of unknown meaning": not model
        or spare < 0
        or (spare > 1 and model != "CMYK"),
        "values of a kind that srx does not read": others
        or not depth
        or len(set(bits)) > 1,
        f"{model} colours in over 8 bits": depth > 8 and model in ("YCbCr", "LAB"),
        "a palette of floats": depth > 16 and model == "palette",
        "no colours in its palette": model == "palette" and _COLOUR_MAP not in tags,
    }
    bands = f"{samples[0]} band(s) of {bits[0]} bits"
    refusal = None
    if what := next((text for text, found in wrong.items() if found), None):
        refusal = (
            f"{path}: this TIFF has {what} ({bands}, sample format {kinds[0]}, photometric "
            f"{photometric}); convert it to gray or RGB of 8 or 16 bits"
        )
    pages = _further_pages(stream, following, layout)
    reasons = {
        **{reason: True for tag, reason in _RASTER_TAGS.items() if tag in tags},
        "a mask of valid pixels": any(
            kind & _MASK for kind in pages[:_MOST_PAGES_TO_A_MASK]
        ),
        "64-bit floats": kinds[0] == 3 and bits[0] == 64,
        "more pixels than a photograph": height * width > LARGEST_AREA,
        # as a raster, the bands of Lab and its like would be taken for red, green and
        # blue
        f"{bands}, of a kind that photographs have not": refusal and photometric < _LAB,
    }
    # the fifth channel of CMYK is a spot colour or a selection unless it is said to be
    # alpha
    unsaid = -1 if model in ("gray", "RGB", "palette") else 0
    has_alpha = (
        spare == 1 and model != "YCbCr" and _numbers(tags, _EXTRA, unsaid) != [0]
    )
    converted, channels = model in ("CMYK", "LAB"), 1 if model == "gray" else 3
    losses = {
        "a band of unknown meaning is left out": spare and not has_alpha,
        f"{model} converted to RGB{' and rounded to 8 bits' * (depth > 8)}": converted,
        f"values of {bits[0]} bits stretched to 16": (
            depth == 16 and bits[0] < depth and model != "palette"
        ),
        "64-bit floats rounded to 32 bits": bits[0] == 64,
        "position on the map (GeoTIFF) left out": _GEO_KEYS in tags,
    }
    raster = next((reason for reason, found in reasons.items() if found), None)
    if raster is not None and page > 1:
        raise PictureError(
            f"{path}: its first page is a thumbnail; name the full picture: GTIFF_DIR:{page}:{path}"
        )
    notes = [text for text, found in losses.items() if found and refusal is None]
    described = refusal is not None or _ICC in tags or converted
    return Picture(
        path=path,
        format="tif",
        height=height,
        width=width,
        channels=samples[0] if refusal else channels,
        has_alpha=has_alpha,
        bits=bits[0] if refusal else 8 if model in ("CMYK", "palette") else depth,
        frames=1 + sum(not kind & (_REDUCED | _MASK) for kind in pages),
        orientation=orientation,
        raster=raster,
        refusal=refusal,
        metadata=Metadata(
            icc=tags[_ICC].value if _ICC in tags else None,
            colours=None if described else _label(tags, bits[0], channels, notes),
            exif=_exif(stream, tags, layout, notes),
            xmp=tags[_XMP].value if _XMP in tags else None,
            # bytes, whatever type they are said to have
            iptc=layout.turned(tags[_IPTC].value, tags[_IPTC].kind)
            if _IPTC in tags
            else None,
            dpi=_resolution(tags),
        ),
        warnings=tuple(notes),
    )


def read_pixels(picture: Picture, stream: IO[bytes]) -> tuple[Array, Array | None]:
    """Decode a TIFF file, not turned: (H, W, C) and alpha (H, W)."""
    tags, *_, page = _read_tags(stream)
    end = stream.seek(0, os.SEEK_END)
    for (
        at,
        length,
    ) in _PLACES:  # GDAL takes a strip or a tile that is not there for empty
        for place, count in zip(
            _numbers(tags, at), _numbers(tags, length), strict=True
        ):
            if not count or place + count > end:
                raise ValueError("a part of its pixels is missing")
    photometric, *_ = _numbers(tags, _MODEL)
    model, colours = _MODELS[photometric]
    prefix = "GTIFF_RAW:" if model in ("CMYK", "LAB") else ""
    count = colours + picture.has_alpha
    values, bits = _read_stored(picture.path, tags, count, prefix, page)
    dtype = np.uint8 if picture.bits == 8 else np.uint16
    if model == "CMYK" and values.dtype.kind == "f":
        values, bits = to_dtype(np.nan_to_num(values) * 255.0, np.dtype(dtype)), 8
    stored = values if model == "palette" else scaled(values, bits, dtype)
    # GDAL neither inverts gray nor divides by alpha
    pixels, alpha = stored[:, :, :colours], None
    if picture.has_alpha:
        alpha = scaled(values[:, :, colours], bits, dtype)
        premultiplied = _numbers(tags, _EXTRA)[:1] == [_PREMULTIPLIED]
        if premultiplied and model in ("gray", "RGB", "CMYK"):
            pixels = unmultiplied(pixels, alpha)
    if model == "palette":
        palette = _palette(tags)
        pixels = palette[np.minimum(pixels[:, :, 0], len(palette) - 1)]
    elif model in ("CMYK", "LAB"):
        pixels = pillow.to_srgb(pixels, picture.metadata.icc, model)
    elif photometric == _WHITE_IS_0 and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels), alpha


def write(stream: IO[bytes], values: Array, metadata: Metadata) -> None:
    """Write one picture, (H, W, C) of any depth with alpha last; BigTIFF where 4 GB may not do.

    The file is empty, and can be sought in and read.
    """
    vips.encode(
        stream,
        values,
        ".tif",
        compression="deflate",
        level=3,
        predictor="float" if values.dtype.kind == "f" else "horizontal",
        bigtiff=values.nbytes > LARGEST_CLASSIC,
    )
    tags, layout, *_ = _read_tags(stream)
    tags = {tag: entry for tag, entry in tags.items() if tag not in _RESOLUTION}
    parts: dict[int, exif.Tags] = {}
    if metadata.exif is not None:
        block = exif.Block(metadata.exif)
        parts = block.parts
        tags |= {tag: block.main[tag] for tag in block.main.keys() & _DESCRIPTIVE}
    if metadata.dpi is not None:
        for tag, value in zip(_RESOLUTION, metadata.dpi, strict=False):
            ratio = Fraction(min(value, 1e6)).limit_denominator(4000).as_integer_ratio()
            tags[tag] = Entry(5, struct.pack("<II", *ratio))
        tags[_RESOLUTION[2]] = Entry(exif.SHORT, struct.pack("<H", _INCH))
    whole = (_XMP, 1, metadata.xmp), (_ICC, 7, metadata.icc), (_IPTC, 7, metadata.iptc)
    tags |= {tag: Entry(kind, value) for tag, kind, value in whole if value}
    end = stream.seek(0, os.SEEK_END)
    start = end + end % 2
    packed, first = exif.pack(tags, parts, start, layout)
    stream.write(bytes(start - end) + packed)
    stream.seek(0)
    stream.write(layout.start(first))


def _read_tags(stream: IO[bytes]) -> tuple[exif.Tags, Layout, int, int]:
    """Read the first page that is no thumbnail, or the first of all if every page is one.

    Returns:
        Its tags, the layout, the offset of the next page, and its number, from 1.
    """
    layout, first = read_start(stream)
    tags, following = read_directory(stream, first, layout, _NEEDED)
    kinds = [_numbers(tags, _KIND, 0)[0], *_further_pages(stream, following, layout)]
    full = [
        number for number, kind in enumerate(kinds, 1) if not kind & (_REDUCED | _MASK)
    ]
    page = full[0] if full and _SUB_DIRECTORIES not in tags else 1
    for _ in range(page - 1):
        tags, following = read_directory(stream, following, layout, _NEEDED)
    return tags, layout, following, page


def _read_stored(
    path: Path, tags: exif.Tags, count: int, prefix: str, page: int
) -> tuple[Array, int]:
    """Read bands; where that fails, tell pixels that are only not read from those damaged."""
    size = _numbers(tags, _HEIGHT)[0], _numbers(tags, _WIDTH)[0]
    if page > 1:
        prefix += f"GTIFF_DIR:{page}:"
    try:
        return read_bands(path, "GTiff", size, count, prefix)
    except DAMAGE:
        if stored := _unread_compression(tags):
            raise PictureError(
                f"{path}: its pixels are stored as {stored}, which is not read from TIFF; export "
                "it as PNG, or as TIFF with LZW or deflate"
            ) from None
        raise


def _unread_compression(tags: exif.Tags) -> str:
    """Return in what pixels are compressed if few readers know it; empty for usual ways."""
    compression = _numbers(tags, _COMPRESSION, 1)[0]
    bits = _numbers(tags, _BITS, 1)[0]
    if compression == _JPEG and bits > 8:
        return f"JPEG of {bits} bits"
    if compression in _USUAL_COMPRESSIONS:
        return ""
    return _COMPRESSIONS.get(compression, f"compression {compression}")


def _palette(tags: exif.Tags) -> Array:
    """Return the colours of a palette, (N, 3) uint8, N maybe fewer than values have room for."""
    values = np.array(tags[_COLOUR_MAP].numbers)
    if values.max(initial=0) > 255:  # some writers store 8 bits
        values = np.rint(values / 257)
    length = len(values) // 3
    return values[: 3 * length].reshape(3, length).T.astype(np.uint8)


def _numbers(tags: exif.Tags, tag: int, *usual: int) -> list[int]:
    return [*map(int, tags[tag].numbers)] if tag in tags else [*usual]


def _label(
    tags: exif.Tags, bits: int, channels: int, notes: list[str]
) -> labels.ColourLabel | None:
    """Return the colours that TransferFunction, WhitePoint and PrimaryChromaticities describe."""
    found = {
        tag: tags[tag].numbers
        for tag in (_TRANSFER, _WHITE, _PRIMARIES)
        if tag in tags and tags[tag].kind in _NUMBERS
    }
    if not found:
        return None
    white, points = (
        found.get(_WHITE, labels.SRGB[:2]),
        found.get(_PRIMARIES, labels.SRGB[2:]),
    )
    values = np.asarray(found.get(_TRANSFER, ()), np.float64) / 65535
    length = 2 ** (8 if bits <= 8 else 16)
    curves: list[Any] = [_DEFAULT_CURVE]
    if len(values) in (length, 3 * length):
        steps = np.linspace(0, length - 1, min(length, 4096))
        curves = [
            np.interp(steps, range(length), part) for part in values.reshape(-1, length)
        ]
    return labels.from_primaries((*white, *points), curves, channels, notes)


def _further_pages(stream: IO[bytes], at: int, layout: Layout) -> list[int]:
    """Return NewSubfileType of the pages after the first, up to a damaged one."""
    seen: set[int] = set()
    kinds = []
    while at and at not in seen:
        seen.add(at)
        try:
            tags, at = read_directory(stream, at, layout, only=_KIND)
        except ValueError:
            break
        kinds.append(int(tags[_KIND].numbers[0]) if tags else 0)
    return kinds


def _resolution(tags: exif.Tags) -> tuple[float, float] | None:
    across, down, unit = (
        tags[tag].numbers[0] if tag in tags else usual
        for tag, usual in zip(_RESOLUTION, (0, 0, _INCH), strict=True)
    )
    per_inch = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(int(unit), 0)
    return (
        (across * per_inch, down * per_inch)
        if per_inch * min(across, down) > 0
        else None
    )


def _exif(
    stream: IO[bytes], tags: exif.Tags, layout: Layout, notes: list[str]
) -> bytes | None:
    main = {tag: entry for tag, entry in tags.items() if tag in _DESCRIPTIVE}
    found, damaged = exif.read_parts(stream, tags, layout)
    notes += [exif.DAMAGED] * bool(damaged)
    parts = {
        p: {t: one for t, one in part.items() if one.kind < 16}
        for p, part in found.items()
    }
    if not main and not any(parts.values()):
        return None
    own = Layout(layout.order)
    packed, first = exif.pack(main, parts, 8, own)
    return exif.PREFIX + own.start(first) + packed


def unmultiplied(pixels: Array, alpha: Array) -> Array:
    """Divide colours by the alpha that they were stored multiplied by."""
    peak = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
    part = np.where(alpha > 0, alpha, peak)[:, :, None] / peak
    values = pixels / part
    if alpha.dtype.kind == "f":
        return values.astype(alpha.dtype)
    return np.minimum(np.rint(values), peak).astype(alpha.dtype)


def read_bands(
    path: Path, driver: str, size: tuple[int, int], count: int, prefix: str = ""
) -> tuple[Array, int]:
    """Read the first bands of a file with one of GDAL's drivers, as they are stored, not turned.

    The size is (height, width) by the file's header; the prefix ``"GTIFF_RAW:"`` leaves
    CMYK as it is, and ``"GTIFF_DIR:2:"`` takes a page.

    Returns:
        Values (H, W, C), whole numbers or floats, and their bits.
    """
    import rasterio

    name = os.fspath(alias_of_file(path).absolute())
    with rasterio.Env(**_GDAL_OPTIONS):
        with (
            pillow.quiet_pillow()
        ):  # a photograph has no position, of which rasterio warns
            source = rasterio.open(prefix + name, driver=driver)
        with source:
            if source.shape != size or source.count < count:
                raise ValueError(
                    f"{source.count} bands of {source.shape[1]}x{source.shape[0]}"
                )
            values = np.empty((*size, count), source.dtypes[0])
            source.read(list(range(1, count + 1)), out=values.transpose(2, 0, 1))
            bits = source.tags(1, ns="IMAGE_STRUCTURE").get(
                "NBITS", 8 * values.dtype.itemsize
            )
    return values, int(bits)


def scaled(values: Array, bits: int, dtype: type) -> Array:
    """Stretch numbers of 1 to 16 bits over the whole range of a dtype; floats become float32."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    top = np.iinfo(dtype).max
    if values.dtype == dtype and top == 2**bits - 1:
        return values
    levels: Array = np.rint(np.arange(2**bits) * (top / (2**bits - 1))).astype(dtype)
    stretched: Array = levels[np.minimum(values, 2**bits - 1)]
    return stretched
