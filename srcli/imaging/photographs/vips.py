"""Decode and encode pixels with libvips: every bit at 8 and 16 bits a value, row by row.

Tried beside it for PNG: Pillow (no 16-bit colour; data that end early become black
without a word; writing copies a picture to 4 bytes a pixel), imageio (which calls
Pillow), GDAL (no EXIF, XMP or resolution; twice the memory), imagecodecs (whole files
in memory, 26 MB to install). pyvips is imported late: training does without it. Its
cache, which knows pictures by name, is never used.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from srcli.errors import NO_THREADS, PictureError
from srcli.imaging.pixels.arrays import (
    LARGEST_IN_MEMORY,
    Array,
    empty_array,
    release,
    strips,
)

_LOCK = threading.Lock()
_LOADERS: Mapping[str, tuple[str, dict[str, bool]]] = {
    "png": ("pngload_buffer", {"unlimited": True}),
    "jpg": ("jpegload_buffer", {"unlimited": True}),
    "webp": ("webpload_buffer", {}),
}


FORMATS = frozenset(_LOADERS)
"""Formats that are decoded here."""


def decode(
    stream: IO[bytes], fmt: str, folder: Path | None = None
) -> tuple[Array, Array | None]:
    """Decode a still PNG, JPEG or WebP: (H, W, C) of 8 or 16 bits, alpha (H, W) or None.

    The chunks of a PNG are sound. CMYK has four channels. Large arrays lie in the folder
    where one is given; see ``empty_array``.
    """
    vips = _import_pyvips()
    loader, options = _LOADERS[fmt]
    try:
        image = getattr(vips.Image, loader)(
            stream.read(), access="sequential", fail_on="truncated", **options
        )
        values = _decode(vips, image, folder)
    except vips.Error as error:
        if "creat" in str(error) and "thread" in str(error):
            raise PictureError(f"{stream.name}: {NO_THREADS}") from None
        raise ValueError(
            "it holds too little data for its size, or damaged data"
        ) from None
    if not image.hasalpha():
        return values, None
    pixels = empty_array((*values.shape[:2], image.bands - 1), values.dtype, folder)
    alpha = empty_array(values.shape[:2], values.dtype, folder)
    for rows in strips(values):
        pixels[rows] = values[rows, :, :-1]
        alpha[rows] = values[rows, :, -1]
        release(pixels)
        release(alpha)
    return pixels, alpha


def _decode(vips: Any, image: Any, folder: Path | None) -> Array:  # noqa: ANN401 - of pyvips
    """Decode an image of libvips that is read once, from the top: (H, W, C)."""
    shape = (image.height, image.width, image.bands)
    dtype = np.dtype(np.uint16 if image.format == "ushort" else np.uint8)
    if folder is None or math.prod(shape) * dtype.itemsize <= LARGEST_IN_MEMORY:
        decoded: Array = image.numpy()
        return decoded.reshape(shape)
    values = empty_array(shape, dtype, folder)
    values_as_bytes = values.reshape(-1).view(np.uint8)
    position = 0

    def put(data: bytes) -> int:
        nonlocal position
        end = position + len(data)
        values_as_bytes[position:end] = np.frombuffer(data, np.uint8)
        position = end
        release(values)
        return len(data)

    target = vips.TargetCustom()
    target.on_write(put)
    image.rawsave_target(target)
    return values


def encode_by_libvips(
    stream: IO[bytes],
    values: Array,
    suffix: str,
    edit: Callable[[bytes], bytes] | None = None,
    *,
    milliseconds: Sequence[int] = (),
    plays: int = 0,
    **options: str | int,
) -> None:
    """Write a picture or an animation without metadata.

    Values are (H, W, C), uint8, uint16 or float32, with alpha last; of animations (N,
    H, W, 4) uint8, with the duration of each frame, perhaps mapped from a file: frames
    are compressed one by one. The file is empty; for TIFF one that can be sought in and
    read. ``edit`` changes the bytes at the start, up to some pixels.
    Options are those of libvips for the suffix.
    """
    vips = _import_pyvips()
    height, width, channels = values.shape[-3:]
    # as of gray that goes into RGB
    is_repeated = channels > 1 and values.strides[-1] == 0
    if is_repeated:
        values = values[..., :1]
    rows = np.ascontiguousarray(values).reshape(-1, width, values.shape[-1])
    image = vips.Image.new_from_array(rows, interpretation="auto")
    if is_repeated:  # row by row: three times the memory is not taken
        kind = "rgb16" if values.dtype == np.uint16 else "srgb"
        image = image.bandjoin([image] * (channels - 1)).copy(interpretation=kind)
    if milliseconds:
        image.set_type(vips.GValue.gint_type, "page-height", height)
        image.set_type(vips.GValue.array_int_type, "delay", list(milliseconds))
        image.set_type(vips.GValue.gint_type, "loop", plays)
    failures = []  # which libvips cannot pass on

    def put(data: bytes) -> int:
        nonlocal edit
        release(values)
        try:
            stream.write(edit(bytes(data)) if edit else data)
            stream.flush()
        except OSError as error:
            failures.append(error)
            return -1
        edit = None
        return len(data)

    target = vips.TargetCustom()
    target.on_write(put)
    target.on_read(stream.read)
    target.on_seek(stream.seek)
    try:
        image.write_to_target(target, suffix, keep="none", **options)
    except vips.Error as error:
        reason = " ".join(str(error).split())
        if "creating thread" in reason:
            reason = NO_THREADS
        failures.append(OSError(reason))
        raise failures[0] from None


def _import_pyvips() -> Any:  # noqa: ANN401 - an untyped module
    with _LOCK:  # the first threads that read and write come here at once
        # no warnings of damaged files on the terminal, as libvips asks when it begins
        before = os.environ.setdefault("VIPS_WARNING", "")
        try:
            import pyvips
        finally:
            if not before:
                del os.environ["VIPS_WARNING"]
        pyvips.cache_set_max(0)
        if getattr(pyvips, "_log_handler_id", None):
            # nor of pyvips, which prints a traceback where it cannot decode them
            pyvips.glib_lib.g_log_remove_handler(b"VIPS", pyvips._log_handler_id)
            pyvips._log_handler_id = None
    return pyvips
