"""Describe an output and its parts by a VRT, from which GDAL copies the final file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.metadata import set_metadata
from srcli.imaging.rasters.parts import Parts, part_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.imaging.rasters.output import OutputProfile

_BAND = re.compile(r'(<VRTRasterBand dataType="\w+" band="(\d+)"[^>]*?)\s*(/?)>')


def write_vrt(
    path: Path,
    output: OutputProfile,
    parts: Parts | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> None:
    """Write a VRT with the metadata of an output.

    Args:
        path: The VRT, in the folder of the parts or beside it.
        output: What it is to hold.
        parts: The pixels; all must be there. Without them it is empty.
        size: (height, width), of the output by default.

    Raises:
        rasterio.errors.RasterioError: If GDAL cannot write it.
    """
    import rasterio

    height, width = size or (output.height, output.width)
    georeference = {} if output.transform is None else {"transform": output.transform}
    with quiet_pillow():  # rasterio warns of files without a transform
        dataset = rasterio.open(
            path,
            "w",
            driver="VRT",
            height=height,
            width=width,
            count=len(output.bands),
            dtype=output.dtype,
            nodata=output.nodata,
            crs=output.crs,
            **georeference,
        )
    placed = [] if parts is None else _placed_parts(parts, path.parent)
    with dataset:
        set_metadata(dataset, output)
        for band in dataset.indexes:
            sources = _sources(placed, f"{band}", output)
            dataset.update_tags(band, ns="new_vrt_sources", **sources)
    text = path.read_text(encoding="utf-8")
    if any(band.legend for band in output.bands):
        text = _BAND.sub(lambda found: _with_legend(found, output), text)
    if output.mask:
        inner = "".join(_sources(placed, "mask,1", output).values())
        mask = f'<MaskBand><VRTRasterBand dataType="Byte">{inner}</VRTRasterBand></MaskBand>'
        head, end, tail = text.rpartition("</VRTDataset>")
        text = head + mask + end + tail
    path.write_text(text, encoding="utf-8")


def _with_legend(found: re.Match[str], output: OutputProfile) -> str:
    """Add a band's legend after the beginning of its element, which may be its end too."""
    begin, legend = found[1], output.bands[int(found[2]) - 1].legend
    return f"{begin}>{legend}" + "</VRTRasterBand>" * bool(found[3])


def _placed_parts(parts: Parts, folder: Path) -> list[tuple[str, range]]:
    """List the names of all parts, relative to a folder, and their output rows."""
    return [
        (escape(file.relative_to(folder).as_posix()), parts.span(number))
        for number, file in sorted(parts.found().items())
    ]


def _sources(
    placed: Sequence[tuple[str, range]], band: str, output: OutputProfile
) -> dict[str, str]:
    """Make the XML that places one band of all parts, by names that GDAL ignores."""
    from rasterio.dtypes import dtype_rev, typename_fwd

    width, kind = output.width, typename_fwd[dtype_rev[output.dtype]]
    sources = {}
    for number, (name, span) in enumerate(placed):
        block_height, block_width = part_blocks(output, len(span))
        sources[f"source_{number}"] = (
            "<SimpleSource>"
            f'<SourceFilename relativeToVRT="1">{name}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SourceProperties RasterXSize="{width}" RasterYSize="{len(span)}" '
            f'DataType="{"Byte" if band.startswith("mask") else kind}" '
            f'BlockXSize="{block_width}" BlockYSize="{block_height}"/>'
            f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{len(span)}"/>'
            f'<DstRect xOff="0" yOff="{span.start}" xSize="{width}" ySize="{len(span)}"/>'
            "</SimpleSource>"
        )
    return sources
