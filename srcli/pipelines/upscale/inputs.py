"""Look at inputs and their outputs: what is a photograph, which model suits it, what is finished.

An output is finished if it records the model, scale and options that are asked for, and an input
that has not changed since. A newer srx, or newer weights of the same model, change nothing.
"""

from __future__ import annotations

import math
import os
import stat
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, one_file
from srcli.imaging.condition import judge
from srcli.imaging.photograph import LARGEST_AREA, mark_source
from srcli.imaging.rasters.info import choose_window, read_info
from srcli.imaging.rasters.opening import DatasetName, file_on_disk
from srcli.imaging.rasters.parts import has_unfinished_parts
from srcli.imaging.reading import open_picture, read_photograph, read_provenance
from srcli.models import MODELS
from srcli.models.weights import PHOTO_MODEL
from srcli.pipelines.upscale.plan import (
    SUFFIXES,
    Item,
    is_folder,
    make_plan,
    name_in_folder,
    named_by_extension,
    real_path,
)
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.imaging.photograph import Photograph, Picture, Provenance
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import Reporter

LARGEST_PHOTOGRAPH = 400_000_000
"""Output pixels; larger pictures are read by windows. One number, so that results do not depend on
the machine."""
_THREADS = 16
"""That look at files: most of the time on a network drive is spent waiting."""
_ADVICE = "--overwrite replaces it; another output folder or --suffix keeps both"
_TIME_STEPS = (10**9, 10**7, 10**3, 1)
"""Steps in which file systems store times, in nanoseconds; FAT has twice the first."""
_LEFT = (
    "an interrupted run with --overwrite has left work beside it; --overwrite goes on with it, "
    "--overwrite --no-resume starts over"
)


def open_photograph(item: Item, options: UpscaleOptions) -> Picture | None:
    """Open an input that is a photograph; None if it is read by windows.

    Read by windows are georeferenced files and others that photographs cannot be (see
    ``Picture.raster``), inputs with raster options, and pictures too large for memory. Of the
    pictures of a folder, raster options apply to the TIFFs only. A picture rotated by EXIF is
    always a photograph, as windows on disk cannot be rotated.

    A ``PictureError`` is raised, too, for a photograph rotated by EXIF with raster options, and
    with ``--fit`` for a file that is read by windows.
    """
    asked, sized = bool(options.raster.asked_for), options.of_photographs
    try:
        picture = open_picture(item.source, confined=item.from_folder)
    except PictureError:
        if asked and not item.from_folder and not sized:
            return None  # reading it fails with the reason
        raise
    if picture.raster is None:
        turned, pixels = picture.orientation != 1, picture.height * picture.width
        large = pixels > LARGEST_AREA
        if item.from_folder:
            asked = asked and picture.format == "tif" and not turned
        if asked and turned and not large:
            raise PictureError(
                f"{item.source}: EXIF rotates this photograph, and raster options cannot follow; "
                "drop them, or rotate the pixels first"
            )
        if not turned and picture.format != "gif":
            times = math.prod(options.steps(options.model, picture.height, picture.width))
            large = large or pixels * times**2 > LARGEST_PHOTOGRAPH
        if not (asked or large):
            return picture
    if not sized:
        return None
    if picture.raster is not None:
        raise PictureError(
            f"{item.source}: is a raster ({picture.raster}), and {sized} is for photographs; "
            f"{'give -s 2, 3 or 4' if options.size else f'drop {sized}'}"
        )
    raise PictureError(
        f"{item.source}: is too large for {sized} when it is enlarged (more than "
        f"{LARGEST_PHOTOGRAPH / 1e6:.0f} megapixels); use a smaller --scale"
    )


def choose_model(photograph: Photograph, options: UpscaleOptions) -> tuple[str, str]:
    """Return the model for a photograph by what it has gone through, and that in one word."""
    condition = judge(photograph.pixels)
    return options.model if condition in ("clean", "drawing") else PHOTO_MODEL, condition


def is_photograph(item: Item, options: UpscaleOptions) -> bool:
    """Return True for a photograph; False for what cannot be read, too."""
    with suppress(SrxError), one_file(item.source):
        return open_photograph(item, options) is not None
    return False


def look_for_model(item: Item, options: UpscaleOptions) -> str:
    """Return the model for one input; rasters, and what cannot be read, get the usual one."""
    try:
        with one_file(item.source):
            picture = open_photograph(item, options)
            if picture is None or picture.frames > 1:
                return options.model
            return choose_model(read_photograph(picture), options)[0]
    except SrxError:
        return options.model


def find_due(
    inputs: Sequence[Path], output: Path, options: UpscaleOptions, reporter: Reporter
) -> tuple[list[Item], list[Item]]:
    """Return the inputs whose outputs are to be made, in the order given, and those finished.

    The others are reported: those that cannot be looked at, and outputs that are not known to be
    srx's enlargements of these inputs. Where the output is a folder, one that is there may be that
    of an input with another extension: the new one is named by its own then.
    """
    plan, in_folder = make_plan(inputs, output, options), is_folder(output)
    for note in plan.notes:
        reporter.progress.message(note)
    for item, reason in plan.failures:
        reporter.fail(item, reason)
    due: list[Item] = []
    finished: list[Item] = []
    again: defaultdict[str, list[Item]] = defaultdict(list)
    look = partial(_compare, options=options, wanted=options.made_by())
    with read_ahead(look, plan.items, ahead=2 * _THREADS, workers=_THREADS) as looked:
        for first, found in looked:
            with reporter.guard(first):
                item, (kind, reason) = first, found.result()
                new = named_by_extension(first, options.suffix)
                if in_folder and kind == "another" and real_path(new.target) not in plan.targets:
                    plan.targets.add(real_path(new.target))
                    item, (kind, reason) = new, look(new)
                if kind == "due":
                    if item is not first:
                        reporter.progress.message(
                            f"{item.source}: becomes {item.target.name}, as {first.target.name} is "
                            "not, or may not be, made from it"
                        )
                    due.append(item)
                    again[reason].append(item)
                elif kind == "finished":
                    finished.append(item)
                    if has_unfinished_parts(item.target):
                        reporter.progress.warn(f"{item.target}: {_LEFT}")
                else:
                    reporter.fail(item, f"{item.target}: {reason}; {_ADVICE}", kept=True)
    again.pop("", None)  # these are new
    for reason, made in again.items():
        more = f" and {len(made) - 1} more" if len(made) > 1 else ""
        reporter.progress.message(f"{made[0].target}{more}: made again: {reason}")
    return due, finished


