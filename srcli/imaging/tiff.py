"""Read TIFF files: header and metadata by their tags, pixels by Pillow and GDAL.

Pillow decodes 8 bits in most colours and compressions, GDAL more bits and what Pillow refuses
(Pillow keeps 8 of 16-bit colour, the wheels of libvips know no ZSTD and then give wrong pixels,
tifffile alone no LZW).
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.imaging import exif, gdal, labels, pillow
from srcli.imaging.ifd import Entry, Layout, numbers, read_directory, read_start, write_start
from srcli.imaging.photograph import LARGEST_AREA, Metadata, Picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.imaging.ifd import Read

    Array = NDArray[Any]

# Tags of the main directory.
_KIND, _WIDTH, _HEIGHT, _BITS, _MODEL, _SAMPLES = 254, 256, 257, 258, 262, 277
_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _EXTRA, _SAMPLE_FORMAT = 282, 283, 296, 338, 339
_STRUCTURE = frozenset({256, 257, 258, 262, exif.ORIENTATION, 277, 282, 283, 296, 338, 339})
_LARGEST_VALUE = 2**26  # bytes of a tag
_COMPRESSION, _OLD_JPEG, _JPEG, _WEBP = 259, 6, 7, 50001
_PLANES, _SEPARATE = 284, 2
_YCBCR, _LAB = 6, 8
_PLACES = ((273, 279), (324, 325))  # offsets and lengths of strips, and of tiles
_PIXELS = frozenset({258, 277, 320, 338, 339, *chain(*_PLACES)})
"""Tags without whose values pixels come out wrong."""
_XMP, _IPTC, _ICC, _GEO_KEYS = 700, 33723, 34675, 34735
_TRANSFER, _WHITE, _PRIMARIES = 301, 318, 319
_NUMBERS = (3, 4, 5)  # whole numbers and fractions, as types of entries
_DEFAULT_CURVE = (2.2,)  # of TIFF 6.0, where primaries are told without a transfer function
_PREMULTIPLIED = 1  # a value of ExtraSamples
DESCRIPTIVE = frozenset(
    {270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095}
)
"""Tags that describe the photograph (title, camera, author ...), not how it is stored."""
# Pixel sizes, and a pointer to a further directory.
_NOT_CARRIED = frozenset({0xA002, 0xA003, 0xA005})
_RASTER_TAGS = {
    33550: "a place on the map (GeoTIFF)",
    33922: "a place on the map (GeoTIFF)",
    34264: "a place on the map (GeoTIFF)",
    34735: "a coordinate system (GeoTIFF)",
    50844: "a sensor model (RPC)",
    42112: "GDAL's tags",
    42113: "a nodata value",
}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MOST_PAGES_TO_A_MASK = 32  # it stands among the overviews of the first picture
# Photometric interpretation: a word for it and its number of colours.
_MODELS = {
    0: ("gray", 1),
    1: ("gray", 1),
    2: ("RGB", 3),
    3: ("palette", 1),
    5: ("CMYK", 4),
    6: ("YCbCr", 3),
    8: ("LAB", 3),
}
# Sample format and bits per value: bits of the photograph.
_DEPTHS = {(1, bits): 8 if bits <= 8 else 16 for bits in range(1, 17)} | {
    (3, 16): 32, (3, 32): 32, (3, 64): 32,
}  # fmt: skip


def read_header(path: Path, stream: IO[bytes]) -> Picture:
    """Read the layout and the metadata of a TIFF file's first page.

    Returns:
        The picture; with a ``refusal`` if its layout is not that of a photograph.

    Raises:
        ValueError: If the file is damaged.
    """
    read = partial(_read_at, stream)
    layout, first = read_start(read(0, 16))
    entries, following = read_directory(read, first, layout, _PIXELS)
    tags = {entry.tag: entry for entry in entries}
    values = {tag: numbers(tags[tag], layout) for tag in _STRUCTURE & tags.keys()}
    pages = _further_pages(read, following, layout)
    picture = Picture(
        path=path,
        format="tif",
        height=int(values.get(_HEIGHT, [0])[0]),
        width=int(values.get(_WIDTH, [0])[0]),
        channels=int(values.get(_SAMPLES, [1])[0]),
        bits=int(values.get(_BITS, [1])[0]),
        frames=1 + sum(not kind & (_REDUCED | _MASK) for kind in pages),
        orientation=int(values.get(exif.ORIENTATION, [0])[0]),
    )
    raster = next((reason for tag, reason in _RASTER_TAGS.items() if tag in tags), None)
    if raster is None and any(kind & _MASK for kind in pages[:_MOST_PAGES_TO_A_MASK]):
        raster = "a mask of valid pixels"
    if raster is None and values.get(_SAMPLE_FORMAT, [1])[0] == 3 and picture.bits == 64:
        raster = "64-bit floats"
    if raster is None and picture.height * picture.width > LARGEST_AREA:
        raster = "more pixels than a photograph"
    try:
        picture = _as_photograph(picture, {tag: list(map(int, v)) for tag, v in values.items()})
    except PictureError as error:
        bands = f"{picture.channels} band(s) of {picture.bits} bits"
        if values.get(_MODEL) != [_LAB]:  # whose bands would be taken for red, green and blue
            raster = raster or f"{bands}, of a kind that photographs have not"
        return replace(picture, raster=raster, refusal=str(error))
    lost = {_IPTC: "IPTC captions", _GEO_KEYS: "position on the map (GeoTIFF)"}
    notes = [f"{what} left out" for tag, what in lost.items() if tag in tags]
    metadata = Metadata(
        icc=tags[_ICC].value if _ICC in tags else None,
        colours=_label(tags, layout, picture, notes) if _ICC not in tags else None,
        exif=_exif(read, tags, layout),
        xmp=tags[_XMP].value if _XMP in tags else None,
        dpi=_resolution(values),
    )
    return replace(picture, metadata=metadata, raster=raster, warnings=(*picture.warnings, *notes))


def read_pixels(picture: Picture, stream: IO[bytes]) -> tuple[Array, Array | None, int]:
    """Decode a TIFF file.

    Args:
        picture: Its header, without a ``refusal``.
        stream: The file.

    Returns:
        Pixels (H, W, C), alpha (H, W) or None, and the orientation that is still to be applied.

    Raises:
        PictureError: If rasterio is needed and missing.
        OSError: If the data are damaged or end early; SyntaxError and ValueError as well.
    """
    tags = _structure(stream)
    if picture.bits > 8 or _is_for_gdal(tags):
        return read_by_gdal(picture, stream)
    if tags.get(_COMPRESSION) in ([_OLD_JPEG], [_JPEG]):  # whose decoder fills up what is missing
        _check_places(stream, tags)
    stream.seek(0)
    image, _ = pillow.open_image("tif", stream)
    with pillow.quiet_pillow():
        stored = image.getexif().get(exif.ORIENTATION, 1)
    pixels, alpha = pillow.pixels_of(image, picture.metadata.icc)
    if picture.has_alpha and alpha is None:
        raise ValueError("transparency of a kind that Pillow does not read")
    # Pillow turns TIFF pictures upright by itself, and only TIFF, unless the tag is of another type
    orientation = 1 if isinstance(stored, int) else picture.orientation
    return pixels, alpha if picture.has_alpha else None, orientation


def read_by_gdal(picture: Picture, stream: IO[bytes]) -> tuple[Array, Array | None, int]:
    """Decode a TIFF file of any depth and colours with GDAL; as ``read_pixels``."""
    tags = _structure(stream)
    model, colours = _MODELS[tags[_MODEL][0]]
    if picture.bits == 8:
        _check_places(stream, tags)
    if model == "YCbCr" and tags.get(_COMPRESSION) != [_JPEG]:
        raise ValueError("GDAL does not convert its YCbCr colours")
    size = tags[_HEIGHT][0], tags[_WIDTH][0]
    raw = "GTIFF_RAW:" if model == "CMYK" else ""
    bands = gdal.read_bands(picture.path, "GTiff", size, colours + picture.has_alpha, raw)
    dtype = np.uint8 if picture.bits == 8 else np.uint16
    stored = bands.values if model == "palette" else gdal.scaled(bands.values, bands.bits, dtype)
    # GDAL neither inverts gray nor divides by alpha
    pixels, alpha = stored[:, :, :colours], None
    if picture.has_alpha:
        alpha = gdal.scaled(bands.values[:, :, colours], bands.bits, dtype)
        if picture.premultiplied and model in ("gray", "RGB", "CMYK"):
            pixels = unmultiplied(pixels, alpha)
    if model == "palette":
        pixels = bands.palette[np.minimum(pixels[:, :, 0], len(bands.palette) - 1)]
    elif model in ("CMYK", "LAB"):
        pixels = pillow.raw_to_srgb(pixels, model, picture.metadata.icc)
    elif bands.inverted and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels), alpha, picture.orientation


def _structure(stream: IO[bytes]) -> dict[int, list[int]]:
    """Return the whole numbers of the first page's tags that tell how its pixels are stored."""
    read = partial(_read_at, stream)
    layout, first = read_start(read(0, 16))
    entries, _ = read_directory(read, first, layout)
    wanted = {*_STRUCTURE, _COMPRESSION, _PLANES, *chain(*_PLACES)}
    return {one.tag: [*map(int, numbers(one, layout))] for one in entries if one.tag in wanted}


