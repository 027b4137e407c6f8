"""Write a photograph in any format, or an animation (GIF, WebP, APNG) of raw pixels, atomically."""

from __future__ import annotations

import io
import logging
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.files import (
    NEW_FILE,
    FileAttributes,
)
from srcli.imaging import bmp, pillow, png, tiff_writing, vips
from srcli.imaging.arrays import Array, empty_array, release, strips
from srcli.imaging.formats import FORMATS, Format
from srcli.imaging.metadata import exif, imagej
from srcli.imaging.metadata.colour_spaces import hdr_of, profile_fits
from srcli.imaging.metadata.embedded import ColourSpace, Metadata
from srcli.imaging.metadata.texts import XMP_PREFIX, texts_outside_png
from srcli.imaging.new_files import new_file
from srcli.imaging.photograph import Photograph, Picture
from srcli.imaging.resize import to_dtype, white_level
from srcli.imaging.tiff_directories import Entry

log = logging.getLogger(__name__)

LOSSLESS_QUALITY = 100
"""Quality of a WebP that is stored without loss."""
_LOSSLESS_EFFORT = 50
"""What libwebp takes for quality is its effort then: 100 takes 2.4 times as long for 0.1 %."""
_GIF_EFFORT = 4
"""Of 1 to 10: 7, the usual, takes 2.6 times as long for 7 % fewer bytes and 0.7 dB; 1 takes four
fifths of the time, loses 2.2 dB, and makes drawings larger."""
_DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}
USUAL_DURATION = 100  # milliseconds, of programs that are left to choose one
_LARGEST_DPI = 2**16 - 1  # that a field of JPEG holds
# Bytes of a segment of JPEG, less the prefixes of EXIF, XMP, IPTC and profiles.
_JPEG_LIMITS = {"exif": 65_533, "xmp": 65_533 - len(XMP_PREFIX), "iptc": 65_533 - 27}
_ICC_BYTES = 65_533 - 14


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


def lost_metadata(fmt: str, metadata: Metadata) -> tuple[str, ...]:
    """Name the metadata of a picture that a format cannot hold, and what becomes of colours."""
    words = {"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC captions", "dpi": "resolution"}
    target = FORMATS[fmt]
    lost = []
    for name, text in words.items():
        if getattr(metadata, name) and name not in target.metadata:
            lost.append(text)
    notes = []
    if lost:
        notes.append(f"{fmt} holds no {' or '.join(lost)}: left out")
    profile = metadata.profile
    colour_space = metadata.colours
    hdr = hdr_of(colour_space, metadata.icc)
    loses_hdr = hdr is not None and not _holds_colour_space(fmt, colour_space)
    flattened = f"HDR ({hdr}) becomes SDR, bright parts are compressed"
    if "icc" not in target.metadata and profile is not None:
        change = flattened if hdr else "colours become sRGB"
        notes.append(f"{fmt} holds no colour profile: {change}")
    elif loses_hdr and not target.gray and profile_fits(profile or b"", 1):
        notes.append(f"{fmt} holds no gray: {flattened}")
    elif loses_hdr and colour_space is not None:
        notes.append(
            f"HDR ({hdr}) is kept only as a colour profile in {fmt}: programs that do not know its "
            "cicp tag show SDR, with bright parts compressed; png and avif keep it as it is"
        )
    if fmt != "tif" and _has_imagej_tables(metadata):
        notes.append("tables, ranges and labels of ImageJ left out (tif keeps them)")
    names = texts_outside_png(metadata.texts, fmt).left_out
    if names and fmt != "png":
        notes.append(
            f"text entries left out (png keeps them): {', '.join(names)[:200]}"
        )
    return tuple(notes)


def _has_imagej_tables(metadata: Metadata) -> bool:
    """Tell if metadata come from a TIFF of ImageJ that has tables, ranges or labels."""
    return imagej.TAGS[1] in exif.read_main(metadata.exif)


def _holds_colour_space(fmt: str, colour_space: ColourSpace | None) -> bool:
    """Return True if a format describes colours as a label does, without a profile."""
    if colour_space is None or fmt not in ("png", "avif"):
        return False
    return colour_space.cicp is not None or (fmt == "png" and bool(colour_space.chunks))


