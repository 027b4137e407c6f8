"""Tell kinds of inputs apart by their headers: each kind has one maker of its outputs.

By the header of a photograph or film it is checked, too, if format, memory and disk can
hold its result.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.files import stored_parts
from srcli.imaging.files.formats import FORMATS, FRAMES, VIDEO
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture
from srcli.imaging.photographs.writing import LOSSLESS_QUALITY, check_writable
from srcli.imaging.pixels.arrays import LARGEST_IN_MEMORY, Size
from srcli.machine import free_memory
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item

# Copies that a photograph takes at most, in bytes by those of its pixels. Measured are peaks
# of `srx upscale -m bicubic` beside those of smaller pictures: of RGB to PNG, TIFF and JPEG
# 2 copies of the input and one of the output, with alpha 11.7 bytes a byte of input at -s 2.
_COPIES = 3
"""Of the input, whose output is written as it is."""
_CONVERTED_COPIES = 6
"""Of the input, where pixels or alpha are changed before or after the network."""
_OUTPUT_COPIES = 3
"""Of the output there."""
_COPIES_OF_ENCODERS = {"avif": 14, "webp": 4}
"""Of the output, with what an encoder takes for itself: measured are 13.8 and 3.8."""
_COPIES_OF_LOSSLESS_WEBP = 13
"""Measured are 12.5 to 12.8 at -s 1, -s 2 and -s 3."""
_COPIES_OF_FILMS = 50
"""Of a frame of the output, with the frames that an encoder looks at: measured are 44 with
x264, 47 with VP9, 48 with x265, each at 3840x2160."""


_COMPRESSED = 10
"""Times by which frames become smaller as files, at the best: drawn ones, and JPEGs."""


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
    VIDEO_TO_FRAMES = "video that becomes numbered frames"
    FRAMES_TO_VIDEO = "folder of numbered frames that becomes a video"
    RASTER = "raster"
    """Read by windows: georeferenced, with raster options, or too large for memory."""
    STACK = "rasters of one TIFF"
    COPY = "photograph that is as large as it is to become"

    @property
    def is_raster(self) -> bool:
        """True for what is read by windows."""
        return self in (Kind.RASTER, Kind.STACK)

    @property
    def has_frames(self) -> bool:
        """True for what one model enlarges frame by frame; animations are not judged."""
        return self in (Kind.VIDEO, Kind.VIDEO_TO_FRAMES, Kind.FRAMES_TO_VIDEO)


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
    if picture.format == FRAMES:
        _check_times(item, options)
        return Opened(item, Kind.FRAMES_TO_VIDEO, picture)
    if item.is_frames:
        return Opened(item, Kind.VIDEO_TO_FRAMES, picture)
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


def _check_times(item: Item, options: Settled) -> None:
    """Refuse numbered frames of which nothing says when they are shown."""
    from srcli.imaging.films.frames import find_frames, schedule_of

    schedule_of(find_frames(item.source), options.rate)


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
    refusal = options.lacking_scale
    if not refusal and (option := options.photograph_option):
        advice = f"drop {option}"
        if options.size:
            advice = "give -s 4, or another scale of the model"
        refusal = f"{option} is for photographs; {advice}"
    if refusal:
        reason = picture.raster or f"more than {LARGEST_AREA:,} pixels"
        raise PictureError(f"{item.source}: is a raster ({reason}), and {refusal}")


def _refuse_what_films_lack(picture: Picture, options: Settled) -> None:
    """Refuse raster options for a film, which has no bands, nodata or windows.

    GDAL would read one frame of some animations, and call others damaged. Videos have
    neither pages nor a resolution on paper, and other pictures than TIFFs one page.
    """
    page = options.pages or 1
    is_video = picture.format in (VIDEO, FRAMES)
    if page > 1 and not is_video and picture.format != "tif":
        raise PictureError(
            f"{picture.path}: has no page {page}, as it is no TIFF; drop --pages"
        )
    names = [*options.raster_options]
    if is_video:
        if options.pages is not None:
            names.append("--pages")
        if options.dpi != "keep":
            names.append("--dpi")
    words = "a video" if is_video else "an animation"
    if names and (is_video or picture.is_animation):
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


def output_size(item: Item, picture: Picture, options: Settled) -> Size:
    """Return the (height, width) of an output; of videos even, as encoders need it."""
    height, width = options.final_size(picture.size)
    if FORMATS[item.format].video:
        return height - height % 2, width - width % 2
    return height, width


def check_output(
    item: Item, picture: Picture, options: Settled
) -> tuple[Size, tuple[str, ...]]:
    """Check by an input's header that format, memory and disk can hold its result.

    Returns:
        The output's (height, width), and warnings of what will be lost.
    """
    size = output_size(item, picture, options)
    height, width = size
    try:
        unwritable = check_writable(
            item.format, height, width, has_alpha=picture.has_alpha, bits=picture.bits
        )
    except PictureError as error:
        raise PictureError(f"{item.source}: {error}") from error
    warnings = list(unwritable)
    needed = photograph_memory(item, picture, options)
    free = free_memory()
    if free is not None and needed > free:
        raise PictureError(
            f"{item.source}: takes about {format_bytes(needed)} of memory when enlarged, and "
            f"{format_bytes(free)} are free; crop it, or use a smaller scale"
        )
    # the frames of an animation wait on the disk for the last one
    if picture.keeps_animation(item.format) and not FORMATS[item.format].video:
        frames_bytes = picture.frames * height * width * 4
        frames_bytes -= stored_parts.StoredRows(item.target).stored_bytes
        frames = f"its {picture.frames} pictures take"
        warnings += item.check_disk(
            frames,
            frames_bytes,
            frames_bytes,
            "a smaller --scale",
            refuses=options.disk_check,
        )
        if picture.bits > 8 and item.format == "png":
            warnings.append("frames of 16 bits are rounded to 8")
        if item.format == "webp" and picture.has_alpha and options.keep_hidden:
            warnings.append(
                "animated webp loses colours that alpha hides: --format png keeps them"
            )
        if picture.has_default_image:
            warnings.append("its picture for programs without animation is left out")
    elif item.is_frames:
        warnings += _check_room_for_frames(item, picture, size, options)
    elif picture.format not in (VIDEO, FRAMES) and is_made_by_parts(picture, options):
        warnings += _check_room_for_rows(item, picture, options)
    is_smaller = height < picture.height or width < picture.width
    if is_smaller and not item.from_folder:  # of these the last line counts them
        before = f"{picture.width}x{picture.height}"
        warnings.append(f"becomes {width}x{height}, smaller than the input ({before})")
    if size != options.final_size(picture.size):
        warnings.append("an odd row or column is cut off: sides of videos are even")
    return size, tuple(warnings)


def _check_room_for_rows(
    item: Item, picture: Picture, options: Settled
) -> tuple[str, ...]:
    """Refuse a photograph for whose rows the disk has no room; see ``Item.check_disk``."""
    stored = stored_parts.StoredRows(item.target).stored_bytes
    rows_bytes = max(bytes_of_rows(picture, options) - stored, 0)
    total = rows_bytes + bytes_of_pages([picture], options)
    subject = "its rows and the result take"
    return item.check_disk(
        subject, total, rows_bytes, "a smaller --scale", refuses=options.disk_check
    )


def _check_room_for_frames(
    item: Item, picture: Picture, size: Size, options: Settled
) -> tuple[str, ...]:
    """Refuse a film for whose numbered frames, of a size, the disk has no room."""
    from srcli.imaging.films.frames import StoredFrames

    finished = len(StoredFrames(item.target, item.format).found())
    values = (picture.frames - finished) * math.prod(size) * picture.channels
    total = values * picture.bits // 8
    return item.check_disk(
        f"its {picture.frames} frames take up to",
        total,
        total // _COMPRESSED,
        "a smaller --scale, or --format jpg",
        refuses=options.disk_check,
    )


def split_by_memory(
    opened: Iterable[Opened], options: Settled, processes: int = 1
) -> Iterator[Iterator[Opened]]:
    """Split photographs into groups that each take half of the free memory at most.

    Groups are photographs in a row, at least one; ``processes`` divide the memory among
    them.
    """
    free = free_memory()
    budget = sys.maxsize if free is None else free // 2 // processes
    group_number = 0
    taken_bytes = 0

    def choose_group(photograph: Opened) -> int:
        nonlocal group_number, taken_bytes
        size = photograph_memory(photograph.item, photograph.picture, options)
        if taken_bytes and taken_bytes + size > budget:
            group_number += 1
            taken_bytes = 0
        taken_bytes += size
        return group_number

    for _, group in groupby(opened, key=choose_group):
        yield group


def photograph_memory(item: Item, picture: Picture, options: Settled) -> int:
    """Estimate the most bytes of memory that a photograph takes, from reading to writing.

    Copies of its pixels are counted, some more than were measured (see ``_COPIES``).
    """
    channels = picture.channels + picture.has_alpha
    input_bytes = picture.height * picture.width * channels * picture.bits // 8
    steps = options.largest_steps(picture.size)
    output_bytes = input_bytes * math.prod(steps) ** 2
    is_converted = picture.has_alpha or picture.bits == 32
    if is_made_by_parts(picture, options):  # what becomes large lies in files
        if is_converted:
            return _CONVERTED_COPIES * input_bytes
        return _COPIES * input_bytes
    if (
        is_converted
        or item.format not in ("png", "jpg", "tif")
        or picture.bits not in FORMATS[item.format].bits
        or options.photograph_option
    ):
        output_copies = _COPIES_OF_ENCODERS.get(item.format, _OUTPUT_COPIES)
        quality = choose_quality(item, picture, options)
        if item.format == "webp" and quality == LOSSLESS_QUALITY:
            output_copies = _COPIES_OF_LOSSLESS_WEBP
        if FORMATS[item.format].video:
            output_copies = _COPIES_OF_FILMS
        return _CONVERTED_COPIES * input_bytes + output_copies * output_bytes
    # the network's output is written without a copy; a large one lies in a file on disk
    if output_bytes <= LARGEST_IN_MEMORY:
        return _COPIES * input_bytes + output_bytes
    return _COPIES * input_bytes


def choose_quality(item: Item, picture: Picture, options: Settled) -> int | None:
    """Return the quality asked for; a WebP of what is stored without loss gets that of none."""
    if options.quality is None and item.format == "webp" and picture.lossless:
        return LOSSLESS_QUALITY
    return options.quality


def bytes_of_rows(picture: Picture, options: Settled) -> int:
    """Return the bytes of the rows that a photograph made by parts keeps on the disk."""
    value_count = picture.height * picture.width * picture.channels
    total = 0
    for scale in options.largest_steps(picture.size):
        value_count *= scale**2
        total += value_count * picture.bits // 8
    return total


def bytes_of_pages(pages: Iterable[Picture], options: Settled) -> int:
    """Return the bytes of enlarged pages, without compression."""
    total = 0
    for page in pages:
        values = page.channels + page.has_alpha
        size = options.final_size(page.size)
        total += math.prod(size) * values * page.bits // 8
    return total
