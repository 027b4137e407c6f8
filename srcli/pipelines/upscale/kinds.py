"""Tell kinds of inputs apart by their headers: each kind has one maker of its outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.files.formats import FORMATS, VIDEO
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item


class Kind(StrEnum):
    """What an input is, by which its output is made."""

    PHOTOGRAPH = "photograph"
    """Made together with others, whole in memory."""
    LARGE = "large photograph"
    """Becomes so large that its parts are kept on the disk."""
    PAGES = "photographs of one TIFF"
    ANIMATION = "animation"
    ANIMATION_TO_VIDEO = "animation that becomes a video"
    VIDEO = "video"
    RASTER = "raster"
    """Read by windows: georeferenced, with raster options, or too large for memory."""
    STACK = "rasters of one TIFF"
    COPY = "photograph that is as large as it is to become"

    @property
    def is_raster(self) -> bool:
        """True for what is read by windows."""
        return self in (Kind.RASTER, Kind.STACK)


@dataclass(frozen=True)
class Opened:
    """An input whose header was read."""

    item: Item
    kind: Kind
    picture: Picture
    """The header; of a raster what tells that it is one."""


def open_item(item: Item, options: Settled) -> Opened:
    """Read the header of an input, and decide what kind it is.

    Rasters are georeferenced files and others that only a raster can be (see
    ``Picture.raster``), inputs with raster options, and photographs of more than
    ``LARGEST_AREA``. Of the pictures of a folder, raster options apply to the TIFFs only.
    A picture rotated by EXIF is always a photograph, as windows on disk cannot be rotated.

    A ``PictureError`` is raised, too, for a photograph rotated by EXIF, a video or an
    animation that is named with raster options, and with ``--fit`` for a raster.
    """
    page = options.pages or 1
    try:
        picture = open_picture(item.source, confined=item.from_folder, page=page)
    except PictureError as error:
        if options.raster_options and not item.from_folder:
            # reading it as a raster fails with the reason
            return Opened(item, Kind.RASTER, _unread(item, str(error)))
        raise
    if not item.from_folder:
        _refuse_what_films_lack(picture, options)
    if picture.format == VIDEO:
        is_copied = options.copies(picture.size)
        return Opened(item, Kind.COPY if is_copied else Kind.VIDEO, picture)
    if picture.raster is not None or _needs_windows(item, picture, options):
        _refuse_photograph_option(item, picture, options)
        kind = Kind.RASTER
        if _has_pages_of_rasters(item, picture, options):
            kind = Kind.STACK
        return Opened(item, kind, picture)
    if FORMATS[item.format].map_tiles:
        raise PictureError(
            f"{item.source}: has no place on the map, and {item.format} holds tiles of one; "
            "take another --format"
        )
    return Opened(item, _kind_of_photograph(item, picture, options), picture)


def _unread(item: Item, reason: str) -> Picture:
    """Return the header of a file that could not be read as a picture."""
    return Picture(
        path=item.source,
        format="",
        height=0,
        width=0,
        channels=0,
        bits=0,
        raster=reason,
    )


def _kind_of_photograph(item: Item, picture: Picture, options: Settled) -> Kind:
    """Return the kind of what is no raster and no video."""
    if options.copies(picture.size):
        return Kind.COPY
    if picture.keeps_animation(item.format):
        to_video = FORMATS[item.format].video
        return Kind.ANIMATION_TO_VIDEO if to_video else Kind.ANIMATION
    is_document = picture.format == "tif" and picture.frames > 1
    if is_document and item.format == "tif" and options.pages is None:
        return Kind.PAGES
    if is_made_by_parts(picture, options):
        return Kind.LARGE
    return Kind.PHOTOGRAPH


def is_made_by_parts(picture: Picture, options: Settled) -> bool:
    """Return True for a photograph that becomes so large that its parts are kept on the disk."""
    steps = options.largest_steps(picture.size)
    pixels = picture.height * picture.width * math.prod(steps) ** 2
    return pixels > options.whole_pixels


def _refuse_photograph_option(item: Item, picture: Picture, options: Settled) -> None:
    """Refuse a raster where an option asks for a photograph."""
    option = options.photograph_option
    if not option:
        return
    reason = picture.raster or f"more than {LARGEST_AREA:,} pixels"
    advice = f"drop {option}"
    if options.size:
        advice = "give -s 4, or another scale of the model"
    raise PictureError(
        f"{item.source}: is a raster ({reason}), and {option} is for photographs; {advice}"
    )


def _refuse_what_films_lack(picture: Picture, options: Settled) -> None:
    """Refuse raster options for a film, which has no bands, nodata or windows.

    GDAL would read one frame of some animations, and call others damaged. Videos have
    neither pages nor a resolution on paper, and other pictures than TIFFs one page.
    """
    page = options.pages or 1
    if page > 1 and picture.format not in (VIDEO, "tif"):
        raise PictureError(
            f"{picture.path}: has no page {page}, as it is no TIFF; drop --pages"
        )
    names = [*options.raster_options]
    if picture.format == VIDEO:
        if options.pages is not None:
            names.append("--pages")
        if options.dpi != "keep":
            names.append("--dpi")
    words = "a video" if picture.format == VIDEO else "an animation"
    if names and (picture.format == VIDEO or picture.is_animation):
        raise PictureError(
            f"{picture.path}: is {words}, which {', '.join(names)} cannot "
            "be applied to; upscale it without"
        )


def _needs_windows(item: Item, picture: Picture, options: Settled) -> bool:
    """Return True for a photograph that raster options apply to, or that no memory holds."""
    is_turned = picture.orientation != 1
    as_raster = bool(options.raster_options)
    if item.from_folder:
        as_raster = as_raster and picture.format == "tif" and not is_turned
    if as_raster and is_turned:
        raise PictureError(
            f"{item.source}: EXIF or its sidecar rotates this photograph, and raster options "
            "cannot follow; drop them, or rotate the pixels first"
        )
    is_huge = picture.height * picture.width > LARGEST_AREA and not is_turned
    return as_raster or is_huge


def _has_pages_of_rasters(item: Item, picture: Picture, options: Settled) -> bool:
    """Tell if all pages of a TIFF become pages of the output.

    Not of those on the map, whose pages are mostly overviews, nor where the output can
    have one page only.
    """
    has_one_page = options.cog or options.overviews or options.stac
    if item.format != "tif" or options.pages is not None or has_one_page:
        return False
    if picture.format != "tif" or picture.frames == 1:
        return False
    return picture.raster is None or not picture.is_on_map