def write_photograph(
    path: Path,
    photograph: Photograph,
    *,
    fmt: str,
    quality: int | None = None,
    attributes: FileAttributes = NEW_FILE,
) -> None:
    """Write a photograph; an existing file is replaced once the new one is complete.

    The format is a key of ``FORMATS``, whatever the name's suffix says; the quality 1
    to 100 for jpg, webp (100 is lossless) and avif, the format's own by default.
    """
    # its limits; what is lost is told before
    check_writable(fmt, *photograph.pixels.shape[:2], has_alpha=False, bits=8)
    values, metadata = _convert_values(photograph, FORMATS[fmt], path.parent)
    if fmt == "jpg":
        metadata = cut_for_jpeg(metadata, path)
    with new_file(path, attributes) as stream:
        _encode(stream, values, metadata, fmt, quality)


def cut_for_jpeg(metadata: Metadata, path: Path) -> Metadata:
    """Return metadata without those that are too long for a JPEG; warnings name the path."""
    for name, limit in _JPEG_LIMITS.items():
        if len(getattr(metadata, name) or b"") > limit:
            log.warning("%s: its %s is too long for jpg: left out", path, name.upper())
            without: dict[str, Any] = {name: None}
            metadata = replace(metadata, **without)
    return metadata


def append_page(stream: IO[bytes], photograph: Photograph, *, big: bool) -> None:
    """Append a photograph as a page to a TIFF, empty at first; a BigTIFF if it is ``big``.

    The file can be sought in and read.
    """
    folder = Path(stream.name).parent
    values, metadata = _convert_values(photograph, FORMATS["tif"], folder)
    if stream.seek(0, os.SEEK_END):
        tiff_writing.append(stream, values, metadata, big=big)
    else:
        tiff_writing.write(stream, values, metadata, big=big)


def _convert_values(
    photograph: Photograph, target: Format, folder: Path
) -> tuple[Array, Metadata]:
    """Convert to the values that a format holds, (H, W, C) with alpha last.

    What is large, and no longer the photograph's, lies in the folder.
    """
    pixels = photograph.pixels
    alpha = photograph.alpha
    dtype = np.dtype(_DTYPES[min(pixels.dtype.itemsize * 8, max(target.bits))])
    metadata = metadata_for_format(photograph.metadata, target.name)
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


def metadata_for_format(metadata: Metadata, fmt: str) -> Metadata:
    """Return the metadata as a format holds them: it may know no labels, or no texts but EXIF's."""
    if not _holds_colour_space(fmt, metadata.colours):
        metadata = replace(metadata, icc=metadata.profile, colours=None)
    if fmt != "tif" and _has_imagej_tables(metadata):
        removed: dict[int, Entry | None] = dict.fromkeys(imagej.TAGS)
        without_tables = exif.ExifBlock(metadata.exif or b"").edited(removed)
        metadata = replace(metadata, exif=without_tables)
    if fmt == "png" or "exif" not in FORMATS[fmt].metadata:
        return metadata
    block = metadata.exif
    software: dict[int, str] = {}
    if metadata.software is not None:
        text = metadata.software
        earlier = exif.software(block)
        if earlier not in text:
            text = f"{earlier}; {text}"
        software[Base.Software] = text
    described = texts_outside_png(metadata.texts, fmt).by_tag
    # texts must not make EXIF too long for jpg
    for texts in (described | software, software):
        with suppress(ValueError):
            longer = exif.with_texts(block, texts)
            if len(longer or b"") <= max(_JPEG_LIMITS["exif"], len(block or b"")):
                return replace(metadata, exif=longer)
    return metadata


