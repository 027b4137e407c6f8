"""Decode and encode pixels with libvips: every bit at 8 and 16 bits a value, row by row.

Tried beside it for PNG: Pillow (no 16-bit colour; data that end early become black without a word;
writing copies a picture to 4 bytes a pixel), imageio (which calls Pillow), GDAL (no EXIF, XMP or
resolution; twice the memory), imagecodecs (whole files in memory, 26 MB to install). pyvips is
imported late: training does without it. Its cache, which knows pictures by name, is never used.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

_LOCK = threading.Lock()
# libvips' words for dtypes, and for the channels of gray and of RGB in them.
_WORDS = {
    "uint8": ("uchar", "b-w", "srgb"),
    "uint16": ("ushort", "grey16", "rgb16"),
    "float32": ("float", "b-w", "scrgb"),
}
_LOADERS = {
    "jpg": "jpegload_buffer",
    "webp": "webpload_buffer",
    "avif": "heifload_buffer",
    "heic": "heifload_buffer",
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


@dataclass(frozen=True)
class Opened:
    """A picture opened by libvips, whose pixels are not decoded yet."""

    image: Any
    """Of pyvips."""
    bits: int
    """Of a value in the file, 1 to 16."""

    def field(self, name: str) -> bytes | None:
        """Return metadata: ``"icc-profile-data"``, ``"exif-data"`` or ``"xmp-data"``."""
        found = self.image.get(name) if self.image.get_typeof(name) else None
        return found or None

    def decode(self) -> Array:
        """Decode it.

        Returns:
            (H, W, C), uint8 or uint16 over the dtype's whole range.

        Raises:
            ValueError: If the data are damaged or end early.
        """
        try:
            values: Array = self.image.numpy()
        except _import_pyvips().Error as error:
            raise ValueError(_reason(error)) from None
        values = values.reshape(self.image.height, self.image.width, self.image.bands)
        bits = self.bits
        if bits in (8, 16):
            return values
        # libvips moves 10 bits to the upper end of 16, so that white becomes 65472
        high = values >> np.uint16(16 - bits)
        return high << np.uint16(16 - bits) | high >> np.uint16(2 * bits - 16)


def open_picture(name: str, data: bytes) -> Opened:
    """Open a JPEG, WebP, AVIF or HEIC file; whatever it warns of counts as damage.

    Args:
        name: The format, as ``format_of_content`` tells it.
        data: The whole file; it must stay in memory until it is decoded.

    Raises:
        ValueError: If it is damaged, or of a kind that libvips does not read.
    """
    vips = _import_pyvips()
    try:
        image = getattr(vips.Image, _LOADERS[name])(data, access="sequential", fail_on="warning")
    except vips.Error as error:
        raise ValueError(_reason(error)) from None
    if image.format not in ("uchar", "ushort"):
        raise ValueError(f"values of kind {image.format}")
    bits = 8
    if image.format == "ushort":
        bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 16
    return Opened(image, bits)


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


def _reason(error: Exception) -> str:
    """Return the last line of an error, which is nearest to the cause, without the name before."""
    return str(error).strip().splitlines()[-1].split(": ", 1)[-1]


def _import_pyvips() -> Any:  # noqa: ANN401 - an untyped module
    os.environ.setdefault("VIPS_WARNING", "1")  # no warnings of damaged files on the terminal
    try:
        import pyvips
    except ImportError:
        raise PictureError(
            "PNG and TIFF files need pyvips; install it: pip install 'pyvips[binary]'"
        ) from None
    with _LOCK:  # the first threads that read and write come here at once
        pyvips.cache_set_max(0)
        if getattr(pyvips, "_log_handler_id", None):
            # nor of pyvips, which prints a traceback where it cannot decode them
            pyvips.glib_lib.g_log_remove_handler(b"VIPS", pyvips._log_handler_id)
            pyvips._log_handler_id = None
    return pyvips
