"""Fit the metadata of a picture to pixels that were turned upright or enlarged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.imaging import exif, xmp

if TYPE_CHECKING:
    from srcli.imaging.photograph import Metadata
    from srcli.imaging.pixel_map import PixelMap


def fit_metadata(metadata: Metadata, pixels: PixelMap) -> tuple[Metadata, tuple[str, ...]]:
    """Return the metadata as they describe the new pixels, and what is lost, for the user."""
    notes: tuple[str, ...] = ()
    if metadata.exif is not None:
        try:
            metadata = replace(metadata, exif=exif.fit(metadata.exif, pixels))
        except ValueError:
            metadata = replace(metadata, exif=None)
            notes = ("damaged EXIF left out",)
    if metadata.xmp is not None:
        packet, lost = xmp.fit(metadata.xmp, pixels)
        metadata, notes = replace(metadata, xmp=packet), (*notes, *lost)
    if metadata.dpi is not None and pixels.swaps:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])
    return metadata, notes
