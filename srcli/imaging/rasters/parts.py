"""Parts of an unfinished raster: small GeoTIFFs in a hidden folder beside it, merged at the end.

A part is a band of rows of the full width. It takes its final name, which holds the
checksum of the file, once it is complete; so parts can be made in any order, twice, and
by several processes, and an interrupted run leaves them to the next. GDAL copies a VRT
over them, which holds the metadata, to any format; a trial of a few pixels refuses
wrong options before hours of work.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from logging.handlers import BufferingHandler
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.files import (
    NEW_FILE,
    FileAttributes,
    explain_os_error,
    hidden_name,
    lock_file,
    move_into_place,
    remove_stale,
    write_whole,
)
from srcli.imaging.aliases import alias_of_file, alias_of_folder, readable_name
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.opening import BLOCK_CACHE, gdal_errors, reason_of
from srcli.imaging.rasters.output import OutputProfile

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

VERSION = 4
"""Of the contents of the folder."""
_PLAN, _LOCK = "plan.json", "lock"
_NAMES = f"part-{'[0-9]' * 6}-{'?' * 8}.tif"
_BLOCK_HEIGHT = 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""
_COPY_SETTINGS = {
    "GDAL_CACHEMAX": 2**26,
    # each file that stays open takes 0.8 MB at 40,000 columns; a block needs one of
    # them
    "GDAL_MAX_DATASET_POOL_SIZE": 16,
    "GDAL_TIFF_INTERNAL_MASK": True,
}
_SIGNALLED = re.compile(r"GDAL signalled an error:.* msg=(['\"])(.*)\1")
_WORLD_SUFFIXES = {"PNG": ".pgw", "JPEG": ".jgw"}


@dataclass(frozen=True)
class Parts:
    """The parts of one output, in a folder beside it."""

    target: Path
    """The final name of the output."""
    output: OutputProfile

    @property
    def folder(self) -> Path:
        """The hidden folder that holds them."""
        return hidden_name(self.target, ".parts")

    @property
    def rows(self) -> int:
        """Rows of a part: whole rows of 16 (as blocks), not too few pixels nor too many bytes."""
        output = self.output
        row = output.width * len(output.bands) * np.dtype(output.dtype).itemsize
        rows = max(min(_MOST_BYTES // row // 16 * 16, _BLOCK_HEIGHT), 16)
        return rows * -(-_LEAST_PIXELS // (rows * output.width))

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.output.height // self.rows)

    def span(self, number: int) -> range:
        """Return the output rows of a part, numbered from 0; the last one may have fewer."""
        return range(
            number * self.rows, min((number + 1) * self.rows, self.output.height)
        )

    def found(self) -> dict[int, Path]:
        """Return the complete parts by number."""
        return {int(file.name[5:11]): file for file in sorted(self.folder.glob(_NAMES))}

    def missing(self, wanted: Iterable[range] | None = None) -> list[range]:
        """Return the runs of consecutive parts that are not there, of all or of some runs."""
        found = self.found()
        lost = {
            n for run in wanted or [range(self.count)] for n in run if n not in found
        }
        starts = sorted(number for number in lost if number - 1 not in lost)
        stops = sorted(number + 1 for number in lost if number + 1 not in lost)
        return [range(*ends) for ends in zip(starts, stops, strict=True)]

    def add(self, number: int, file: bytes | memoryview) -> None:
        """Store a part; an empty file is one of nothing but nodata, or zeros without it."""
        write_whole(self.folder / f"part-{number:06}-{zlib.crc32(file):08x}.tif", file)


def has_unfinished_parts(target: Path) -> bool:
    """Tell if an interrupted run has left parts of an output that has an older file in place."""
    folder = hidden_name(target, ".parts")
    if not folder.is_dir():
        return False
    with suppress(FileNotFoundError):  # has it got its name or its rights later?
        if target.stat().st_ctime_ns <= (folder / _PLAN).stat().st_mtime_ns:
            return True
    with lock_file(folder / _LOCK) as locked:
        if (
            locked
        ):  # the run that has finished the output was killed before it removed them
            shutil.rmtree(folder, ignore_errors=True)
    return False


@contextmanager
def open_parts(
    target: Path,
    output: OutputProfile,
    fingerprint: Mapping[str, object],
    *,
    resume: bool = True,
) -> Iterator[tuple[Parts, tuple[str, ...]]]:
    """Open the parts of an output, those of an interrupted run included, for one process.

    Parts with another fingerprint are removed: it has everything that the pixels depend
    on (input, model, options), by names for messages. The folder is removed at the end
    of the block if no part is complete. Yields messages on earlier work that is not
    used too.
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
            if not parts.found():
                shutil.rmtree(parts.folder, ignore_errors=True)