def _is_for_gdal(tags: dict[int, list[int]]) -> bool:
    """Tell if Pillow misreads the file: it mixes planes up, and knows no WebP in TIFF."""
    planar = tags.get(_PLANES) == [_SEPARATE] and tags.get(_SAMPLES, [1])[0] > 1
    return (planar and tags.get(_MODEL) != [_YCBCR]) or tags.get(_COMPRESSION) == [_WEBP]


def _check_places(stream: IO[bytes], tags: dict[int, list[int]]) -> None:
    """Refuse a file that lacks a strip or a tile, which GDAL would take for empty.

    Raises:
        LookupError: If there are no lengths; ValueError if one is 0, or ends after the file.
    """
    end = stream.seek(0, os.SEEK_END)
    parts = chain(
        *(zip(tags[at], tags[length], strict=True) for at, length in _PLACES if at in tags)
    )
    if any(not length or at + length > end for at, length in parts):
        raise ValueError("a part of its pixels is missing")


def _read_at(stream: IO[bytes], at: int, length: int) -> bytes:
    stream.seek(at)
    return stream.read(min(length, _LARGEST_VALUE))  # a few bytes can claim any length


def _as_photograph(picture: Picture, values: dict[int, list[int]]) -> Picture:
    """Return the picture with channels, depth and losses as ``read_pixels`` gives them.

    Raises:
        PictureError: If the layout is not that of a photograph.
    """
    path, samples = picture.path, picture.channels
    bits, formats = values.get(_BITS, [1]), values.get(_SAMPLE_FORMAT, [1])
    photometric = values.get(_MODEL, [-1])[0]
    model, colours = _MODELS.get(photometric, ("", 0))
    # format 4 is "undefined", which is taken as a whole number
    depths = {_DEPTHS.get((1 if kind == 4 else kind, bits[0]), 0) for kind in formats}
    spare = samples - colours
    advice = (
        f"({samples} band(s) of {bits[0]} bits, sample format {formats[0]}, photometric "
        f"{photometric}); convert it to gray or RGB of 8 or 16 bits"
    )
    if not model or spare < 0 or (spare > 1 and model != "CMYK"):
        raise PictureError(f"{path}: this TIFF has bands of unknown meaning {advice}")
    depth = depths.pop()
    if depths or not depth or len(set(bits)) > 1:
        raise PictureError(
            f"{path}: this TIFF has values of a kind that srx does not read {advice}"
        )
    if depth > 8 and model not in ("gray", "RGB", "CMYK"):
        raise PictureError(f"{path}: this TIFF has {model} colours in over 8 bits {advice}")
    # the fifth channel of CMYK is a spot colour or a selection unless it is said to be alpha
    unsaid = [] if model in ("gray", "RGB", "palette") else [0]
    has_alpha = spare == 1 and model != "YCbCr" and values.get(_EXTRA, unsaid) != [0]
    notes = []
    if spare and not has_alpha:
        notes.append("a band of unknown meaning is left out")
    if model in ("CMYK", "LAB"):
        notes.append(f"{model} converted to RGB{' and rounded to 8 bits' * (depth > 8)}")
    if depth == 16 and bits[0] < depth:
        notes.append(f"values of {bits[0]} bits stretched to 16")
    if bits[0] == 64:
        notes.append("64-bit floats rounded to 32 bits")
    return replace(
        picture,
        channels=1 if model == "gray" else 3,
        has_alpha=has_alpha,
        premultiplied=values.get(_EXTRA, [])[:1] == [_PREMULTIPLIED],
        bits=8 if model == "CMYK" else depth,
        warnings=tuple(notes),
    )


