"""Open and decode pictures with Pillow: any of its modes to gray or RGB.

It is called without its process-wide limit on pixels and without its stray warnings.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms

from srcli.errors import PictureError
from srcli.imaging.files import isobmff
from srcli.imaging.files.decoding import DAMAGE, quiet_libraries
from srcli.imaging.metadata.embedded import DAMAGED_EXIF, EXIF_PREFIX, Metadata
from srcli.imaging.photographs import gif, jxl, size_checks
from srcli.imaging.photographs.dds import as_known_kind, describe_kind
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.pixels.arrays import Array, Size, empty_array, release
from srcli.input_files import open_input

Reader = Callable[[IO[bytes]], Image.Image]
_READERS = {
    "jpg": "PIL.JpegImagePlugin:JpegImageFile",
    "mpo": "PIL.MpoImagePlugin:MpoImageFile",
    "png": "PIL.PngImagePlugin:PngImageFile",
    "webp": "PIL.WebPImagePlugin:WebPImageFile",
    "avif": "PIL.AvifImagePlugin:AvifImageFile",
    "bmp": "PIL.BmpImagePlugin:BmpImageFile",
    "gif": "PIL.GifImagePlugin:GifImageFile",
    "tga": "PIL.TgaImagePlugin:TgaImageFile",
    "pbm": "PIL.PpmImagePlugin:PpmImageFile",
    "dds": "PIL.DdsImagePlugin:DdsImageFile",
    "jp2": "PIL.Jpeg2KImagePlugin:Jpeg2KImageFile",
    "heic": "pillow_heif.as_plugin:HeifImageFile",
    "jxl": "pillow_jxl.JpegXLImagePlugin:JXLImageFile",
}
"""Readers of formats, called directly: ``Image.open`` applies Pillow's process-wide
pixel limit and tries every format there is."""
_FURTHER_READERS = {
    "heic": ("HEIC", "pillow-heif"),
    "jxl": ("JPEG XL", "pillow-jxl-plugin"),
}
"""Formats that further libraries read, in words, and what to install."""
_XMP_READERS = {"gif": gif.read_xmp, "jxl": jxl.read_xmp}
"""Readers of XMP that Pillow does not hand out."""
_CONVERTED_MODES = frozenset({"CMYK", "YCbCr", "LAB"})
_ICC_SPACES = {"CMYK": b"CMYK", "L": b"GRAY", "RGB": b"RGB "}  # of profiles, for modes
_COPIED_PIXELS = 2**22
_LARGEST_CANVAS = 2**26
"""Pixels to which frames may reach that are larger than their animation."""
HEADS = ("avif", "heic", "jxl", "dds")
"""Formats that may describe their pictures in the first ``HEAD_BYTES``."""
HEAD_BYTES = 2**16
# Segments of JPEG.
_JFIF = 0xE0
_PHOTOSHOP = 0xED
_ADOBE = 0xEE
_UNUSED = 0xEF
_SCAN = 0xDA
_SHORTEST = 14  # bytes of a JFIF or Adobe segment that Pillow reads
_MARKER = re.compile(rb"\xff+[^\0\xff]", re.DOTALL)
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive


def open_image(name: str, stream: IO[bytes]) -> tuple[Image.Image, list[str]]:
    """Open a file, ``"mpo"`` for the frames of a JPEG; return its warnings, too.

    Nothing is decoded yet; the file must stay open.
    """
    module, _, attribute = _READERS[name].partition(":")
    try:
        reader: Reader = getattr(import_module(module), attribute)
    except ImportError:
        words, package = _FURTHER_READERS[name]
        raise PictureError(
            f"{stream.name}: {words} files need another library; install it: pip install {package}"
        ) from None
    with quiet_libraries() as messages:
        try:
            if name == "dds":
                return reader(as_known_kind(stream)), messages
            return reader(stream), messages
        except NotImplementedError as error:
            kind = f"a kind that srx does not read ({error})"
            if name == "dds":
                kind = f"{describe_kind(stream)}, which srx does not read"
            raise PictureError(
                f"{stream.name}: its pixels are stored as {kind}; export it as PNG or "
                "plain TIFF"
            ) from error
        except DAMAGE:
            # where that does not help either, the first error is the one to tell
            with suppress(*DAMAGE):
                if name == "jpg":
                    return _open_repaired(stream, reader), messages
                if name == "avif":
                    # libavif refuses the picture where its EXIF is broken
                    stream.seek(0)
                    data = isobmff.without_exif(stream.read())
                    return reader(io.BytesIO(data)), [*messages, DAMAGED_EXIF]
            raise


def quick_pixel_count(path: Path) -> int:
    """Return the pixels of a picture by its first bytes; 0 for kinds that take long to look at."""
    formats = ("PNG", "JPEG", "BMP", "GIF", "TIFF")
    with suppress(*DAMAGE), quiet_libraries(), open_input(path) as stream:
        image = Image.open(stream, formats=formats)
        return image.width * image.height
    return 0


def _open_repaired(stream: IO[bytes], reader: Reader) -> Image.Image:
    """Open a JPEG file without the segments, and bytes between them, that Pillow stumbles over.

    One of 12 bits says 8 to Pillow; its pixels are left to another reader.
    """
    stream.seek(0)
    data = stream.read()
    repaired = bytearray(data[:2])
    bits = 8
    position = 2
    while True:
        # as libjpeg does: all else in front of a marker is passed over
        marker = _MARKER.search(data, position)
        if marker is None:
            raise ValueError("it ends before its pixels begin")
        start = marker.end() - 2
        kind = data[start + 1]
        if kind == _SCAN:
            break
        length = int.from_bytes(data[start + 2 : start + 4])
        position = start + 2 + length
        segment = bytearray(data[start:position])
        is_short = kind in (_JFIF, _ADOBE) and length < _SHORTEST
        if is_short or kind == _PHOTOSHOP:
            segment[1] = _UNUSED
        elif kind in _JPEG_FRAMES and segment[9] in (1, 3):  # channels
            bits = segment[4]
            if bits == 12:
                segment[4] = 8
        repaired += segment
    image = reader(io.BytesIO(repaired + data[start:]))
    image.info["bit_depth"] = bits
    return image


def crop_to_shown(image: Image.Image, stream: IO[bytes]) -> Image.Image:
    """Decode the part of an AVIF picture that is to be shown; others come as they are."""
    if image.format == "AVIF":
        box = isobmff.read_crop(stream, *image.size)
        if box is not None:
            return image.crop(box)
    return image


def load(image: Image.Image) -> None:
    """Decode an image completely."""
    limit = Image.MAX_IMAGE_PIXELS
    is_large = limit is not None and image.width * image.height > limit
    # only then Pillow checks its limit once more, or reads tags that may make it warn
    with quiet_libraries() if is_large or image.format == "TIFF" else nullcontext():
        image.load()


def read_layout(
    name: str, path: Path, image: Image.Image, messages: list[str], stream: IO[bytes]
) -> Picture:
    """Return how the pixels of an image of ``open_image`` are stored, and what reading them loses.

    Its metadata are those by which they become upright and sRGB.
    """
    notes = [*messages, *_check_file_size(name, path, image.size, stream)]
    info = image.info
    stream.seek(0)
    start = stream.read(HEAD_BYTES) if name in HEADS else b""
    if image.mode in _CONVERTED_MODES:
        notes.append(f"{image.mode} converted to RGB")
    depth = info.get("bit_depth", 8)
    is_stretched = name == "jpg" and depth > 8
    if is_stretched:
        notes.append(f"values of {depth} bits stretched to 16")
    elif (
        depth > 8
        or (name == "avif" and isobmff.is_deep_avif(start))
        or (
            name == "jxl" and not vars(image)["jpeg"] and jxl.bits_per_sample(start) > 8
        )
    ):
        notes.append("over 8 bits: rounded to 8")
    exif = info.get("exif") or None
    if exif is not None:  # JPEG XL has it without
        exif = EXIF_PREFIX + exif.removeprefix(EXIF_PREFIX)
    xmp = info.get("xmp") or None
    if xmp is None and name in _XMP_READERS:
        xmp = _XMP_READERS[name](stream)
    width, height, orientation = _size_and_orientation(name, image, stream)
    return Picture(
        path=path,
        format=name,
        height=height,
        width=width,
        channels=1 if Image.getmodebase(image.mode) == "L" else 3,
        has_alpha=image.has_transparency_data,
        bits=16 if is_stretched else 8,
        orientation=orientation,
        metadata=Metadata(icc=info.get("icc_profile") or None, exif=exif, xmp=xmp),
        refusal=_refusal(name, path, image, start),
        warnings=tuple(notes),
    )


def _size_and_orientation(
    name: str, image: Image.Image, stream: IO[bytes]
) -> tuple[int, int, int]:
    """Return width and height as pixels are read, and the orientation; 0 leaves that to EXIF."""
    width, height = image.size
    orientation = 0
    if name == "avif":
        box = isobmff.read_crop(stream, width, height)
        if box is not None:
            left, top, right, bottom = box
            return right - left, bottom - top, 0
    elif name == "heic":  # whose library turns the pixels, and says beside EXIF how
        orientation = image.info.get("original_orientation") or 1
        if orientation > 4:
            return height, width, orientation
    elif name == "jxl" and not vars(image)["jpeg"]:
        orientation = 1  # whose library does so, but for JPEGs inside
    return width, height, orientation


def _refusal(name: str, path: Path, image: Image.Image, start: bytes) -> str | None:
    """Return the reason for which pixels cannot be read as they are; None if they can."""
    if image.mode in ("I;16", "F"):
        return f"{path}: gray values of more than 8 bits in {name} are not read; convert it to PNG"
    if name == "jxl" and jxl.is_animation(start):
        return (
            f"{path}: animations in JPEG XL are not read (the library gives their last frame "
            "alone); convert it to APNG, WebP or GIF"
        )
    return None


def _check_file_size(name: str, path: Path, size: Size, stream: IO[bytes]) -> list[str]:
    """Refuse a header that claims more than the file can hold; return notes on frames of a GIF."""
    if name == "gif":
        return _check_gif_frames(path, size, stream)
    if name == "webp":
        size_checks.check_webp(path, size, stream)
    elif name in size_checks.PIXEL_RATIOS:
        size_checks.check_pixels(path, math.prod(size), stream, name)
    return []


def _check_gif_frames(path: Path, size: Size, stream: IO[bytes]) -> list[str]:
    """Note frames of a GIF that reach beyond its canvas, to which Pillow makes that larger.

    A file whose canvas is, or would become, too large for its frames is refused.
    """
    frames = size_checks.check_gif(path, size, stream)
    width, height = size
    right = 0
    bottom = 0
    for frame in frames:
        right = max(right, frame.left + frame.width)
        bottom = max(bottom, frame.top + frame.height)
    if right <= width and bottom <= height:
        return []
    if max(right, width) * max(bottom, height) > _LARGEST_CANVAS:
        raise PictureError(
            f"{path}: an animation of {width}x{height} pixels, one of whose frames claims to reach "
            f"to {right}x{bottom}; export it again"
        )
    return ["frames that reach beyond the animation are cut"]


def decode_pixels(
    image: Image.Image, icc: bytes | None = None, folder: Path | None = None
) -> tuple[Array, Array | None]:
    """Decode an image of any mode to (H, W, C) with C 1 or 3, and alpha (H, W) or None.

    The profile is needed for modes other than gray and RGB. Large arrays lie in the
    folder; see ``empty_array``.
    """
    load(image)
    if image.mode in _CONVERTED_MODES:
        return to_srgb(np.asarray(image), icc, image.mode), None
    if image.mode[0] in "IF":
        raise ValueError(f"pixels of kind {image.mode} are not known")
    mode = "L" if Image.getmodebase(image.mode) == "L" else "RGB"
    colours = len(mode)
    if image.has_transparency_data:
        mode += "A"
    if image.mode != mode:
        image = image.convert(mode)
    width, height = image.size
    channels = len(mode)
    pixels = empty_array((height, width, colours), np.uint8, folder)
    alpha = None
    if channels > colours:
        alpha = empty_array((height, width), np.uint8, folder)
    # Pillow makes two copies more of what is copied at once
    step = _COPIED_PIXELS // width or height
    for top in range(0, height, step):
        bottom = min(top + step, height)
        rows = image.crop((0, top, width, bottom))
        values = np.asarray(rows).reshape(-1, width, channels)
        pixels[top:bottom] = values[:, :, :colours]
        if alpha is not None:
            alpha[top:bottom] = values[:, :, -1]
            release(alpha)
        release(pixels)
    return pixels, alpha


def to_image(values: Array) -> Image.Image:
    """Return pixels, (H, W, C) uint8 with C = 1, 3 or 4, as an image."""
    if values.shape[2] == 1:
        values = values[:, :, 0]
    return Image.fromarray(values)


def to_srgb(values: Array, icc: bytes | None, mode: str | None = None) -> Array:
    """Convert colours, (H, W, C) uint8, by their profile, else as Pillow does, to sRGB.

    They are gray or RGB unless the mode is another one of Pillow's; a and b of
    ``"LAB"`` are signed, as in TIFF, and need no profile.
    """
    height, width, channels = values.shape
    mode = mode or {1: "L", 3: "RGB"}[channels]
    transform = _transform_to_srgb(mode, icc)
    converted = np.empty((height, width, 3), np.uint8)
    step = _COPIED_PIXELS // width or 1
    for top in range(0, height, step):
        rows = values[top : top + step]
        image: Any = Image.frombytes(
            mode, (width, len(rows)), rows.tobytes(), "raw", mode
        )
        if transform is None:
            image = image.convert("RGB")
        else:
            image = ImageCms.applyTransform(image, transform)
        converted[top : top + step] = np.asarray(image)
    return converted


def _transform_to_srgb(
    mode: str, icc: bytes | None
) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of a mode's colours by their profile; None if it is of no use."""
    source: Any = None
    if mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif mode in _ICC_SPACES and icc is not None and icc[16:20] == _ICC_SPACES[mode]:
        source = io.BytesIO(icc)
    if source is not None:
        with suppress(ImageCms.PyCMSError):
            return ImageCms.buildTransform(
                source,
                ImageCms.createProfile("sRGB"),
                mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    return None
