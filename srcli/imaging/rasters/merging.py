"""Merge finished parts into one raster: GDAL copies a VRT of them, with metadata, to any format.

A trial of a few pixels refuses wrong options before hours of work.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from logging.handlers import BufferingHandler
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from srcli.errors import PictureError, UsageError
from srcli.files import (
    NEW_FILE,
    FileAttributes,
    move_into_place,
    remove_stale,
)
from srcli.imaging.decoding_errors import quiet_libraries
from srcli.imaging.gdal_errors import gdal_errors, reason_of
from srcli.imaging.rasters.opening import keep_blocks, open_quietly
from srcli.imaging.rasters.output import OutputProfile, overview_factors
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.stored_parts import (
    has_unfinished_parts,
    work_beside,
    writing_errors,
)
from srcli.imaging.utf8_names import alias_of_file, alias_of_folder, readable_name

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

_COPY_CACHE = 2**26
_COPY_SETTINGS = {
    # each file that stays open takes 0.8 MB at 40,000 columns; a block needs one of
    # them
    "GDAL_MAX_DATASET_POOL_SIZE": 16,
    "GDAL_TIFF_INTERNAL_MASK": True,
}
_SIGNALLED = re.compile(r"GDAL signalled an error:.* msg=(['\"])(.*)\1")
_WORLD_SUFFIXES = {"PNG": ".pgw", "JPEG": ".jgw"}


def merge_parts(
    parts: Parts,
    attributes: FileAttributes = NEW_FILE,
    complete: Callable[[Path], None] = lambda result: None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Copy the parts into the final file, give it its name, and remove the parts.

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
            vrt = write_vrt(parts)
            # a run that was killed while it merged has left it
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _write_interruptibly(vrt, result, output, on_bytes)
            _check_room(result)
            check_shape(result, target, output)
            transform = output.georeference["transform"]
            if output.driver in _WORLD_SUFFIXES and transform is not None:
                world = dumpsw(transform).encode("ascii")
                result.with_suffix(_WORLD_SUFFIXES[output.driver]).write_bytes(world)
            complete(result)
            move_result(result, target, attributes)
            parts.remove()
    finally:
        # what is not finished will be made again and only takes room meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def write_vrt(parts: Parts) -> Path:
    """Write a VRT of finished parts into their folder, without tags; return its path."""
    if missing := sum(map(len, parts.missing())):
        raise PictureError(
            f"{parts.target}: {missing} parts of it have got lost; run again"
        )
    folder = alias_of_folder(parts.folder)  # GDAL knows names in UTF-8 alone
    vrt = folder / "parts.vrt"
    files = _mosaic_files(parts, folder.absolute())
    vrt.write_bytes(describe_mosaic(parts.output, files))
    return vrt


def _mosaic_files(parts: Parts, folder: Path) -> list[MosaicFile]:
    """Return the finished parts as files of a mosaic, by their names in a folder."""
    output = parts.output
    bands = [str(position + 1) for position in output.band_order]
    if output.mask:
        bands.append(str(len(bands) + 1))
    files = []
    for number, file in parts.found().items():
        if file.stat().st_size:  # where no file is, GDAL reads nodata or zeros
            span = parts.span(number)
            path = folder / file.name
            files.append(
                MosaicFile(path, span.start, 0, len(span), output.width, bands)
            )
    return files


def move_result(result: Path, target: Path, attributes: FileAttributes) -> None:
    """Move a finished raster and all files beside it to their names, once they are on the disk."""
    sidecars = [file for file in sorted(result.parent.iterdir()) if file != result]
    names = {}
    for file in (*sidecars, result):
        _sync(file)
        if file == result:
            attributes.apply(file)
        else:
            replace(attributes, times=None).apply(file)
        names[file] = target.stem + file.name[len(result.stem) :]
    remove_stale(target, keep=set(names.values()))
    for file, name in names.items():
        move_into_place(file, target.with_name(name))
    with suppress(OSError):  # not all systems can
        _sync(target.parent)


def _write_interruptibly(
    source: Path, result: Path, output: OutputProfile, on_bytes: Callable[[int], None]
) -> None:
    """Call ``write_result`` in a thread, so that Ctrl-C works while GDAL copies for minutes.

    GDAL tells rasterio nothing of how far it has come: the files tell it.
    """
    failures = []

    def write() -> None:
        try:
            keep_blocks(_COPY_CACHE)  # the input is read to its end
            write_result(source, result, output)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = Thread(target=write, daemon=True, name="gdal-copy")
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        with suppress(FileNotFoundError):
            on_bytes(result.stat().st_size)
    for failure in failures:
        raise failure


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, in which others may write and remove some."""
    total = 0
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def write_result(source: Path, result: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output, with its overviews.

    GDAL's cache of blocks, which holds for the whole process, is left to the caller.
    """
    copy_file(source, result, output)
    if output.overviews:
        quality = output.creation.get("JPEG_QUALITY", "")
        threads = output.creation.get("NUM_THREADS", "ALL_CPUS")
        is_exact = output.classes
        _build_overviews(result, output.overviews, is_exact, quality, threads)


def copy_file(source: Path, copy: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output; raises errors of rasterio."""
    import rasterio
    import rasterio.shutil

    # GDAL 3.10 copies either the tags of bands (STATISTICS too) or those of all
    # namespaces
    has_band_tags = any(band.tags.get("") for band in output.bands)
    has_namespaces = not set(output.tags) <= {""}
    options = dict(output.creation)
    if has_namespaces and not has_band_tags:
        options = {"COPY_SRC_MDD": "YES", **options}
    with rasterio.Env(**_COPY_SETTINGS):
        with open_quietly(source, "r+") as dataset:
            # set here, as in the text of a VRT white space would change
            _set_tags(dataset, output)
            rasterio.shutil.copy(dataset, copy, driver=output.driver, **options)
        if has_band_tags and has_namespaces and output.driver == "GTiff":
            with open_quietly(copy, "r+") as dataset:
                _set_tags(dataset, output)


class MosaicFile(NamedTuple):
    """A file in a mosaic, and its position in pixels: whole numbers once it is written."""

    file: Path
    """Absolute, or the name of a file beside the mosaic."""
    top: float
    left: float
    height: int
    width: int
    bands: Sequence[str]
    """Bands of the file by GDAL's names, for each band of the mosaic and its mask."""
    source_elements: Sequence[Mapping[str, str]] = ()
    """Elements of a ComplexSource of GDAL's, for each of these bands; most have
    none."""


def describe_mosaic(output: OutputProfile, files: Iterable[MosaicFile] = ()) -> bytes:
    """Return a VRT of files, with an output's metadata except tags; raises rasterio's errors."""
    from rasterio.crs import CRS
    from rasterio.enums import ColorInterp
    from rasterio.io import MemoryFile

    georeference = output.georeference
    bands = output.stored_bands
    with MemoryFile(ext=".vrt") as memory:
        with (
            quiet_libraries(),
            memory.open(
                driver="VRT",
                height=output.height,
                width=output.width,
                count=len(bands),
                dtype=output.dtype,
                nodata=output.nodata,
                crs=None if georeference["gcps"] else georeference["crs"],
                transform=georeference["transform"],
                rpcs=georeference["rpcs"],
            ) as dataset,
        ):
            dataset.colorinterp = [ColorInterp[band.interpretation] for band in bands]
            if georeference["gcps"]:
                dataset.gcps = (georeference["gcps"], georeference["crs"] or CRS())
        tree = ET.fromstring(memory.read())
    for system in (*tree.findall("SRS"), *tree.findall("GCPList")):
        if georeference.get("epoch"):
            system.set("coordinateEpoch", georeference["epoch"])
    elements = tree.findall("VRTRasterBand")
    for element, band in zip(elements, bands, strict=True):
        element.extend(
            ET.fromstring(f"<band>{''.join(band.vrt_elements.values())}</band>")
        )
    if output.mask:
        mask = ET.SubElement(tree, "MaskBand")
        elements.append(ET.SubElement(mask, "VRTRasterBand", dataType="Byte"))
    for mosaic_file in files:
        for number, element in enumerate(elements):
            _add_source(element, mosaic_file, number)
    return ET.tostring(tree)


def _add_source(element: ET.Element, mosaic_file: MosaicFile, number: int) -> None:
    """Add a file to a band of a VRT, or to its mask, counted from 0."""
    size = {"xSize": f"{mosaic_file.width}", "ySize": f"{mosaic_file.height}"}
    source_elements: Mapping[str, str] = {}
    source_type = "SimpleSource"
    if mosaic_file.source_elements:
        source_elements = mosaic_file.source_elements[number]
    if source_elements:
        source_type = "ComplexSource"
    source = ET.SubElement(element, source_type)
    is_beside = f"{not mosaic_file.file.is_absolute():d}"
    file = ET.SubElement(source, "SourceFilename", relativeToVRT=is_beside)
    file.text = str(alias_of_file(mosaic_file.file))
    ET.SubElement(source, "SourceBand").text = mosaic_file.bands[number]
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    offset = {"xOff": f"{mosaic_file.left}", "yOff": f"{mosaic_file.top}"}
    ET.SubElement(source, "DstRect", {**offset, **size})
    for name, text in source_elements.items():
        ET.SubElement(source, name).text = text


def _set_tags(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set the tags of the file, which GDAL counts as band 0, and those of its bands."""
    for number, tags in enumerate(
        [output.tags, *(band.tags for band in output.stored_bands)]
    ):
        for namespace, items in tags.items():
            settable = dict(items)
            if set(items) == {namespace}:
                # a complete document: rasterio reads it under the name of its
                # namespace, but writes "key=value"
                key, sign, value = items[namespace].partition("=")
                settable = {key: value} if sign else {}
            else:
                # arguments of rasterio's
                settable.pop("bidx", None)
                settable.pop("ns", None)
            dataset.update_tags(number, ns=namespace or None, **settable)


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
        _build_overviews(copy, factors, is_exact, str(quality))
        _check_room(copy)
        with open_quietly(copy) as dataset:
            if len(dataset.overviews(1)) < len(factors):
                raise PictureError(f"{target}: its overviews are missing; run again")
        _sync(copy)
        move_into_place(copy, target)
    return True


def _build_overviews(
    file: Path,
    factors: Sequence[int],
    is_exact: bool,
    quality: str,
    threads: str = "ALL_CPUS",
) -> None:
    """Build overviews of a file: averages, or nearest neighbours where it holds classes."""
    import rasterio
    from rasterio.enums import Resampling

    settings = {
        "GDAL_NUM_THREADS": threads,
        "GDAL_TIFF_OVR_BLOCKSIZE": 256,
    }
    if quality:
        settings["JPEG_QUALITY_OVERVIEW"] = quality
    resampling = Resampling.nearest if is_exact else Resampling.average
    with rasterio.Env(**settings), open_quietly(file, "r+") as dataset:
        dataset.build_overviews(list(factors), resampling)


def _check_room(path: Path) -> None:
    """Check that the disk was not full when GDAL wrote a file: GDAL does not always say so."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            stream.write(bytes(2**22))  # fails on a disk that is full
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
        small = Path(folder) / "small.vrt"
        copy = Path(folder) / f"copy{readable_name(target.suffix)}"
        try:
            small.write_bytes(describe_mosaic(trial))
            copy_file(small, copy, trial)
            check_shape(copy, target, trial)
        except gdal_errors(ValueError, OSError) as error:
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
        if (dataset.height, dataset.width, count) != (height, width, len(output.bands)):
            raise PictureError(
                f"{target}: with these options GDAL writes {dataset.count} band(s) of "
                f"{dataset.width}x{dataset.height} pixels instead of {len(output.bands)} of "
                f"{width}x{height}; change --co"
            )
        dataset.read(1, window=Window(width - 1, height - 1, 1, 1))
        block_height, block_width = dataset.block_shapes[0]
        block = f"{(width - 1) // block_width}_{(height - 1) // block_height}"
        is_sparse = output.creation.get("SPARSE_OK", "NO") != "NO"
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{block}", "TIFF", bidx=1)
        if dataset.driver == "GTiff" and not is_sparse and not offset:
            # GDAL has gone on after an error
            raise OSError("it writes no pixels")
        if len(dataset.overviews(1)) < len(output.overviews):
            raise PictureError(f"{target}: its overviews are missing; run again")
