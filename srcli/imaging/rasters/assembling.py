"""Put the final GeoTIFF or COG together from the compressed blocks of its parts.

GDAL writes the header, as that of a file without a pixel; behind it come the blocks of
the parts as they are.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL.ExifTags import Base

from srcli.imaging.files.tiff_assembly import (
    Placing,
    TiffAssembly,
    TiffContent,
    TiledImage,
    differing_tags,
    read_tiff,
)
from srcli.imaging.files.tiff_directories import TEXT, Entry
from srcli.imaging.rasters.copying import build_overviews, check_room, copy_file
from srcli.imaging.rasters.halves import find_half, half_of
from srcli.imaging.rasters.part_encoding import encode_part, stored_bands
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.vrt import MosaicFile, describe_mosaic

_LERC_PARAMETERS = 50674
_GDAL_METADATA = 42112
_GDAL_NODATA = 42113
_METHOD = b'<GDALMetadata><Item name="RESAMPLING" sample="0">%s</Item></GDALMetadata>\0'
"""What GDAL says of overviews that it builds inside a GeoTIFF."""
_METHOD_OF_COG = re.compile(rb' *<Item name="OVERVIEW_RESAMPLING"[^\n]*\n')
_SMALL_BLOCK = 128
"""Least length of a block of a COG."""
_DECODING_TAGS = (
    Base.BitsPerSample, Base.Compression, Base.ExtraSamples, Base.FillOrder,
    Base.ImageWidth, Base.JPEGTables, Base.NewSubfileType, Base.PhotometricInterpretation,
    Base.PlanarConfiguration, Base.Predictor, Base.ReferenceBlackWhite, Base.SampleFormat,
    Base.SamplesPerPixel, Base.TileLength, Base.TileWidth, Base.YCbCrCoefficients,
    Base.YCbCrPositioning, Base.YCbCrSubSampling, _LERC_PARAMETERS,
)  # fmt: skip
"""Entries of a directory by which its blocks are decoded."""
_OVERVIEW_TAGS = frozenset(
    {*_DECODING_TAGS, Base.ColorMap, Base.ImageLength, _GDAL_NODATA}
)
"""Entries that GDAL gives the directories of overviews."""


class OtherBlocksError(Exception):
    """Blocks of parts that are not those of the final file."""


def assemble(files: Sequence[MosaicFile], result: Path, output: OutputProfile) -> None:
    """Write a file from others of its full width that ``encode_part`` has made.

    Rows between them are blank. Overviews are made if the files hold halves.

    Raises:
        OtherBlocksError: If the file would decode the blocks in another way.
        OSError: And those of rasterio, if the file cannot be written.
    """
    header = write_header(result, output)
    with tempfile.TemporaryDirectory(dir=result.parent) as name:
        folder = Path(name)
        files = [*files, *_fill_gaps(files, folder, output)]
        files.sort(key=lambda file: file.top)
        files, contents = _read_parts(files)
        images = list(header.images)
        if output.mask and contents:
            # GDAL takes long to write a mask into the header: a part's is the same, but for
            # its height
            images += [image.of_height(output.height) for image in contents[0][1:]]
        for content in contents:
            check_same(images, content)
        overviews: list[TiledImage] = []
        overviews_file = folder / "overviews.tif"
        if output.has_halves:
            overviews = _make_overviews(files, overviews_file, output)
        is_cog = output.driver == "COG"
        assembly = TiffAssembly(header.layout, [*images, *overviews], has_frames=is_cog)
        if is_cog:
            assembly.structure = _describe_cog(header, folder, output)
            # in front of the picture, so that the first bytes of the file show all of it
            _add_overviews(assembly, overviews_file, overviews)
        for file, content in zip(files, contents, strict=True):
            placings = [
                Placing(number, image, int(file.top))
                for number, image in enumerate(content)
            ]
            if is_cog:  # a block of the mask stands behind that of the picture
                assembly.add(file.file, placings, file.start)
            else:
                for placing in placings:
                    assembly.add(file.file, [placing], file.start)
        if not is_cog:
            _add_overviews(assembly, overviews_file, overviews)
        assembly.write(result)


def write_header(result: Path, output: OutputProfile) -> TiffContent:
    """Let GDAL write the file without pixels and mask, and remove it; files beside it stay."""
    creation = {**output.creation, "SPARSE_OK": "TRUE"}
    if output.driver == "COG":
        creation["OVERVIEWS"] = "NONE"
    header = replace(output, mask=False, creation=creation)
    copy_file(describe_mosaic(header), result, header)
    try:
        return read_tiff(result)
    except ValueError as error:
        raise OtherBlocksError(str(error)) from error
    finally:
        result.unlink()


def _read_parts(
    files: Sequence[MosaicFile],
) -> tuple[list[MosaicFile], list[list[TiledImage]]]:
    """Read the directories of parts, also of those that were joined, one by one."""
    parts = []
    contents = []
    for file in files:
        content = read_part(file)
        step = file.part_rows or file.height
        for top in range(0, file.height, step):
            height = min(step, file.height - top)
            parts.append(file._replace(top=file.top + top, height=height))
            contents.append([image.rows(top, top + height) for image in content])
    return parts, contents


def read_part(file: MosaicFile) -> list[TiledImage]:
    """Read the directories of a part; OSError for one that is damaged."""
    try:
        return read_tiff(file.file, file.start).images
    except ValueError as error:
        raise OSError(f"a part of it is damaged: {error}") from None


def _describe_cog(header: TiffContent, folder: Path, output: OutputProfile) -> bytes:
    """Return what a COG says of its structure before its first directory.

    GDAL 3.12 and newer say in that directory how overviews are made; so does it then.
    """
    if not (output.mask or output.has_halves):
        return header.structure
    tiny = folder / "tiny.tif"
    side = 2 * _SMALL_BLOCK  # that GDAL makes an overview, where these are wanted
    creation = {**output.creation, "BLOCKSIZE": str(_SMALL_BLOCK)}
    model = replace(output, height=side, width=side, creation=creation)
    copy_file(describe_mosaic(model), tiny, model)
    content = read_tiff(tiny)
    described = content.images[0].tags.get(_GDAL_METADATA)
    if described is not None and output.has_halves:
        _add_method(header.images[0], described.value)
    return content.structure if output.mask else header.structure


def _add_method(image: TiledImage, description: bytes) -> None:
    """Add how overviews are made to GDAL's description of a picture, where another has it."""
    found = _METHOD_OF_COG.search(description)
    if found is None:
        return
    # what stands behind it is of the compression, which both have
    end = description[found.end() :]
    text = b"<GDALMetadata>\n" + end
    if _GDAL_METADATA in image.tags:
        text = image.tags[_GDAL_METADATA].value
    if text.endswith(end):
        text = text.removesuffix(end) + found[0] + end
    image.tags[_GDAL_METADATA] = Entry(TEXT, text)


