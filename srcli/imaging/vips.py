"""Encode and decode pixels with libvips: every bit at 8 and 16 bits a value, row by row.

Tried beside it for PNG: Pillow (no 16-bit colour; data that end early become black without a word;
4 bytes a pixel are copied to write), imageio (the same Pillow), GDAL (no EXIF, XMP or resolution;
twice the memory), imagecodecs (whole files in memory, 26 MB to install). pyvips is imported late:
training does without it. Its cache, which knows pictures by file name, is never used.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

# libvips' words for dtypes and, by the number of channels, for what the channels mean.
_FORMATS = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
_GRAY = {"uint8": "b-w", "uint16": "grey16", "float32": "b-w"}
_RGB = {"uint8": "srgb", "uint16": "rgb16", "float32": "scrgb"}


def decode_png(data: bytes) -> Array:
    """Decode a PNG file; palettes become RGB and transparent colours an alpha channel.

    Args:
        data: The whole file.

    Returns:
        (H, W, C), uint8 or uint16, C = 1 to 4 with alpha last.

    Raises:
        ValueError: If pixel data are damaged or missing.
    """
    vips = _pyvips()
    try:
        image = vips.Image.pngload_buffer(
            data, access="sequential", fail_on="truncated", unlimited=True
        )
        values: Array = image.numpy()
    except vips.Error:
        raise ValueError("it holds too little data for its size, or damaged data") from None
    return values.reshape(image.height, image.width, image.bands)


def encode_png(stream: IO[bytes], values: Array, chunks: bytes = b"") -> None:
    """Write a PNG file.

    Args:
        stream: An empty file.
        values: (H, W, C), uint8 or uint16, C = 1 to 4 with alpha last.
        chunks: Metadata as they stand in the file. libvips would write them too, but EXIF never
            as it was given.

    Raises:
        OSError: If the stream does not take it.
    """
    head = bytearray()

    def write(data: Any) -> int:  # noqa: ANN401 - a buffer of cffi
        if head.startswith(b"done"):
            return stream.write(data)
        head.extend(data)
        start = head.find(b"IDAT") - 4
        if start >= 0:
            stream.write(bytes(head[:33]) + chunks + bytes(head[start:]))
            head[:] = b"done"
        return len(data)

    def save(image: Any, target: Any) -> None:  # noqa: ANN401 - of an untyped module
        bits = values.dtype.itemsize * 8
        image.pngsave_target(target, keep="none", compression=2, filter="all", bitdepth=bits)

    _save(values, stream, write, save)


def encode_tiff(stream: IO[bytes], values: Array, *, big: bool) -> None:
    """Write a TIFF file of deflated strips, without metadata.

    Args:
        stream: An empty file that can be sought in and read.
        values: (H, W, C), uint8, uint16 or float32, C = 1 to 4 with alpha last.
        big: BigTIFF.

    Raises:
        OSError: If the stream does not take it.
    """

    def save(image: Any, target: Any) -> None:  # noqa: ANN401 - of an untyped module
        predictor = "float" if values.dtype.kind == "f" else "horizontal"
        image.tiffsave_target(
            target, keep="none", compression="deflate", predictor=predictor, bigtiff=big
        )

    _save(values, stream, stream.write, save)


def _save(
    values: Array,
    stream: IO[bytes],
    write: Callable[[Any], int],
    save: Callable[[Any, Any], None],
) -> None:
    vips = _pyvips()
    height, width, channels = values.shape
    kind = values.dtype.name
    image = vips.Image.new_from_memory(
        np.ascontiguousarray(values), width, height, channels, _FORMATS[kind]
    )
    image = image.copy(interpretation=_GRAY[kind] if channels < 3 else _RGB[kind])
    failures: list[OSError] = []

    def guarded(call: Callable[..., Any], failed: object) -> Callable[..., Any]:
        """The same call; libvips cannot pass exceptions on."""

        def run(*args: object) -> object:
            try:
                return call(*args)
            except OSError as error:
                failures.append(error)
                return failed

        return run

    target = vips.TargetCustom()
    target.on_write(guarded(write, -1))
    target.on_read(guarded(stream.read, None))
    target.on_seek(guarded(stream.seek, -1))
    try:
        save(image, target)
    except vips.Error as error:
        raise (failures[0] if failures else OSError(" ".join(str(error).split()))) from None


def _pyvips() -> Any:  # noqa: ANN401 - an untyped module
    try:
        import pyvips
    except ImportError:
        raise PictureError(
            "PNG and TIFF files need pyvips; install it: pip install 'pyvips[binary]'"
        ) from None
    pyvips.cache_set_max(0)
    return pyvips
