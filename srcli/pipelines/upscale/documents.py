"""Finished pages of a document, kept beside the output until all are there.

They lie one behind the other in the file that becomes the output: where a run was
interrupted, the file is cut off behind the last page that is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from srcli.imaging.files.stored_parts import open_own, writing_errors
from srcli.imaging.files.stored_rows import StoredRows
from srcli.imaging.photographs import tiff_writing
from srcli.imaging.photographs.new_files import new_file
from srcli.imaging.photographs.writing import append_page
from srcli.input_files import checksum

if TYPE_CHECKING:
    from srcli.files import FileAttributes
    from srcli.imaging.photographs.photograph import Photograph

_FIRST_PAGE = 500_000
"""Number of the mark of the first page; those of rows are lower."""


@dataclass(frozen=True)
class StoredPages(StoredRows):
    """The finished pages of a document, and the rows of the next one."""

    @property
    def file(self) -> Path:
        """The TIFF that holds the pages."""
        return self.folder / "pages.tif"

    @property
    def page_count(self) -> int:
        """Number of pages that earlier runs have finished, if none has changed."""
        marks = self.found()
        count = 0
        while _FIRST_PAGE + count in marks:
            count += 1
        return count

    def is_content(self, file: Path) -> bool:
        """Tell if a file holds pages, or rows to which marks belong."""
        return file == self.file or super().is_content(file)

    def forget_rows(self) -> None:
        """Forget the rows of a page that is finished; their file serves the next one."""
        for number, mark in self.found().items():
            if number < _FIRST_PAGE:
                mark.unlink(missing_ok=True)


class PagesFile:
    """The pages of a document that are finished, in their order."""

    def __init__(self, stored: StoredPages, stream: IO[bytes], *, big: bool) -> None:
        self._stored = stored
        self._stream = stream
        self._big = big
        self._marks = stored.found()
        self._count = 0
        self._end = 0
        """Bytes of the pages that are finished."""

    def take_kept(self, fingerprint: str) -> bool:
        """Take the next page from an earlier run; return False if that has not made it.

        ``fingerprint`` stands for all that the page depends on.
        """
        mark = self._marks.get(_FIRST_PAGE + self._count)
        with suppress(TypeError, KeyError, ValueError, AttributeError):
            content = json.loads(mark.read_bytes()) if mark else {}
            end = int(content["end"])
            if content["page"] == fingerprint and content["sum"] == self._sum(end):
                self._count += 1
                self._end = end
                return True
        self._marks = {}  # pages after a gap are worth nothing
        return False

    def append(self, photograph: Photograph, fingerprint: str) -> None:
        """Append a page, of which the stored rows are not needed any more."""
        stream = self._stream
        with writing_errors(self._stored.target):
            tiff_writing.cut_off(stream, self._end)
            append_page(stream, photograph, big=self._big)
            stream.flush()
            end = stream.seek(0, 2)
            mark = {"end": end, "page": fingerprint, "sum": self._sum(end)}
            number = _FIRST_PAGE + self._count
            stale = self._stored.found().get(number)
            if stale is not None:
                stale.unlink()
            self._stored.add(number, json.dumps(mark).encode())
        self._count += 1
        self._end = end
        self._stored.forget_rows()

    def copy(self, target: Path, attributes: FileAttributes) -> None:
        """Write the document, which replaces an existing file once it is complete."""
        with writing_errors(self._stored.target):
            tiff_writing.cut_off(self._stream, self._end)
            self._stream.seek(0)
        with new_file(target, attributes) as stream:
            shutil.copyfileobj(self._stream, stream)

    def _sum(self, end: int) -> str:
        """Return the checksum of the next page, but for the offset of the one behind it."""
        self._stream.seek(self._end)
        return checksum(self._stream.read(end - self._end)[: -tiff_writing.LINK_BYTES])


@contextmanager
def open_pages_file(stored: StoredPages, *, big: bool) -> Iterator[PagesFile]:
    """Open the file of finished pages, a BigTIFF if it is to be ``big``."""
    with writing_errors(stored.target):
        stream = open_own(stored.file)
    with stream:
        yield PagesFile(stored, stream, big=big)
