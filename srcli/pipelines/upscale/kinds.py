"""Tell kinds of inputs apart: photographs, which go together, and those that go alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.files.formats import FORMATS, VIDEO
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.animations import is_animation, keeps_animation
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.pipelines.upscale.choosing import choose_model, is_made_by_parts
from srcli.pipelines.upscale.copying import copy_large_enough
from srcli.pipelines.upscale.pages import keeps_pages
from srcli.pipelines.upscale.photographs import OpenedPhotograph
from srcli.pipelines.upscale.videos import choose_video_model

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter


def open_photograph(item: Item, options: Settled) -> Picture | None:
    """Open an input that is a photograph; return None if it is read by windows, as a raster.

    Read by windows are georeferenced files and others that only a raster can be (see
    ``Picture.raster``), inputs with raster options, and photographs of more than
    ``LARGEST_AREA``. Videos are opened, too: their ``format`` is ``VIDEO``.
    Of the pictures of a folder, raster options apply to the TIFFs only. A picture
    rotated by EXIF is always a photograph, as windows on disk cannot be rotated.

    A ``PictureError`` is raised, too, for a photograph rotated by EXIF, a video or an
    animation that is named with raster options, and with ``--fit`` for a file that is
    read by windows.
    """
    try:
        page = options.pages or 1
        picture = open_picture(item.source, confined=item.from_folder, page=page)
    except PictureError:
        if options.raster_options and not item.from_folder:
            return None  # reading it fails with the reason
        raise
    if not item.from_folder:
        _refuse_what_films_lack(picture, options)
    if picture.format == VIDEO:
        return picture
    is_photograph = picture.raster is None
    is_photograph = is_photograph and not _needs_windows(item, picture, options)
    if is_photograph and FORMATS[item.format].map_tiles:
        raise PictureError(
            f"{item.source}: has no place on the map, and {item.format} holds tiles of one; "
            "take another --format"
        )
    if is_photograph:
        return picture
    option = options.photograph_option
    if not option:
        return None
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
    if names and (picture.format == VIDEO or is_animation(picture)):
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


def look_for_model(item: Item, options: Settled) -> str:
    """Open an input and return the model for it; rasters and animations get the usual one."""
    picture = open_photograph(item, options)
    if picture is not None and picture.format == VIDEO:
        return choose_video_model(item.source, options)[0]
    if picture is None or picture.frames > 1:
        return options.model
    return choose_model(read_photograph(picture), options, picture.format)[0]


def open_stills(
    items: Sequence[Item],
    options: Settled,
    reporter: Reporter,
    others: list[tuple[Item, Picture | None]],
) -> Iterator[OpenedPhotograph]:
    """Open inputs one by one, and yield still photographs, which are upscaled together.

    What goes alone is appended to ``others``: rasters without a header, videos,
    animations, and photographs of several pages, or so large that they are made by
    parts. One that fails leaves the others alone.
    """
    ignored = ", ".join(options.raster_options)
    warned: set[str] = set()
    for item in items:
        with reporter.guard(item):
            picture = open_photograph(item, options)
            if picture is None:
                others.append((item, None))
                continue
            is_video = picture.format == VIDEO
            media = "videos" if is_video else "photographs"
            if ignored and media not in warned:
                warned.add(media)
                warning = (
                    f"{media} are upscaled without {ignored}, which apply to rasters"
                )
                if not is_video:
                    warning += (
                        "; a photograph that is named itself is upscaled as a raster"
                    )
                reporter.progress.warn(warning)
            if copy_large_enough(item, picture, options, reporter):
                continue
            is_moving = is_video or keeps_animation(picture, item.format)
            is_document = keeps_pages(item, picture, options)
            if is_moving or is_document or is_made_by_parts(picture, options):
                others.append((item, picture))
            else:
                yield OpenedPhotograph(item, picture)


def open_pages(first_page: Picture) -> list[Picture]:
    """Open all pages of a TIFF, of which the first is open, as single pictures.

    Raises:
        PictureError: If a page is damaged, or no photograph.
    """
    pages = [replace(first_page, frames=1)]
    for number in range(2, first_page.frames + 1):
        page = open_picture(first_page.path, page=number)
        if page.raster or page.refusal:
            name = f"{first_page.path}: "
            reason = page.refusal or (
                f"{name}is a raster ({page.raster}); --pages 1 takes the first page alone"
            )
            raise PictureError(reason.replace(name, f"{name}page {number}: ", 1))
        pages.append(page)
    return pages
