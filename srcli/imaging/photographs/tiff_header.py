"""Read the metadata of TIFF files by their tags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO

from PIL.ExifTags import Base

from srcli.imaging.files.tiff_directories import DirectoryForm, Tags, first_number
from srcli.imaging.files.tiff_pages import (
    DESCRIPTIVE,
    INCH,
    MASK,
    REDUCED,
    RESOLUTION,
    Page,
    read_page,
)
from srcli.imaging.metadata import colour_spaces, exif
from srcli.imaging.metadata.descriptions import is_whole_slide
from srcli.imaging.metadata.embedded import EXIF_PREFIX, ColourSpace
from srcli.imaging.photographs import tiff
from srcli.imaging.photographs.photograph import Picture

SMALLER_COPIES = "smaller copies, thumbnail and label of the whole slide left out"
_NUMERIC_TYPES = (3, 4, 5)  # whole numbers and fractions, as types of entries
# Exponent of TIFF 6.0, where primaries are told without a transfer function.
_DEFAULT_CURVE = (2.2,)
_CENTIMETRE = 3
_IMAGEJ = 50839  # its tag of tables, display ranges, labels and selections


def read_tiff_header(path: Path, stream: IO[bytes], number: int = 1) -> Picture:
    """Read the layout and the metadata of one page of a TIFF file, from 1; thumbnails do not count.

    If its layout is not that of a photograph, the picture has a ``refusal``.
    """
    page = read_page(stream, number)
    tags = page.tags
    picture = tiff.read_layout(path, page, stream, number)
    notes = list(picture.warnings)
    stored = tiff.StoredPixels.from_tags(tags)
    has_own_colours = picture.refusal is None and not stored.is_converted
    colour_space = None
    if has_own_colours and Base.InterColorProfile not in tags:
        colour_space = _colour_space(tags, stored.channels, notes)
    metadata = replace(
        picture.metadata,
        colours=colour_space,
        exif=_exif(stream, page, notes),
        iptc=tiff.bytes_of(page, Base.IPTCNAA),
        dpi=_resolution(tags),
    )
    frames = 1
    if is_whole_slide(tiff.description_of(tags)):
        if page.further:
            notes.append(SMALLER_COPIES)
    elif number == 1:
        frames += sum(not kind & (REDUCED | MASK) for kind in page.further)
    return replace(picture, frames=frames, metadata=metadata, warnings=tuple(notes))


def _colour_space(tags: Tags, channels: int, notes: list[str]) -> ColourSpace | None:
    """Return the colours that WhitePoint and PrimaryChromaticities describe."""
    if Base.TransferFunction in tags:
        notes.append("transfer function of its colours left out (TIFF): taken as usual")
    stated = {}
    for tag in (Base.WhitePoint, Base.PrimaryChromaticities):
        if tag in tags and tags[tag].tiff_type in _NUMERIC_TYPES:
            stated[tag] = tags[tag].numbers
    if not stated:
        return None
    white = stated.get(Base.WhitePoint, colour_spaces.SRGB[:2])
    primaries = stated.get(Base.PrimaryChromaticities, colour_spaces.SRGB[2:])
    xy = (*white, *primaries)
    return colour_spaces.from_primaries(xy, _DEFAULT_CURVE, channels, notes)


def _resolution(tags: Tags) -> tuple[float, float] | None:
    """Return pixels per inch across and down; None if they are not stated."""
    if RESOLUTION[0] not in tags or RESOLUTION[1] not in tags:
        return None
    if exif.is_pixel_size(tags):
        return None  # the size of a microscope's pixels, not of a print
    across, down = (tags[tag].numbers[0] for tag in RESOLUTION[:2])
    unit = first_number(tags, RESOLUTION[2], INCH)
    per_inch = {INCH: 1.0, _CENTIMETRE: 2.54}.get(unit, 0)
    if per_inch * min(across, down) <= 0:
        return None
    return across * per_inch, down * per_inch


def _exif(stream: IO[bytes], page: Page, notes: list[str]) -> bytes | None:
    """Return the tags that describe the photograph as an EXIF block; None if there are none."""
    kept = DESCRIPTIVE
    if exif.is_pixel_size(page.tags):
        kept = kept.union(RESOLUTION)
    main = {tag: entry for tag, entry in page.tags.items() if tag in kept}
    if _IMAGEJ in page.tags:
        notes.append("tables, labels and overlays of ImageJ left out")
    ifds, damaged = exif.read_linked_ifds(stream, page.tags, page.layout)
    if damaged:
        notes.append(exif.DAMAGED)
    linked_ifds = {}
    for pointer, tags in ifds.items():
        linked_ifds[pointer] = {
            tag: entry for tag, entry in tags.items() if entry.tiff_type < 16
        }
    if not main and not any(linked_ifds.values()):
        return None
    layout = DirectoryForm(page.layout.order)
    packed, start = exif.pack(main, linked_ifds, 8, layout)
    return EXIF_PREFIX + layout.start(start) + packed
