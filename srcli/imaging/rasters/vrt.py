"""Describe files of pixels that lie beside each other as one raster: a VRT of GDAL's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from srcli.imaging.files.decoding import quiet_libraries
from srcli.imaging.files.utf8_names import alias_of_file
from srcli.imaging.rasters.profile import OutputProfile


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
