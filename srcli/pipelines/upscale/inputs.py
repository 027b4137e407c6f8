"""Pair inputs with outputs, refuse collisions before any work, and find what is finished.

An output is finished if it records the model, scale and options that are asked for, and
an input that has not changed since. A newer srx, or newer weights of the same model,
change nothing. No pixel is decoded, but by ``auto`` for outputs that it has not chosen
a model for.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, UsageError, did_you_mean, one_file
from srcli.files import explain_os_error, open_input
from srcli.holding import history
from srcli.imaging.photograph import (
    FORMATS,
    READABLE_SUFFIXES,
    Provenance,
    format_of_content,
    format_of_suffix,
    mark_source,
)
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.opening import (
    RASTER_SUFFIXES,
    DatasetName,
    as_input,
    file_on_disk,
    is_remote,
)
from srcli.imaging.rasters.parts import has_unfinished_parts
from srcli.imaging.rasters.selection import choose_window
from srcli.imaging.reading import open_picture, read_provenance
from srcli.models import MODELS
from srcli.pipelines.upscale.photographs import look_for_model, open_photograph
from srcli.pipelines.upscale.reporter import Item, Reporter
from srcli.pipelines.upscale.search import (
    NAMED_ONLY,
    SUFFIXES,
    UNREAD,
    FolderSearch,
    forget_folders,
    real_path,
)
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import UpscaleOptions

_NOT_WRITTEN = READABLE_SUFFIXES | RASTER_SUFFIXES | UNREAD | NAMED_ONLY | {
    ".hdr", ".raw", ".xyz", ".kml", ".zip", ".tar", ".gz", ".npy", ".txt", ".csv", ".json",
}  # fmt: skip
"""Suffixes of other files; an output named so is a mistake and not a new folder."""
_LIKE_A_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{1,4}")
_THREADS = 16
"""That look at files: most of the time on a network drive is spent waiting."""
_ADVICE = "--overwrite replaces it; another output folder or --suffix keeps both"
_TIME_STEPS = (10**9, 10**7, 10**3, 1)
"""Steps in which file systems store times, in nanoseconds; FAT has twice the first."""
_LEFT = (
    "an interrupted run with --overwrite has left work beside it; --overwrite goes on with it, "
    "--overwrite --no-resume starts over"
)


def pair(
    inputs: Sequence[Path], output: Path, options: UpscaleOptions, reporter: Reporter
) -> tuple[list[Item], set[str]]:
    """Pair every input picture with its output; return these, and the real paths of all outputs.

    Inputs are pictures, folders and names as for ``as_input``, on the network if that
    is allowed; the output is a folder, or a file name for one picture. What cannot be
    done is reported; a ``UsageError`` says where inputs and output do not fit each
    other, or that there is no picture.
    """
    forget_folders()
    _check_output(inputs, output, options)
    to_folder = is_folder(output, options)
    found: list[Path] = []
    for path in map(as_input, inputs):
        if reason := _obstacle(path, remote=options.allow_remote):
            reporter.fail(Item(source=path, target=output, format=""), reason)
        else:
            found.append(path)
    items: list[Item] = []
    if found and len(inputs) == 1 and not found[0].is_dir() and not to_folder:
        fmt = format_of_suffix(output.suffix) or ""
        if options.format not in ("auto", fmt):
            raise UsageError(
                f"{output}: its extension contradicts --format {options.format}"
            )
        target = output.with_name(f"{output.stem}{options.suffix}{output.suffix}")
        items = [Item(source=found[0], target=target, format=fmt)]
    elif found and (not to_folder or os.path.isfile(output)):  # noqa: PTH113
        raise UsageError(
            f"{output}: names a file; folders or many inputs need a folder as output"
        )
    else:
        for path in found:
            named = [] if path.is_dir() else [name_in_folder(path, output, options)]
            items += named or find_in_folder(path, output, options, reporter)
    if not items and not reporter.files:
        where = ", ".join(map(str, found))
        reason = f"no pictures found ({' '.join(sorted(SUFFIXES))})"
        below = (
            entry
            for folder in found
            for entry in folder.iterdir()
            if entry.name[0] != "."
        )
        if not options.recursive and any(entry.is_dir() for entry in below):
            reason = (
                "add -r to search its subfolders; the folder itself holds no pictures"
            )
        raise UsageError(f"{where}: {reason}")
    return _settle_names(items, options, reporter)


def find_in_folder(
    folder: Path, output: Path, options: UpscaleOptions, reporter: Reporter
) -> Iterator[Item]:
    """Yield the pictures that a ``FolderSearch`` finds with outputs in the output folder."""
    for file in FolderSearch(folder, output, options, reporter).pictures():
        into = output / file.parent.relative_to(folder)
        yield name_in_folder(file, into, options, from_folder=True)


def _settle_names(
    items: Iterable[Item], options: UpscaleOptions, reporter: Reporter
) -> tuple[list[Item], set[str]]:
    """Tell outputs of one name apart by the extensions of their inputs: ``a_jpg.png``.

    Items whose outputs would still replace an input or each other are failures.
    """
    # the same file named twice is one file
    items = {(real_path(one.source), str(one.target)): one for one in items}.values()
    groups = _by_output(items)
    renamed = {
        item: named_by_extension(item, options.suffix)
        for group in groups.values()
        if len({one.source.suffix.lower() for one in group}) > 1
        for item in group
    }
    if renamed:
        groups = _by_output(renamed.get(item, item) for item in items)
        first = min(item.target for item in renamed.values()).name
        reporter.progress.message(
            f"{len(renamed)} outputs are named with the extensions of their inputs, such as "
            f"{first}, as they would have the same names otherwise"
        )
    sources, replaced = {real_path(item.source) for item in items}, 0
    settled: list[Item] = []
    for target, group in groups.items():
        for item in group:
            itself = options.overwrite and target == real_path(item.source)
            if target in sources and not itself:
                reason = (
                    f"{item.target}: is itself an input and would be overwritten; "
                    "give another output folder or --suffix _x4"
                )
            elif len(group) > 1:
                other = group[item is group[0]]
                reason = (
                    f"{item.source} and {other.source} would both become {item.target}; "
                    "upscale them into different folders, or give another --format"
                )
            else:
                settled.append(item)
                replaced += itself
                continue
            reporter.fail(item, reason)
    if replaced:
        reporter.progress.message(
            f"{_count(replaced)} replaced by the enlargement: run this once only, not again "
            "after an interruption"
        )
    return settled, {*groups}


def is_folder(output: Path, options: UpscaleOptions) -> bool:
    """Return True if an output is a folder, or has no picture's extension and will become one."""
    if options.into_folder:
        return True
    # os.path instead of pathlib: a name that is too long is no folder, and no error yet
    return os.path.isdir(output) or format_of_suffix(output.suffix) is None  # noqa: PTH112


