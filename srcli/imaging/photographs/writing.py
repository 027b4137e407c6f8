"""Write photographs in any format, and other files of pictures, whole or not at all."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import numpy as np
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.files import (
    NEW_FILE,
    FileAttributes,
    explain_os_error,
    remove_stale,
    replacing,
)
from srcli.imaging.files.decoding import DAMAGE
from srcli.imaging.files.formats import FORMATS, Format
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.by_format import dress_metadata, metadata_segments
from srcli.imaging.metadata.embedded import EXIF_PREFIX, Metadata
from srcli.imaging.photographs import pillow, png, tiff_writing, vips
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.pixels.arrays import Array, empty_array, release, strips
from srcli.imaging.pixels.resize import to_dtype, white_level
from srcli.imaging.pixels.values import GRAY_SHARES

LOSSLESS_QUALITY = 100
"""Quality of a WebP that is stored without loss."""
_LOSSLESS_EFFORT = 50
"""What libwebp takes for quality is its effort then: 100 takes 2.4 times as long for 0.1 %."""
GIF_EFFORT = 4
"""Of 1 to 10: 7, the usual, takes 2.6 times as long for 7 % fewer bytes and 0.7 dB; 1 takes four
fifths of the time, loses 2.2 dB, and makes drawings larger."""
_DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}


def check_writable(
    fmt: str, height: int, width: int, *, has_alpha: bool, bits: int
) -> tuple[str, ...]:
    """Check that a format can hold a picture; return what is lost, in words for the user."""
    target = FORMATS[fmt]
    limit = ""
    if max(height, width) > target.largest_side:
        limit = f"{target.largest_side:,} pixels a side"
    elif height * width > target.largest_area:
        limit = f"{target.largest_area:,} pixels"
    if limit:
        raise PictureError(
            f"{fmt} holds at most {limit}, not {width}x{height}; take --format png or tif"
        )
    losses = []
    if has_alpha and not target.alpha:
        losses.append(f"{fmt} has no transparency: the picture is put on white")
    if fmt == "gif":
        losses.append("gif holds 256 colours a frame: --format webp or png keep all")
    most = max(target.bits)
    if bits == 32 and most < 32:
        losses.append(
            f"{fmt} holds no floats: values are cut to 0..1 and rounded to {most} bits"
        )
    elif bits > most:
        losses.append(f"{fmt} holds {most} bits: {bits}-bit values are rounded")
    return tuple(losses)


def write_photograph(
    path: Path,
    photograph: Photograph,
    *,
    fmt: str,
    quality: int | None = None,
    attributes: FileAttributes = NEW_FILE,
    bilevel: bool = False,
) -> None:
    """Write a photograph; an existing file is replaced once the new one is complete.

    The format is a key of ``FORMATS``, whatever the name's suffix says; the quality 1
    to 100 for jpg, webp (100 is lossless) and avif, the format's own by default.
    ``bilevel`` TIFFs are black and white.
    """
    # its limits; what is lost is told before
    check_writable(fmt, *photograph.pixels.shape[:2], has_alpha=False, bits=8)
    values, metadata = _convert_values(photograph, FORMATS[fmt], path.parent)
    if bilevel:
        values = _to_bilevel(values)
        metadata = replace(metadata, icc=None)  # that of colours, or of grays
    with new_file(path, attributes) as stream:
        encode_photograph(stream, values, metadata, fmt, quality)


def _convert_values(
    photograph: Photograph, target: Format, folder: Path
) -> tuple[Array, Metadata]:
    """Convert to the values that a format holds, (H, W, C) with alpha last.

    What is large, and no longer the photograph's, lies in the folder.
    """
    pixels = photograph.pixels
    alpha = photograph.alpha
    dtype = np.dtype(_DTYPES[min(pixels.dtype.itemsize * 8, max(target.bits))])
    metadata, _ = dress_metadata(photograph.metadata, target.name)
    height, width, channels = pixels.shape
    loses_profile = metadata.icc is not None and "icc" not in target.metadata
    to_srgb = None
    if loses_profile or (channels == 1 and not target.gray):
        to_srgb = partial(pillow.to_srgb, icc=metadata.icc)
        metadata = replace(metadata, icc=None)
    if not target.gray:
        channels = 3
    if pixels.dtype == dtype and to_srgb is None and alpha is None:
        return pixels, metadata
    keeps_alpha = alpha is not None and target.alpha
    values = empty_array((height, width, channels + keeps_alpha), dtype, folder)
    for rows in strips(values):
        colours = _to_dtype(pixels[rows], dtype)
        release(pixels)
        if to_srgb is not None:
            colours = to_srgb(colours)[:, :, :channels]
        if alpha is not None:
            opacity = _to_dtype(alpha[rows], dtype)
            release(alpha)
            if keeps_alpha:
                values[rows, :, -1] = opacity
            else:
                colours = put_on_white(colours, opacity)
        values[rows, :, :channels] = colours
    return values, metadata


def _to_bilevel(values: Array) -> Array:
    """Return where (H, W, C), alpha last, is white: (H, W, 1) bool, by half of the gray levels."""
    height, width, channels = values.shape
    is_white = np.empty((height, width, 1), np.bool_)
    for rows in strips(values):
        colours = values[rows]
        if channels in (2, 4):
            colours = put_on_white(colours[:, :, :-1], colours[:, :, -1])
        gray = colours[:, :, 0]
        if colours.shape[2] == 3:
            gray = colours @ np.array(GRAY_SHARES)
        is_white[rows, :, 0] = gray >= white_level(values.dtype) / 2
    return is_white


def put_on_white(pixels: Array, alpha: Array) -> Array:
    """Return pixels (H, W, C) as they look on white, by their alpha (H, W)."""
    peak = white_level(pixels.dtype)
    share = alpha[:, :, None] / peak
    return to_dtype(pixels * share + peak * (1 - share), pixels.dtype)


def _to_dtype(values: Array, dtype: np.dtype[Any]) -> Array:
    """Convert pixels or alpha to another depth; floats are in [0, 1]."""
    if values.dtype == dtype:
        return values
    floats = values.astype(np.float64) / white_level(values.dtype)
    floats = np.nan_to_num(floats, posinf=1.0, neginf=0.0)
    return to_dtype(floats * white_level(dtype), dtype)


def encode_photograph(
    stream: IO[bytes],
    values: Array,
    metadata: Metadata,
    fmt: str,
    quality: int | None,
    **pillow_options: object,
) -> None:
    """Write one picture; ``pillow_options`` are options of Pillow's."""
    if fmt == "gif":
        vips.encode_by_libvips(stream, values, ".gif", effort=GIF_EFFORT)
        return
    if fmt == "png":
        png.write(stream, values, metadata)
        return
    if fmt == "tif":
        tiff_writing.write(stream, values, metadata)
        return
    if fmt == "bmp":
        _write_bmp(stream, values, metadata.dpi)
        return
    quality = quality or FORMATS[fmt].default_quality or LOSSLESS_QUALITY
    if fmt == "jpg":
        vips.encode_by_libvips(
            stream,
            values,
            ".jpg",
            lambda head: head[:2] + metadata_segments(metadata) + head[2:],
            Q=quality,
            subsample_mode="off",
        )
        return
    _encode_by_pillow(stream, values, metadata, fmt, quality, **pillow_options)


