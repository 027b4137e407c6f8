"""Read TIFF files: layout and metadata here, pixels with Pillow or, beyond 8 bits, with GDAL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.imaging import exif, generic
from srcli.imaging.header import Header
from srcli.imaging.ifd import Entry, Layout, numbers, read_directory, read_start
from srcli.imaging.opening import calm, open_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

# Tags of the main directory.
_KIND, _WIDTH, _HEIGHT, _BITS, _MODEL, _SAMPLES = 254, 256, 257, 258, 262, 277
_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _EXTRA, _SAMPLE_FORMAT = 282, 283, 296, 338, 339
_XMP, _IPTC, _ICC, _GEO_KEYS = 700, 33723, 34675, 34735
DESCRIPTIVE = frozenset(
    {270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095}
)
"""Tags that tell about the photograph (title, camera, author ...), not about how it is stored."""
# Pixel sizes, and a pointer to a further directory.
_NOT_CARRIED = frozenset({0xA002, 0xA003, 0xA005})

_WHITE_IS_ZERO = 0
_PREMULTIPLIED = 1  # a value of ExtraSamples
_REDUCED_OR_MASK = 5  # bits of NewSubfileType
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
_DEPTHS = {(1, bits): 8 for bits in range(1, 9)} | {
    (1, 16): 16, (3, 16): 32, (3, 32): 32, (3, 64): 32,
}  # fmt: skip


@dataclass(kw_only=True)
class TiffHeader(Header):
    """A TIFF file's header with what decoding it needs."""

    model: str
    """The word of ``_MODELS``."""
    white_is_zero: bool
    premultiplied: bool
    by_gdal: bool
    """Over 8 bits, of which Pillow would keep 8."""


def read_header(path: Path, stream: IO[bytes]) -> TiffHeader:
    """Read the layout and the metadata of a TIFF file's first page.

    Args:
        path: For messages.
        stream: The file.

    Raises:
        PictureError: If the layout is not that of a photograph.
        ValueError: If the file is damaged.
    """

    def read(at: int, length: int) -> bytes:
        stream.seek(at)
        return stream.read(length)

    layout, first = read_start(read(0, 16))
    entries, following = read_directory(read, first, layout)
    tags = {entry.tag: entry for entry in entries}
    values = {tag: numbers(entry, layout) for tag, entry in tags.items() if entry.count <= 64}
    header = _layout(path, {tag: [int(v) for v in value] for tag, value in values.items()})
    header.frames += _further_pages(read, following, layout)
    header.icc = tags[_ICC].value if _ICC in tags else None
    header.xmp = tags[_XMP].value if _XMP in tags else None
    header.dpi = _dpi(values)
    header.exif = _exif(read, tags, layout)
    if _IPTC in tags:
        header.notes.append("IPTC captions left out")
    if _GEO_KEYS in tags:
        header.notes.append("position on the map (GeoTIFF) left out")
    stream.seek(0)
    return header


def read_pixels(
    path: Path, stream: IO[bytes], header: TiffHeader
) -> tuple[Array, Array | None, int]:
    """Decode the pixels of a TIFF file.

    Args:
        path: The file.
        stream: The same file, opened.
        header: What ``read_header`` gave.

    Returns:
        Pixels (H, W, C), alpha (H, W) or None, and the orientation that is still to be applied.

    Raises:
        PictureError: If rasterio is needed and missing.
        OSError: If the data are damaged or end early.
    """
    if header.by_gdal:
        return *_deep_pixels(path, header), header.orientation
    try:
        image, _ = open_image("tif", stream)
    except SyntaxError:
        raise PictureError(
            f"{path}: a TIFF of a layout that is not known ({header.model}); convert it to RGB"
        ) from None
    pixels, alpha = generic.pixels_of(image, header.icc)
    # Pillow turns TIFF pictures upright by itself, and only TIFF
    return pixels, alpha if header.has_alpha else None, 1


