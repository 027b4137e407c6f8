"""How GDAL reads: from the network or not, with which cache; its errors as one line.

The network is used only where that is allowed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from srcli.errors import PictureError
from srcli.imaging.files import gdal
from srcli.imaging.files.decoding import decoding, quiet_libraries
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.threads import hold_setting

BLOCK_CACHE = 2**27
"""GDAL's cache of decoded blocks in bytes, for the whole process."""
OFFLINE = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",  # the only file of /vsicurl/, /vsis3/ ... there is
    "GDAL_HTTP_PROXY": "offline://none",  # drivers: libcurl refuses proxies of unknown kinds
}
"""Options of GDAL that end every request before a connection is made."""
_online = False
"""The network may be used; set by ``network_access``."""
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
DAMAGED = (
    "it is damaged or cut short, or a part of it is missing: copy or export it again"
)
"""What to do about a file that GDAL cannot read, where nothing better is known."""
_ADVICE = {
    "Too many open files": "raise 'ulimit -n'",
    "Unsupported JPEG data precision": (
        "this GDAL reads JPEG of 8 bits alone: copy it with one that reads more (gdal_translate "
        "-co COMPRESS=DEFLATE of another build)"
    ),
    "Numeric conversion not representable": (
        'GDAL does not read unsigned bytes from NetCDF: give HDF5:"{file}"://{variable}, in '
        "which values above 127 are negative, or convert it, such as by xarray"
    ),
    "Unsupported codec": (
        "this GDAL does not read Zarr 3 of these codecs: write it in format 2, such as by "
        "xarray's to_zarr(path, zarr_format=2)"
    ),
    "NetCDF: Filter error": "this GDAL cannot decompress it: export it again with deflate",
    "is not configured": "this GDAL cannot decompress it: export it again with deflate",
}
"""What to do about errors that are none of the file's, by words in GDAL's messages."""


@contextmanager
def network_access(*, allowed: bool) -> Iterator[None]:
    """Let the whole process read rasters from the network, or forbid it, as by default.

    Proxies are changed in the environment, too: ``OFFLINE`` does not reach servers that
    it exempts from proxies, nor libraries that make requests of their own.
    """
    global _online
    before = _online
    _online = allowed
    saved = {}
    changed = () if allowed else (*_PROXIES, "no_proxy", "NO_PROXY")
    for name in changed:
        if name in os.environ:
            saved[name] = os.environ.pop(name)
    if not allowed:
        os.environ.update(dict.fromkeys(_PROXIES, OFFLINE["GDAL_HTTP_PROXY"]))
    try:
        yield
    finally:
        _online = before
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update(saved)


def is_online() -> bool:
    """Tell if the network may be used; see ``network_access``."""
    return _online


def keep_blocks(limit_bytes: int) -> None:
    """Set the size of GDAL's cache of decoded blocks, and of open files if the system has few.

    Both hold for the whole process: as options of ``rasterio.Env`` they would end with
    it, and the blocks would be lost.
    """
    from rasterio._env import set_gdal_config

    set_gdal_config("GDAL_CACHEMAX", limit_bytes)
    if sys.platform != "win32":
        import resource

        # a mosaic holds up to 100 of its files open
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 < limit < 256:
            set_gdal_config("GDAL_MAX_DATASET_POOL_SIZE", max((limit - 40) // 2, 2))


_LOGGER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
"""A function that PROJ calls with a message."""
_ignore_message = _LOGGER(lambda context, level, message: None)


@cache
def _silence_libgeotiff() -> None:
    """Keep PROJ from printing where libgeotiff calls it, in a process whose GDAL is silent.

    GDAL has loggers of its own, which stay: without PROJ's errors (PROJ_DEBUG=0) it
    loses coordinate systems that WKT 1 lacks.
    """
    import rasterio.crs

    if os.environ.get("CPL_LOG") != os.devnull:
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(rasterio.crs.__file__)
        is_renamed = hasattr(library, "internal_proj_log_func")  # as in wheels
        name = "internal_proj_log_func" if is_renamed else "proj_log_func"
        library[name](None, None, _ignore_message)


def open_quietly(source: Any, mode: str = "r") -> Any:  # noqa: ANN401 - of rasterio
    """Open a raster of our own without the warning of rasterio that it has no transform."""
    import rasterio

    with quiet_libraries():
        return rasterio.open(source, mode)


def _report_error(kind: type[BaseException], error: BaseException, trace: Any) -> None:  # noqa: ANN401
    """Print an error as Python does, but none for messages that rasterio cannot decode.

    GDAL quotes bytes of a damaged header in them; the error that follows is reported.
    """
    if not isinstance(error, UnicodeDecodeError):
        sys.__excepthook__(kind, error, trace)


def _report_unraisable(report: Any) -> None:  # noqa: ANN401 - a type of the type checker alone
    if not isinstance(report.exc_value, UnicodeDecodeError):
        sys.__unraisablehook__(report)


@contextmanager
def reading_errors(
    path: Path,
    failure: str,
    *,
    advice: str = DAMAGED,
    pixels: int = 0,
    variable: str = "VARIABLE",
) -> Iterator[None]:
    """Turn errors of rasterio and GDAL while reading one file into a PictureError.

    ``failure`` describes them, such as ``"rows 1 to 9 cannot be read"``. ``pixels`` is
    how many may be decoded within, by which the time limit is chosen. ``variable`` is
    the one of a NetCDF file that is read.
    """
    import rasterio

    _silence_libgeotiff()
    options = {"CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO"}
    if not _online:
        options |= OFFLINE
    raise_error = partial(
        _raise_gdal_error, failure=failure, advice=advice, variable=variable
    )
    with (
        decoding(path, None if _online else pixels, raise_error),
        hold_setting(sys, "excepthook", _report_error),
        hold_setting(sys, "unraisablehook", _report_unraisable),
        rasterio.Env(**options),
    ):
        yield


def _raise_gdal_error(
    path: Path, error: Exception, *, failure: str, advice: str, variable: str
) -> None:
    """Raise a PictureError that gives GDAL's reason; see ``reading_errors``."""
    if isinstance(error, MemoryError):
        raise PictureError(
            f"{path}: {failure} (it does not fit into memory)"
        ) from error
    if not isinstance(error, gdal.gdal_errors(OSError, ValueError)):
        return
    reason = gdal.reason_of(error).removeprefix(f"{path}: ")
    for words, other_advice in _ADVICE.items():
        if words in reason:
            file = path.container if isinstance(path, DatasetName) else path
            advice = other_advice.format(file=file, variable=variable)
    raise PictureError(f"{path}: {failure} ({reason}); {advice}") from error
