"""Headers and pixels of files that Pillow reads as they are: any of its modes to gray or RGB."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

from srcli.imaging.header import Header
from srcli.imaging.opening import calm, load, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import ImageFile

    Array = NDArray[Any]

_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "F"})
_ALPHA_MODES = frozenset({"LA", "La", "RGBA", "RGBa", "PA"})
# Modes that differ only in how they are stored, and what they are turned into.
_PLAIN = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}
_DESCRIBED = frozenset({"CMYK", "YCbCr", "LAB"})
_IPTC = 0x0404  # Photoshop's resource number for captions


def read_header(name: str, stream: IO[bytes]) -> Header:
    """Read the header and the metadata of a JPEG, WebP, AVIF, BMP or GIF file.

    Args:
        name: Its format.
        stream: The file from its start.

    Raises:
        OSError: If the file is damaged; SyntaxError and ValueError as well.
    """
    image, notes = open_image(name, stream)
    info = image.info
    header = Header(
        format=name,
        height=image.height,
        width=image.width,
        channels=1 if image.mode in _GRAY_MODES else 3,
        has_alpha=image.mode in _ALPHA_MODES or "transparency" in info,
        bits=8,
        frames=_frames(image, stream),
        icc=info.get("icc_profile") or None,
        exif=info.get("exif") or None,
        xmp=info.get("xmp") or None,
        notes=notes,
    )
    if info.get("dpi"):
        header.dpi = (float(info["dpi"][0]), float(info["dpi"][1]))
    if image.mode in _DESCRIBED:
        notes.append(f"{image.mode} converted to RGB")
    if _IPTC in (info.get("photoshop") or {}):
        notes.append("IPTC captions left out")
    if info.get("comment") and name == "jpg":
        notes.append("comment left out")
    if name == "avif" and _is_deep_avif(stream):
        notes.append("over 8 bits: rounded to 8, as Pillow reads AVIF")
    return header


def read_pixels(name: str, stream: IO[bytes], icc: bytes | None) -> tuple[Array, Array | None]:
    """Decode the pixels of a JPEG, WebP, AVIF, BMP or GIF file.

    Args:
        name: Its format.
        stream: The file from its start.
        icc: Its colour profile.

    Returns:
        Pixels (H, W, C) in uint8 and alpha (H, W) or None.

    Raises:
        OSError: If the data are damaged or end early.
    """
    image, _ = open_image(name, stream)
    return pixels_of(image, icc)


def pixels_of(image: ImageFile.ImageFile, icc: bytes | None = None) -> tuple[Array, Array | None]:
    """Decode an image of any mode.

    Args:
        image: Opened by Pillow.
        icc: Its colour profile, needed for modes other than gray and RGB.

    Returns:
        Pixels (H, W, C) with C 1 or 3, and alpha (H, W) or None.

    Raises:
        OSError: If the data are damaged or end early.
        ValueError: If the mode has no colours that are known.
    """
    load(image)
    plain: Image.Image = image
    if image.mode in _DESCRIBED:
        plain = _to_srgb(image, icc)
    elif "transparency" in image.info:
        if image.mode == "1":
            plain = image.convert("L")
        plain = plain.convert("LA" if plain.mode == "L" else "RGBA")
    elif image.mode in _PLAIN:
        plain = image.convert(_PLAIN[image.mode])
    if plain.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"pixels of kind {plain.mode} are not known")
    values = np.array(plain)
    if values.ndim == 2:
        return values[:, :, None], None
    if values.shape[2] == 3:
        return values, None
    return values[:, :, :-1].copy(), values[:, :, -1].copy()


def fits(icc: bytes, channels: int) -> bool:
    """Whether a colour profile describes pictures of that many channels."""
    return icc[16:20] == {1: b"GRAY", 3: b"RGB "}[channels]


def gray_to_srgb(pixels: Array, icc: bytes) -> Array:
    """Convert gray pixels from their profile to sRGB.

    Args:
        pixels: (H, W, 1) uint8.
        icc: A profile for gray.

    Returns:
        (H, W, 3) uint8.
    """
    return np.array(_to_srgb(Image.fromarray(pixels[:, :, 0]), icc))


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert through the profile, or as Pillow does without; Lab needs no profile."""
    space = {"CMYK": b"CMYK", "L": b"GRAY"}.get(image.mode)
    source: Any = None
    if image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif icc is not None and space == icc[16:20]:
        source = io.BytesIO(icc)
    if source is not None:
        try:
            converted = ImageCms.profileToProfile(
                image,
                source,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except ImageCms.PyCMSError:
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _frames(image: ImageFile.ImageFile, stream: IO[bytes]) -> int:
    if "mp" in image.info:
        place = stream.tell()
        stream.seek(0)
        try:
            image, _ = open_image("mpo", stream)
        except (OSError, ValueError, SyntaxError, LookupError, TypeError):
            return 1  # a broken list of further pictures does not spoil the first
        finally:
            stream.seek(place)
    with calm():
        return int(getattr(image, "n_frames", 1))


def _is_deep_avif(stream: IO[bytes]) -> bool:
    """Whether the AV1 configuration near the file's start says 10 or 12 bits."""
    place = stream.tell()
    stream.seek(0)
    head = stream.read(65536)
    stream.seek(place)
    found = head.find(b"av1C")
    return 0 <= found < len(head) - 6 and bool(head[found + 6] & 0x40)
