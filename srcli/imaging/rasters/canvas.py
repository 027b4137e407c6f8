"""The canvas: a file that grows block by block, and is a GeoTIFF once it has its header.

Blocks of a part go behind those of the parts before it while later ones are made. So
parts and result together take hardly more room than the result, and at the end there is
little left to write and to wait for.

Nothing is lost by ``kill -9`` or a power cut at any moment: the blocks are on the disk
before the journal tells of them, and that is before the file of the part goes. What lies
behind the end that the journal knows is cut off. The header is written in front at last,
where room was left for it; whatever changes the file then, such as GDAL that builds
overviews behind the blocks, is undone by ``finish``.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import IO

import numpy as np
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.files import lock_stream, synchronise
from srcli.imaging.files.gdal import alias_of_folder, gdal_errors
from srcli.imaging.files.stored_parts import open_own
from srcli.imaging.files.tiff_directories import DirectoryForm
from srcli.imaging.files.tiff_images import (
    Tiff,
    check_length,
    pack_directories,
    pack_header,
    read_blocks,
    read_tiff,
)
from srcli.imaging.rasters.copying import copy_file, describe_mosaic
from srcli.imaging.rasters.names import NAMES
from srcli.imaging.rasters.part_writer import encode_blank
from srcli.imaging.rasters.parts import AppendedPart, Parts
from srcli.imaging.rasters.profile import is_on

_LOCK = "canvas.lock"
POLL_SECONDS = 0.1
"""Interval of looks for the next part."""
RETRY_SECONDS = 5.0
"""Time after which a part is tried again that found no room on the disk, say."""
_LERC_PARAMETERS = 50674
_DECODING_TAGS = (*map(Base.__getitem__, NAMES["decoding_tags"]), _LERC_PARAMETERS)
"""Entries of a directory by which its blocks are decoded."""


class Canvas:
    """The file of a raster as far as its parts are in it; one process at a time has it."""

    def __init__(self, parts: Parts, stream: IO[bytes]) -> None:
        """Go on behind the parts that are in it; ``stream`` is the file, unbuffered."""
        self._parts = parts
        self._output = parts.output
        self._stream = stream
        self._journal = parts.journal()

    @property
    def share(self) -> float:
        """Share of all parts that are in it."""
        return len(self._journal.parts) / self._parts.count

    @property
    def length(self) -> int:
        """Bytes of it so far."""
        return self._journal.end

    @cached_property
    def _blank(self) -> Tiff:
        """A part without data, which says how blocks are decoded."""
        return read_tiff(encode_blank(1, self._output))

    @cached_property
    def _header(self) -> Tiff | None:
        """The images of the final file without blocks; None if GDAL is to copy the canvas."""
        with tempfile.TemporaryDirectory(
            dir=self._parts.folder, ignore_cleanup_errors=True
        ) as folder:
            return self._write_header(alias_of_folder(Path(folder)) / "header.tif")

    def append_next(self) -> bool:
        """Append the next part; return False where it is not made yet, or none is left.

        OSError, and those of rasterio, are raised if it cannot be written.
        """
        file = self._parts.inbox().get(len(self._journal.parts))
        if file is None:
            return False
        self._check_length()
        if not self._journal.start:
            self._begin()
        if file.stat().st_size:
            with file.open("rb") as encoded:
                appended = self._write_blocks(encoded)
        elif is_on(self._output.blocks, "SPARSE_OK", "NO"):
            appended = AppendedPart(crc=0, sizes=[])
        else:
            span = self._parts.span(len(self._journal.parts))
            appended = self._write_blocks(encode_blank(len(span), self._output))
        self._journal.append(appended)
        # Windows may have it open elsewhere; then it goes with the folder
        with suppress(OSError):
            file.unlink()
        return True

    def finish(self, result: Path) -> bool:
        """Append what is left, and write the header; False if GDAL is to copy it then.

        GDAL writes files beside ``result``.
        """
        self._header = self._write_header(result)
        while self.append_next():
            pass
        missing = self._parts.count - len(self._journal.parts)
        if missing:
            raise PictureError(
                f"{self._parts.target}: {missing} parts of it have got lost; run again"
            )
        self._check_length()
        tiff = self._header or self._working_header()
        self._place_blocks(tiff)
        content = pack_header(tiff)
        behind = b""
        if len(content) != self._journal.start:  # that of other options was as long
            at = self._journal.end + self._journal.end % 2
            content = tiff.layout.start(at)
            behind = bytes(at - self._journal.end) + pack_directories(tiff, at)
        self._stream.truncate(self._journal.end)
        self._write(self._journal.end, behind)
        self._write(0, content)
        return self._header is not None

    def _begin(self) -> None:
        """Leave room for the header."""
        start = len(pack_header(self._header or self._working_header()))
        self._stream.truncate(0)
        self._write(0, bytes(start))
        self._journal.begin(start)
        with suppress(OSError):  # not all systems can
            synchronise(self._parts.folder)

    def _write_header(self, result: Path) -> Tiff | None:
        """Let GDAL write the file without pixels, which goes; files beside it stay."""
        output = self._output
        if not output.keeps_blocks:
            return None
        creation = {**output.creation, "SPARSE_OK": "TRUE"}
        if output.driver == "COG":
            creation["OVERVIEWS"] = "NONE"
        # GDAL takes long to write a mask: a part's is the same, but for its height
        header = replace(output, mask=False, creation=creation)
        copy_file(describe_mosaic(header), result, header)
        tiff = read_tiff(result)
        result.unlink()
        images = [image.without_blocks() for image in tiff.images]
        images += [image.of_height(output.height) for image in self._blank.images[1:]]
        for image, blank in zip(images, self._blank.images, strict=True):
            # if GDAL once wrote parts in another way than the file
            if image.differing_tags(blank, _DECODING_TAGS):
                return None
        return Tiff(tiff.layout, images)

    def _working_header(self) -> Tiff:
        """Return the images, without blocks, of a file that is large enough for any part."""
        images = [image.of_height(self._output.height) for image in self._blank.images]
        return Tiff(DirectoryForm("<", big=True), images)

    def _write_blocks(self, encoded: IO[bytes]) -> AppendedPart:
        """Write the blocks of a part behind those that are there, and wait for the disk."""
        try:
            images = read_tiff(encoded).images
        except ValueError as error:
            raise OSError(f"a part of it is damaged: {error}") from None
        sizes = np.concatenate([image.sizes.ravel() for image in images]).tolist()
        end = self._journal.end
        if self._header is not None:
            check_length(end + sum(sizes), self._header.layout)
        crc = 0
        try:
            # what a run that was killed, or a full disk, has left there
            self._stream.truncate(end)
            for image in images:
                for block in read_blocks(encoded, [image]):
                    self._write(end, block)
                    end += len(block)
                    crc = zlib.crc32(block, crc)
            os.fsync(self._stream.fileno())
        except BaseException:
            with suppress(OSError):  # its room is given back
                self._stream.truncate(self._journal.end)
            raise
        return AppendedPart(crc, sizes)

    def _write(self, at: int, content: bytes) -> None:
        """Write bytes at a place of the file, of which the system may take some at a time."""
        self._stream.seek(at)
        waiting = memoryview(content)
        while waiting:
            waiting = waiting[self._stream.write(waiting) :]

    def _place_blocks(self, tiff: Tiff) -> None:
        """Fill in where the blocks of all parts lie."""
        at = self._journal.start
        for number, appended in enumerate(self._journal.parts):
            if not appended.sizes:
                continue
            sizes = np.array(appended.sizes, np.uint64)
            starts = np.uint64(at) + np.cumsum(sizes) - sizes
            starts[sizes == 0] = 0
            first = 0
            for image in tiff.images:
                rows = image.rows_of_blocks(self._parts.span(number))
                shape = image.sizes[:, rows].shape
                blocks = slice(first, first + image.sizes[:, rows].size)
                image.sizes[:, rows] = sizes[blocks].reshape(shape)
                image.offsets[:, rows] = starts[blocks].reshape(shape)
                first = blocks.stop
            at += int(sizes.sum())

    def _check_length(self) -> None:
        """Raise a PictureError if the file has lost blocks that the journal tells of.

        As by a second machine, on a disk whose locks no other machine sees.
        """
        if os.fstat(self._stream.fileno()).st_size < self._journal.end:
            raise PictureError(
                f"{self._parts.target}: another program has cut off what was written of "
                "it; let one alone write it, and run again"
            )


@contextmanager
def open_canvas(parts: Parts) -> Iterator[Canvas]:
    """Open the canvas of a raster; PictureError is raised where somebody else has it."""
    path = parts.folder / _LOCK
    with open_own(path) as lock:
        if lock_stream(path, lock) is False:
            raise PictureError(
                f"{parts.target}: another srx is writing this file; wait for it"
            )
        # no bytes that found no room may wait to be written later
        with open_own(parts.canvas, 0o666, buffering=0) as stream:
            yield Canvas(parts, stream)


@contextmanager
def append_behind(
    parts: Parts, on_look: Callable[[Canvas], None] = lambda canvas: None
) -> Iterator[None]:
    """Append parts in a thread as soon as they are made.

    ``on_look`` is called several times a second. What fails is tried again, and told at
    the end, when the file is to be finished.
    """
    over = Event()

    def append_all(canvas: Canvas) -> None:
        while not over.is_set():
            seconds = POLL_SECONDS
            try:
                on_look(canvas)
                if canvas.append_next():
                    continue
            except PictureError:
                return
            except gdal_errors(OSError, ValueError):
                seconds = RETRY_SECONDS
            over.wait(seconds)

    with open_canvas(parts) as canvas:
        thread = Thread(
            target=append_all, args=(canvas,), daemon=True, name="appending-parts"
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
