"""Merge finished parts into one raster, and give it its name.

A trial of a few pixels refuses wrong options before hours of work.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from logging.handlers import BufferingHandler
from pathlib import Path
from threading import Thread

from srcli.disks import is_full
from srcli.errors import PictureError, UsageError
from srcli.files import (
    NEW_FILE,
    FileAttributes,
    move_into_place,
    remove_stale,
    synchronise,
)
from srcli.imaging.files.gdal_errors import gdal_errors, reason_of
from srcli.imaging.files.stored_parts import (
    has_unfinished_parts,
    work_beside,
    writing_errors,
)
from srcli.imaging.files.utf8_names import alias_of_folder, readable_name
from srcli.imaging.rasters.assembling import OtherBlocksError, check_against_part
from srcli.imaging.rasters.block_form import overview_factors
from srcli.imaging.rasters.copying import add_overview_levels, check_room, copy_file
from srcli.imaging.rasters.gdal_access import keep_blocks, open_quietly
from srcli.imaging.rasters.joining import open_joining, read_joined
from srcli.imaging.rasters.part_encoding import stored_bands
from srcli.imaging.rasters.parts import JOINED, Parts
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.result_file import write_result
from srcli.imaging.rasters.vrt import MosaicFile, describe_mosaic

_COPY_CACHE = 2**26
_SIGNALLED = re.compile(r"GDAL signalled an error:.* msg=(['\"])(.*)\1")
_WORLD_SUFFIXES = {"PNG": ".pgw", "JPEG": ".jgw"}


def merge_parts(
    parts: Parts,
    attributes: FileAttributes = NEW_FILE,
    complete: Callable[[Path], None] = lambda result: None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Make the final file of the parts, give it its name, and remove the parts.

    The output gets the attributes; files beside it get all of them but the times.
    ``complete`` is called with the file before that gets its name, and may change it;
    ``on_bytes`` several times a second with the bytes of it that are written so far.
    """
    from affine import dumpsw

    target = parts.target
    output = parts.output
    folder = alias_of_folder(parts.folder) / "result"
    result = folder / readable_name(target.name)
    try:
        with writing_errors(target):
            _check_complete(parts)
            # a run that was killed while it merged has left it
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            written = _finish_joined(parts, result, on_bytes)
            if written is None:
                files = mosaic_files(parts)
                _write_interruptibly(files, result, output, on_bytes)
                check_room(result)
                written = result
            check_shape(written, target, output)
            transform = output.georeference["transform"]
            if output.driver in _WORLD_SUFFIXES and transform is not None:
                world = dumpsw(transform).encode("ascii")
                result.with_suffix(_WORLD_SUFFIXES[output.driver]).write_bytes(world)
            complete(written)
            move_result(result, target, attributes, written)
            parts.remove()
    finally:
        # what is not finished will be made again and only takes room meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def write_vrt(parts: Parts) -> Path:
    """Write a VRT of finished parts into their folder, without tags; return its path."""
    files = mosaic_files(parts)
    vrt = alias_of_folder(parts.folder) / "parts.vrt"
    vrt.write_bytes(describe_mosaic(parts.output, files))
    return vrt


def _check_complete(parts: Parts) -> None:
    """Raise a PictureError if a part is missing."""
    if missing := sum(map(len, parts.missing())):
        raise PictureError(
            f"{parts.target}: {missing} parts of it have got lost; run again"
        )


def mosaic_files(parts: Parts) -> list[MosaicFile]:
    """Return the finished parts as files of a mosaic; none may be missing."""
    _check_complete(parts)
    folder = alias_of_folder(parts.folder)  # GDAL knows names in UTF-8 alone
    output = parts.output
    bands = stored_bands(output)
    files = []
    joined = read_joined(parts)
    if joined is not None:
        files.append(joined)
    for number, file in parts.unjoined().items():
        if file.stat().st_size:  # where no file is, GDAL reads nodata or zeros
            span = parts.span(number)
            path = folder.absolute() / file.name
            files.append(
                MosaicFile(path, span.start, 0, len(span), output.width, bands)
            )
    return files


