"""The seam of all readers: libraries that decode a file are watched, their errors explained.

The process that watches over this one is told what is read, and how long it may take;
errors become one line for the user. What libraries change or print for the whole process
is held back by ``quiet_libraries``.
"""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image
from PIL.Image import DecompressionBombError

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.files import isobmff
from srcli.imaging.files.formats import describe_other_kind, format_of_content
from srcli.supervision import reading
from srcli.threads import warnings_collected

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error,
    DecompressionBombError,
)  # fmt: skip
"""Raised by Pillow and rasterio on damaged or malicious files, and on kinds they do not
know."""
_OWN_WORDS = (
    struct.error, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
)  # fmt: skip
"""Errors that Python's own words describe, which say nothing of a file."""
_UNREADABLE = (errno.EIO, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTSUP)
_PLAIN_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "is a folder, not a picture",
    PermissionError: "no permission to read it; check its access rights",
    MemoryError: "does not fit into memory; cut it or use a GeoTIFF",
}


def raise_damage(path: Path, error: Exception) -> None:
    """Raise a PictureError that says in one line why Pillow or a similar library fails.

    Errors that are none of the file's are left to the caller.
    """
    for kind, reason in _PLAIN_REASONS.items():
        if isinstance(error, kind):
            raise PictureError(f"{path}: {reason}") from None
    if isinstance(error, DAMAGE):
        raise PictureError(f"{path}: {_explain_damage(path, error)}") from error


def _explain_damage(path: Path, error: Exception) -> str:
    """Say what is wrong with a file, and what to do, in words that follow its name."""
    if isinstance(error, OSError) and error.errno in _UNREADABLE:
        return f"cannot be read ({error.strerror})"
    # the cause of rasterio's errors says more
    cause = error.__cause__ or error
    reason = " ".join(str(cause).split())[:200]
    if isinstance(cause, _OWN_WORDS):
        reason = "its parts do not fit each other"
    # libjxl's advice is for those who build it
    reason = (reason or type(error).__name__).partition(". Please build ")[0]
    if kind := _unread_kind(path, reason):
        return f"its pixels are stored as {kind!r}, which is not read; export it as PNG"
    if words := describe_other_kind(path):
        return words
    if isinstance(error, NotImplementedError):
        return (
            f"is of a kind that srx does not read ({reason}); export it as PNG or plain "
            "TIFF"
        )
    return (
        "the file is damaged or cut short, or of a rare kind that srx does not read "
        f"({reason}); copy it again, or export it as PNG or plain TIFF"
    )


@contextmanager
def decoding(
    path: Path,
    pixels: int | None = 0,
    raise_error: Callable[[Path, Exception], None] = raise_damage,
) -> Iterator[None]:
    """Let a library read a file: it is watched, and its errors become a PictureError.

    Args:
        path: The file, which the error names.
        pixels: Pixels that may be decoded within, by which the time limit is chosen; None
            for no limit, as for files on the network.
        raise_error: Raises the PictureError for an error of the library, and returns
            where another one is to go on as it is.
    """
    try:
        with reading(path, pixels):
            yield
    except Exception as error:
        raise_error(path, error)
        raise


def _unread_kind(path: Path, reason: str) -> str:
    """Return how an AVIF or HEIC file stores its picture if that is unusual; else empty."""
    with suppress(OSError, ValueError), open_input(path) as stream:
        if format_of_content(stream.read(64)) in ("avif", "heic"):
            kind = isobmff.read_item_kind(stream)
            # pictures made of others are read, but for some of them
            is_composed = kind in ("grid", "iden", "iovl")
            if is_composed and "Not implemented" not in reason:
                return ""
            if kind not in ("av01", "hvc1"):
                return kind
    return ""


@contextmanager
def quiet_libraries() -> Iterator[list[str]]:
    """Run library calls with their warnings collected and Pillow's pixel limit lifted.

    Both are global to the process, so threads take turns here: keep the block short.

    The list holds the warnings once the block is left.
    """
    messages: list[str] = []
    with warnings_collected() as caught:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield messages
        finally:
            Image.MAX_IMAGE_PIXELS = limit
        messages += [
            " ".join(str(warning.message).split())
            for warning in caught
            if warning.category is UserWarning
        ]