def _layout(path: Path, values: dict[int, list[int]]) -> TiffHeader:
    samples, bits = values.get(_SAMPLES, [1])[0], values.get(_BITS, [1])
    formats, extra = values.get(_SAMPLE_FORMAT, [1]), values.get(_EXTRA, [])
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
    header = TiffHeader(
        format="tif",
        height=values.get(_HEIGHT, [0])[0],
        width=values.get(_WIDTH, [0])[0],
        channels=1 if model == "gray" else 3,
        has_alpha=spare == 1 and model in ("gray", "RGB", "palette") and extra != [0],
        bits=8 if model == "CMYK" else depth,
        orientation=values.get(exif.ORIENTATION, [0])[0],
        model=model,
        white_is_zero=photometric == _WHITE_IS_ZERO,
        premultiplied=extra[:1] == [_PREMULTIPLIED],
        by_gdal=depth > 8 and model != "CMYK",
    )
    if spare and not header.has_alpha:
        header.notes.append("a band of unknown meaning is left out")
    if model in ("CMYK", "LAB"):
        header.notes.append(f"{model} converted to RGB{' and rounded to 8 bits' * (depth > 8)}")
    if bits[0] == 64:
        header.notes.append("64-bit floats rounded to 32 bits")
    return header


def _further_pages(read: Callable[[int, int], bytes], at: int, layout: Layout) -> int:
    """Number of further pages that are pictures of their own, not overviews or masks."""
    seen: set[int] = set()
    pages = 0
    while at and at not in seen:
        seen.add(at)
        try:
            entries, at = read_directory(read, at, layout)
        except ValueError:
            break
        kinds = [int(numbers(entry, layout)[0]) for entry in entries if entry.tag == _KIND]
        pages += not (kinds and kinds[0] & _REDUCED_OR_MASK)
    return pages


def _dpi(values: dict[int, list[float]]) -> tuple[float, float] | None:
    per_inch = {2: 1.0, 3: 2.54}.get(int(values.get(_UNIT, [2])[0]))
    across, down = values.get(_X_RESOLUTION, [0.0])[0], values.get(_Y_RESOLUTION, [0.0])[0]
    if per_inch is None or across <= 0 or down <= 0:
        return None
    return across * per_inch, down * per_inch


def _exif(
    read: Callable[[int, int], bytes], tags: dict[int, Entry], layout: Layout
) -> bytes | None:
    main = [entry for tag, entry in tags.items() if tag in DESCRIPTIVE]
    parts: dict[int, list[Entry]] = {}
    for tag in (exif.EXIF_IFD, exif.GPS_IFD):
        if tag in tags:
            entries, _ = read_directory(read, int(numbers(tags[tag], layout)[0]), layout)
            parts[tag] = [one for one in entries if one.tag not in _NOT_CARRIED and one.kind < 16]
    if not main and not any(parts.values()):
        return None
    return exif.build(main, parts, layout.order)


def _deep_pixels(path: Path, header: TiffHeader) -> tuple[Array, Array | None]:
    try:
        import rasterio
    except ImportError:
        raise PictureError(
            f"{path}: reading a TIFF of {header.bits} bits needs rasterio; "
            "install it, or convert the file to PNG"
        ) from None
    # no look at files that happen to lie beside this one
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
    with rasterio.Env(**options):
        with calm():  # a photograph has no position on the map, of which rasterio warns
            source = rasterio.open(os.fspath(path.absolute()), driver="GTiff")
        with source:
            bands = source.read(list(range(1, header.channels + header.has_alpha + 1)))
    if bands.shape[1:] != (header.height, header.width):
        raise ValueError("its size is stated twice, differently")
    values: Array = np.ascontiguousarray(np.moveaxis(bands, 0, 2))
    if values.dtype.kind == "f":
        values = values.astype(np.float32, copy=False)
    pixels = values[:, :, : header.channels]
    alpha = values[:, :, -1].copy() if header.has_alpha else None
    if header.white_is_zero and values.dtype == np.uint16:
        pixels = np.uint16(65535) - pixels
    if alpha is not None:
        pixels = _unmultiplied(pixels, alpha) if header.premultiplied else pixels.copy()
    return pixels, alpha


def _unmultiplied(pixels: Array, alpha: Array) -> Array:
    """Colours of pixels that were stored multiplied by their alpha."""
    peak = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
    part = np.where(alpha > 0, alpha, peak)[:, :, None] / peak
    values = pixels / part
    if alpha.dtype.kind == "f":
        return values.astype(alpha.dtype)
    return np.minimum(np.rint(values), peak).astype(alpha.dtype)
