"""A raster that is open: GDAL's handle and the file, shared by all that read it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

from srcli.imaging.files.provenance import check_unchanged
from srcli.imaging.rasters.gdal_access import reading_errors

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.imaging.files.tiff_blocks import TiffBlocks


class OpenedRaster(AbstractContextManager["OpenedRaster"]):
    """A raster that stays open while it is planned, measured and enlarged; see ``keep_open``.

    GDAL has one handle, on which threads take turns by ``lock``. A file on disk is open
    as a stream as well: its directory is read from there, and changes are seen there.
    """

    def __init__(
        self,
        path: Path,
        dataset: DatasetReader,
        stream: IO[bytes] | None,
        input_id: str,
        sparse_blocks: TiffBlocks | None,
        files: ExitStack,
    ) -> None:
        """Take over what is open; ``files`` closes it at the end."""
        self.path = path
        self.dataset = dataset
        self.stream = stream
        """The file on disk; None without one, or where a caller has opened the dataset."""
        self.input_id = input_id
        """What is recorded of it in outputs; see ``input_id`` of ``provenance.py``."""
        self.sparse_blocks = sparse_blocks
        """The blocks of a sparse TIFF, which leaves some out; None if it has all."""
        self.lock = Lock()
        self._files = files

    def check_unchanged(self) -> None:
        """Refuse a file whose content has changed since it was opened."""
        stream = self.stream
        with suppress(OSError):  # it is no file any more
            if stream and not os.path.samestat(
                os.fstat(stream.fileno()), self.path.stat()
            ):
                stream = None  # it was replaced by another file
        check_unchanged(self.path, self.input_id, stream)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Become None on the way to another process, which opens the raster itself."""
        return type(None), ()

    def close(self) -> None:
        """Close the raster; a second call does nothing."""
        with reading_errors(self.path, "it cannot be closed"):
            self._files.close()

    def __exit__(self, *_: object) -> None:
        """Close the raster."""
        self.close()
