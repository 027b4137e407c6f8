"""Readers of formats: those of Pillow, and those of further libraries where they are installed."""

from __future__ import annotations

from importlib import import_module
from typing import IO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from srcli.errors import PictureError
from srcli.imaging.formats import FORMATS

# The classes are called directly, because Image.open applies Pillow's process-wide pixel limit and
# tries every format there is.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "jpg": JpegImagePlugin.JpegImageFile,
    "mpo": MpoImagePlugin.MpoImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tif": TiffImagePlugin.TiffImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
}
if "avif" in FORMATS:
    from PIL import AvifImagePlugin

    _PLUGINS["avif"] = AvifImagePlugin.AvifImageFile

_EXTRA = {
    "heic": ("pillow_heif.as_plugin", "HeifImageFile", "HEIC", "pillow-heif"),
    "jxl": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile", "JPEG XL", "pillow-jxl-plugin"),
}
"""Formats that further libraries read: module, class, the format in words, and what to install."""


def find_plugin(name: str, stream: IO[bytes]) -> type[ImageFile.ImageFile]:
    """Return the reader of a format.

    Args:
        name: As ``format_of_content`` tells it, or ``"mpo"`` for the frames of such a JPEG.
        stream: The file, named in errors.

    Raises:
        PictureError: If its library is not installed.
    """
    if name in _PLUGINS:
        return _PLUGINS[name]
    module, plugin, words, package = _EXTRA[name]
    try:
        found: type[ImageFile.ImageFile] = getattr(import_module(module), plugin)
    except ImportError:
        raise PictureError(
            f"{stream.name}: {words} files need another library; install it: pip install {package}"
        ) from None
    return found
