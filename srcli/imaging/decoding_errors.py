"""Errors of the libraries that decode pictures, turned into one line for the user."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL.Image import DecompressionBombError

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.formats import format_of_content
from srcli.imaging.isobmff import read_item_kind
from srcli.imaging.other_kinds import describe_other_kind
from srcli.supervision import reading

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error,
    DecompressionBombError,
)  # fmt: skip
"""Raised by Pillow and rasterio on damaged or malicious files, and on kinds they do not
know."""
_UNREADABLE = (errno.EIO, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTSUP)
_PLAIN_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "is a folder, not a picture",
    PermissionError: "no permission to read it; check its access rights",
    MemoryError: "does not fit into memory; cut it or use a GeoTIFF",
}


@contextmanager
def decoding_errors(path: Path, pixels: int = 0) -> Iterator[None]:
    """Turn errors of readers on a bad file into a PictureError that names the file.

    ``pixels``, if some are decoded, say how long that may take.
    """
    try:
        with reading(path, pixels):
            yield
    except tuple(_PLAIN_REASONS) as error:
        reason = next(
            text for kind, text in _PLAIN_REASONS.items() if isinstance(error, kind)
        )
        raise PictureError(f"{path}: {reason}") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _UNREADABLE:
            raise PictureError(f"{path}: cannot be read ({error.strerror})") from error
        # the cause of rasterio's errors says more
        reason = (
            " ".join(str(error.__cause__ or error).split())[:200]
            or type(error).__name__
        )
        # libjxl's advice is for those who build it
        reason = reason.partition(". Please build ")[0]
        if kind := _unread_kind(path, reason):
            raise PictureError(
                f"{path}: its pixels are stored as {kind!r}, which is not read; export it as PNG"
            ) from error
        with suppress(OSError):
            if words := describe_other_kind(path):
                raise PictureError(f"{path}: {words}") from error
        if isinstance(error, NotImplementedError):
            raise PictureError(
                f"{path}: is of a kind that srx does not read ({reason}); export it as PNG or "
                "plain TIFF"
            ) from error
        raise PictureError(
            f"{path}: the file is damaged or cut short, or of a rare kind that srx does not read "
            f"({reason}); copy it again, or export it as PNG or plain TIFF"
        ) from error


def _unread_kind(path: Path, reason: str) -> str:
    """Return how an AVIF or HEIC file stores its picture if that is unusual; else empty."""
    with suppress(OSError, ValueError), open_input(path) as stream:
        if format_of_content(stream.read(64)) in ("avif", "heic"):
            kind = read_item_kind(stream)
            # pictures made of others are read, but for some of them
            is_composed = kind in ("grid", "iden", "iovl")
            if is_composed and "Not implemented" not in reason:
                return ""
            if kind not in ("av01", "hvc1"):
                return kind
    return ""
