"""Write files of pictures whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from srcli.errors import PictureError
from srcli.files import FileAttributes, explain_os_error, remove_stale, replacing
from srcli.imaging.files.decoding import DAMAGE


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