def move_result(
    result: Path,
    target: Path,
    attributes: FileAttributes,
    written: Path | None = None,
) -> None:
    """Move a finished raster and all files beside it to their names, once they are on the disk.

    ``written`` is where the raster itself lies, if that is not beside the others.
    """
    written = written or result
    sidecars = [file for file in sorted(result.parent.iterdir()) if file != written]
    names = {}
    for file in sidecars:
        synchronise(file)
        replace(attributes, times=None).apply(file)
        names[file] = target.stem + file.name[len(result.stem) :]
    synchronise(written)
    attributes.apply(written)
    names[written] = target.stem + result.suffix
    remove_stale(target, keep=set(names.values()))
    for file, name in names.items():
        move_into_place(file, target.with_name(name))
    with suppress(OSError):  # not all systems can
        synchronise(target.parent)


def _write_interruptibly(
    files: list[MosaicFile],
    result: Path,
    output: OutputProfile,
    on_bytes: Callable[[int], None],
) -> None:
    """Call ``write_result`` so that Ctrl-C works while GDAL copies for minutes."""

    def write() -> None:
        keep_blocks(_COPY_CACHE)  # the input is read to its end
        write_result(files, result, output)

    _work_interruptibly(write, result, on_bytes)


def _finish_joined(
    parts: Parts, result: Path, on_bytes: Callable[[int], None]
) -> Path | None:
    """Finish the file that parts are joined into; None where they are merged otherwise.

    GDAL writes files beside ``result``.
    """
    with open_joining(parts) as joining:
        if joining is None:
            return None
        joined = alias_of_folder(parts.folder) / JOINED
        try:
            _work_interruptibly(
                lambda: joining.finish(result), joined, on_bytes, joining.stop
            )
        except OtherBlocksError:
            return None
        return joined


def _work_interruptibly(
    work: Callable[[], None],
    file: Path,
    on_bytes: Callable[[int], None],
    stop: Callable[[], None] | None = None,
) -> None:
    """Write a file in a thread, and tell how long it is.

    GDAL tells rasterio nothing of how far it has come: the file tells it. After Ctrl-C
    nobody waits for the thread, but where ``stop`` ends it soon.
    """
    failures = []

    def write() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = Thread(target=write, daemon=True, name="gdal-copy")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
            with suppress(FileNotFoundError):
                on_bytes(file.stat().st_size)
    finally:
        if stop is not None:
            stop()
            thread.join()
    for failure in failures:
        raise failure


def add_overviews(target: Path, quality: int) -> bool:
    """Add overviews to a finished GeoTIFF; return False for one that has or needs none.

    They are built in a copy, which takes its place then. ``quality`` is that of JPEG. A
    file beside which an interrupted run has left parts stays as it is.
    """
    with open_quietly(target) as dataset:
        factors = overview_factors(dataset.height, dataset.width)
        if dataset.driver != "GTiff" or dataset.overviews(1) or not factors:
            return False
        is_palette = dataset.colorinterp[0].name == "palette"
        is_exact = is_palette or "SRX_NEAREST_BANDS" in dataset.tags()
    if has_unfinished_parts(target):
        return False
    with work_beside(target) as folder, writing_errors(target):
        copy = alias_of_folder(folder) / readable_name(target.name)
        shutil.copy2(target, copy)
        add_overview_levels(copy, factors, is_exact, str(quality))
        check_room(copy)
        with open_quietly(copy) as dataset:
            if len(dataset.overviews(1)) < len(factors):
                raise PictureError(f"{target}: its overviews are missing; run again")
        synchronise(copy)
        move_into_place(copy, target)
    return True


