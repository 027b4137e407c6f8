"""Write files of pictures whole or not at all, and PNGs of pixels alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from srcli.disks import explain_os_error
from srcli.errors import PictureError
from srcli.files import NEW_FILE, FileAttributes, remove_stale, replacing
from srcli.imaging.files.decoding import DAMAGE
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs import png
from srcli.imaging.pixels.arrays import Array


@contextmanager
def new_file(path: Path, attributes: FileAttributes) -> Iterator[IO[bytes]]:
    """Replace a file by what the block writes; a PictureError names it where that fails."""
    try:
        with replacing(path, attributes) as stream:
            yield stream
        remove_stale(path)
    except OSError as error:
        raise PictureError(explain_os_error(path, error)) from error
    except DAMAGE as error:
        raise PictureError(
            f"{path}: cannot be written ({error}); take another format"
        ) from error


def write_png(path: Path, pixels: Array) -> None:
    """Write pixels (H, W, C), uint8 or uint16, as a PNG without metadata.

    Raises:
        PictureError: If it cannot be written.
    """
    with new_file(path, NEW_FILE) as stream:
        png.write(stream, pixels, Metadata())
