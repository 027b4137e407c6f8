"""Write an unfinished raster as parts: small GeoTIFFs in a hidden folder beside it.

A part is a band of rows of the full width. It takes its final name, which holds the checksum of
the file, once it is complete; so parts can be made in any order, twice, and by several processes,
and an interrupted run leaves them to the next.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.files import explain_os_error, hidden_name, lock_file, write_whole
from srcli.imaging.rasters.opening import gdal_errors, reason_of
from srcli.imaging.rasters.output import OutputProfile
from srcli.imaging.rasters.reading import RasterSource, is_nodata, nearest_other_value
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

VERSION = 3
"""Of the contents of the folder."""
_PLAN, _LOCK = "plan.json", "lock"
_NAME = re.compile(r"part-(\d{6})-([0-9a-f]{8})\.tif")
_BLOCK_WIDTH, _BLOCK_HEIGHT = 512, 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""
_MULTIPLE = 16
"""Sides of the blocks of a TIFF are multiples of it."""
_MOST_THREADS = 8


@dataclass(frozen=True)
class Parts:
    """The parts of one output, in a folder beside it."""

    target: Path
    """The final name of the output."""
    output: OutputProfile

    @property
    def folder(self) -> Path:
        """The hidden folder that holds them."""
        return parts_folder(self.target)

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.output.height // part_rows(self.output))

    def span(self, number: int) -> range:
        """Return the output rows of a part, numbered from 0; the last one may have fewer."""
        rows = part_rows(self.output)
        return range(number * rows, min((number + 1) * rows, self.output.height))

    def found(self) -> dict[int, Path]:
        """Return the complete parts by number."""
        names = ((_NAME.fullmatch(file.name), file) for file in sorted(self.folder.glob("part-*")))
        return {int(match[1]): file for match, file in names if match}

    def missing(self, wanted: Iterable[range] | None = None) -> list[range]:
        """Return the runs of consecutive parts that are not there, of all or of some runs."""
        found = self.found()
        runs: list[range] = []
        for number in chain.from_iterable(wanted or [range(self.count)]):
            if number in found:
                continue
            if runs and runs[-1].stop == number:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        return runs

    def add(self, number: int, file: bytes | memoryview) -> None:
        """Store a part."""
        write_whole(self.folder / f"part-{number:06}-{zlib.crc32(file):08x}.tif", file)


class PartWriter:
    """Writer of a run of consecutive parts; the rows of one part are in memory.

    It marks the pixels that the input marks as empty: they become nodata (without such a value: NaN
    in floats, else 0), and valid pixels that the network happened to make equal to nodata move to
    the next value. Bands of classes, mask and alpha are enlarged by nearest neighbour.

    Args:
        parts: The parts of the output.
        numbers: Of those to write.
        source: The input, of which rows are read again for what is not interpolated.
        scale: Output pixels per input pixel.
    """

    def __init__(self, parts: Parts, numbers: range, source: RasterSource, scale: int) -> None:
        self._parts, self._numbers = parts, numbers
        self._source, self._scale = source, scale
        self._next_row = parts.span(numbers.start).start
        self._output = output = parts.output
        rows, nodata = len(parts.span(numbers.start)), source.layout.nodata
        self._pixels: Array = np.empty((len(output.bands), rows, output.width), output.dtype)
        self._valid = np.empty((rows, output.width), np.bool_) if output.mask else None
        empty = np.nan if source.dtype.kind == "f" else 0.0
        self._empty = source.dtype.type(empty if nodata is None else nodata)
        self._nodata = nodata if nodata is not None and np.isfinite(nodata) else None

    def write(self, top: int, rows: Array) -> None:
        """Write rows (h, W, C) of the network from output row ``top`` down, not modifying them.

        Rows outside the run are left out.
        """
        while self._numbers and self._next_row < top + len(rows):
            part = self._parts.span(self._numbers.start)
            place = range(self._next_row, min(part.stop, top + len(rows)))
            self._hold(place, rows[place.start - top : place.stop - top])

    def repeat(self) -> None:
        """Write the next part of a raster whose bands all hold classes, without a network."""
        self._hold(self._parts.span(self._numbers.start), None)

    def _hold(self, place: range, rows: Array | None) -> None:
        """Mark output rows inside one part, and write that when it is complete."""
        output, part = self._output, self._parts.span(self._numbers.start)
        held = slice(place.start - part.start, place.stop - part.start)
        pixels, alpha, mask = self._marked(place, rows)
        self._pixels[: output.channels, held] = np.moveaxis(pixels, 2, 0)
        if output.alpha and alpha is not None:
            self._pixels[output.channels, held] = alpha
        elif output.alpha:
            opaque = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
            self._pixels[output.channels, held] = opaque if mask is None else mask * opaque
        if self._valid is not None:
            self._valid[held] = True if mask is None else mask
        self._next_row = place.stop
        if place.stop == part.stop:
            with writing_errors(self._parts.target):
                self._write_part(len(part))
            self._numbers = self._numbers[1:]

    def _marked(
        self, place: range, rows: Array | None
    ) -> tuple[Array, Array | None, NDArray[np.bool_] | None]:
        """Return output rows, (h, W, C), with their alpha and mask, (h, W), as far as known.

        ``rows`` from the network are None if all bands hold classes.
        """
        source, layout = self._source, self._source.layout
        if rows is not None and self._nodata is not None:  # which it has made by chance
            beside = rows.dtype.type(nearest_other_value(rows.dtype, self._nodata))
            rows = np.where(is_nodata(rows, self._nodata), beside, rows)
        if rows is not None and not layout.classes and not source.has_holes:
            return rows, None, None
        first, stop = place.start // self._scale, -(-place.stop // self._scale)
        stored = source.decode(Window(top=first, left=0, height=stop - first, width=source.width))
        alpha, mask = stored.alpha, None
        valid = None if stored.valid is None else source.interpolated(stored.valid)
        if valid is not None and (source.masked or self._output.mask):
            there = np.asarray(valid.any(axis=2))
            mask = self._repeated(there, place)
            # a file with both gets alpha only
            alpha = None if alpha is None else np.where(there, alpha, 0).astype(alpha.dtype)
        if rows is not None and valid is not None:
            rows = np.where(self._repeated(valid, place), rows, self._empty)
        if rows is None or layout.classes:
            repeated = self._repeated(stored.pixels, place)
            if rows is not None:
                repeated[:, :, source.interpolated_bands] = rows
            rows = repeated
        return rows, None if alpha is None else self._repeated(alpha, place), mask

    def _repeated(self, layer: Array, place: range) -> Array:
        """Enlarge a layer (rows, W, ...) of the input to the output rows of a place."""
        rows = layer.repeat(self._scale, axis=0)[place.start % self._scale :][: len(place)]
        return rows.repeat(self._scale, axis=1)

    def _write_part(self, rows: int) -> None:
        import rasterio
        from rasterio.io import MemoryFile
        from rasterio.transform import Affine

        output = self._output
        block_height, block_width = part_blocks(output, rows)
        # in memory, because GDAL reports success on a full disk
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
            with memory.open(
                driver="GTiff",
                height=rows,
                width=output.width,
                count=len(output.bands),
                dtype=output.dtype,
                nodata=output.nodata,
                transform=Affine.scale(2.0, 3.0),  # rasterio warns of files without one
                COMPRESS="ZSTD",
                ZSTD_LEVEL=1,
                PREDICTOR=3 if output.dtype.startswith("float") else 2,
                INTERLEAVE="PIXEL",
                TILED=True,
                BLOCKXSIZE=block_width,
                BLOCKYSIZE=block_height,
                BIGTIFF="IF_SAFER",
                NUM_THREADS=min(os.cpu_count() or 1, _MOST_THREADS),
            ) as dataset:
                dataset.write(self._pixels[:, :rows])
                if self._valid is not None:
                    dataset.write_mask(self._valid[:rows])
            self._parts.add(self._numbers.start, memory.getbuffer())


def part_rows(output: OutputProfile) -> int:
    """Return the rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
    row = output.width * len(output.bands) * np.dtype(output.dtype).itemsize
    rows = max(min(_MOST_BYTES // row // _MULTIPLE * _MULTIPLE, _BLOCK_HEIGHT), _MULTIPLE)
    return rows * -(-_LEAST_PIXELS // (rows * output.width))


def part_blocks(output: OutputProfile, height: int) -> tuple[int, int]:
    """Return the (height, width) of the blocks of a part of some height."""
    rows, columns = (-(-length // _MULTIPLE) * _MULTIPLE for length in (height, output.width))
    return min(_BLOCK_HEIGHT, rows), min(_BLOCK_WIDTH, columns)


def parts_folder(target: Path) -> Path:
    """Return the hidden folder of the parts of an output."""
    return hidden_name(target, ".parts")


def has_unfinished_parts(target: Path) -> bool:
    """Tell if an interrupted run has left parts of an output that has an older file in place."""
    folder = parts_folder(target)
    if not folder.is_dir() or _is_unfinished(folder, target):
        return folder.is_dir()
    with lock_file(folder / _LOCK) as locked:
        if locked:  # the run that has finished the output was killed before it removed them
            shutil.rmtree(folder, ignore_errors=True)
    return False


def _is_unfinished(folder: Path, target: Path) -> bool:
    """Tell if there is a plan, and no output that got its name or its rights later."""
    with suppress(FileNotFoundError):
        planned = (folder / _PLAN).stat().st_mtime_ns
        return not target.exists() or target.stat().st_ctime_ns <= planned
    return False


@contextmanager
def open_parts(
    target: Path, output: OutputProfile, fingerprint: Mapping[str, object], *, resume: bool = True
) -> Iterator[tuple[Parts, tuple[str, ...]]]:
    """Open the parts of an output, those of an interrupted run included, for one process.

    Parts with another fingerprint are removed: it has everything that the pixels depend on (input,
    model, options), by names for messages. The folder is removed at the end of the block if the
    output is finished or no part is complete. Yields messages on earlier work that is not used too.
    """
    parts = Parts(target, output)
    with writing_errors(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder has this name")
        _make_folder(parts.folder, target)
    with lock_file(parts.folder / _LOCK) as locked:
        if not locked:
            raise PictureError(
                f"{target}: another srx is writing this file; wait for it, or take another name"
            )
        with writing_errors(target):
            notes = _resume(parts, fingerprint, resume=resume)
        try:
            yield parts, notes
        finally:
            if not _is_unfinished(parts.folder, target) or not parts.found():
                shutil.rmtree(parts.folder, ignore_errors=True)


def _make_folder(folder: Path, target: Path) -> None:
    """Make the folder, which nobody else may write into; a link planted there is refused."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if folder.is_symlink() or not folder.is_dir():
        raise PictureError(f"{target}: {folder} is in the way; remove it")
    # on disks without owners everything belongs to one user, maybe another one
    if hasattr(os, "getuid") and state.st_uid not in (os.getuid(), folder.parent.stat().st_uid):
        raise PictureError(f"{target}: {folder} belongs to another user; take another folder")


def _resume(parts: Parts, fingerprint: Mapping[str, object], *, resume: bool) -> tuple[str, ...]:
    """Keep the intact parts of an earlier run with the same fingerprint; remove all else."""
    layout, notes, plan_file = parts.output, [], parts.folder / _PLAN
    bands = [layout.height, layout.width, layout.dtype, len(layout.bands), layout.alpha]
    form = {"form of parts": [VERSION, *bands, layout.mask, str(layout.nodata)]}
    plan = json.dumps({**fingerprint, **form}, default=str)
    try:
        before = dict(json.loads(plan_file.read_bytes())) if resume else {}
    except (FileNotFoundError, ValueError, TypeError):  # missing or damaged
        before = {}
    now = json.loads(plan)  # tuples are lists there
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    found, work = [*parts.found().values()], f"earlier work on {parts.target.name} is"
    if before and changed and found:
        notes.append(f"{work} not continued: changed: {', '.join(changed)}")
    # nothing else would notice that the disk has lost a part; reading is faster than computing
    sums = ((file, f"{zlib.crc32(file.read_bytes()):08x}") for file in found if not changed)
    intact = {file for file, checksum in sums if file.stem.endswith(checksum)}
    if not changed and len(intact) < len(found):
        damaged = len(found) - len(intact)
        notes.append(f"{work} damaged: {damaged} of {len(found)} parts are made again")
    for file in parts.folder.iterdir():
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        elif file.name != _LOCK and file not in intact:
            file.unlink()
    write_whole(plan_file, plan.encode())
    return tuple(notes)


@contextmanager
def writing_errors(target: Path) -> Iterator[None]:
    """Turn errors of the system and GDAL while writing into one line for the user."""
    try:
        yield
    except gdal_errors(OSError, SystemError) as error:
        reason = explain_os_error(target, error, full=", what is done is kept")
        other = f"{target}: cannot be written ({reason_of(error)}); is there room on the disk?"
        raise PictureError(reason or other) from error
