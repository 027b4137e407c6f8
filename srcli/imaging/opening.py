"""Open picture files by their content, without Pillow's global limit and without stray warnings."""

from __future__ import annotations

import errno
import struct
import threading
import warnings
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from srcli.errors import LargePictureError, PictureError
from srcli.imaging.formats import FORMATS, format_of_content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_AREA = 2**30
"""Pixels; a file that claims more is refused (a few bytes can claim a picture of terabytes)."""

# The classes are called directly, because Image.open applies Pillow's process-wide pixel limit and
# tries every format there is.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpg": JpegImagePlugin.JpegImageFile,
    "mpo": MpoImagePlugin.MpoImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tif": TiffImagePlugin.TiffImageFile,
    "gif": GifImagePlugin.GifImageFile,
}
if "avif" in FORMATS:
    from PIL import AvifImagePlugin

    _PLUGINS["avif"] = AvifImagePlugin.AvifImageFile

# What Pillow, tifffile and rasterio raise on files that are damaged or made to harm.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_LOCK = threading.RLock()


@contextmanager
def calm() -> Iterator[list[str]]:
    """Run library calls with their warnings collected and Pillow's pixel limit lifted.

    Both are global to the process, so threads take turns here: keep the block short.

    Yields:
        A list that holds the texts of the warnings once the block is left.
    """
    messages: list[str] = []
    with _LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield messages
        finally:
            Image.MAX_IMAGE_PIXELS = limit
        messages += [
            " ".join(str(one.message).split()) for one in caught if one.category is UserWarning
        ]


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises on a bad file into a PictureError that names the file.

    Args:
        path: The file being read.

    Raises:
        PictureError: For a file that is missing, unreadable, damaged or too large.
    """
    try:
        yield
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise PictureError(f"{path}: is a folder, not a picture") from None
    except PermissionError:
        raise PictureError(f"{path}: no permission to read it; check its access rights") from None
    except MemoryError:
        raise PictureError(f"{path}: does not fit into memory; cut it or use a GeoTIFF") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in (errno.EIO, errno.ENAMETOOLONG):
            raise PictureError(f"{path}: cannot be read ({error.strerror})") from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PictureError(
            f"{path}: the file is damaged or cut short ({reason}); copy or export it again"
        ) from error


def sniff(path: Path, stream: IO[bytes]) -> str:
    """Name of a file's format by its first bytes; the stream is put back to its start.

    Args:
        path: For messages.
        stream: The open file.

    Raises:
        PictureError: If the file is empty or in no format that srx reads.
    """
    head = stream.read(64)
    stream.seek(0)
    name = format_of_content(head)
    if name is None:
        if not head:
            raise PictureError(f"{path}: the file is empty (0 bytes); copy it again")
        names = ", ".join(sorted({*FORMATS, "gif"}))
        raise PictureError(f"{path}: not a picture that srx reads ({names}); convert it first")
    return name


def open_image(name: str, stream: IO[bytes]) -> tuple[ImageFile.ImageFile, list[str]]:
    """Open a file with Pillow's reader of one format; nothing is decoded yet.

    Args:
        name: The format, ``"mpo"`` for the frames of a multi-picture JPEG.
        stream: The file from its start; it must stay open while the image is used.

    Returns:
        The image and the texts of Pillow's warnings.
    """
    with calm() as messages:
        image = _PLUGINS[name](stream)
    return image, messages


def load(image: ImageFile.ImageFile) -> list[str]:
    """Decode an image completely.

    Returns:
        The texts of Pillow's warnings.

    Raises:
        OSError: If the data end early or are damaged.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if image.format != "TIFF" and (limit is None or image.width * image.height <= limit):
        image.load()
        return []
    # Only here Pillow checks its limit once more, and reads tags that may make it warn.
    with calm() as messages:
        image.load()
    return messages


def check_area(path: Path, height: int, width: int) -> None:
    """Refuse sizes that cannot be held in memory.

    Raises:
        PictureError: If the picture is empty.
        LargePictureError: If it has over ``LARGEST_AREA`` pixels.
    """
    if min(height, width) < 1:
        raise PictureError(f"{path}: a picture of {width}x{height} pixels is empty")
    if height * width > LARGEST_AREA:
        raise LargePictureError(
            f"{path}: a picture of {width}x{height} pixels cannot be read as a photograph; "
            "cut it, or convert it to a GeoTIFF"
        )
