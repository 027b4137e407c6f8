"""Read headers and pixels with Pillow: any of its modes to gray or RGB.

It is called without its process-wide limit on pixels and without its stray warnings.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms

from srcli.errors import PictureError
from srcli.imaging.files import isobmff
from srcli.imaging.files.decoding import DAMAGE, quiet_libraries
from srcli.imaging.metadata import colour_spaces
from srcli.imaging.metadata.embedded import EXIF_PREFIX, ColourSpace, Metadata
from srcli.imaging.metadata.exif import (
    DAMAGED_EXIF,
    ExifBlock,
    is_adobe_rgb,
    is_pixel_size,
)
from srcli.imaging.metadata.left_out import note_aspect
from srcli.imaging.metadata.texts import comment_chunk
from srcli.imaging.metadata.xmp import HDR_LEFT_OUT
from srcli.imaging.photographs import gif, jxl, size_checks
from srcli.imaging.photographs.dds import as_known_kind, describe_kind, note_losses
from srcli.imaging.photographs.gain_maps import (
    items_have_gain_map,
)
from srcli.imaging.photographs.jpeg import Reader, note_jpeg_extras, open_repaired
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.pixels.arrays import Array, Size, empty_array, release

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
_CONVERTED_MODES = frozenset({"CMYK", "YCbCr", "LAB"})
_ICC_SPACES = {"CMYK": b"CMYK", "L": b"GRAY", "RGB": b"RGB "}  # of profiles, for modes
_IPTC = 0x0404  # Photoshop's resource number for captions
_LOSSY = frozenset({"jpg", "avif", "heic"})
_SRGB_POINTS = ((1, 13), (2, 2), (1, 2), (2, 13))  # CICP, 2 is "unspecified"
_COPIED_PIXELS = 2**22
_LARGEST_CANVAS = 2**26
"""Pixels to which frames may reach that are larger than their animation."""
# The first description of colours by code points, which is that of the picture itself.
_CICP = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
_HEAD_BYTES = 2**16
_LONGEST_WEBP_HEAD = 2**22  # bytes, most of it a profile, in front of the pixels
_BMP_FILE_HEADER = 14  # bytes, as are the next two
_BMP_VERSION_4 = 108
_BMP_VERSION_5 = 124
# Kinds of colour spaces.
_BMP_CALIBRATED = 0
_BMP_EMBEDDED = 0x4D424544
_LARGEST_PROFILE = 2**26
_MP_ENTRIES = 0xB002  # of the index of pictures in a JPEG (CIPA DC-007)


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
                    return open_repaired(stream, reader), messages
                if name == "avif":
                    # libavif refuses the picture where its EXIF is broken
                    stream.seek(0)
                    data = isobmff.without_exif(stream.read())
                    return reader(io.BytesIO(data)), [*messages, DAMAGED_EXIF]
            raise


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


def read_header(name: str, path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a file of a format in ``_READERS``."""
    image, notes = open_image(name, stream)
    notes += _check_file_size(name, path, image.size, stream)
    info = image.info
    stream.seek(0)
    start = b""
    if name in ("avif", "heic", "jxl", "dds"):  # some describe their items there
        start = stream.read(_HEAD_BYTES)
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
    frames = _count_frames(image, stream)
    if name in ("avif", "heic"):
        notes += _note_items(start, stream)
    elif name == "dds":
        notes += note_losses(start, vars(image).get("pixel_format", ""))
    elif name == "jpg":
        extras = note_jpeg_extras(image, stream)
        notes += extras
        if frames > 1 and HDR_LEFT_OUT in extras:
            frames -= 1  # the map is no picture of its own
    channels = 1 if Image.getmodebase(image.mode) == "L" else 3
    xmp = info.get("xmp") or _read_further_xmp(name, stream, notes)
    exif = info.get("exif") or None
    icc = info.get("icc_profile") or None
    colour_space = None
    if name == "bmp":
        icc, colour_space = _bmp_colour_space(stream, channels, notes)
    elif icc is None:
        colour_space = _colour_space(name, start, exif, channels, notes)
    if exif is not None:  # JPEG XL has it without
        exif = EXIF_PREFIX + exif.removeprefix(EXIF_PREFIX)
    dpi = None if _has_no_unit(info, exif) else info.get("dpi")
    width, height, orientation = _size_and_orientation(name, image, stream)
    return Picture(
        path=path,
        format=name,
        height=height,
        width=width,
        channels=channels,
        has_alpha=image.has_transparency_data,
        bits=16 if is_stretched else 8,
        frames=frames,
        orientation=orientation,
        lossless=_is_lossless(name, stream),
        metadata=Metadata(
            icc=icc,
            colours=colour_space,
            exif=exif,
            xmp=xmp,
            iptc=(info.get("photoshop") or {}).get(_IPTC) or None,
            dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
            texts=comment_chunk(info.get("comment")),
        ),
        refusal=_refusal(name, path, image, start),
        warnings=tuple(notes),
    )


