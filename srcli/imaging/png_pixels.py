"""Decode the pixels of PNG files of 8 and 16 bits, complete or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import __version__

from srcli.imaging import generic
from srcli.imaging.opening import open_image
from srcli.imaging.png import (
    GRAY,
    GRAY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    SIGNATURE,
    PngFile,
    chunk,
    read_chunks,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import ImageFile

    Array = NDArray[Any]

_BEST_DEFLATE_RATIO = 1032
_UNPACK_STEP = 2**20
# First column, first row and the steps from one to the next of the passes of interlaced files.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def read_pixels(stream: IO[bytes]) -> tuple[Array, Array | None]:
    """Decode the pixels of a PNG file.

    Args:
        stream: The file from its start.

    Returns:
        Pixels (H, W, C), uint8 or uint16, and alpha (H, W) or None.

    Raises:
        OSError: If the data are damaged or end early.
        ValueError: If the file's structure is damaged.
    """
    png = read_chunks(stream, with_data=True)
    _check_amount(png)
    if png.depth == 16:
        return _deep_pixels(png)
    return generic.pixels_of(_image(png))


def _check_amount(png: PngFile) -> None:
    """Refuse data that end early, which Pillow fills up with black without a word.

    Raises:
        ValueError: If there are fewer bytes than the picture has, packed or unpacked.
    """
    bits = png.depth * {RGB: 3, GRAY_ALPHA: 2, RGB_ALPHA: 4}.get(png.colour, 1)
    passes = _ADAM7 if png.interlaced else ((0, 0, 1, 1),)
    missing = 0
    for x, y, step_x, step_y in passes:
        width, height = -(-(png.width - x) // step_x), -(-(png.height - y) // step_y)
        missing += height * (1 + -(-width * bits // 8)) if width > 0 else 0
    enough = sum(map(len, png.data)) * _BEST_DEFLATE_RATIO >= missing
    unpacker = zlib.decompressobj()
    for part in png.data if enough else ():
        while part and missing > 0:
            missing -= len(unpacker.decompress(part, _UNPACK_STEP))
            part = unpacker.unconsumed_tail
    if missing > 0 or not enough:
        raise ValueError("it holds too little data for its size")


def _image(png: PngFile) -> ImageFile.ImageFile:
    """A Pillow image of the picture alone, as metadata are read here already."""
    header = struct.pack(
        ">IIBBBBB", png.width, png.height, png.depth, png.colour, 0, 0, png.interlaced
    )
    parts = [SIGNATURE, chunk(b"IHDR", header)]
    palette, key = png.first(b"PLTE"), png.first(b"tRNS")
    if png.colour == PALETTE and palette is not None:
        parts.append(chunk(b"PLTE", palette))
    if key is not None and png.depth < 16:
        if png.colour == GRAY and png.depth in (2, 4):
            # Pillow spreads these values over 0..255, but not the one that is transparent
            level = struct.unpack(">H", key[:2])[0] * 255 // (2**png.depth - 1)
            key = struct.pack(">H", level)
        parts.append(chunk(b"tRNS", key))
    parts += [chunk(b"IDAT", part) for part in png.data]
    parts.append(chunk(b"IEND", b""))
    image, _ = open_image("png", io.BytesIO(b"".join(parts)))
    return image


def _deep_pixels(png: PngFile) -> tuple[Array, Array | None]:
    """Decode 16 bits with Pillow, which has no 16-bit colour, by three detours.

    Gray is a mode of its own. Gray with alpha has the 4 bytes a pixel of an 8-bit RGBA picture, so
    it is declared as one. RGB and RGBA are decoded twice: Pillow keeps the high byte of values
    declared big-endian, and the low byte when the same values are declared little-endian.
    """
    if png.colour == GRAY:
        pixels: Array = np.array(_image(png), dtype=np.uint16)[:, :, None]
    elif png.colour == GRAY_ALPHA:
        png.depth, png.colour = 8, RGB_ALPHA
        pixels = np.array(_image(png)).view(">u2").astype(np.uint16)
    elif png.colour in (RGB, RGB_ALPHA):
        pixels = _bytes_of(png, "B").astype(np.uint16) << 8
        pixels |= _bytes_of(png, "L")
    else:
        raise ValueError(f"no PNG has 16 bits and colour type {png.colour}")
    if pixels.shape[2] in (2, 4):
        return pixels[:, :, :-1].copy(), pixels[:, :, -1].copy()
    key = png.first(b"tRNS")
    if key is None:
        return pixels, None
    seen = np.any(pixels != np.frombuffer(key, ">u2", pixels.shape[2]), axis=2)
    return pixels, seen.astype(np.uint16) * np.uint16(65535)


def _bytes_of(png: PngFile, order: str) -> Array:
    image = _image(png)
    mode = "RGB" if png.colour == RGB else "RGBA"
    tile = image.tile[0]
    if image.mode != mode or tile.args != f"{mode};16B":
        raise RuntimeError(f"Pillow {__version__} reads 16-bit PNG in another way")
    image.tile = [tile._replace(args=f"{mode};16{order}")]
    return np.array(image)
