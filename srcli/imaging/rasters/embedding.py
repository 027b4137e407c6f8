"""Put metadata of a photograph into a file that GDAL has written.

GDAL writes no EXIF to TIFF, and neither EXIF nor resolution to PNG. A TIFF gets another
first directory at its end, others are copied with segments or chunks of ours.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO

from PIL.ExifTags import Base

from srcli.imaging.files.tiff_directories import read_directory, read_start
from srcli.imaging.files.tiff_pages import RESOLUTION
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.by_format import TEXT_CHUNKS, metadata_segments
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs import png
from srcli.imaging.photographs.tiff_writing import write_directory

_OF_GDAL = (*RESOLUTION, 269, 270, 305, 306, 315, 316, 33432)
"""Descriptive tags that GDAL keeps by itself."""
_REPLACED_CHUNKS = frozenset({b"eXIf", b"pHYs", *TEXT_CHUNKS})
# Segments of JPEG.
_START_OF_SCAN = 0xDA
_JFIF = 0xE0
_REPLACED_SEGMENTS = frozenset({_JFIF, 0xE1, 0xED, 0xFE})  # EXIF and XMP, IPTC, comment


def embed_metadata(file: Path, fmt: str, metadata: Metadata) -> None:
    """Put metadata into a finished file of GDAL's: tif (no COG), png or jpg.

    They replace what the file has of the same kind; its colour profile stays. Nothing
    else may use the file meanwhile.
    """
    if fmt == "tif":
        with file.open("r+b") as stream:
            _embed_in_tiff(stream, metadata)
        return
    copy = file.with_name(f"embedded{file.suffix}")
    with file.open("rb") as source, copy.open("wb") as target:
        if fmt == "png":
            _embed_in_png(source, target, metadata)
        else:
            _embed_in_jpeg(source, target, metadata)
    copy.replace(file)


def exif_beside_gdal(metadata: Metadata) -> Metadata:
    """Return the EXIF alone, without what GDAL's driver for TIFF keeps by itself."""
    block = metadata.exif
    if block is not None:
        parsed = exif.read_exif(block)
        parsed_main = parsed.main.keys() - {*_OF_GDAL, Base.Orientation}
        block = parsed.edited(dict.fromkeys(_OF_GDAL))
        if not parsed_main and not any(parsed.linked_ifds.values()):
            block = None
    return Metadata(exif=block)


def _embed_in_tiff(stream: IO[bytes], metadata: Metadata) -> None:
    """Write the first directory anew, at the end; masks and overviews follow it as before."""
    layout, start = read_start(stream)
    tags, following = read_directory(stream, start, layout)
    if metadata.dpi is not None:
        tags = {tag: entry for tag, entry in tags.items() if tag not in RESOLUTION}
    directory = write_directory(stream, layout, tags, metadata, following)
    stream.seek(0)
    stream.write(layout.start(directory))


def _embed_in_png(source: IO[bytes], target: IO[bytes], metadata: Metadata) -> None:
    """Copy a file with chunks of the metadata behind its header."""
    source.seek(len(png.SIGNATURE))
    target.write(png.SIGNATURE)
    for kind, content, _ in png.read_chunks(source, pixels=True):
        if kind not in _REPLACED_CHUNKS:
            target.write(png.pack_chunk(kind, content))
        if kind == b"IHDR":
            target.write(png.pack_metadata(metadata))
    target.write(png.pack_chunk(b"IEND", b""))


def _embed_in_jpeg(source: IO[bytes], target: IO[bytes], metadata: Metadata) -> None:
    """Copy a file with segments of the metadata at its start."""
    target.write(source.read(2) + metadata_segments(metadata))
    while True:
        head = source.read(4)
        marker = head[1]
        if len(head) < 4 or head[0] != 0xFF:
            raise ValueError("a JPEG file of unknown form")
        content = source.read(int.from_bytes(head[2:]) - 2)
        if marker not in _REPLACED_SEGMENTS:
            target.write(head + content)
        if marker == _START_OF_SCAN:
            shutil.copyfileobj(source, target)
            return