def _make_folder(folder: Path, target: Path) -> None:
    """Make the folder, which nobody else may write into; a link planted there is refused."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if folder.is_symlink() or not folder.is_dir():
        raise PictureError(f"{target}: {folder} is in the way; remove it")
    # on disks without owners everything belongs to one user, maybe another one
    if hasattr(os, "getuid") and state.st_uid not in (
        os.getuid(),
        folder.parent.stat().st_uid,
    ):
        raise PictureError(
            f"{target}: {folder} belongs to another user; take another folder"
        )


def _resume(
    parts: Parts, fingerprint: Mapping[str, object], *, resume: bool
) -> tuple[str, ...]:
    """Keep the intact parts of an earlier run with the same fingerprint; remove all else."""
    layout, notes, plan_file = parts.output, [], parts.folder / _PLAN
    bands = [layout.height, layout.width, layout.dtype, len(layout.bands), layout.alpha]
    form = {"form of parts": [VERSION, *bands, layout.mask, str(layout.nodata)]}
    plan = json.dumps({**fingerprint, **form}, default=str)
    before, now = {}, json.loads(plan)  # tuples are lists there
    with suppress(FileNotFoundError, ValueError, TypeError):  # missing or damaged
        before = dict(json.loads(plan_file.read_bytes())) if resume else {}
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    found, work = [*parts.found().values()], f"earlier work on {parts.target.name} is"
    if before and changed and found:
        notes.append(f"{work} not continued: changed: {', '.join(changed)}")
    # nothing else would notice that the disk has lost a part; reading is faster than
    # computing
    sums = (
        (file, f"{zlib.crc32(file.read_bytes()):08x}") for file in found if not changed
    )
    intact = {file for file, checksum in sums if file.stem.endswith(checksum)}
    if not changed and (damaged := len(found) - len(intact)):
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
        other = f"cannot be written ({reason_of(error)}); is there room on the disk?"
        line = explain_os_error(
            target, error, full=", what is done is kept", other=other
        )
        raise PictureError(line) from error


def merge_parts(parts: Parts, attributes: FileAttributes = NEW_FILE) -> None:
    """Copy the parts into the final file, give it its name, and remove the parts.

    The output gets the attributes, its sidecars the access rights among them.
    """
    from affine import dumpsw

    target, output = parts.target, parts.output
    place = alias_of_folder(parts.folder)  # GDAL knows names in UTF-8 alone
    folder, vrt = place / "result", place / "parts.vrt"
    done = folder / readable_name(target.name)
    bands = [str(position + 1) for position in output.order]
    if output.mask:
        bands.append(str(len(bands) + 1))
    rows = []
    for number, file in parts.found().items():
        if file.stat().st_size:  # GDAL skips what no part covers
            span, path = parts.span(number), place.absolute() / file.name
            rows.append(Piece(path, span.start, 0, len(span), output.width, bands))
    try:
        with writing_errors(target):
            if missing := sum(map(len, parts.missing())):
                raise PictureError(
                    f"{target}: {missing} parts of it have got lost; run again"
                )
            shutil.rmtree(
                folder, ignore_errors=True
            )  # of a worker that was lost while it merged
            folder.mkdir()
            vrt.write_bytes(describe_mosaic(output, rows))
            _copy_interruptibly(vrt, done, output)
            if output.overviews:
                _build_overviews(done, output)
            _check_room(done)
            check_shape(done, target, output)
            transform = output.place["transform"]
            if output.driver in _WORLD_SUFFIXES and transform is not None:
                world = dumpsw(transform).encode("ascii")
                done.with_suffix(_WORLD_SUFFIXES[output.driver]).write_bytes(world)
            sidecars = [file for file in sorted(folder.iterdir()) if file != done]
            for file in (*sidecars, done):
                _sync(file)
                (attributes if file == done else replace(attributes, times=None)).apply(
                    file
                )
            names = {
                file: target.stem + file.name[len(done.stem) :]
                for file in (*sidecars, done)
            }
            remove_stale(target, keep=set(names.values()))
            for file, name in names.items():
                move_into_place(file, target.with_name(name))
            with suppress(OSError):  # not all systems can
                _sync(target.parent)
            shutil.rmtree(parts.folder, ignore_errors=True)
    finally:
        # what is not finished will be made again and only takes room meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def _copy_interruptibly(*names: Any) -> None:
    """Copy in a thread, because GDAL does not return for minutes and Ctrl-C should work."""
    failures: list[BaseException] = []

    def copy() -> None:
        try:
            copy_file(*names)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = Thread(target=copy, daemon=True, name="gdal-copy")
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    for failure in failures:
        raise failure


def _open(path: Path, mode: str, **profile: Any) -> Any:  # noqa: ANN401 - of rasterio
    """Open a raster, quietly: rasterio warns of those without a transform."""
    import rasterio

    with quiet_pillow():
        return rasterio.open(path, mode, **profile)


def copy_file(source: Path, done: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output; errors are those of rasterio."""
    import rasterio
    import rasterio.shutil

    with rasterio.Env(**_COPY_SETTINGS):
        with _open(source, "r+") as dataset:
            _set_tags(
                dataset, output
            )  # in the file of a VRT some have other white space
            # GDAL 3.10 copies either the tags of bands (STATISTICS too) or those of all
            # namespaces
            tagged = any(band.tags.get("") for band in output.bands)
            options = (
                {} if tagged or set(output.tags) <= {""} else {"COPY_SRC_MDD": "YES"}
            )
            rasterio.shutil.copy(
                dataset, done, driver=output.driver, **options, **output.creation
            )
        if tagged and output.driver == "GTiff" and set(output.tags) - {""}:
            with rasterio.open(done, "r+") as dataset:
                _set_tags(dataset, output)