def _encode_by_pillow(
    stream: IO[bytes],
    values: Array,
    metadata: Metadata,
    fmt: str,
    quality: int,
    **pillow_options: object,
) -> None:
    """Write a WebP or AVIF file."""
    options: dict[str, Any] = {}
    for name in FORMATS[fmt].metadata:
        block = getattr(metadata, name)
        if block is not None:
            options["icc_profile" if name == "icc" else name] = block
    if fmt == "avif":
        options |= {"quality": quality, "subsampling": "4:4:4"}
        if metadata.exif:
            # else Pillow packs it anew, which moves or breaks makers' notes
            options["exif"] = exif.read_exif(metadata.exif).edited(
                {Base.Orientation: None}
            )
    if fmt == "webp":
        # exact: keep the colours of transparent pixels
        is_lossless = quality == LOSSLESS_QUALITY
        options |= {
            "quality": _LOSSLESS_EFFORT if is_lossless else quality,
            "exact": True,
            "lossless": is_lossless,
        }
        # which Pillow takes off of still pictures alone
        options["exif"] = (metadata.exif or b"").removeprefix(EXIF_PREFIX)
    # without a descriptor Pillow calls ``write``, whose errors tell their reason
    image = pillow.to_image(values)
    file = cast("IO[bytes]", SimpleNamespace(write=stream.write))
    if metadata.colours is None or metadata.colours.cicp is None:
        image.save(file, fmt, **options, **pillow_options)
        return
    encoded = io.BytesIO()
    image.save(encoded, "AVIF", **options)
    # the encoder's primaries and transfer function give way to those of the picture
    head, mark, tail = encoded.getvalue().partition(b"colrnclx")
    points = struct.pack(">HH", *metadata.colours.cicp[:2])
    stream.writelines((head, mark, points, tail[4:]))


_BMP_FILE_HEADER = 14
_BMP_HEADER = 40
_INCHES_PER_METRE = 39.3701
_USUAL_DPI = (96.0, 96.0)
_LARGEST_DPI = 2**16 - 1
"""A file's resolution beyond it is taken for a mistake."""


def _write_bmp(
    stream: IO[bytes], values: Array, dpi: tuple[float, float] | None
) -> None:
    """Write a BMP into an empty file row by row: (H, W, C) uint8, gray or RGB.

    Pillow would hold four bytes for each pixel of a picture.
    """
    height, width, channels = values.shape
    palette = b""
    if channels == 1:
        palette = b"".join(
            struct.pack("4B", gray, gray, gray, 0) for gray in range(256)
        )
    colour_count = len(palette) // 4
    stride = -(-width * channels // 4) * 4
    start = _BMP_FILE_HEADER + _BMP_HEADER + len(palette)
    stream.write(b"BM" + struct.pack("<III", start + stride * height, 0, start))
    if dpi is None or max(dpi) > _LARGEST_DPI:
        dpi = _USUAL_DPI
    per_metre = [int(side * _INCHES_PER_METRE + 0.5) for side in dpi]
    stream.write(
        struct.pack(
            "<IiiHHIIiiII",
            _BMP_HEADER,
            width,
            height,
            1,  # planes
            8 * channels,
            0,  # no compression
            stride * height,
            *per_metre,
            colour_count,
            colour_count,
        )
    )
    stream.write(palette)
    upside_down = values[::-1, :, ::-1]  # from the bottom up, and blue first
    for rows in strips(upside_down):
        count = rows.stop - rows.start
        lines = np.zeros((count, stride), np.uint8)
        lines[:, : width * channels] = upside_down[rows].reshape(count, -1)
        stream.write(lines.data)


@contextmanager
def new_file(path: Path, attributes: FileAttributes) -> Iterator[IO[bytes]]:
    """Replace a file by what the block writes; a PictureError names it where that fails."""
    try:
        with replacing(path, attributes) as stream:
            yield stream
        remove_stale(path)
    except OSError as error:
        raise PictureError(explain_os_error(path, error)) from error
    except DAMAGE as error:
        raise PictureError(
            f"{path}: cannot be written ({error}); take another format"
        ) from error
