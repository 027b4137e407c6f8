"""Publish a raster: make the final file of its canvas, and give it its name.

There are four endings. A GeoTIFF is its canvas with the header in front; overviews are
built behind its blocks by GDAL; a COG is written from both in another order; all else is
copied from the canvas by GDAL. A trial of a few pixels refuses wrong options before hours
of work.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from logging.handlers import BufferingHandler
from pathlib import Path
from threading import Thread

from srcli.errors import PictureError, UsageError
from srcli.files import (
    NEW_FILE,
    FileAttributes,
    file_state,
    is_full,
    move_into_place,
    remove_stale,
    synchronise,
)
from srcli.imaging.files.gdal import (
    alias_of_folder,
    gdal_errors,
    readable_name,
    reason_of,
)
from srcli.imaging.files.stored_parts import (
    has_unfinished_parts,
    work_beside,
    writing_errors,
)
from srcli.imaging.files.tiff_images import BlockGroup, read_tiff, write_tiff
from srcli.imaging.rasters.canvas import open_canvas
from srcli.imaging.rasters.copying import (
    MosaicFile,
    add_overview_levels,
    build_overviews,
    check_room,
    copy_file,
    describe_mosaic,
)
from srcli.imaging.rasters.creation import copied_by_gdal, overview_factors
from srcli.imaging.rasters.gdal_access import keep_blocks, open_quietly
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.profile import OVERVIEW_SIDE, OutputProfile

_COPY_CACHE = 2**26
_SMALL = 2**22
"""Bytes of an output that GDAL writes at once: fewer than a second's."""
_CACHED_ROWS = 2
"""Rows of blocks that GDAL keeps decoded, if the cache is large enough."""
_SIGNALLED = re.compile(r"GDAL signalled an error:.* msg=(['\"])(.*)\1")
_WORLD_SUFFIXES = {"PNG": ".pgw", "JPEG": ".jgw"}
_STRUCTURE_OF_COG = """\
LAYOUT=IFDS_BEFORE_DATA
BLOCK_ORDER=ROW_MAJOR
BLOCK_LEADER=SIZE_AS_UINT4
BLOCK_TRAILER=LAST_4_BYTES_REPEATED
KNOWN_INCOMPATIBLE_EDITION=NO
 """
"""What a COG says of its structure before its first directory, by GDAL's description of its
driver; a program that changes the file puts YES over the last word."""
_MASKS_OF_COG = "MASK_INTERLEAVED_WITH_IMAGERY=YES\n"