class Piece(NamedTuple):
    """A file in a mosaic."""

    file: Path
    """Absolute, or the name of a file beside the mosaic."""
    top: float
    """In pixels of the mosaic, whole when it is written, as ``left``."""
    left: float
    height: int
    width: int
    bands: Sequence[str]
    """By GDAL's names, for each band of the mosaic and its mask."""
    more: Sequence[Mapping[str, str]] = ()
    """Elements of a ComplexSource of GDAL's, for each of these bands; most have
    none."""


def describe_mosaic(output: OutputProfile, pieces: Iterable[Piece] = ()) -> bytes:
    """Return a VRT of files, with the metadata of an output but tags; errors are rasterio's."""
    from rasterio.crs import CRS
    from rasterio.enums import ColorInterp
    from rasterio.io import MemoryFile

    on_map, bands = output.place, output.stored
    with MemoryFile(ext=".vrt") as memory:
        with (
            quiet_pillow(),
            memory.open(
                driver="VRT",
                height=output.height,
                width=output.width,
                count=len(bands),
                dtype=output.dtype,
                nodata=output.nodata,
                crs=None if on_map["gcps"] else on_map["crs"],
                transform=on_map["transform"],
                rpcs=on_map["rpcs"],
            ) as dataset,
        ):
            dataset.colorinterp = [ColorInterp[band.interpretation] for band in bands]
            if on_map["gcps"]:
                dataset.gcps = (on_map["gcps"], on_map["crs"] or CRS())
        tree = ET.fromstring(memory.read())
    found = tree.findall("VRTRasterBand")
    for element, band in zip(found, bands, strict=True):
        element.extend(ET.fromstring(f"<band>{''.join(band.about.values())}</band>"))
    if output.mask:
        found.append(
            ET.SubElement(
                ET.SubElement(tree, "MaskBand"), "VRTRasterBand", dataType="Byte"
            )
        )
    for piece in pieces:
        size = {"xSize": f"{piece.width}", "ySize": f"{piece.height}"}
        whole = {"xOff": "0", "yOff": "0", **size}
        place = {"xOff": f"{piece.left}", "yOff": f"{piece.top}", **size}
        beside = f"{not piece.file.is_absolute():d}"
        for number, element in enumerate(found):
            more = piece.more[number] if piece.more else {}
            source = ET.SubElement(element, f"{'Complex' if more else 'Simple'}Source")
            file = ET.SubElement(source, "SourceFilename", relativeToVRT=beside)
            file.text = str(alias_of_file(piece.file))
            ET.SubElement(source, "SourceBand").text = piece.bands[number]
            ET.SubElement(source, "SrcRect", whole)
            ET.SubElement(source, "DstRect", place)
            for name, text in more.items():
                ET.SubElement(source, name).text = text
    return ET.tostring(tree)


def _set_tags(dataset: DatasetWriter, output: OutputProfile) -> None:
    for band, found in enumerate([output.tags, *(band.tags for band in output.stored)]):
        for namespace, tags in found.items():
            # the others are arguments of rasterio's
            settable = {key: tags[key] for key in tags if key not in ("bidx", "ns")}
            if set(tags) == {namespace}:
                # a complete document: rasterio reads it under the name of its
                # namespace, but writes "key=value"
                key, sign, value = tags[namespace].partition("=")
                settable = {key: value} if sign else {}
            dataset.update_tags(band, ns=namespace or None, **settable)