def _compare(item: Item, options: UpscaleOptions, wanted: Provenance) -> tuple[str, str]:
    """Compare what an output records with what is asked for.

    Returns:
        What is to be done, and why in words that follow the name of the output. ``due``,
        ``finished`` or ``kept``: it is to stay; ``another``: it is, or may be, of another input,
        whose extension may differ.
    """
    try:
        state = os.stat(item.target)  # noqa: PTH116 - a name that is too long fails later
    except (OSError, ValueError):
        return "due", ""
    if stat.S_ISDIR(state.st_mode):
        raise PictureError(f"{item.target}: is a folder; take another name")
    if options.overwrite:
        return "due", ""
    record = read_provenance(item.target)
    newer = _changed(item.source) - state.st_mtime_ns
    step = 2 * next(step for step in _TIME_STEPS if state.st_mtime_ns % step == 0)
    if record is None:
        return _judge_by_size(item, options, is_newer=newer >= step)
    differs = False
    if record.source:
        extension, place, content = record.source.split(" ")
        own_extension, own_place, own_content = mark_source(item.source).split(" ")
        moved = differs = place != own_place
        if content and own_content:
            differs = content != own_content
        if differs and (moved or newer <= 0):  # what has changed is newer
            kind = "kept" if extension == own_extension else "another"
            return kind, f"was made from another picture than {item.source}"
    if reason := _made_otherwise(item, record, options, wanted):
        return "due", reason
    if differs or newer >= step:
        return "due", "the input has changed since"
    return "finished", ""


def _made_otherwise(
    item: Item, record: Provenance, options: UpscaleOptions, wanted: Provenance
) -> str:
    """Return in what an output was made otherwise than is asked for; empty for nothing."""
    if options.auto:  # looks at pixels, but not at those of its own choices
        same = record.auto or record.model == look_for_model(item, options)
    elif record.weights and record.weights == wanted.weights:
        same = True  # maybe by another name
    else:
        same = record.model == wanted.model and (options.model in MODELS or not record.weights)
    if not same or record.scale != wanted.scale:
        return f"was made with {record.model} x{record.scale}"
    # options of rasters mean nothing for the photographs among the inputs
    alike = record.options == wanted.options or (
        record.options == options.checksum(photograph=True) and is_photograph(item, options)
    )
    return "" if alike or not record.source else "was made with other options"


def _changed(source: Path) -> int:
    """Return when an input was changed last, in nanoseconds; of a mosaic, any part of it."""
    files = [os.fspath(file_on_disk(source))]
    if source.suffix.lower() == ".vrt":
        with suppress(SrxError):  # reading it gives the reason
            files += read_info(source).files
    times = [0]
    for file in files:
        with suppress(OSError):  # nothing on disk
            times.append(os.stat(file).st_mtime_ns)  # noqa: PTH116 - there may be very many
    return max(times)


def _judge_by_size(item: Item, options: UpscaleOptions, *, is_newer: bool) -> tuple[str, str]:
    """Judge an output without a record by its size and time: it may be the user's own file."""
    unknown = "nothing in it says that srx has made it"
    if not item.from_folder and _has_rival(item, options):
        return "another", f"may be of another picture than {item.source}: {unknown}"
    if is_newer:
        return "kept", f"is older than {item.source}, and {unknown}"
    try:
        if picture := open_photograph(item, options):
            height, width = options.final_size(picture.height, picture.width)
        else:
            height, width = raster_size(item, options)
        found = open_picture(item.target)
    except SrxError as error:
        return "kept", f"exists and cannot be compared with {item.source} ({error})"
    if (found.height, found.width) == (height, width):
        return "finished", ""
    sizes = f"has {found.width}x{found.height} pixels and not {width}x{height}"
    return "kept", f"{sizes}, and {unknown}"


def raster_size(item: Item, options: UpscaleOptions) -> tuple[int, int]:
    """Return the (height, width) of the output of a raster."""
    asked = options.raster
    window, _ = choose_window(read_info(item.source), srcwin=asked.srcwin, bounds=asked.bounds)
    return window.height * options.scale, window.width * options.scale


def _has_rival(item: Item, options: UpscaleOptions) -> bool:
    """Return True if another picture beside an input has an output of the same name."""
    source, target = item.source, item.target
    if isinstance(source, DatasetName):
        return False
    names = [source.with_suffix(suffix) for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES))]
    return any(
        path.is_file()
        and not path.samefile(source)
        and real_path(path) != real_path(target)
        and name_in_folder(path, target.parent, options).target == target
        for path in names
    )