def publish(
    parts: Parts,
    attributes: FileAttributes = NEW_FILE,
    complete: Callable[[Path], None] = lambda result: None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Make the final file of the parts, give it its name, and remove the parts.

    The output gets the attributes; files beside it get all of them but the times.
    ``complete`` is called with the file before that gets its name, and may change it;
    ``on_bytes`` several times a second with the bytes that are written so far.
    """
    from affine import dumpsw

    target = parts.target
    output = parts.output
    folder = alias_of_folder(parts.folder) / "result"
    result = folder / readable_name(target.name)
    try:
        with writing_errors(target):
            # a run that was killed while it wrote has left it
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            written = _write_interruptibly(parts, result, on_bytes)
            check_shape(written, target, output)
            transform = output.georeference["transform"]
            if output.driver in _WORLD_SUFFIXES and transform is not None:
                world = dumpsw(transform).encode("ascii")
                result.with_suffix(_WORLD_SUFFIXES[output.driver]).write_bytes(world)
            complete(written)
            _move_result(result, written, target, attributes)
            parts.remove()
    finally:
        # what is not finished will be made again and only takes room meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def write_vrt(parts: Parts) -> Path:
    """Write a VRT of the finished canvas into its folder, without tags; return its path."""
    vrt = alias_of_folder(parts.folder) / "canvas.vrt"
    with open_canvas(parts) as canvas:
        canvas.finish(vrt)
    vrt.write_bytes(_describe_canvas(parts))
    return vrt


def _describe_canvas(parts: Parts) -> bytes:
    """Return a VRT of the finished canvas with the metadata of the output, except tags."""
    output = parts.output
    bands = [*map(str, range(1, len(output.bands) + 1)), "mask,1"]
    path = alias_of_folder(parts.folder).absolute() / parts.canvas.name
    file = MosaicFile(path, 0, 0, output.height, output.width, bands)
    return describe_mosaic(output, [file])


def write_result(parts: Parts, result: Path) -> Path:
    """Write the file of an output by its ending; return the canvas itself where it is the file.

    GDAL's cache of blocks, which holds for the whole process, is left to the caller.
    """
    output = parts.output
    canvas_file = alias_of_folder(parts.folder) / parts.canvas.name
    with open_canvas(parts) as canvas:  # held by the thread that writes, to its end
        is_final = canvas.finish(result)
        written = canvas_file
        if not is_final:
            output = copied_by_gdal(output, "GDAL writes other blocks")
            copy_canvas(parts, output, result)
            written = result
        if output.overviews:
            build_overviews(written, output)
            check_room(written)
        if is_final and output.driver == "COG":
            write_cog(canvas_file, result)
            written = result
    return written


def copy_canvas(parts: Parts, output: OutputProfile, result: Path) -> None:
    """Let GDAL copy a finished canvas to the form of an output."""
    copy_file(_describe_canvas(replace(parts, output=output)), result, output)
    check_room(result)


def write_cog(file: Path, result: Path) -> None:
    """Write a COG from a GeoTIFF in tiles with overviews: directories, then the smallest first.

    A block of a mask follows that of its picture.
    """
    tiff = read_tiff(file)
    images = sorted(
        tiff.images, key=lambda image: (image.is_overview, image.is_mask, -image.area)
    )
    by_area: dict[int, list[int]] = {}
    for number, image in enumerate(images):
        by_area.setdefault(image.area, []).append(number)
    groups = [BlockGroup(file, by_area[area]) for area in sorted(by_area)]
    structure = _STRUCTURE_OF_COG
    if any(image.is_mask for image in images):
        structure += _MASKS_OF_COG
    size = f"GDAL_STRUCTURAL_METADATA_SIZE={len(structure):06} bytes\n"
    write_tiff(
        result,
        replace(tiff, images=images),
        groups,
        (size + structure).encode(),
        has_frames=True,
    )


def _move_result(
    result: Path, written: Path, target: Path, attributes: FileAttributes
) -> None:
    """Move a finished raster and all files beside it to their names, once they are on the disk.

    ``written`` is where the raster itself lies, which may not be beside the others.
    """
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
    parts: Parts, result: Path, on_bytes: Callable[[int], None]
) -> Path:
    """Call ``write_result`` in a thread, so that Ctrl-C works while GDAL is busy for minutes.

    After Ctrl-C nobody waits for the thread, in which PROJ opens its tables anew (15 ms):
    small files need none. GDAL tells nothing of how far it has come: the files tell it.
    """
    output = parts.output
    written: Future[Path] = Future()

    def write() -> None:
        try:
            # the canvas is read to its end, some rows of blocks at once
            block_rows = int(output.blocks["BLOCKYSIZE"]) * output.row_bytes
            keep_blocks(min(_COPY_CACHE, _CACHED_ROWS * block_rows))
            written.set_result(write_result(parts, result))
        except BaseException as error:  # noqa: BLE001 - raised below
            written.set_exception(error)

    if output.height * output.row_bytes < _SMALL:
        write()
    else:
        Thread(target=write, daemon=True, name="gdal-copy").start()
    while not written.done():
        wait([written], 0.1)
        with suppress(FileNotFoundError):
            on_bytes(parts.canvas.stat().st_size + folder_bytes(result.parent))
    return written.result()


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, in which others may write and remove some."""
    return sum((file_state(file) or (0,))[0] for file in folder.iterdir())


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
        shutil.copyfile(target, copy)
        FileAttributes(target.stat().st_mode & 0o666).apply(copy)
        add_overview_levels(
            copy,
            factors,
            "nearest" if is_exact else "average",
            GDAL_TIFF_OVR_BLOCKSIZE=OVERVIEW_SIDE,
            GDAL_NUM_THREADS="ALL_CPUS",
            JPEG_QUALITY_OVERVIEW=quality,
        )
        check_room(copy)
        with open_quietly(copy) as dataset:
            if len(dataset.overviews(1)) < len(factors):
                raise PictureError(f"{target}: its overviews are missing; run again")
        synchronise(copy)
        move_into_place(copy, target)
    return True


def try_creation_options(target: Path, output: OutputProfile) -> None:
    """Let GDAL write a small file with the metadata and options of an output.

    A UsageError tells of an unknown creation option or value, else a PictureError of
    the reason.
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
