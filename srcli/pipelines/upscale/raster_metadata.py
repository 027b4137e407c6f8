"""Metadata of rasters that GDAL does not pass on: EXIF, and all of photographs.

A photograph that is read by windows, because an option of rasters asks for that, keeps
what it keeps without the option.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.by_format import dress_metadata
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.metadata.fitting import fit_metadata
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.opening import open_known
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.rasters.companions import companions_on_disk, source_id
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.imaging.rasters.embedding import exif_beside_gdal

if TYPE_CHECKING:
    from srcli.imaging.rasters.profile import OutputProfile
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item
    from srcli.ports.image import Window

_AREAS = (0x9214, Base.SubjectLocation)
"""Entries of EXIF that describe places in the whole picture: SubjectArea is the first."""
_TAGS_OF_TIFF = ("TIFFTAG_", "SRX_", "AREA_OR_POINT")
"""Beginnings of GDAL's names of tags that are no text of a photograph."""


@dataclass(frozen=True)
class KnownPicture:
    """A picture of a format that srx reads itself: what it holds besides what GDAL gives."""

    header: Picture

    @property
    def is_photograph(self) -> bool:
        """True if nothing but options of rasters, or its size, has it read by windows."""
        return self.header.raster is None

    def decode(self) -> Photograph:
        """Decode all its pixels, as those of a photograph."""
        return read_photograph(self.header)

    def keep_metadata(
        self, item: Item, window: Window, output: OutputProfile, options: Settled
    ) -> KeptMetadata:
        """Choose what is put into an output of a window once GDAL has written it."""
        metadata, notes = _choose_metadata(self.header, item, window, output, options)
        if metadata is None:
            return KeptMetadata(None, output, notes)
        if self.is_photograph:
            output = _leave_to_embedding(output, item.format)
        return KeptMetadata(metadata, output, notes)


@dataclass(frozen=True)
class KeptMetadata:
    """What an output keeps of a picture's metadata."""

    embedded: Metadata | None
    """What is put in once GDAL has written it."""
    output: OutputProfile
    """The output, whose tags are those that are left to GDAL."""
    notes: tuple[str, ...]
    """Warnings of what is lost."""


def read_picture(path: Path, stream: IO[bytes] | None = None) -> KnownPicture | None:
    """Return a picture of a format that srx reads itself, by its header; else None.

    ``stream`` is the file, where that is open already.
    """
    if isinstance(path, DatasetName):
        return None
    with suppress(PictureError):  # GDAL may read it nevertheless
        picture = open_known(path, stream=stream)
        if picture is not None:
            return KnownPicture(picture)
    return None


def _choose_metadata(
    picture: Picture,
    item: Item,
    window: Window,
    output: OutputProfile,
    options: Settled,
) -> tuple[Metadata | None, tuple[str, ...]]:
    """Return the metadata to put in, None for nothing, and notes; see ``keep_metadata``."""
    if options.strip_metadata:
        return None, ()
    metadata = picture.metadata
    is_photograph = picture.raster is None
    if not is_photograph:
        metadata = exif_beside_gdal(metadata)
        if metadata.exif is None:
            return None, ()
    if output.driver == "COG" or (not is_photograph and item.format != "tif"):
        form = "a COG" if output.driver == "COG" else f"{item.format} of a raster"
        if metadata.exif is None:
            return None, ()
        return None, (f"EXIF left out: {form} is written without it",)
    metadata = replace(metadata, icc=None, colours=None)
    before = (window.height, window.width)
    pixel_map = PixelMap(before=before, after=(output.height, output.width))
    metadata, notes = fit_metadata(metadata, pixel_map)
    if metadata.exif is not None and before != picture.size:
        block = exif.read_exif(metadata.exif)
        metadata = replace(metadata, exif=block.edited({}, dict.fromkeys(_AREAS)))
    if is_photograph and options.records_provenance:
        files = companions_on_disk(picture.path)
        input_id = source_id(picture.path, map(str, files), picture.input_id)
        provenance = options.make_provenance(input_id)
        earlier = metadata.software or exif.software(metadata.exif)
        metadata = replace(metadata, software=provenance.software(earlier))
    metadata, lost = dress_metadata(metadata, item.format)
    return metadata, (*notes, *lost)


def _leave_to_embedding(output: OutputProfile, fmt: str) -> OutputProfile:
    """Return an output without the texts and EXIF that GDAL would write, beside some formats."""
    tags = {}
    if "COLOR_PROFILE" in output.tags:
        tags["COLOR_PROFILE"] = output.tags["COLOR_PROFILE"]
    if fmt == "tif":
        tags[""] = {
            key: text
            for key, text in output.tags.get("", {}).items()
            if key.startswith(_TAGS_OF_TIFF)
        }
    return replace(output, tags=tags)