def _build_overviews(file: Path, output: OutputProfile) -> None:
    """Build them from averages; of classes these would be others."""
    import rasterio
    from rasterio.enums import Resampling

    settings = {
        "GDAL_CACHEMAX": BLOCK_CACHE,
        "GDAL_NUM_THREADS": output.creation.get("NUM_THREADS", "ALL_CPUS"),
        "GDAL_TIFF_OVR_BLOCKSIZE": 256,
    }
    if "JPEG_QUALITY" in output.creation:
        settings["JPEG_QUALITY_OVERVIEW"] = output.creation["JPEG_QUALITY"]
    kind = Resampling.nearest if output.classes else Resampling.average
    with rasterio.Env(**settings), _open(file, "r+") as dataset:
        dataset.build_overviews(list(output.overviews), kind)


def _check_room(path: Path) -> None:
    """Check that the disk was not full when GDAL wrote a file: GDAL does not always say so."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            stream.write(bytes(2**22))  # which it must still take
            stream.flush()
            os.fsync(stream.fileno())
        finally:
            stream.truncate(end)


def _sync(path: Path) -> None:
    """Wait until a closed file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def try_creation_options(target: Path, output: OutputProfile) -> None:
    """Let GDAL write a small file with the metadata and options of an output.

    A UsageError tells of an unknown creation option or value, else a PictureError of
    the reason.
    """
    height, width = min(output.height, 512), min(output.width, 512)
    trial = replace(output, height=height, width=width, overviews=())
    failure, said, logger = (
        "",
        BufferingHandler(1000),
        logging.getLogger("rasterio._env"),
    )
    level = logger.level
    logger.addHandler(said)
    logger.setLevel(logging.INFO)  # of errors that rasterio does not raise
    with tempfile.TemporaryDirectory(
        prefix="srx-", ignore_cleanup_errors=True
    ) as folder:
        small, copy = (
            Path(folder) / "small.vrt",
            Path(folder) / f"copy{readable_name(target.suffix)}",
        )
        try:
            small.write_bytes(describe_mosaic(trial))
            copy_file(small, copy, trial)
            check_shape(copy, target, trial)
        except gdal_errors(ValueError, OSError) as error:
            failure = reason_of(error)
        finally:
            logger.removeHandler(said)
            logger.setLevel(level)
    for text in (" ".join(record.getMessage().split()) for record in said.buffer):
        if (
            "creation option" in text or "value not recognised" in text
        ):  # which GDAL then ignores
            raise UsageError(
                f"{target}: --co: GDAL says: {text.partition(' in ')[2] or text}; "
                f"gdal.org/drivers/raster/{output.driver.lower()}.html lists what there is"
            )
        if failure and (signalled := _SIGNALLED.search(text)):
            failure = signalled[2]
    if failure:
        # before it stand a function of libtiff and the trial's file
        reason = re.sub(r"^(\w+:)?(\S*copy\.\w+: )?", "", failure)
        raise PictureError(
            f"{target}: GDAL cannot write such a {output.driver}: {reason}; change --co"
        )


def check_shape(file: Path, target: Path, output: OutputProfile) -> None:
    """Check what GDAL has written: size, bands, last block, overviews.

    A last block that is missing or damaged raises errors of the system and of rasterio.
    """
    from rasterio.windows import Window

    height, width = output.height, output.width
    with _open(file, "r") as dataset:
        count: int = dataset.count
        if output.driver == "COG" and output.alpha and count == output.channels:
            # GDAL turns the alpha band of a COG with JPEG compression into a mask
            count += all(
                flag.name == "per_dataset" for flag in dataset.mask_flag_enums[0]
            )
        if (dataset.height, dataset.width, count) != (height, width, len(output.bands)):
            raise PictureError(
                f"{target}: with these options GDAL writes {dataset.count} band(s) of "
                f"{dataset.width}x{dataset.height} pixels instead of {len(output.bands)} of "
                f"{width}x{height}; change --co"
            )
        dataset.read(1, window=Window(width - 1, height - 1, 1, 1))
        block_height, block_width = dataset.block_shapes[0]
        block = f"{(width - 1) // block_width}_{(height - 1) // block_height}"
        sparse = (
            dataset.driver != "GTiff" or output.creation.get("SPARSE_OK", "NO") != "NO"
        )
        if not sparse and not dataset.get_tag_item(
            f"BLOCK_OFFSET_{block}", "TIFF", bidx=1
        ):
            raise OSError(
                "it writes no pixels"
            )  # GDAL goes on after some of its errors
        if len(dataset.overviews(1)) < len(output.overviews):
            raise PictureError(f"{target}: its overviews are missing; run again")
