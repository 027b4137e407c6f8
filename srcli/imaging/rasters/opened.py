"""A raster that is opened once for all that is done with it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

from srcli.files import open_input
from srcli.imaging.photograph import check_unchanged, decoding, mark_source
from srcli.imaging.rasters.held import find_blanks
from srcli.imaging.rasters.opening import DatasetName, open_raster, reading_errors

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class OpenedRaster(AbstractContextManager["OpenedRaster"]):
    """A raster that stays open while it is planned, measured and enlarged.

    GDAL has one handle, on which threads take turns by ``lock``. A file on disk is open
    as a stream as well: its directory is read from there, and changes are seen there.
    A ``dataset`` that a caller has opened stays open at the end.
    """

    def __init__(self, path: Path, dataset: DatasetReader | None = None) -> None:
        self.path = path
        self.lock = Lock()
        self._stream: IO[bytes] | None = None
        with ExitStack() as files:
            if dataset is None and not isinstance(path, DatasetName):
                # the system's error for a missing or forbidden file is clearer than GDAL's
                with decoding(path):
                    self._stream = files.enter_context(open_input(path))
            self.mark = mark_source(path, self._stream)
            """What is recorded of it in outputs; see ``mark_source``."""
            if dataset is None:
                dataset = open_raster(path, stream=self._stream)
                files.callback(dataset.close)
            self.dataset = dataset
            self.blanks = find_blanks(self.dataset, self._stream)
            self._files = files.pop_all()

    def check_unchanged(self) -> None:
        """Refuse a file whose content is another than when it was opened."""
        stream = self._stream
        with suppress(OSError):  # it is no file any more
            if stream and not os.path.samestat(
                os.fstat(stream.fileno()), self.path.stat()
            ):
                stream = None  # it was replaced by another file
        check_unchanged(self.path, self.mark, stream)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Become None on the way to another process, which opens the raster itself."""
        return type(None), ()

    def close(self) -> None:
        """Close the raster; once more does nothing."""
        with reading_errors(self.path, "it cannot be closed"):
            self._files.close()

    def __exit__(self, *_: object) -> None:
        """Close the raster."""
        self.close()
