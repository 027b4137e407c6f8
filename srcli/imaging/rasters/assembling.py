"""Put the final GeoTIFF together from the compressed blocks of its parts.

GDAL writes the header, as that of a file without a pixel; behind it come the blocks of
the parts as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL.ExifTags import Base

from srcli.imaging.rasters.copying import copy_file
from srcli.imaging.rasters.part_encoding import encode_part
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.vrt import MosaicFile, describe_mosaic
from srcli.imaging.tiff_assembly import (
    TiffAssembly,
    TiledImage,
    differing_tags,
    read_images,
)

_LERC_PARAMETERS = 50674
_DECODING_TAGS = (
    Base.BitsPerSample, Base.Compression, Base.ExtraSamples, Base.FillOrder,
    Base.ImageWidth, Base.JPEGTables, Base.NewSubfileType, Base.PhotometricInterpretation,
    Base.PlanarConfiguration, Base.Predictor, Base.ReferenceBlackWhite, Base.SampleFormat,
    Base.SamplesPerPixel, Base.TileLength, Base.TileWidth, Base.YCbCrCoefficients,
    Base.YCbCrPositioning, Base.YCbCrSubSampling, _LERC_PARAMETERS,
)  # fmt: skip
"""Entries of a directory by which its blocks are decoded."""


class OtherBlocksError(Exception):
    """Blocks of parts that are not those of the final file."""


def assemble(files: Sequence[MosaicFile], result: Path, output: OutputProfile) -> None:
    """Write a GeoTIFF from files of its full width that ``encode_part`` has made.

    Rows between them are blank. Overviews are left to the caller.

    Raises:
        OtherBlocksError: If the file would decode the blocks in another way.
        OSError: And those of rasterio, if the file cannot be written.
    """
    # its mask, which takes GDAL long, comes from a part
    header = replace(
        output, mask=False, creation={**output.creation, "SPARSE_OK": "TRUE"}
    )
    copy_file(describe_mosaic(header), result, header)
    layout, images = read_images(result)
    result.unlink()
    with tempfile.TemporaryDirectory(dir=result.parent) as folder:
        files = [*files, *_fill_gaps(files, Path(folder), output)]
        files.sort(key=lambda file: file.top)
        contents = [read_images(file.file)[1] for file in files]
        if output.mask and contents:
            images += [image.of_height(output.height) for image in contents[0][1:]]
        assembly = TiffAssembly(layout, images)
        for file, content in zip(files, contents, strict=True):
            _check_same(images, content)
            assembly.add(file.file, content, int(file.top))
        assembly.write(result)


def check_blank(file: Path, output: OutputProfile) -> None:
    """Raise an OtherBlocksError if a whole file is not laid out as a part of that size would be."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        blank = Path(folder) / "part.tif"
        _write_blank(blank, output.height, output)
        try:
            _check_same(read_images(file)[1], read_images(blank)[1])
        except ValueError as error:
            raise OtherBlocksError(str(error)) from error


def _check_same(
    images: Sequence[TiledImage], images_of_part: Sequence[TiledImage]
) -> None:
    """Raise an OtherBlocksError if directories would decode blocks in different ways."""
    if len(images) != len(images_of_part):
        raise OtherBlocksError("they have different numbers of directories")
    for image, image_of_part in zip(images, images_of_part, strict=True):
        if differing := differing_tags(image, image_of_part, _DECODING_TAGS):
            raise OtherBlocksError(f"they differ in tags {differing}")


def _fill_gaps(
    files: Sequence[MosaicFile], folder: Path, output: OutputProfile
) -> Iterator[MosaicFile]:
    """Yield files of blank rows for those that no file holds, if blank blocks are stored."""
    if output.is_sparse:
        return
    height = int(output.creation["BLOCKYSIZE"])
    tops = {int(file.top): file.height for file in files}
    blanks: dict[int, Path] = {}
    top = 0
    while top < output.height:
        rows = min(height, output.height - top)
        if top in tops:
            rows = tops[top]
        else:
            if rows not in blanks:
                blanks[rows] = folder / f"{rows}.tif"
                _write_blank(blanks[rows], rows, output)
            yield MosaicFile(blanks[rows], top, 0, rows, output.width, ())
        top += rows


def _write_blank(file: Path, height: int, output: OutputProfile) -> None:
    """Write rows without data, as GDAL reads what is not there."""
    value = 0 if output.nodata is None else output.nodata
    rows = np.full((height, output.width, output.channels), value, output.dtype)
    with encode_part(rows, np.zeros(1, output.dtype), output) as content:
        file.write_bytes(content)
