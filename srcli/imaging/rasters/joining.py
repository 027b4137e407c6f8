"""Join finished parts into the file of a raster while later ones are made.

The blocks of a part are copied behind those of the parts before it, into a file that
takes the final name at the end; a small file then stands for the part, whose room is
given back. So parts and result together take hardly more room than the result, and at
the end there is little left to copy and to wait for.

Nothing is lost by ``kill -9`` or a power cut at any moment: the blocks are on the disk
before the small file is, and that is before the part goes. What lies behind the place
that the last small file names is written again.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO

from srcli.errors import PictureError
from srcli.files import lock_stream, synchronise, write_whole
from srcli.imaging.files.gdal_errors import gdal_errors
from srcli.imaging.files.stored_parts import open_own
from srcli.imaging.files.tiff_assembly import (
    Placing,
    TiffAssembly,
    TiffContent,
    TiledImage,
    check_length,
    pack_directories,
    read_tiff,
)
from srcli.imaging.files.utf8_names import alias_of_folder
from srcli.imaging.rasters.assembling import (
    OtherBlocksError,
    blank_files,
    check_same,
    read_part,
    write_header,
)
from srcli.imaging.rasters.part_encoding import stored_bands
from srcli.imaging.rasters.parts import JOINED, JoinedBlocks, Parts, read_joined_blocks
from srcli.imaging.rasters.vrt import MosaicFile

_LOCK = "joined.lock"
POLL_SECONDS = 0.1
"""Interval of looks for the next part."""
RETRY_SECONDS = 5.0
"""Time after which a part is tried again that found no room on the disk, say."""


class StoppedError(Exception):
    """The joining of a part was given up, as the run ends."""


class Joining:
    """The file of a raster as far as it is joined; one process at a time has it."""

    def __init__(self, parts: Parts, stream: IO[bytes], folder: Path) -> None:
        """Go on behind the parts that are joined; ``folder`` is for files on the way."""
        self._parts = parts
        self._output = parts.output
        self._stream = stream
        self._folder = folder
        self._stop = Event()
        self._header: TiffContent | None = None
        self._next = 0
        self._start: int | None = None  # of the blocks; None before there are some
        self._end = 0
        for number, file in parts.joined().items():
            blocks = read_joined_blocks(file)
            if blocks is None or self._end not in (0, blocks.start):
                raise OSError(f"what stands for part {number} of it is damaged")
            if self._start is None:
                self._start = blocks.start
            self._end = blocks.stop
            self._next = number + 1

    def stop(self) -> None:
        """Let another thread give up the part that it joins, which stays as it is."""
        self._stop.set()

    def join_next(self) -> bool:
        """Join the next part; return False where it is not made yet, or none is left.

        Raises:
            OtherBlocksError: If the file would decode its blocks in another way.
            OSError: And those of rasterio, if it cannot be written.
            StoppedError: After ``stop``.
        """
        unjoined = self._parts.unjoined()
        if self._next not in unjoined:
            return False
        part = unjoined[self._next]
        part_bytes = part.stat().st_size
        if part_bytes or not self._output.is_sparse:
            self._join(part, part_bytes)
        self._next += 1
        return True

    def _join(self, part: Path, part_bytes: int) -> None:
        """Copy the blocks of a part, write what stands for it, and remove it."""
        number = self._next
        files = self._files_of(part, part_bytes)
        contents = [read_part(file) for file in files]
        span = self._parts.span(number)
        images = [image.of_height(len(span)) for image in contents[0]]
        header = self._find_header(images)
        for content in contents:
            check_same(header.images, content)
        assembly = TiffAssembly(header.layout, images)
        for file, content in zip(files, contents, strict=True):
            top = int(file.top) - span.start
            for position, image in enumerate(content):
                assembly.add(file.file, [Placing(position, image, top)])
        assert self._start is not None
        start = self._end or self._start
        stop = start + assembly.length
        check_length(stop, header.layout)
        crc = self._copy(assembly, start)
        blocks = JoinedBlocks(start, stop, crc)
        description = blocks.pack() + assembly.header(start)
        write_whole(self._parts.joined_name(number, description), description)
        with suppress(OSError):  # not all systems can
            synchronise(self._parts.folder)
        self._end = stop
        # Windows may have it open elsewhere; then it goes with the folder
        with suppress(OSError):
            part.unlink()

    def _copy(self, assembly: TiffAssembly, start: int) -> int:
        """Write blocks from a byte of the file on, and wait for the disk; return their CRC-32."""
        target = _StoppableWriter(self._stream, self._stop)
        self._check_length()
        try:
            # what a run that was killed, or a full disk, has left there
            self._stream.truncate(self._end)
            if not self._end:  # room for the header
                self._stream.seek(0)
                _write_all(self._stream, bytes(start))
            self._stream.seek(start)
            assembly.copy_blocks(target)
            os.fsync(self._stream.fileno())
        except BaseException:
            with suppress(OSError):  # its room is given back
                self._stream.truncate(self._end)
            raise
        return target.crc

    def _check_length(self) -> None:
        """Raise a PictureError if the file has lost blocks that were joined.

        As by a second machine, on a disk whose locks no other machine sees.
        """
        if os.fstat(self._stream.fileno()).st_size < self._end:
            raise PictureError(
                f"{self._parts.target}: another program has cut off what was joined of "
                "it; let one alone write it, and run again"
            )

    def _files_of(self, part: Path, part_bytes: int) -> list[MosaicFile]:
        """Return the file of a part, or files of the blank rows that an empty one stands for."""
        span = self._parts.span(self._next)
        if not part_bytes:
            return list(blank_files(span, self._folder, self._output))
        width = self._output.width
        return [MosaicFile(part, span.start, 0, len(span), width, ())]

    def _find_header(self, images_of_part: list[TiledImage]) -> TiffContent:
        """Return the directories of the file, and find where its blocks begin.

        OtherBlocksError is raised if an earlier run has joined parts behind another one.
        """
        if self._header is None:
            path = alias_of_folder(self._folder) / "header.tif"
            self._header = self._write_header(path, images_of_part)
            length = len(pack_directories(self._header.layout, self._header.images))
            if self._start not in (None, length):
                raise OtherBlocksError("its header had another length before")
            self._start = length
        return self._header

    def _write_header(
        self, path: Path, images_of_part: list[TiledImage]
    ) -> TiffContent:
        """Return the directories of the file without blocks; GDAL writes files beside a path."""
        header = write_header(path, self._output)
        images = [image.without_blocks() for image in header.images]
        if self._output.mask:
            height = self._output.height
            images += [image.of_height(height) for image in images_of_part[1:]]
        return TiffContent(header.layout, images, header.structure)

    def finish(self, result: Path) -> None:
        """Join what is left, and write the header; GDAL writes files beside ``result``.

        For errors see ``join_next``.
        """
        while self._next < self._parts.count:
            if not self.join_next():
                raise PictureError(
                    f"{self._parts.target}: a part of it has got lost; run again"
                )
        contents = joined_contents(self._parts)
        images_of_part: list[TiledImage] = []
        for content in contents.values():
            images_of_part = content.images
        header = self._write_header(result, images_of_part)
        for content in contents.values():
            check_same(header.images, content.images)
        _take_positions(header.images, contents, self._parts)
        directories = pack_directories(header.layout, header.images)
        if self._start not in (None, len(directories)):
            raise OtherBlocksError("its header had another length before")
        self._check_length()
        self._stream.seek(0)
        _write_all(self._stream, directories)
        self._stream.truncate(self._end or len(directories))


class _StoppableWriter:
    """Writes on in a file, and counts a CRC-32, until it is stopped."""

    def __init__(self, stream: IO[bytes], stop: Event) -> None:
        self._stream = stream
        self._stop = stop
        self.crc = 0

    def write(self, content: bytes, /) -> None:
        """Write further bytes."""
        if self._stop.is_set():
            raise StoppedError
        self.crc = zlib.crc32(content, self.crc)
        _write_all(self._stream, content)


def _write_all(stream: IO[bytes], content: bytes) -> None:
    """Write bytes to an unbuffered file, of which the system may take some at a time."""
    waiting = memoryview(content)
    while waiting:
        waiting = waiting[stream.write(waiting) :]


@contextmanager
def open_joining(parts: Parts) -> Iterator[Joining | None]:
    """Open the file that parts are joined into; None where they are merged at the end.

    So are few of them, those of other files than plain GeoTIFFs in tiles, and those on
    disks without locks, where another process could join them too.
    """
    if not parts.output.is_joined or parts.count < 2:
        yield None
        return
    path = parts.folder / _LOCK
    with open_own(path) as lock:
        locked = lock_stream(path, lock)
        if locked is False:
            raise PictureError(
                f"{parts.target}: another srx is writing this file; wait for it"
            )
        if locked is None:
            yield None
            return
        with (
            # no bytes that found no room may wait to be written later
            open_own(parts.joined_file, 0o666, buffering=0) as stream,
            tempfile.TemporaryDirectory(
                dir=parts.folder, ignore_cleanup_errors=True
            ) as folder,
        ):
            yield Joining(parts, stream, Path(folder))


@contextmanager
def join_behind(
    parts: Parts, may_begin: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Join parts in a thread, as soon as they are made and ``may_begin`` says so.

    What fails is tried again, and told at the end, when the file is to be finished.
    """
    over = Event()

    def join_all(joining: Joining) -> None:
        while not over.is_set():
            seconds = POLL_SECONDS
            try:
                if may_begin() and joining.join_next():
                    continue
            except (OtherBlocksError, StoppedError, PictureError):
                return
            except gdal_errors(OSError, ValueError):
                seconds = RETRY_SECONDS
            over.wait(seconds)

    with open_joining(parts) as joining:
        if joining is None:
            yield
            return
        thread = Thread(
            target=join_all, args=(joining,), daemon=True, name="joining-parts"
        )
        thread.start()
        try:
            yield
        except BaseException:
            joining.stop()
            raise
        finally:
            over.set()
            thread.join()


