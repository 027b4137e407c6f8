"""Describe files as one raster, a VRT, that GDAL copies to the form of an output; its overviews."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from srcli.imaging.files.decoding import quiet_libraries
from srcli.imaging.files.gdal import alias_of_file
from srcli.imaging.rasters.gdal_access import open_quietly
from srcli.imaging.rasters.names import NAMES
from srcli.imaging.rasters.profile import OutputProfile

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter


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


def copy_file(vrt: bytes, copy: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output; raises errors of rasterio."""
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile

    # GDAL 3.10 copies either the tags of bands (STATISTICS too) or those of all
    # namespaces
    has_band_tags = any(band.tags.get("") for band in output.bands)
    has_namespaces = not set(output.tags) <= {""}
    options = dict(output.creation)
    if has_namespaces and not has_band_tags:
        options = {"COPY_SRC_MDD": "YES", **options}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile(ext=".vrt") as memory:
        memory.write(vrt)  # GDAL may then write tags into it, which are longer
        with open_quietly(memory.name, "r+") as dataset:
            # set here, as in the text of a VRT white space would change
            _set_tags(dataset, output)
            rasterio.shutil.copy(dataset, copy, driver=output.driver, **options)
        if has_band_tags and has_namespaces and output.driver == "GTiff":
            with open_quietly(copy, "r+") as dataset:
                _set_tags(dataset, output)
    if output.driver == "MBTiles":
        _store_tags_of_tiles(copy, output.tags.get("", {}))


def _store_tags_of_tiles(file: Path, tags: Mapping[str, str]) -> None:
    """Store tags, a name and a description among them, in the table ``metadata`` of MBTiles.

    GDAL's driver takes these as creation options only, which rasterio 1.4 and 1.5 turn
    into capitals. Raises OSError.
    """
    rows = [row for row in tags.items() if row[0].lower() not in NAMES["tags_of_tiles"]]
    try:
        with closing(sqlite3.connect(file)) as database, database:
            for row in rows:
                database.execute("DELETE FROM metadata WHERE name = ?", row[:1])
                database.execute("INSERT INTO metadata VALUES (?, ?)", row)
    except sqlite3.Error as error:
        raise OSError(f"tags of the tiles cannot be written: {error}") from error


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


def build_overviews(file: Path, output: OutputProfile) -> None:
    """Build the overviews of the file of an output, or of its canvas."""
    options = output.creation
    if output.keeps_blocks:  # by a GeoTIFF's names, those of a COG too
        options = output.blocks
    settings = {}
    for name in NAMES["overview_options"] & options.keys():
        settings[f"{name}_OVERVIEW"] = options[name]
    add_overview_levels(
        file,
        output.overviews,
        output.resampling,
        GDAL_TIFF_OVR_BLOCKSIZE=output.overview_side,
        GDAL_NUM_THREADS=output.creation.get("NUM_THREADS", "ALL_CPUS"),
        **settings,
    )


def add_overview_levels(
    file: Path, factors: Sequence[int], resampling: str, **settings: str | int
) -> None:
    """Build overviews of a file with some settings of GDAL."""
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.Env(**settings), open_quietly(file, "r+") as dataset:
        dataset.build_overviews(list(factors), Resampling[resampling])


def check_room(path: Path) -> None:
    """Check that the disk was not full when GDAL wrote a file: GDAL does not always say so."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            stream.write(bytes(2**22))  # fails on a disk that is full
            stream.flush()
            os.fsync(stream.fileno())
        finally:
            stream.truncate(end)