def name_in_folder(
    source: Path, folder: Path, options: UpscaleOptions, *, from_folder: bool = False
) -> Item:
    """Pair an input with its output in a folder, of the same name."""
    own = format_of_suffix(source.suffix)
    if isinstance(source, DatasetName) and own not in ("tif", "png", "jpg"):
        own = None  # photographs in archives are read by GDAL, as rasters
    fmt = options.format
    if fmt == "auto":
        if own == "gif":
            frames = 1
            with suppress(SrxError), one_file(source):  # reading it gives the reason
                frames = open_picture(source, confined=True).frames
            own = (
                "gif" if frames > 1 else None
            )  # of 256 colours, which an enlargement has not
        fmt = own or _choose_format(source)
    extension = source.suffix if fmt == own else f".{fmt}"
    target = folder / f"{source.stem}{options.suffix}{extension}"
    return Item(source=source, target=target, format=fmt, from_folder=from_folder)


def named_by_extension(item: Item, suffix: str) -> Item:
    """Return an item whose output's name holds the extension of the input: ``a_jpg.png``."""
    extension = item.source.suffix.lower().lstrip(".")
    name = f"{item.source.stem}_{extension}{suffix}{item.target.suffix}"
    return replace(item, target=item.target.with_name(name))


def _obstacle(path: Path, *, remote: bool) -> str:
    """Return the reason for which an input cannot be opened; empty if it is there."""
    hint = ""
    if isinstance(path, DatasetName):
        there = path.container is not None
        if is_remote(str(path)):
            there, hint = (
                remote,
                "; it is on the network: download it, or give --allow-remote",
            )
    else:
        try:
            there = path.exists()
        except OSError as error:
            return f"{path}: cannot be looked at ({error.strerror})"
    return "" if there else f"{path}: no such file or folder{hint}"


def _check_output(
    inputs: Sequence[Path], output: Path, options: UpscaleOptions
) -> None:
    """Refuse names of files that srx does not write, and extensions that are mistyped.

    Where a folder or several inputs need one, a name such as ``photos.new`` is that of
    a folder.
    """
    if isinstance(named := as_input(output), DatasetName) and named.gdal.startswith(
        "/vsi"
    ):
        raise UsageError(
            f"{output}: results are written to disk; give a file or a folder"
        )
    suffix = output.suffix.lower()
    if options.into_folder or os.path.isdir(output):  # noqa: PTH112
        return
    if format_of_suffix(suffix) is not None:
        return
    hint = ""
    if suffix not in _NOT_WRITTEN:
        if _LIKE_A_SUFFIX.fullmatch(suffix) is None:
            return
        hint = did_you_mean(suffix, (f".{name}" for name in (*FORMATS, "jpeg", "tiff")))
        if not hint and (len(inputs) > 1 or os.path.isdir(inputs[0])):  # noqa: PTH112
            return
    raise UsageError(
        f"{output}: {suffix} is not written here{hint}; give {', '.join(FORMATS)} (of rasters tif, "
        f"png or jpg), or a folder, whose name may end in {suffix}{os.sep}"
    )


def _count(pictures: int) -> str:
    return "1 picture is" if pictures == 1 else f"{pictures} pictures are"


