"""Decode and encode pixels with libvips: every bit at 8 and 16 bits a value, row by row.

Tried beside it for PNG: Pillow (no 16-bit colour; data that end early become black without a word;
writing copies a picture to 4 bytes a pixel), imageio (which calls Pillow), GDAL (no EXIF, XMP or
resolution; twice the memory), imagecodecs (whole files in memory, 26 MB to install). pyvips is
imported late: training does without it. Its cache, which knows pictures by name, is never used.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

# libvips' words for dtypes, and for the channels of gray and of RGB in them.
_WORDS = {
    "uint8": ("uchar", "b-w", "srgb"),
    "uint16": ("ushort", "grey16", "rgb16"),
    "float32": ("float", "b-w", "scrgb"),
}


def decode_png(data: bytes) -> Array:
    """Decode a PNG file; palettes become RGB and transparent colours an alpha channel.

    Args:
        data: The whole file.

    Returns:
        (H, W, C), uint8 or uint16, C = 1 to 4 with alpha last.

    Raises:
        ValueError: If pixel data are damaged or missing.
    """
    vips = _import_pyvips()
    try:
        image = vips.Image.pngload_buffer(
            data, access="sequential", fail_on="truncated", unlimited=True
        )
        values: Array = image.numpy()
    except vips.Error:
        raise ValueError("it holds too little data for its size, or damaged data") from None
    return values.reshape(image.height, image.width, image.bands)


def encode(
    stream: IO[bytes],
    values: Array,
    suffix: str,
    write: Callable[[bytes], int] | None = None,
    **options: str | int,
) -> None:
    """Write a picture without metadata.

    Args:
        stream: An empty file; for TIFF one that can be sought in and read.
        values: (H, W, C), uint8, uint16 or float32, C = 1 to 4 with alpha last.
        suffix: Of the format: ``".png"`` or ``".tif"``.
        write: Called with bytes instead of the stream's.
        options: Of libvips for that format.

    Raises:
        OSError: If the stream does not take it.
    """
    vips = _import_pyvips()
    height, width, channels = values.shape
    word, *meanings = _WORDS[values.dtype.name]
    image = vips.Image.new_from_memory(np.ascontiguousarray(values), width, height, channels, word)
    image = image.copy(interpretation=meanings[channels > 2])
    _write(image, stream, suffix, write, keep="none", **options)


def _write(
    image: Any,  # noqa: ANN401 - of an untyped module
    stream: IO[bytes],
    suffix: str,
    write: Callable[[bytes], int] | None,
    **options: str | int,
) -> None:
    vips = _import_pyvips()
    failures: list[OSError] = []

    def guarded(call: Callable[..., Any], failed: object) -> Callable[..., Any]:
        """Return the same call for libvips, which cannot pass exceptions on."""

        def run(*args: object) -> object:
            try:
                return call(*args)
            except OSError as error:
                failures.append(error)
                return failed

        return run

    target = vips.TargetCustom()
    target.on_write(guarded(write or stream.write, -1))
    target.on_read(guarded(stream.read, None))
    target.on_seek(guarded(stream.seek, -1))
    try:
        image.write_to_target(target, suffix, **options)
    except vips.Error as error:
        raise (failures[0] if failures else OSError(" ".join(str(error).split()))) from None


def encode_animation(
    stream: IO[bytes],
    frames: Array,
    suffix: str,
    *,
    milliseconds: Sequence[int],
    plays: int,
    icc: bytes | None,
    **options: str | int,
) -> None:
    """Write an animation; its frames are compressed one after another.

    Args:
        stream: An empty file.
        frames: (N, H, W, 4) uint8 with alpha last; may be mapped from a file.
        suffix: ``".gif"`` or ``".webp"``.
        milliseconds: Duration of each frame.
        plays: Of the whole; 0 is without end.
        icc: Colour profile.
        options: Of libvips for that format.

    Raises:
        OSError: If the stream does not take it.
    """
    vips = _import_pyvips()
    count, height, width, channels = frames.shape
    image = vips.Image.new_from_memory(frames, width, count * height, channels, "uchar")
    image = image.copy(interpretation="srgb")
    types = vips.GValue
    image.set_type(types.gint_type, "page-height", height)
    image.set_type(types.array_int_type, "delay", list(milliseconds))
    image.set_type(types.gint_type, "loop", plays)
    if icc is not None:
        image.set_type(types.blob_type, "icc-profile-data", icc)
    _write(image, stream, suffix, None, keep="icc", **options)


def _import_pyvips() -> Any:  # noqa: ANN401 - an untyped module
    try:
        import pyvips
    except ImportError:
        raise PictureError(
            "PNG and TIFF files need pyvips; install it: pip install 'pyvips[binary]'"
        ) from None
    pyvips.cache_set_max(0)
    return pyvips