def try_creation_options(target: Path, output: OutputProfile) -> OutputProfile:
    """Let GDAL write a small file with the metadata and options of an output.

    A UsageError tells of an unknown creation option or value, else a PictureError of
    the reason. The output is returned, whose parts are to be copied where blocks of
    them would be decoded in another way than those that GDAL writes.
    """
    trial = replace(
        output,
        height=min(output.height, 512),
        width=min(output.width, 512),
        overviews=(),
    )
    failure = ""
    with (
        _gdal_messages() as messages,
        tempfile.TemporaryDirectory(
            prefix="srx-", ignore_cleanup_errors=True
        ) as folder,
    ):
        copy = Path(folder) / f"copy{readable_name(target.suffix)}"
        try:
            copy_file(describe_mosaic(trial), copy, trial)
            check_shape(copy, target, trial)
            if trial.keeps_blocks:
                check_against_part(copy, trial)
        except OtherBlocksError as error:
            output = output.copied_by_gdal(str(error))
        except gdal_errors(ValueError, OSError) as error:
            if is_full(Path(folder)):
                raise PictureError(
                    f"{target}: the disk of {Path(folder).parent} is full, where GDAL tries "
                    "the options; make room there, or name another folder by TMPDIR"
                ) from error
            failure = reason_of(error)
    for record in messages.buffer:
        text = " ".join(record.getMessage().split())
        # GDAL then ignores the option
        if "creation option" in text or "value not recognised" in text:
            raise UsageError(
                f"{target}: --co: GDAL says: {text.partition(' in ')[2] or text}; "
                f"gdal.org/drivers/raster/{output.driver.lower()}.html lists what there is"
            )
        if failure and (signalled := _SIGNALLED.search(text)):
            failure = signalled[2]
    if failure:
        # without the function of libtiff and the trial's file before it
        reason = re.sub(r"^(\w+:)?(\S*copy\.\w+: )?", "", failure)
        raise PictureError(
            f"{target}: GDAL cannot write such a {output.driver}: {reason}; change --co"
        )
    return output


@contextmanager
def _gdal_messages() -> Iterator[BufferingHandler]:
    """Collect what GDAL says, errors that rasterio does not raise included."""
    logger = logging.getLogger("rasterio._env")
    level = logger.level
    messages = BufferingHandler(1000)
    logger.addHandler(messages)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.removeHandler(messages)
        logger.setLevel(level)


def check_shape(file: Path, target: Path, output: OutputProfile) -> None:
    """Check what GDAL has written: size, bands, last block, overviews.

    A last block that is missing or damaged raises errors of the system and of rasterio.
    """
    from rasterio.windows import Window

    height = output.height
    width = output.width
    with open_quietly(file) as dataset:
        count: int = dataset.count
        if output.driver == "COG" and output.alpha and count == output.channels:
            # GDAL turns the alpha band of a COG with JPEG compression into a mask
            flags = {flag.name for flag in dataset.mask_flag_enums[0]}
            if flags <= {"per_dataset"}:
                count += 1
        if output.driver == "MBTiles" and count in (output.channels + 1, 4):
            # GDAL makes an alpha band of missing tiles, and colours of gray and palettes
            count = len(output.bands)
        if (dataset.height, dataset.width, count) != (height, width, len(output.bands)):
            raise PictureError(
                f"{target}: with these options GDAL writes {dataset.count} band(s) of "
                f"{dataset.width}x{dataset.height} pixels instead of {len(output.bands)} of "
                f"{width}x{height}; change --co"
            )
        dataset.read(1, window=Window(width - 1, height - 1, 1, 1))
        block_height, block_width = dataset.block_shapes[0]
        block = f"{(width - 1) // block_width}_{(height - 1) // block_height}"
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{block}", "TIFF", bidx=1)
        if dataset.driver == "GTiff" and not output.is_sparse and not offset:
            # GDAL has gone on after an error
            raise OSError("it writes no pixels")
        if len(dataset.overviews(1)) < len(output.overviews):
            raise PictureError(f"{target}: its overviews are missing; run again")
