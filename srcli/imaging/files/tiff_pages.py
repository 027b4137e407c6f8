"""Pages of a TIFF file: their tags, and which are thumbnails or masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.files.tiff_blocks import BLOCK_TAGS
from srcli.imaging.files.tiff_directories import (
    DirectoryForm,
    Tags,
    first_number,
    read_directory,
    read_start,
)

DAMAGED_PAGE = "its pages end with a damaged one, which is left out"
RESOLUTION = (Base.XResolution, Base.YResolution, Base.ResolutionUnit)
DESCRIPTIVE = frozenset({
    270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095,
})  # fmt: skip
"""Tags that describe the photograph (title, camera, author ...), not how it is
stored."""
# Of ResolutionUnit.
INCH = 2
_NEEDED = BLOCK_TAGS | {
    Base.BitsPerSample,
    Base.SamplesPerPixel,
    Base.ColorMap,
    Base.ExtraSamples,
    Base.SampleFormat,
}
"""Tags without whose values pixels come out wrong."""
PREMULTIPLIED = 1  # a value of ExtraSamples
# Bits of NewSubfileType.
REDUCED = 1
MASK = 4


@dataclass(frozen=True)
class Page:
    """One page of a file."""

    tags: Tags
    layout: DirectoryForm
    number: int
    """Number in the file, from 1."""
    further: list[int]
    """NewSubfileType of the pages behind it."""
    is_cut: bool
    """The last of these is followed by a damaged one."""


def read_page(stream: IO[bytes], number: int = 1) -> Page:
    """Read a page, from 1, of those that are no thumbnails; the first of all if every page is one.

    PictureError is raised where there are fewer.
    """
    layout, start = read_start(stream)
    tags, following = read_directory(stream, start, layout, _NEEDED)
    further, is_cut = _further_pages(stream, following, layout)
    kinds = [first_number(tags, Base.NewSubfileType, 0), *further]
    full = [1]
    if Base.SubIFDs not in tags or number > 1:
        full = [at for at, kind in enumerate(kinds, 1) if not kind & (REDUCED | MASK)]
    if number > max(len(full), 1):
        raise PictureError(
            f"{stream.name}: has no page {number}; the last is {len(full)}"
        )
    position = (full or [1])[number - 1]
    for _ in range(position - 1):
        tags, following = read_directory(stream, following, layout, _NEEDED)
    return Page(tags, layout, position, kinds[position:], is_cut)


def whole_numbers(tags: Tags, tag: int, *default: int) -> list[int]:
    """Return the numbers of a tag; the usual ones where it is left out."""
    if tag not in tags:
        return list(default)
    return list(map(int, tags[tag].numbers))


def _further_pages(
    stream: IO[bytes], offset: int, layout: DirectoryForm
) -> tuple[list[int], bool]:
    """Return NewSubfileType of the pages from an offset on, and if a damaged one ends them."""
    seen = set()
    kinds: list[int] = []
    while offset and offset not in seen:
        seen.add(offset)
        try:
            tags, offset = read_directory(
                stream, offset, layout, only=Base.NewSubfileType
            )
        except ValueError:
            return kinds, True
        kinds.append(first_number(tags, Base.NewSubfileType, 0))
    return kinds, False