def _label(
    tags: dict[int, Entry], layout: Layout, picture: Picture, notes: list[str]
) -> labels.ColourLabel | None:
    """Return the colours that TransferFunction, WhitePoint and PrimaryChromaticities describe."""
    found = {
        tag: numbers(tags[tag], layout)
        for tag in (_TRANSFER, _WHITE, _PRIMARIES)
        if tag in tags and tags[tag].kind in _NUMBERS
    }
    if not found or any("converted" in note for note in picture.warnings):
        return None
    white, points = found.get(_WHITE, labels.SRGB[:2]), found.get(_PRIMARIES, labels.SRGB[2:])
    values = np.asarray(found.get(_TRANSFER, ()), np.float64) / 65535
    length = 2 ** min(picture.bits, 16)
    curves: list[Any] = [_DEFAULT_CURVE]
    if len(values) in (length, 3 * length):
        steps = np.linspace(0, length - 1, min(length, 4096))
        curves = [np.interp(steps, range(length), part) for part in values.reshape(-1, length)]
    return labels.from_primaries((*white, *points), curves, picture.channels, notes)


def _further_pages(read: Read, at: int, layout: Layout) -> list[int]:
    """Return NewSubfileType of the pages after the first, up to a damaged one."""
    seen: set[int] = set()
    kinds = []
    while at and at not in seen:
        seen.add(at)
        try:
            entries, at = read_directory(read, at, layout)
        except ValueError:
            break
        found = [numbers(entry, layout)[0] for entry in entries if entry.tag == _KIND]
        kinds.append(int(found[0]) if found else 0)
    return kinds