def _read_further_xmp(name: str, stream: IO[bytes], notes: list[str]) -> bytes | None:
    """Return the XMP that Pillow does not hand out."""
    if name == "gif":
        return gif.read_xmp(stream)
    if name == "jxl":
        xmp, lost = jxl.read_xmp(stream)
        notes += lost
        notes += jxl.note_gain_map(stream)
        return xmp
    return None


def _is_lossless(name: str, stream: IO[bytes]) -> bool:
    """Tell if pixels are stored without losses, as far as a format or WebP's header says."""
    if name == "webp":
        stream.seek(0)
        codec = re.search(rb"VP8[L ]", stream.read(_LONGEST_WEBP_HEAD))
        if codec is not None:
            return codec[0] == b"VP8L"
    return name not in _LOSSY


def _count_frames(image: Image.Image, stream: IO[bytes]) -> int:
    """Count the pictures in a file; a broken list of further ones does not spoil the first."""
    with quiet_libraries():
        if "mp" in image.info:
            stream.seek(0)
            with suppress(*DAMAGE):
                several = open_image("mpo", stream)[0]
                return int(getattr(several, "n_frames", 1)) - _count_previews(several)
        return int(getattr(image, "n_frames", 1))


def _note_items(start: bytes, stream: IO[bytes]) -> list[str]:
    """Note a gain map of AVIF or HEIC, and pixels that are not square."""
    across, down = isobmff.read_pixel_shape(stream)
    notes = note_aspect(down, across)
    if items_have_gain_map(start):
        notes.append(HDR_LEFT_OUT)
    return notes


def _count_previews(image: Image.Image) -> int:
    """Count which of the pictures in a JPEG are previews, as most cameras write them."""
    entries = (getattr(image, "mpinfo", None) or {}).get(_MP_ENTRIES, [])
    kinds = [entry["Attribute"]["MPType"] for entry in entries]
    return sum(kind.startswith("Large Thumbnail") for kind in kinds)


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


def _colour_space(
    name: str, start: bytes, exif: bytes | None, channels: int, notes: list[str]
) -> ColourSpace | None:
    """Return what describes the colours of a file without a profile; None is sRGB."""
    if name == "jpg" and channels == 3 and exif and is_adobe_rgb(exif):
        return colour_spaces.from_primaries(
            colour_spaces.ADOBE_RGB, [colour_spaces.ADOBE_CURVE], channels, notes
        )
    match = _CICP.search(start)
    if match is None:
        return None
    points = tuple(min(int.from_bytes(code), 255) for code in match.groups())
    if points in _SRGB_POINTS:
        return None
    cicp = bytes(points) + colour_spaces.RGB_FULL_RANGE
    return colour_spaces.from_cicp(cicp, channels, notes) or ColourSpace(None, cicp)


def _bmp_colour_space(
    stream: IO[bytes], channels: int, notes: list[str]
) -> tuple[bytes | None, ColourSpace | None]:
    """Return the ICC profile that a BMP file embeds, or its calibrated colours; None is sRGB.

    As in browsers, the white of calibrated colours is D65. Impossible values are told
    in the notes.
    """
    stream.seek(_BMP_FILE_HEADER)
    header = stream.read(_BMP_VERSION_5).ljust(_BMP_VERSION_5, b"\0")
    size, space = struct.unpack_from("<I52xI", header)
    if size == _BMP_VERSION_5 and space == _BMP_EMBEDDED:
        start, length = struct.unpack_from("<II", header, 112)
        stream.seek(_BMP_FILE_HEADER + start)
        icc = stream.read(min(length, _LARGEST_PROFILE))
        if len(icc) == length and icc[36:40] == b"acsp":
            return icc, None
        return None, None
    ends = np.frombuffer(header, "<i4", 9, 60).reshape(3, 3)
    gammas = np.frombuffer(header, "<u4", 3, 96) / 2**16
    sums = ends.sum(axis=1, keepdims=True)
    has_version = size in (_BMP_VERSION_4, _BMP_VERSION_5)
    is_calibrated = has_version and space == _BMP_CALIBRATED
    if not is_calibrated or sums.min() <= 0 or not gammas.all():
        return None, None  # most programs leave them empty
    xy = (*colour_spaces.SRGB[:2], *(ends / sums)[:, :2].ravel().tolist())
    curves = [(gamma,) for gamma in gammas.tolist()]
    return None, colour_spaces.from_primaries(xy, curves, channels, notes)


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


def _has_no_unit(info: Mapping[Any, Any], block: bytes | None) -> bool:
    """Tell if the resolution of a JPEG is a ratio, by EXIF; Pillow calls it dots an inch."""
    if block is None or info.get("jfif_unit") in (1, 2):  # inches, centimetres
        return False
    with suppress(ValueError, LookupError):
        return is_pixel_size(ExifBlock(block).main)
    return False


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