def joined_contents(parts: Parts) -> dict[int, TiffContent]:
    """Return the directories of joined parts, whose blocks lie where the joined file has them."""
    contents = {}
    for number, file in parts.joined().items():
        try:
            contents[number] = read_tiff(file, JoinedBlocks.LENGTH)
        except ValueError as error:
            raise OSError(f"a part of it is damaged: {error}") from None
    return contents


def _take_positions(
    images: Sequence[TiledImage], contents: Mapping[int, TiffContent], parts: Parts
) -> None:
    """Take over into directories of the whole file where the blocks of joined parts lie."""
    for number, content in contents.items():
        top = parts.span(number).start
        for image, image_of_part in zip(images, content.images, strict=True):
            image.take_positions(image_of_part, top)


def read_joined(parts: Parts) -> MosaicFile | None:
    """Make the joined file one that GDAL can read, with the rows that it has so far.

    None is returned if no part is joined.
    """
    contents = joined_contents(parts)
    if not contents:
        return None
    height = parts.span(max(contents)).stop
    one_content = contents[min(contents)]
    images = [image.of_height(height) for image in one_content.images]
    _take_positions(images, contents, parts)
    # behind the blocks, as the room before them may be too small
    end = 0
    for file in parts.joined().values():
        blocks = read_joined_blocks(file)
        if blocks is not None:
            end = max(end, blocks.stop)
    end += end % 2
    start_length = len(one_content.layout.start(0))
    directories = pack_directories(one_content.layout, images, start=end)
    with open_own(parts.joined_file) as stream:
        stream.seek(end)
        stream.write(directories[start_length:])
        stream.seek(0)
        stream.write(directories[:start_length])
    path = alias_of_folder(parts.folder).absolute() / JOINED
    bands = stored_bands(parts.output)
    width = parts.output.width
    return MosaicFile(path, 0, 0, height, width, bands, part_rows=parts.rows)
