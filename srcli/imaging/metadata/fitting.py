"""Fit EXIF and other metadata to pixels that were turned upright or enlarged."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from PIL.ExifTags import Base

from srcli.imaging.files.provenance import Provenance
from srcli.imaging.files.tiff_directories import (
    SHORT,
    TEXT,
    UNDEFINED,
    Entry,
    Tags,
    edit_directory,
    read_directory,
)
from srcli.imaging.metadata import descriptions, exif, xmp
from srcli.imaging.metadata.embedded import DAMAGED_EXIF, Metadata
from srcli.imaging.pixels.geometry import PixelMap

# No longer true once it is upscaled.
_EXIF_SIZES = (
    Base.ImageWidth,
    Base.ImageLength,
    Base.ExifImageWidth,
    Base.ExifImageHeight,
    Base.RelatedImageWidth,
    Base.RelatedImageLength,
)
# SubjectArea is the first; in pixels of the picture as it is stored.
_AREAS = (0x9214, Base.SubjectLocation)
# pixels per length of the sensor across and down; the same of a print, which is not
# enlarged here
_FOCAL_PLANE = (Base.FocalPlaneXResolution, Base.FocalPlaneYResolution)
_RESOLUTION = (Base.XResolution, Base.YResolution)
_RATIO = Entry(5, b"")


def fit_metadata(
    metadata: Metadata, pixel_map: PixelMap
) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata as they describe the new pixels, and what is lost, for the user."""
    notes: tuple[str, ...] = ()
    block = metadata.exif
    if block is not None:
        try:
            block, notes = fit_exif(block, pixel_map)
        except ValueError:
            block = None
            notes = (DAMAGED_EXIF,)
    packet = metadata.xmp
    if packet is not None:
        packet, lost = xmp.fit_xmp(packet, pixel_map)
        notes += lost
    dpi = metadata.dpi
    if dpi is not None and pixel_map.swaps_sides:
        dpi = dpi[::-1]
    return replace(metadata, exif=block, xmp=packet, dpi=dpi), notes


def with_resolution(metadata: Metadata, dpi: tuple[float, float]) -> Metadata:
    """Return metadata that state a resolution, across and down, in EXIF too where that has one."""
    block = metadata.exif
    with suppress(ValueError):
        stated = exif.read_exif(block or b"")
        changes: dict[int, Entry | None] = {}
        for tag, value in zip(_RESOLUTION, dpi, strict=True):
            if tag in stated.main:
                changes[tag] = _RATIO.with_numbers([value])
        if changes:
            changes[Base.ResolutionUnit] = Entry(SHORT, b"\2\0")  # inches
            block = stated.edited(changes)
    return replace(metadata, exif=block, dpi=dpi)


def with_record(metadata: Metadata, provenance: Provenance) -> Metadata:
    """Return metadata that record what made a picture, behind the software of its input."""
    earlier = metadata.software or exif.software(metadata.exif)
    return replace(metadata, software=provenance.software(earlier))


def fit_exif(block: bytes, pixel_map: PixelMap) -> tuple[bytes, tuple[str, ...]]:
    """Fit an EXIF block to pixels that were turned or enlarged; tell of parts that are lost.

    Its orientation becomes 1, sizes in pixels and the thumbnail go, positions and the
    resolution of the sensor follow the pixels. All else stays where it is.
    """
    old = exif.read_exif(block)
    tiff = bytearray(old.tiff)
    if old.following > old.start:
        _blank_thumbnail(tiff, old)
    changes = _entry_changes(old.main, pixel_map) | dict.fromkeys(old.damaged)
    if Base.Orientation in old.main:
        changes[Base.Orientation] = Entry(SHORT, b"\1\0")
    with suppress(ValueError, LookupError):  # sizes of the picture are repeated there
        offset = int(
            old.linked_ifds[Base.ExifOffset][Base.ExifInteroperabilityOffset].numbers[0]
        )
        tags, _ = read_directory(tiff, offset, old.layout)
        if not tags.keys().isdisjoint(_EXIF_SIZES):
            removed: dict[int, None] = dict.fromkeys(_EXIF_SIZES)
            edit_directory(tiff, offset, removed, old.layout)
    details = _entry_changes(old.linked_ifds.get(Base.ExifOffset, {}), pixel_map)
    notes = (exif.DAMAGED,) if old.damaged else ()
    return old.edited(changes, details, tiff), notes


def _entry_changes(tags: Tags, pixel_map: PixelMap) -> dict[int, Entry | None]:
    """Return the entries that change with the pixels, None for those that are no longer true."""
    changes: dict[int, Entry | None] = dict.fromkeys(_EXIF_SIZES)
    if pixel_map.changes_nothing:
        return changes
    numbers = {}
    for tag in (*_AREAS, *_FOCAL_PLANE, *_RESOLUTION):
        if tag in tags and tags[tag].tiff_type not in (TEXT, UNDEFINED):
            numbers[tag] = tags[tag].numbers
    for tag in _AREAS:
        area = numbers.get(tag, [])
        if len(area) in (2, 3, 4):
            changes[tag] = tags[tag].with_numbers(pixel_map.area(area))
    description = tags.get(Base.ImageDescription)
    if description is not None:
        text = description.value.decode("latin-1")
        text = descriptions.fit_description(text, pixel_map, pixel_map.before)
        changes[Base.ImageDescription] = None
        if text:
            encoded = text.encode("latin-1")
            changes[Base.ImageDescription] = replace(description, value=encoded)
    calibrations = [_FOCAL_PLANE]
    if exif.is_pixel_size(tags):
        calibrations.append(_RESOLUTION)
    for across, down in calibrations:
        if across in numbers and down in numbers:
            per_length = pixel_map.size([numbers[across][0], numbers[down][0]])
            changes[across] = tags[across].with_numbers(per_length[:1])
            changes[down] = tags[down].with_numbers(per_length[1:])
    across, down = _RESOLUTION
    if pixel_map.swaps_sides and across in numbers and down in numbers:
        changes[across] = tags[across].with_numbers(numbers[down][:1])
        changes[down] = tags[down].with_numbers(numbers[across][:1])
    return changes


def _blank_thumbnail(tiff: bytearray, block: exif.ExifBlock) -> None:
    """Cut the thumbnail of a second directory off at the end of a block's copy, or blank it."""
    with suppress(ValueError, LookupError):
        tags, _ = read_directory(tiff, block.following, block.layout)
        start = int(tags[Base.JpegIFOffset].numbers[0])
        end = min(start + int(tags[Base.JpegIFByteCount].numbers[0]), len(tiff))
        is_jpeg = tiff[start : start + 2] == b"\xff\xd8"
        if not block.following < start < end or not is_jpeg:
            return
        if end < len(tiff) - 4:
            tiff[start:end] = bytes(end - start)
        else:
            del tiff[start:end]
