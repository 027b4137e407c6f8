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
from srcli.files import open_input
from srcli.imaging.files import isobmff
from srcli.imaging.files.decoding import DAMAGE, quiet_libraries
from srcli.imaging.metadata import colour_spaces
from srcli.imaging.metadata.embedded import (
    DAMAGED_EXIF,
    EXIF_PREFIX,
    ColourSpace,
    Metadata,
    read_comment,
)
from srcli.imaging.photographs import dds, jxl
from srcli.imaging.photographs.photograph import PIXEL_RATIOS, Picture, check_pixels
from srcli.imaging.pixels.arrays import Array, Size, empty_array, release

Reader = Callable[[IO[bytes]], Image.Image]
_READERS = {
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
_COPIED_PIXELS = 2**22
_HEADS = ("avif", "heic", "jxl", "dds", "tga", "bmp")
"""Formats that may describe their pictures in the first ``_HEAD_BYTES``."""
_HEAD_BYTES = 2**16
_LOSSY = frozenset({"avif", "heic"})
_SRGB_POINTS = ((1, 13), (2, 2), (1, 2), (2, 13))  # CICP, 2 is "unspecified"
# The first description of colours by code points, which is that of the picture itself.
_CICP = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
_LONGEST_WEBP_HEAD = 2**22  # bytes, most of it a profile, in front of the pixels
_MP_ENTRIES = 0xB002  # of the index of pictures in a JPEG (CIPA DC-007)
_TGA_OF_16_BITS = re.compile(rb"..[\x02\n].{13}\x10|.\x01[\x01\t].{4}\x10", re.DOTALL)
"""Kinds of true colour and of palettes, with 16 bits a colour (TrueVision, C.2)."""


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
                return reader(dds.as_known_kind(stream)), messages
            return reader(stream), messages
        except NotImplementedError as error:
            kind = f"a kind that srx does not read ({error})"
            if name == "dds":
                kind = f"{dds.describe_kind(stream)}, which srx does not read"
            raise PictureError(
                f"{stream.name}: its pixels are stored as {kind}; export it as PNG or "
                "plain TIFF"
            ) from error
        except DAMAGE:
            # where that does not help either, the first error is the one to tell
            with suppress(*DAMAGE):
                if name == "avif":
                    # libavif refuses the picture where its EXIF is broken
                    stream.seek(0)
                    data = isobmff.without_exif(stream.read())
                    return reader(io.BytesIO(data)), [*messages, DAMAGED_EXIF]
            raise


def quick_size(path: Path) -> Size:
    """Return (height, width) by the first bytes of a picture; 0 for kinds that need more."""
    formats = ("PNG", "JPEG", "BMP")
    with suppress(*DAMAGE), quiet_libraries(), open_input(path) as stream:
        image = Image.open(stream, formats=formats)
        return image.height, image.width
    return 0, 0


def load(image: Image.Image) -> None:
    """Decode an image completely."""
    limit = Image.MAX_IMAGE_PIXELS
    is_large = limit is not None and image.width * image.height > limit
    # only then Pillow checks its limit once more, or reads tags that may make it warn
    with quiet_libraries() if is_large or image.format == "TIFF" else nullcontext():
        image.load()


def read_pillow_header(name: str, path: Path, stream: IO[bytes]) -> Picture:
    """Read the header and the metadata of a file that ``open_image`` opens."""
    image, messages = open_image(name, stream)
    if name in PIXEL_RATIOS:
        check_pixels(path, math.prod(image.size), stream, name)
    notes = [*messages]
    info = image.info
    stream.seek(0)
    start = stream.read(_HEAD_BYTES) if name in _HEADS else b""
    is_converted = image.mode in _CONVERTED_MODES
    if is_converted:
        notes.append(f"{image.mode} converted to RGB")
    if _is_deep(name, image, start):
        notes.append("over 8 bits: rounded to 8")
    has_alpha = image.has_transparency_data
    if has_alpha and name == "tga" and _TGA_OF_16_BITS.match(start):
        has_alpha = False
        notes.append(
            "the highest bit of its 16 left out: programs differ on what it means"
        )
    if name == "dds":
        notes += dds.note_losses(start, vars(image).get("pixel_format", ""))
    exif = info.get("exif") or None
    if exif is not None:  # JPEG XL has it without
        exif = EXIF_PREFIX + exif.removeprefix(EXIF_PREFIX)
    xmp = info.get("xmp") or None
    # which Pillow does not hand out
    if xmp is None and name == "gif":
        xmp = _read_gif_xmp(stream)
    elif xmp is None and name == "jxl":
        xmp = jxl.read_xmp(stream)
    channels = 1 if Image.getmodebase(image.mode) == "L" else 3
    icc = info.get("icc_profile") or None
    colour_space = None
    if icc is None:
        colour_space = _colour_space(start, channels, notes)
    dpi = info.get("dpi")
    with quiet_libraries():
        frames = int(getattr(image, "n_frames", 1))
    width, height = image.size
    return Picture(
        path=path,
        format=name,
        height=height,
        width=width,
        channels=channels,
        has_alpha=has_alpha,
        bits=8,
        frames=frames,
        orientation=_orientation(name, image),
        is_converted=is_converted,
        lossless=_is_lossless(name, stream),
        metadata=Metadata(
            icc=icc,
            colours=colour_space,
            exif=exif,
            xmp=xmp,
            dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
            comment=read_comment(info.get("comment")),
        ),
        refusal=_refusal(name, path, image, start),
        warnings=tuple(notes),
    )


def _is_deep(name: str, image: Image.Image, start: bytes) -> bool:
    """Tell if values have more bits than the 8 that Pillow gives."""
    if name == "avif":
        return isobmff.is_deep_avif(start)
    if name == "jxl":
        return not vars(image)["jpeg"] and jxl.bits_per_sample(start) > 8
    return bool(image.info.get("bit_depth", 8) > 8)


def _is_lossless(name: str, stream: IO[bytes]) -> bool:
    """Tell if pixels are stored without losses, as far as a format or WebP's header says."""
    if name == "webp":
        stream.seek(0)
        codec = re.search(rb"VP8[L ]", stream.read(_LONGEST_WEBP_HEAD))
        if codec is not None:
            return codec[0] == b"VP8L"
    return name not in _LOSSY


def _colour_space(start: bytes, channels: int, notes: list[str]) -> ColourSpace | None:
    """Return the colours of a file without a profile by their code points; None is sRGB."""
    match = _CICP.search(start)
    if match is None:
        return None
    points = tuple(min(int.from_bytes(code), 255) for code in match.groups())
    if points in _SRGB_POINTS:
        return None
    cicp = bytes(points) + colour_spaces.RGB_FULL_RANGE
    return colour_spaces.from_cicp(cicp, channels, notes) or ColourSpace(None, cicp)


def _orientation(name: str, image: Image.Image) -> int:
    """Return the orientation by which metadata are stored; 0 leaves that to EXIF."""
    if name == "heic":  # whose library turns the pixels, and says beside EXIF how
        return image.info.get("original_orientation") or 1
    if name == "jxl" and not vars(image)["jpeg"]:
        return 1  # whose library does so, but for JPEGs inside
    return 0


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


def count_pictures(stream: IO[bytes]) -> int:
    """Count the pictures in a JPEG but for previews, as most cameras write them.

    A broken list of further ones does not spoil the first.
    """
    stream.seek(0)
    with quiet_libraries(), suppress(*DAMAGE):
        image = open_image("mpo", stream)[0]
        entries = (getattr(image, "mpinfo", None) or {}).get(_MP_ENTRIES, [])
        kinds = [entry["Attribute"]["MPType"] for entry in entries]
        previews: int = sum(kind.startswith("Large Thumbnail") for kind in kinds)
        return int(getattr(image, "n_frames", 1)) - previews
    return 1


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


_GIF_XMP_START = b"!\xff\x0bXMP DataXMP"
_GIF_XMP_END = b"\1\xff\xfe\xfd"
"""How the trailer begins by which readers of blocks find the end of the packet."""
_LARGEST_XMP = 2**24


def _read_gif_xmp(stream: IO[bytes]) -> bytes | None:
    """Return the XMP packet of a GIF file, which stands there in one piece; None without."""
    stream.seek(0)
    _, start, behind = stream.read().partition(_GIF_XMP_START)
    packet, end, _ = behind.partition(_GIF_XMP_END)
    if not start or not end or len(packet) > _LARGEST_XMP:
        return None
    return packet or None
