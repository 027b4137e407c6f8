"""Errors that GDAL raises through rasterio, and its reasons in words."""

from __future__ import annotations

_LONGEST_MESSAGE = 300


def gdal_errors(*further: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the errors of rasterio, those of GDAL that it passes on, and further ones."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError, *further


def reason_of(error: BaseException) -> str:
    """Return GDAL's first message on one line; rasterio wraps it into errors of its own."""
    return innermost_text(error)[:200]


def innermost_text(error: BaseException) -> str:
    """Return the message of the error at the root of others, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError):
        # of GDAL's message, or of a text of the file
        if len(error.object) > _LONGEST_MESSAGE:
            return "text in it is not UTF-8"
        return " ".join(error.object.decode(errors="backslashreplace").split())
    return " ".join(str(error).split()) or type(error).__name__