def _encode(
    stream: IO[bytes],
    values: Array,
    metadata: Metadata,
    fmt: str,
    quality: int | None,
    **pillow_options: object,
) -> None:
    """Write one picture; ``pillow_options`` are options of Pillow's."""
    if fmt == "gif":
        vips.encode(stream, values, ".gif", effort=_GIF_EFFORT)
        return
    if fmt == "png":
        png.write(stream, values, metadata)
        return
    if fmt == "tif":
        tiff_writing.write(stream, values, metadata)
        return
    if fmt == "bmp":
        bmp.write(stream, values, metadata.dpi)
        return
    quality = quality or FORMATS[fmt].default_quality or LOSSLESS_QUALITY
    if fmt == "jpg":
        vips.encode(
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
            options["exif"] = exif.ExifBlock(metadata.exif).edited(
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
        options["exif"] = (metadata.exif or b"").removeprefix(exif.PREFIX)
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


def metadata_segments(metadata: Metadata) -> bytes:
    """Return the segments of a JPEG file that hold the metadata, which fit into them."""
    density = (0, 1, 1)  # without a unit
    if metadata.dpi is not None and max(metadata.dpi) <= _LARGEST_DPI:
        across, down = metadata.dpi
        density = (1, round(across), round(down))
    segments = [(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHxx", *density))]
    if metadata.exif:
        segments.append((0xE1, metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, XMP_PREFIX + metadata.xmp))
    if metadata.iptc:
        length = len(metadata.iptc)
        sized = struct.pack(">I", length) + metadata.iptc + bytes(length % 2)
        segments.append((0xED, b"Photoshop 3.0\0008BIM\4\4\0\0" + sized))
    icc = metadata.icc or b""
    pieces = [icc[at : at + _ICC_BYTES] for at in range(0, len(icc), _ICC_BYTES)]
    for number, piece in enumerate(pieces, 1):
        position = bytes([number, len(pieces)])
        segments.append((0xE2, b"ICC_PROFILE\0" + position + piece))
    comment = texts_outside_png(metadata.texts, "jpg").comment
    if comment:
        segments.append((0xFE, comment.encode()))
    packed = b""
    for mark, content in segments:
        packed += struct.pack(">BBH", 0xFF, mark, len(content) + 2) + content
    return packed


def keeps_animation(picture: Picture, fmt: str) -> bool:
    """Return True if a picture is an animation, and a format can hold all its frames."""
    target = FORMATS[fmt]
    return is_animation(picture) and (target.animated or target.video)


def is_animation(picture: Picture) -> bool:
    """Return True if a picture is an animation."""
    source = FORMATS.get(picture.format)
    return source is not None and source.animated and picture.frames > 1


def encode_animation(
    stream: IO[bytes],
    frames: Array,
    *,
    milliseconds: Sequence[int],
    plays: int,
    metadata: Metadata,
    fmt: str,
    quality: int | None = None,
    on_share: Callable[[float], None] = lambda share: None,
) -> None:
    """Write an animation to an open file, which is empty.

    Frames are (N, H, W, 4) uint8 with alpha last, perhaps mapped from a file, and are
    changed to sRGB where the format, which is ``animated``, holds no colour profile. 0
    plays are without end. ``on_share`` is called now and then with the share that is
    encoded.
    """
    metadata = metadata_for_format(metadata, fmt)
    if fmt == "png":
        _write_apng(stream, frames, milliseconds, plays, metadata, on_share)
    elif fmt == "webp":
        further = []
        for number, frame in enumerate(frames[1:], 1):
            image = Image.frombuffer(
                "RGBA", frames.shape[2:0:-1], frame, "raw", "RGBA", 0, 1
            )

            def seek(_: int, share: float = number / len(frames)) -> None:
                on_share(share)

            # which Pillow calls when the turn of this frame comes
            vars(image)["seek"] = seek
            further.append(image)
        _encode(
            stream,
            frames[0],
            metadata,
            "webp",
            quality,
            method=4,
            save_all=True,
            append_images=further,
            duration=[time or USUAL_DURATION for time in milliseconds],
            loop=plays,
        )
    else:
        if metadata.icc is not None:
            for frame in frames:
                frame[:, :, :3] = pillow.to_srgb(frame[:, :, :3], metadata.icc)
        vips.encode(
            stream,
            frames,
            f".{fmt}",
            milliseconds=milliseconds,
            plays=plays,
            on_share=on_share,
            effort=_GIF_EFFORT,
        )
    on_share(1.0)


def _write_apng(
    stream: IO[bytes],
    frames: Array,
    milliseconds: Sequence[int],
    plays: int,
    metadata: Metadata,
    on_share: Callable[[float], None],
) -> None:
    """Write an APNG; its frames are compressed one after another."""
    stream.write(png.SIGNATURE)
    number = 0  # of the chunks that belong to animation
    for index, (frame, duration) in enumerate(zip(frames, milliseconds, strict=True)):
        encoded = io.BytesIO()
        png.write(encoded, frame, Metadata() if index else metadata)
        encoded.seek(len(png.SIGNATURE))
        pixels = []
        for chunk_type, content, _ in png.read_chunks(encoded, pixels=True):
            if chunk_type == b"IDAT":
                pixels.append(content)
            elif not index:
                stream.write(png.pack_chunk(chunk_type, content))
        if not index:
            stream.write(
                png.pack_chunk(b"acTL", struct.pack(">II", len(milliseconds), plays))
            )
        height, width = frame.shape[:2]
        delay = min(duration, 2**16 - 1)
        control = struct.pack(
            ">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0
        )
        stream.write(png.pack_chunk(b"fcTL", control))
        for content in pixels:
            chunk = png.pack_chunk(b"IDAT", content)
            if index:
                number += 1
                numbered = struct.pack(">I", number) + content
                chunk = png.pack_chunk(b"fdAT", numbered)
            stream.write(chunk)
        number += 1
        on_share((index + 1) / len(frames))
    stream.write(png.pack_chunk(b"IEND", b""))