def _make_overviews(
    files: Sequence[MosaicFile], path: Path, output: OutputProfile
) -> list[TiledImage]:
    """Write a file of the halves in parts and of all that is smaller; return its directories.

    They are those of the final file: pictures from the largest down, then masks.
    """
    half = half_of(output)
    halves = []
    for file in files:
        start, length = find_half(file)
        halves.append(
            MosaicFile(
                file.file,
                file.top // 2,
                0,
                file.height // 2,
                half.width,
                stored_bands(half),
                start=start,
                length=length,
            )
        )
    if half.keeps_blocks:
        assemble(halves, path, half)
    else:
        copy_file(describe_mosaic(half, halves), path, half)
    if half.overviews and not half.has_halves:
        build_overviews(path, half.overviews, half)
    check_room(path)
    overviews = []
    for image in read_tiff(path).images:
        overview = image.as_overview(_OVERVIEW_TAGS)
        if output.driver != "COG" and not overview.is_mask:
            method = b"NEAREST" if output.classes else b"AVERAGE"
            overview.tags[_GDAL_METADATA] = Entry(TEXT, _METHOD % method)
        overviews.append(overview)
    overviews.sort(key=lambda image: (image.is_mask, -image.height))
    return overviews


def _add_overviews(
    assembly: TiffAssembly, path: Path, overviews: Sequence[TiledImage]
) -> None:
    """Add the blocks of overviews, of a COG from the smallest up, with those of masks between."""
    start = len(assembly.images) - len(overviews)
    pictures = [image for image in overviews if not image.is_mask]
    for number in reversed(range(len(pictures))):
        # that picture, and its mask: all masks follow all pictures, in the same order
        placings = [
            Placing(start + position, image)
            for position, image in enumerate(overviews)
            if position % len(pictures) == number
        ]
        if assembly.has_frames:
            assembly.add(path, placings)
        else:
            for placing in placings:
                assembly.add(path, [placing])


def check_against_part(file: Path, output: OutputProfile) -> None:
    """Raise an OtherBlocksError if a whole file is not laid out as a part of that size would be."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        blank = Path(folder) / "part.tif"
        _write_blank(blank, output.height, output)
        try:
            images = read_tiff(file).images
            images = [image for image in images if not image.is_overview]
            check_same(images, read_tiff(blank).images)
        except ValueError as error:
            raise OtherBlocksError(str(error)) from error


def check_same(
    images: Sequence[TiledImage], images_of_part: Sequence[TiledImage]
) -> None:
    """Raise an OtherBlocksError if directories would decode blocks in different ways."""
    if len(images) != len(images_of_part):
        raise OtherBlocksError("its parts would have another number of pictures")
    for image, image_of_part in zip(images, images_of_part, strict=True):
        if differing := differing_tags(image, image_of_part, _DECODING_TAGS):
            raise OtherBlocksError(f"its parts would differ in TIFF tags {differing}")


def _fill_gaps(
    files: Sequence[MosaicFile], folder: Path, output: OutputProfile
) -> Iterator[MosaicFile]:
    """Yield files of blank rows for those that no file holds, if blank blocks are stored."""
    if output.is_sparse:
        return
    heights = {int(file.top): file.height for file in files}
    top = 0
    while top < output.height:
        rows = heights.get(top, 0)
        if not rows:
            rows = min(output.whole_rows, output.height - top)
            yield from blank_files(range(top, top + rows), folder, output)
        top += rows


def blank_files(
    rows: range, folder: Path, output: OutputProfile
) -> Iterator[MosaicFile]:
    """Yield files of blank rows; those that are not in the folder yet are made."""
    for top in range(rows.start, rows.stop, output.whole_rows):
        height = min(output.whole_rows, rows.stop - top)
        blank = folder / f"{height}.tif"
        if not blank.exists():
            _write_blank(blank, height, output)
        yield MosaicFile(blank, top, 0, height, output.width, ())


def _write_blank(file: Path, height: int, output: OutputProfile) -> None:
    """Write rows without data, as GDAL reads what is not there."""
    value = 0 if output.nodata is None else output.nodata
    rows = np.full((height, output.width, output.channels), value, output.dtype)
    with encode_part(rows, np.zeros(1, output.dtype), output) as pieces:
        file.write_bytes(b"".join(pieces))