def _choose_format(source: Path) -> str:
    """Return the output format for an input whose suffix is not one of ``FORMATS``."""
    suffix = source.suffix.lower()
    if isinstance(source, DatasetName) or suffix in RASTER_SUFFIXES:
        return "tif"
    if suffix in READABLE_SUFFIXES:
        return "png"
    try:
        with open_input(source) as stream:
            content = format_of_content(stream.read(64))
    except OSError:
        return "png"  # reading it gives the reason
    if content is None:
        return "tif"
    return content if content in FORMATS and content != "gif" else "png"


def _by_output(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[real_path(item.target)].append(item)
    return groups


def find_due(
    inputs: Sequence[Path], output: Path, options: UpscaleOptions, reporter: Reporter
) -> tuple[list[Item], list[Item]]:
    """Return the inputs whose outputs are to be made, in the order given, and those finished.

    The others are reported: those that cannot be looked at, and outputs that are not
    known to be srx's enlargements of these inputs. Where the output is a folder, one
    that is there may be that of an input with another extension: the new one is named
    by its own then.
    """
    items, targets = pair(inputs, output, options, reporter)
    items = [item for item in items if not reporter.knows(item)]
    in_folder = is_folder(output, options)
    due: list[Item] = []
    finished: list[Item] = []
    again: defaultdict[str, list[Item]] = defaultdict(list)
    look = partial(_compare, options=options, wanted=options.made_by())
    # what has ended a worker is looked at alone
    threads = 1 if history().suspects else _THREADS
    with read_ahead(look, items, ahead=2 * threads, workers=threads) as looked:
        for first, found in looked:
            with reporter.guard(first):
                item, (kind, reason) = first, found.result()
                new = named_by_extension(first, options.suffix)
                if (
                    in_folder
                    and kind == "another"
                    and real_path(new.target) not in targets
                ):
                    targets.add(real_path(new.target))
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
                    reporter.fail(
                        item, f"{item.target}: {reason}; {_ADVICE}", kept=True
                    )
    again.pop("", None)  # these are new
    for reason, made in again.items():
        more = f" and {len(made) - 1} more" if len(made) > 1 else ""
        reporter.progress.message(f"{made[0].target}{more}: made again: {reason}")
    return due, finished


def _compare(
    item: Item, options: UpscaleOptions, wanted: Provenance
) -> tuple[str, str]:
    """Compare what an output records with what is asked for.

    Returns:
        What is to be done, and why in words that follow the name of the output.
        ``due``, ``finished`` or ``kept``: it is to stay; ``another``: it is, or may be,
        of another input, whose extension may differ.
    """
    try:
        state = os.stat(item.target)  # noqa: PTH116 - there may be very many
    except (OSError, ValueError) as error:
        if getattr(error, "errno", 0) == errno.ENAMETOOLONG:
            raise PictureError(explain_os_error(item.target, error)) from error
        return "due", ""
    if stat.S_ISDIR(state.st_mode):
        raise PictureError(f"{item.target}: is a folder; take another name")
    if options.overwrite:
        return "due", ""
    record = read_provenance(item.target)
    if not options.records and record == read_provenance(file_on_disk(item.source)):
        record = None  # none, or the input's own, which outputs keep
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
        same = record.model == wanted.model and (
            options.model in MODELS or not record.weights
        )
    if not same or record.scale != wanted.scale:
        return f"was made with {record.model} x{record.scale}"
    # options of rasters mean nothing for the photographs among the inputs
    alike = record.options == options.checksum(record.model) or (
        record.options == options.checksum(record.model, photograph=True)
        and open_photograph(item, options) is not None
    )
    if not alike and record.source:
        return "was made with other options"
    return "" if options.records else "says what made it, which is to be left out now"


def _changed(source: Path) -> int:
    """Return when an input was changed last, in nanoseconds; of a mosaic, any part of it."""
    files = [os.fspath(file_on_disk(source))]
    if source.suffix.lower() == ".vrt":
        with suppress(SrxError):  # reading it gives the reason
            files += read_info(source).files
    times = []
    for file in files:
        with suppress(OSError):  # nothing on disk
            times.append(os.stat(file).st_mtime_ns)  # noqa: PTH116 - there may be very many
    return max(times, default=0)


def _judge_by_size(
    item: Item, options: UpscaleOptions, *, is_newer: bool
) -> tuple[str, str]:
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
    window, _ = choose_window(
        read_info(item.source), srcwin=asked.srcwin, bounds=asked.bounds
    )
    return window.height * options.scale, window.width * options.scale


def _has_rival(item: Item, options: UpscaleOptions) -> bool:
    """Return True if another picture beside an input has an output of the same name."""
    source, target = item.source, item.target
    if isinstance(source, DatasetName):
        return False
    names = [
        source.with_suffix(suffix) for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES))
    ]
    return any(
        path.is_file()
        and not path.samefile(source)
        and real_path(path) != real_path(target)
        and name_in_folder(path, target.parent, options).target == target
        for path in names
    )