def _resolution(values: dict[int, list[float]]) -> tuple[float, float] | None:
    per_inch = {2: 1.0, 3: 2.54}.get(int(values.get(_UNIT, [2])[0]))
    across, down = values.get(_X_RESOLUTION, [0.0])[0], values.get(_Y_RESOLUTION, [0.0])[0]
    if per_inch is None or across <= 0 or down <= 0:
        return None
    return across * per_inch, down * per_inch


def _exif(read: Read, tags: dict[int, Entry], layout: Layout) -> bytes | None:
    main = [entry for tag, entry in tags.items() if tag in DESCRIPTIVE]
    parts: dict[int, list[Entry]] = {}
    for tag in {exif.EXIF_IFD, exif.GPS_IFD} & tags.keys():
        try:
            entries, _ = read_directory(read, int(numbers(tags[tag], layout)[0]), layout)
        except ValueError:
            return b""  # told as damaged EXIF
        parts[tag] = [one for one in entries if one.tag not in _NOT_CARRIED and one.kind < 16]
    if not main and not any(parts.values()):
        return None
    own = Layout(layout.order)
    return exif.PREFIX + write_start(own, 8) + exif.pack(main, parts, 8, own)


def unmultiplied(pixels: Array, alpha: Array) -> Array:
    """Divide colours by the alpha that they were stored multiplied by."""
    peak = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
    part = np.where(alpha > 0, alpha, peak)[:, :, None] / peak
    values = pixels / part
    if alpha.dtype.kind == "f":
        return values.astype(alpha.dtype)
    return np.minimum(np.rint(values), peak).astype(alpha.dtype)
